//! What user mode and kernel mode of a guest may not do, and what the emulator of privileged instructions does.

use hypercall_abi::xen::{Hypercall, MmuextOp};
use pv_guest::{NO_TRAP, PAGE, SYSTEM_CALL, call, mmuext, say, say_number, write, write_bytes};

use crate::guest::{
    FLAGS, Guest, Miss, Outcome, WRITE, done, operate, refused, registers, require, vector,
};

crate::tests!(
    xsa_105_106_110_user_mode_has_no_privileges,
    xsa_122_no_bytes_of_the_hypervisors_stack,
    xsa_123_segment_prefix_on_a_register_operand,
    xsa_190_task_switched_fpu,
    xsa_193_segment_bases_are_canonical,
    xsa_293_fsgsbase_only_when_the_kernel_wants_it,
    xsa_298_no_descriptor_beyond_the_limit,
    xsa_333_msr_access_ends_in_a_value_or_a_fault,
);

fn xsa_105_106_110_user_mode_has_no_privileges(guest: &mut Guest) -> Outcome {
    let privileged: [&[u8]; 19] = [
        &[0xf4],             // hlt
        &[0xfa],             // cli
        &[0xfb],             // sti
        &[0x0f, 0x01, 0x10], // lgdt [rax]
        &[0x0f, 0x01, 0x18], // lidt [rax]
        &[0x0f, 0x01, 0xf0], // lmsw ax
        &[0x0f, 0x01, 0x38], // invlpg [rax]
        &[0x0f, 0x01, 0xf8], // swapgs
        &[0x0f, 0x00, 0xd0], // lldt ax
        &[0x0f, 0x00, 0xd8], // ltr ax
        &[0x0f, 0x06],       // clts
        &[0x0f, 0x20, 0xc0], // mov rax, cr0
        &[0x0f, 0x22, 0xd8], // mov cr3, rax
        &[0x0f, 0x21, 0xf8], // mov rax, dr7
        &[0x0f, 0x23, 0xf8], // mov dr7, rax
        &[0x0f, 0x32],       // rdmsr
        &[0x0f, 0x30],       // wrmsr
        &[0xec],             // in al, dx
        &[0x6e],             // outsb
    ];
    let memory = guest.page().at;
    let values = registers(&[(0, memory), (1, 0xc000_0080), (2, 0x80), (6, memory)]);
    for (number, code) in (0..).zip(privileged) {
        let trap = guest.user(code, &values, FLAGS);
        require(
            trap.vector == vector::PROTECTION && trap.rip == guest.code(),
            "a general protection fault at the instruction",
            number,
        )?;
    }
    Ok(())
}

fn xsa_122_no_bytes_of_the_hypervisors_stack(guest: &mut Guest) -> Outcome {
    // XENVER_extraversion, compile_info, capabilities, changeset: command, lengths of the strings.
    let strings: [(u64, &[u64]); 4] =
        [(1, &[16]), (2, &[64, 16, 32, 32]), (3, &[1024]), (4, &[64])];
    let page = guest.page().at;
    for (command, lengths) in strings {
        for at in (0..PAGE).step_by(8) {
            write(page + at, 0xaaaa_aaaa_aaaa_aaaa);
        }
        let result = call(Hypercall::XEN_VERSION, [command, page, 0, 0, 0, 0]);
        require(result >= 0, "the version is told", result)?;
        let mut at = page;
        for length in lengths {
            let bytes = (at..at + length).map(|at| (pv_guest::read(at & !7) >> (at % 8 * 8)) as u8);
            let mut behind = bytes.skip_while(|byte| *byte != 0);
            require(
                behind.all(|byte| byte == 0),
                "nothing but zeroes behind the string",
                command as i64,
            )?;
            at += length;
        }
    }
    Ok(())
}

fn xsa_123_segment_prefix_on_a_register_operand(guest: &mut Guest) -> Outcome {
    for prefix in [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65] {
        // mov rax, cr0, which is emulated.
        let trap = guest.kernel(&[prefix, 0x0f, 0x20, 0xc0], &registers(&[]));
        let emulated = trap.vector == NO_TRAP && trap.registers[0] & 1 == 1;
        require(emulated, "cr0 is read", trap.vector as i64)?;
    }
    Ok(())
}

fn xsa_190_task_switched_fpu(guest: &mut Guest) -> Outcome {
    // fninit; movaps xmm0, xmm0
    for code in [&[0xdb, 0xe3][..], &[0x0f, 0x28, 0xc0]] {
        done(
            call(Hypercall::FPU_TASKSWITCH, [1, 0, 0, 0, 0, 0]),
            "the FPU is marked",
        )?;
        let trap = guest.user(code, &registers(&[]), FLAGS);
        require(
            trap.vector == vector::NO_DEVICE,
            "the mark is honoured",
            trap.vector as i64,
        )?;
        // The hypervisor clears it as it delivers the fault.
        let trap = guest.user(code, &registers(&[]), FLAGS);
        require(
            trap.vector == SYSTEM_CALL,
            "the mark is gone after the fault",
            trap.vector as i64,
        )?;
    }
    Ok(())
}

fn xsa_193_segment_bases_are_canonical(guest: &mut Guest) -> Outcome {
    for odd in [0x8000_0000_0000, 0xffff_7fff_ffff_ffff, 1 << 63] {
        // SEGBASE_FS, GS_USER, GS_KERNEL
        for which in 0..3 {
            refused(
                call(Hypercall::SET_SEGMENT_BASE, [which, odd, 0, 0, 0, 0]),
                "the hypercall refuses",
            )?;
        }
        // FS_BASE, GS_BASE, KERNEL_GS_BASE
        for msr in [0xc000_0100, 0xc000_0101, 0xc000_0102] {
            let values = registers(&[(0, odd & 0xffff_ffff), (2, odd >> 32), (1, msr)]);
            let trap = guest.kernel(&[0x0f, 0x30], &values);
            require(
                trap.vector == vector::PROTECTION,
                "wrmsr faults",
                trap.vector as i64,
            )?;
        }
    }
    done(
        call(Hypercall::SET_SEGMENT_BASE, [0, 0x1000, 0, 0, 0, 0]),
        "a canonical one is taken",
    )?;
    done(
        call(Hypercall::SET_SEGMENT_BASE, [0, 0, 0, 0, 0, 0]),
        "a canonical one is taken",
    )
}

fn xsa_293_fsgsbase_only_when_the_kernel_wants_it(guest: &mut Guest) -> Outcome {
    if guest.cpuid(7, 0)[1] & 1 == 0 {
        return Err(Miss::Skip("the guest has no FSGSBASE"));
    }
    // rdfsbase rax; mov rax, cr4; mov cr4, rax
    let code = [0xf3, 0x48, 0x0f, 0xae, 0xc0];
    let cr4 = guest.kernel(&[0x0f, 0x20, 0xe0], &registers(&[])).registers[0] & !(1 << 16);
    for (wanted, expected) in [
        (0, vector::INVALID_OPCODE),
        (1 << 16, SYSTEM_CALL),
        (0, vector::INVALID_OPCODE),
    ] {
        let trap = guest.kernel(&[0x0f, 0x22, 0xe0], &registers(&[(0, cr4 | wanted)]));
        require(trap.vector == NO_TRAP, "cr4 is written", trap.vector as i64)?;
        let trap = guest.user(&code, &registers(&[]), FLAGS);
        require(
            trap.vector == expected,
            "user mode has what cr4 says",
            trap.vector as i64,
        )?;
    }
    Ok(())
}

/// Compatibility mode's code segment that the hypervisor has for guests.
const CS32: u64 = 0xe023;

fn xsa_298_no_descriptor_beyond_the_limit(guest: &mut Guest) -> Outcome {
    const LOW: u64 = 0x40_0000;
    let flat: u64 = 0x00cf_f300_0000_ffff;
    let ldt = guest.table(&[(1, flat)]);
    // Entry 1 of the LDT, for ring 3.
    let selector = 1 << 3 | 4 | 3;
    guest.map_far(LOW, (guest.code_frame() * PAGE) | WRITE)?;
    // PHYSDEVOP_set_iopl: user mode's port accesses reach the emulator.
    let iopl = |level: u32| operate(Hypercall::PHYSDEV_OP, 6, &level);
    let set_ldt = |entries| mmuext(u64::from(MmuextOp::SET_LDT.0), ldt.at, entries);
    done(set_ldt(2), "an LDT")?;
    done(iopl(3), "ports for user mode")?;
    // mov gs, eax; int3
    write_bytes(guest.code(), &[0x8e, 0xe8, 0xcc]);
    let values = registers(&[(0, selector), (2, 0x80), (6, LOW)]);
    let trap = guest.iret(LOW, &values, FLAGS, CS32, 0);
    require(
        trap.vector == vector::BREAKPOINT && trap.cs == CS32,
        "the segment is loaded",
        trap.vector as i64,
    )?;
    done(set_ldt(0), "no LDT")?;
    // outsb gs:[esi]; int3
    write_bytes(guest.code(), &[0x65, 0x6e, 0xcc]);
    let trap = guest.iret(LOW, &values, FLAGS, CS32, 0);
    iopl(0);
    // xor eax, eax; mov gs, eax
    guest.user(&[0x31, 0xc0, 0x8e, 0xe8], &registers(&[]), FLAGS);
    done(ldt.remap(WRITE), "the LDT's page is a page again")?;
    // Xen looks for the descriptor, which is not there any more. Who takes segments for flat never looks.
    require(
        trap.vector == vector::BREAKPOINT || trap.rip == LOW,
        "a fault at the instruction, or the next one",
        trap.vector as i64,
    )
}

fn xsa_333_msr_access_ends_in_a_value_or_a_fault(guest: &mut Guest) -> Outcome {
    let ranges = [
        0..0x20,
        0x38..0x50,
        0x79..0x7a,
        0x8b..0x8c,
        0xc0..0xd0,
        0xe0..0xf0,
        0x118..0x150,
        0x174..0x1e0,
        0x1f0..0x210,
        0x250..0x280,
        0x2ff..0x310,
        0x380..0x3a0,
        0x3f0..0x420,
        0x480..0x4a0,
        0x4c0..0x4d0,
        0x560..0x590,
        0x600..0x610,
        0x6a0..0x6b0,
        0x6e0..0x6e8,
        0x770..0x778,
        0x800..0x840,
        0xc80..0xc90,
        0xd90..0xda2,
        0x4000_0000..0x4000_0010,
        0xc000_0080..0xc000_0110,
        0xc001_0000..0xc001_0080,
        0xc001_0110..0xc001_0122,
        0xc001_0200..0xc001_0210,
        0xc001_1000..0xc001_1040,
    ];
    let mut readable = 0;
    for msr in ranges.into_iter().flatten() {
        let trap = guest.kernel(&[0x0f, 0x32], &registers(&[(1, msr)]));
        require(
            [NO_TRAP, vector::PROTECTION].contains(&trap.vector),
            "rdmsr gives a value or faults",
            msr as i64,
        )?;
        if trap.vector != NO_TRAP {
            continue;
        }
        readable += 1;
        // What was there is put back.
        let [low, _, high, ..] = trap.registers;
        let trap = guest.kernel(&[0x0f, 0x30], &registers(&[(1, msr), (0, low), (2, high)]));
        require(
            [NO_TRAP, vector::PROTECTION].contains(&trap.vector),
            "wrmsr is taken or faults",
            msr as i64,
        )?;
    }
    say(b"readable MSRs: ");
    say_number(readable);
    say(b"\n");
    require(readable > 5, "some can be read", readable as i64)
}
