//! Ways into the hypervisor and back.

use hypercall_abi::xen::{Hypercall, MulticallEntry};
use pv_guest::{CS, FAILSAFE, PAGE, SYSTEM_CALL, read, run_kernel, traps, write_bytes};

use crate::guest::{
    FLAGS, Guest, Miss, Outcome, USER_CODE, WRITE, put, registers, require, vector,
};

crate::tests!(
    xsa_007_no_return_to_a_non_canonical_address,
    xsa_183_frames_while_user_mode_has_ac_set,
    xsa_202_interrupts_stay_on,
    xsa_204_single_step_over_a_system_call,
    xsa_213_nothing_of_a_multicall_after_iret,
    xsa_259_software_interrupt_without_a_handler,
    xsa_339_sysenter_with_nested_task_flag,
    xsa_454_compatibility_mode_has_no_hypercalls,
);

fn xsa_007_no_return_to_a_non_canonical_address(guest: &mut Guest) -> Outcome {
    let neither = |vector: u64| ![vector::PROTECTION, FAILSAFE].contains(&vector);
    // Asked for, as return from a system call (VGCF_in_syscall) and from an interrupt.
    for how in [1 << 8, 0] {
        for rip in [0x8000_0000_0000, 0xffff_7fff_ffff_ffff, 1 << 63] {
            let trap = guest.iret(rip, &registers(&[]), FLAGS, CS, how);
            if neither(trap.vector) {
                return Err(Miss::Fail("a fault or a failed return", trap.vector as i64));
            }
        }
    }
    // Come from: a hypercall is the last instruction of the lower half.
    const TOP: u64 = 0x7fff_ffff_f000;
    guest.map_far(TOP, (guest.code_frame() * PAGE) | WRITE)?;
    write_bytes(guest.code() + PAGE - 2, &[0x0f, 0x05]);
    let version = u64::from(Hypercall::XEN_VERSION.0);
    run_kernel(
        TOP + PAGE - 2,
        &registers(&[(0, version), (4, guest.stack())]),
    );
    let trap = pv_guest::last_trap();
    if neither(trap.vector) {
        return Err(Miss::Fail("a fault or a failed return", trap.vector as i64));
    }
    Ok(())
}

fn xsa_183_frames_while_user_mode_has_ac_set(guest: &mut Guest) -> Outcome {
    const AC: u64 = 1 << 18;
    // Every way to the kernel: the frame goes to a page that user mode may access.
    let ways: [(&[u8], u64); 4] = [
        (&[], SYSTEM_CALL),
        (&[0xcc], vector::BREAKPOINT),
        (&[0x0f, 0x0b], vector::INVALID_OPCODE),
        (&[0xcd, 0x80], vector::PROTECTION),
    ];
    for (code, expected) in ways {
        let trap = guest.user(code, &registers(&[]), FLAGS | AC);
        require(trap.vector == expected, "it comes", trap.vector as i64)?;
        require(
            trap.flags & AC != 0,
            "the frame has its flags",
            trap.flags as i64,
        )?;
    }
    Ok(())
}

fn xsa_202_interrupts_stay_on(guest: &mut Guest) -> Outcome {
    // pushfq; pop rax
    let read = [0x9c, 0x58];
    for flags in [2, 0x3002, 0xb002] {
        let trap = guest.user(&read, &registers(&[]), flags);
        let seen = trap.registers[0];
        require(
            seen & 0x3200 == 0x200,
            "interrupts on, no I/O privilege",
            seen as i64,
        )?;
    }
    // push 2; popfq; pushfq; pop rax
    let trap = guest.kernel(&[0x6a, 2, 0x9d, 0x9c, 0x58], &registers(&[]));
    let seen = trap.registers[0];
    require(
        seen & 0x3200 == 0x200,
        "interrupts on, no I/O privilege",
        seen as i64,
    )
}

fn xsa_204_single_step_over_a_system_call(guest: &mut Guest) -> Outcome {
    const TF: u64 = 1 << 8;
    let trap = guest.user(&[], &registers(&[]), FLAGS | TF);
    // The kernel's handler runs without the flag, or it would have been stepped.
    require(
        trap.vector == SYSTEM_CALL,
        "the system call comes",
        trap.vector as i64,
    )?;
    require(
        trap.flags & TF != 0,
        "it tells user mode's flags",
        trap.flags as i64,
    )?;
    // nop: the step itself.
    let trap = guest.user(&[0x90], &registers(&[]), FLAGS | TF);
    require(
        trap.vector == vector::DEBUG && trap.rip == guest.code() + 1,
        "a step after the instruction",
        trap.vector as i64,
    )
}

fn xsa_213_nothing_of_a_multicall_after_iret(guest: &mut Guest) -> Outcome {
    const UNTOUCHED: u64 = 0x5555_5555;
    let entry = |op: Hypercall| MulticallEntry {
        op: u64::from(op.0),
        result: UNTOUCHED,
        args: [0; 6],
    };
    let calls = put(0, &[entry(Hypercall::IRET), entry(Hypercall::XEN_VERSION)]);
    // User mode: syscall. Kernel mode: the multicall, on a stack that holds iret's frame.
    let user = guest.code() + USER_CODE;
    write_bytes(user, &[0x0f, 0x05, 0xcc]);
    let frame = guest.frame(user, &registers(&[]), FLAGS, CS, 0);
    for (at, word) in (guest.stack()..).step_by(8).zip(frame) {
        pv_guest::write(at, word);
    }
    let multicall = u64::from(Hypercall::MULTICALL.0);
    let values = registers(&[(0, multicall), (7, calls), (6, 2), (4, guest.stack())]);
    let trap = guest.kernel(&[0x0f, 0x05], &values);
    require(
        trap.vector == SYSTEM_CALL,
        "user mode is reached",
        trap.vector as i64,
    )?;
    let second = read(calls + 64 + 8);
    require(
        second == UNTOUCHED,
        "the next entry is not run",
        second as i64,
    )
}

fn xsa_259_software_interrupt_without_a_handler(guest: &mut Guest) -> Outcome {
    for number in [0x80u8, 0x82, 0x40, 0xff] {
        let trap = guest.user(&[0xcd, number], &registers(&[]), FLAGS);
        require(
            trap.vector == vector::PROTECTION,
            "a general protection fault",
            trap.vector as i64,
        )?;
        // Index of the gate, and that it is one of the IDT.
        require(
            trap.error == u64::from(number) * 8 + 2,
            "it names the gate",
            trap.error as i64,
        )?;
        require(
            trap.rip == guest.code(),
            "it is at the instruction",
            trap.rip as i64,
        )?;
    }
    Ok(())
}

fn xsa_339_sysenter_with_nested_task_flag(guest: &mut Guest) -> Outcome {
    const NT: u64 = 1 << 14;
    let before = traps();
    let trap = guest.user(&[0x0f, 0x34], &registers(&[]), FLAGS | NT);
    // AMD's processors have no SYSENTER in long mode; on others the guest has named no entry for it.
    require(
        [vector::INVALID_OPCODE, vector::PROTECTION].contains(&trap.vector),
        "a fault",
        trap.vector as i64,
    )?;
    let came = (traps() - before) as i64;
    require(came == 1, "only one", came)?;
    // And with the flag in a plain system call.
    let trap = guest.user(&[], &registers(&[]), FLAGS | NT);
    require(
        trap.vector == SYSTEM_CALL,
        "the system call comes",
        trap.vector as i64,
    )
}

fn xsa_454_compatibility_mode_has_no_hypercalls(guest: &mut Guest) -> Outcome {
    const LOW: u64 = 0x40_0000 + PAGE;
    const CS32: u64 = 0xe023;
    let l3 = read(guest.l4.at) & 0x000f_ffff_ffff_f000;
    if l3 == 0 {
        return Err(Miss::Skip("the lower half has no tables"));
    }
    // The tables of xsa_298: its page is the code page as well.
    let low = LOW - PAGE;
    for number in [0x80u8, 0x82] {
        write_bytes(guest.code(), &[0xcd, number, 0xcc]);
        // Hypercall xen_version, as 32-bit guests make it, with rubbish in the upper halves.
        let rubbish = 0xdead_beef_0000_0000;
        let values = registers(&[(0, rubbish | 17), (3, rubbish), (1, rubbish)]);
        let trap = guest.iret(low, &values, FLAGS, CS32, 0);
        require(
            trap.vector == vector::PROTECTION && trap.rip == low,
            "a fault at the instruction",
            trap.vector as i64,
        )?;
    }
    Ok(())
}
