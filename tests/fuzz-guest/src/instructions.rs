//! Random instructions: mostly those that trap, are emulated or touch what the hypervisor owns.

use crate::random::Random;

/// The longest instruction of the architecture (Intel SDM 2A 2.3.11).
pub const LONGEST: usize = 15;

/// Opcodes of interest, and how many random bytes follow.
const OPCODES: &[(&[u8], usize)] = &[
    (&[0x0f, 0x20], 1), // mov from and to control and debug registers
    (&[0x0f, 0x21], 1),
    (&[0x0f, 0x22], 1),
    (&[0x0f, 0x23], 1),
    (&[0x0f, 0x30], 0), // wrmsr, rdmsr, rdpmc, rdtsc
    (&[0x0f, 0x32], 0),
    (&[0x0f, 0x33], 0),
    (&[0x0f, 0x31], 0),
    (&[0x0f, 0x01], 1), // descriptor tables, smsw, lmsw, invlpg, swapgs, rdtscp, monitor, xsetbv, vmcall, clac ...
    (&[0x0f, 0x01], 5),
    (&[0x0f, 0x00], 1), // sldt, str, lldt, ltr, verr, verw
    (&[0x0f, 0x02], 1), // lar, lsl
    (&[0x0f, 0x03], 1),
    (&[0x0f, 0x05], 0), // syscall, sysret, sysenter, sysexit
    (&[0x0f, 0x07], 0),
    (&[0x48, 0x0f, 0x07], 0),
    (&[0x0f, 0x34], 0),
    (&[0x0f, 0x35], 0),
    (&[0x0f, 0x06], 0), // clts, invd, wbinvd
    (&[0x0f, 0x08], 0),
    (&[0x0f, 0x09], 0),
    (&[0x0f, 0x0b], 0), // ud2, and Xen's forced emulation prefix with cpuid
    (&[0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2], 0),
    (&[0x0f, 0xa2], 0), // cpuid
    (&[0xf4], 0),       // hlt, cli, sti
    (&[0xfa], 0),
    (&[0xfb], 0),
    (&[0xcc], 0), // int3, int n, int1
    (&[0xcd], 1),
    (&[0xf1], 0),
    (&[0x48, 0xcf], 0), // iret, far returns, far jumps and calls through memory
    (&[0xcf], 0),
    (&[0x48, 0xcb], 0),
    (&[0xff], 1),
    (&[0x48, 0xff], 5),
    (&[0xe4], 1), // port input and output, strings of them
    (&[0xe6], 1),
    (&[0xec], 0),
    (&[0xee], 0),
    (&[0xed], 0),
    (&[0xef], 0),
    (&[0x6c], 0),
    (&[0x6e], 0),
    (&[0xf3, 0x6c], 0),
    (&[0xf3, 0x6e], 0),
    (&[0x9d], 0), // popf, pushf
    (&[0x9c], 0),
    (&[0x8e], 1), // segment registers
    (&[0x8c], 1),
    (&[0x0f, 0xa1], 0),
    (&[0x0f, 0xa9], 0),
    (&[0x0f, 0xb2], 1),
    (&[0x0f, 0xb4], 1),
    (&[0x0f, 0xb5], 1),
    (&[0xf3, 0x0f, 0xae], 1), // fs and gs base, fxsave, xrstor, ldmxcsr, clflush
    (&[0xf3, 0x48, 0x0f, 0xae], 1),
    (&[0x0f, 0xae], 1),
    (&[0x48, 0x0f, 0xae], 5),
    (&[0x0f, 0xc7], 1), // cmpxchg8b and 16b, xsaves, rdrand, vmptrld
    (&[0x48, 0x0f, 0xc7], 5),
    (&[0x66, 0x0f, 0x38, 0x82], 1), // invpcid
    (&[0x89], 1),                   // stores: with luck into a page table
    (&[0x48, 0x89], 1),
    (&[0x48, 0x87], 1),
    (&[0x48, 0x0f, 0xb1], 1),
    (&[0x48, 0x01], 1),
    (&[0xf0, 0x48, 0x09], 1),
    (&[0x48, 0xab], 0),
    (&[0x48, 0xa5], 0),
    (&[0x0f, 0x11], 1),
    (&[0x48, 0x8b], 1),
    (&[0xd9], 1), // floating point
    (&[0xdd], 1),
    (&[0x9b], 0),
];

const PREFIXES: [u8; 11] = [
    0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3,
];

/// QEMU 10 lets `mov` load CS, LDTR and TR (segment registers 1, 6 and 7) where a processor raises #UD, and ends soon
/// after: no such instruction is made.
fn spare_the_emulator(code: &mut [u8]) {
    for at in 1..code.len() {
        let register = code[at] >> 3 & 7;
        if code[at - 1] == 0x8e && matches!(register, 1 | 6 | 7) {
            code[at] &= !0x38;
        }
    }
    // What comes behind the instruction would be its operand.
    if let Some(last @ 0x8e) = code.last_mut() {
        *last = 0x90;
    }
}

/// Writes an instruction, or what looks like one, and returns its length.
pub fn random(random: &mut Random, to: &mut [u8; LONGEST]) -> usize {
    let length = any(random, to);
    spare_the_emulator(&mut to[..length]);
    length
}

fn any(random: &mut Random, to: &mut [u8; LONGEST]) -> usize {
    for byte in to.iter_mut() {
        *byte = random.next() as u8;
    }
    if random.one_in(4) {
        return LONGEST;
    }
    let mut at = 0;
    while at < 4 && random.one_in(5) {
        to[at] = random.of(&PREFIXES);
        at += 1;
    }
    let (opcode, operands) = random.of(OPCODES);
    to[at..at + opcode.len()].copy_from_slice(opcode);
    // The operands are the random bytes that are there.
    at + opcode.len() + operands
}

/// Opcodes that replace the stack pointer whatever their operands: iret, lss.
const MOVES_STACK: &[&[u8]] = &[&[0x48, 0xcf], &[0xcf], &[0x0f, 0xb2]];

/// An instruction that leaves the stack pointer where a trap's frame fits: what guest kernel mode survives, where traps
/// use the present stack. Its operand is in memory, and no register that it names is the stack pointer.
pub fn on_present_stack(random: &mut Random, to: &mut [u8; LONGEST]) -> usize {
    for byte in to.iter_mut() {
        *byte = random.next() as u8;
    }
    let (opcode, operands) = loop {
        let chosen = random.of(OPCODES);
        if !MOVES_STACK.contains(&chosen.0) {
            break chosen;
        }
    };
    to[..opcode.len()].copy_from_slice(opcode);
    if operands > 0 && opcode != [0xcd] {
        // Control and debug registers are moved to and from general ones, whatever the mode says.
        let mode = random.below(3) as u8;
        let register = |random: &mut Random| random.of(&[0u8, 1, 2, 3, 5, 6, 7]);
        to[opcode.len()] = mode << 6 | register(random) << 3 | register(random);
    }
    let length = opcode.len() + operands;
    spare_the_emulator(&mut to[..length]);
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_instruction_is_too_long() {
        let longest = OPCODES.iter().map(|(o, n)| o.len() + n).max();
        assert!(longest.is_some_and(|n| n + 4 <= LONGEST));
        let mut numbers = Random::new(7);
        let mut code = [0; LONGEST];
        for _ in 0..10_000 {
            for make in [random, on_present_stack] {
                let length = make(&mut numbers, &mut code);
                assert!((1..=LONGEST).contains(&length));
                let bad = |pair: &[u8]| pair[0] == 0x8e && [1, 6, 7].contains(&(pair[1] >> 3 & 7));
                assert!(!code[..length].windows(2).any(bad));
                assert!(code[length - 1] != 0x8e);
            }
        }
    }
}
