//! Random code under the emulator of privileged instructions and of page-table writes. It may do what the guest could, and
//! nothing else: no panic, no instruction longer than 15 bytes, books that balance.

use arch::addr::GuestVa;
use arch::entry::TrapFrame;
use hypervisor::pv::emulate;

use super::input::Input;
use super::machine::{self, BUFFER, BUFFER_SIZE};

/// Opcodes that lead somewhere, to start from.
const SEEDS: &[&[u8]] = &[
    &[0x0f, 0x20, 0xc0],
    &[0x0f, 0x22, 0xd8],
    &[0x0f, 0x23, 0xf8],
    &[0x0f, 0x01, 0x38],
    &[0x0f, 0x01, 0xd1],
    &[0x0f, 0x30],
    &[0x0f, 0x32],
    &[0x0f, 0xa2],
    &[0xf3, 0x6c],
    &[0x66, 0xed],
    &[0xe6, 0x80],
    &[0xf0, 0x48, 0x0f, 0xb1, 0x0e],
    &[0x48, 0x89, 0x07],
    &[0x48, 0x0f, 0xba, 0x37, 0x05],
];

/// Runs one input.
pub fn run(data: &[u8]) {
    let machine = machine::new(1);
    let mut input = Input::new(data);
    let mut rounds = 0;
    while !input.is_empty() && rounds < 64 {
        rounds += 1;
        let cx = &machine.domains[usize::from(input.u8() & 1)];
        let at = BUFFER + u64::from(input.u16()) % BUFFER_SIZE as u64;
        let seed = if input.u8() & 3 == 0 {
            &[][..]
        } else {
            input.pick(SEEDS)
        };
        let code = [seed, input.bytes(6)].concat();
        let room = (BUFFER + BUFFER_SIZE as u64 - at) as usize;
        let code = &code[..code.len().min(room)];
        arch::guest::copy_to(GuestVa::new(at), code).expect("mapped");
        let mut register = || match input.u8() & 7 {
            0 => BUFFER + u64::from(input.u16() & 0x3fff),
            1 => u64::from(input.u8()),
            2 => 0xc000_0080 + u64::from(input.u8() & 7),
            3 => u64::from(input.u16()),
            4 => u64::MAX,
            _ => input.u64(),
        };
        let mut frame = TrapFrame {
            rax: register(),
            rbx: register(),
            rcx: register(),
            rdx: register(),
            rsi: register(),
            rdi: register(),
            rbp: register(),
            r15: register(),
            rsp: BUFFER + 0x2000,
            rip: at,
            cs: 0xe033,
            ss: 0xe02b,
            ..TrapFrame::default()
        };
        // HLT would end the machine's only CPU's work, and is one byte to test elsewhere.
        if !code.contains(&0xf4) {
            let _ = emulate::privileged(cx, &mut frame);
            let length = frame.rip.wrapping_sub(at);
            assert!(
                length <= 15 || frame.rip == 0 || frame.vector != 0,
                "an instruction of {length} bytes"
            );
        }
        frame.rip = at;
        let fault = BUFFER + u64::from(input.u16() & 0x3fff);
        let _ = emulate::page_table_write(cx, &mut frame, GuestVa::new(fault));
        frame.rip = at;
        let _ = emulate::forced_cpuid(cx, &mut frame);
    }
    machine.audit("emulation");
    machine.end();
}
