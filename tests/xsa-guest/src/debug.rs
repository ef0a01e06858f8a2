//! Debug registers and debug exceptions.

use hypercall_abi::xen::Hypercall;
use pv_guest::{SS, SYSTEM_CALL, call, write};

use crate::guest::{FLAGS, Guest, Outcome, done, refused, registers, require, vector};

crate::tests!(
    xsa_260_breakpoint_in_the_shadow_of_a_stack_switch,
    xsa_265_debug_exceptions_without_a_cause,
    xsa_308_single_step_over_a_stack_switch,
    xsa_444_no_breakpoint_on_the_hypervisors_memory,
);

fn set(register: u64, value: u64) -> i64 {
    call(Hypercall::SET_DEBUGREG, [register, value, 0, 0, 0, 0])
}

fn xsa_260_breakpoint_in_the_shadow_of_a_stack_switch(guest: &mut Guest) -> Outcome {
    let selector = guest.page().at;
    write(selector, SS);
    done(set(0, selector), "an address to watch")?;
    // Local 0, on reads and writes of two bytes.
    done(set(7, 1 | 3 << 16 | 1 << 18), "watched")?;
    let ways: [(&[u8], u64); 5] = [
        (&[0x0f, 0x05], SYSTEM_CALL),
        (&[0xcc], vector::BREAKPOINT),
        (&[0xf1], vector::DEBUG),
        (&[0xcd, 0x80], vector::PROTECTION),
        (&[0x0f, 0x0b], vector::INVALID_OPCODE),
    ];
    for (way, expected) in ways {
        // mov ss, [rax], and at once what enters the hypervisor.
        let mut code = [0x90; 6];
        code[..2].copy_from_slice(&[0x8e, 0x10]);
        code[2..2 + way.len()].copy_from_slice(way);
        let trap = guest.user(&code, &registers(&[(0, selector)]), FLAGS);
        require(
            trap.vector == expected || trap.vector == vector::DEBUG,
            "the trap comes, or the breakpoint",
            trap.vector as i64,
        )?;
    }
    done(set(7, 0), "watched no more")?;
    done(set(0, 0), "no address")?;
    done(set(6, 0), "nothing seen")
}

fn xsa_265_debug_exceptions_without_a_cause(guest: &mut Guest) -> Outcome {
    done(set(6, 0), "nothing seen")?;
    // icebp
    for flags in [FLAGS, FLAGS | 1 << 8] {
        let trap = guest.user(&[0xf1], &registers(&[]), flags);
        require(
            trap.vector == vector::DEBUG && trap.rip == guest.code() + 1,
            "the kernel sees it",
            trap.vector as i64,
        )?;
    }
    // In kernel mode as well.
    let trap = guest.kernel(&[0xf1], &registers(&[]));
    require(
        trap.vector == vector::DEBUG,
        "the kernel sees it",
        trap.vector as i64,
    )?;
    // What was seen once stays until it is taken away, and harms nobody.
    done(set(6, 0xffff_4ff0 | 0xe00f), "rubbish in DR6")?;
    let trap = guest.user(&[0x90], &registers(&[]), FLAGS | 1 << 8);
    require(trap.vector == vector::DEBUG, "a step", trap.vector as i64)?;
    let seen = call(Hypercall::GET_DEBUGREG, [6, 0, 0, 0, 0, 0]);
    require(seen & 0x4000 != 0, "DR6 tells of the step", seen)?;
    done(set(6, 0), "nothing seen")
}

fn xsa_308_single_step_over_a_stack_switch(guest: &mut Guest) -> Outcome {
    let selector = guest.page().at;
    write(selector, SS);
    // mov ss, [rax]; nop: one step for both.
    let trap = guest.user(
        &[0x8e, 0x10, 0x90],
        &registers(&[(0, selector)]),
        FLAGS | 1 << 8,
    );
    require(
        trap.vector == vector::DEBUG && [2, 3].contains(&(trap.rip - guest.code())),
        "a step behind one of them",
        trap.vector as i64,
    )
}

fn xsa_444_no_breakpoint_on_the_hypervisors_memory(_: &mut Guest) -> Outcome {
    for register in 0..4 {
        for address in [
            0xffff_8000_0000_0000,
            0xffff_8200_0000_0000,
            0xffff_82d0_8000_0000,
            0xffff_8300_0000_0000,
            0xffff_87ff_ffff_fff8,
        ] {
            refused(set(register, address), "the hypervisor's memory")?;
        }
        done(set(register, 0x1000), "memory of the guest")?;
        done(set(register, 0), "nothing")?;
    }
    for register in [8, 9, 1 << 31, u64::MAX] {
        refused(set(register, 0), "there is no such register")?;
        let got = call(Hypercall::GET_DEBUGREG, [register, 0, 0, 0, 0, 0]);
        refused(got, "there is no such register")?;
    }
    done(set(7, 0), "DR7")
}
