//! What a PV guest's exceptions become.

use arch::addr::GuestVa;
use arch::entry::{TrapFrame, selector};

use crate::domain::Context;
use crate::pv::bounce::{Bounce, bounce, flags};
use crate::pv::{Callback, PvState, emulate};

/// Exception vectors.
#[allow(missing_docs)]
pub mod vector {
    pub const DEBUG: u32 = 1;
    pub const NMI: u32 = 2;
    pub const INVALID_OPCODE: u32 = 6;
    pub const DEVICE_NOT_AVAILABLE: u32 = 7;
    pub const DOUBLE_FAULT: u32 = 8;
    pub const INVALID_TSS: u32 = 10;
    pub const SEGMENT_NOT_PRESENT: u32 = 11;
    pub const STACK_FAULT: u32 = 12;
    pub const GENERAL_PROTECTION: u32 = 13;
    pub const PAGE_FAULT: u32 = 14;
    pub const ALIGNMENT_CHECK: u32 = 17;
    pub const MACHINE_CHECK: u32 = 18;
}

/// Page-fault error code bits.
pub mod pf {
    /// The page was present.
    pub const PRESENT: u32 = 1 << 0;
    /// A write.
    pub const WRITE: u32 = 1 << 1;
    /// From user mode.
    pub const USER: u32 = 1 << 2;
    /// A reserved bit was set in an entry.
    pub const RESERVED: u32 = 1 << 3;
    /// An instruction fetch.
    pub const FETCH: u32 = 1 << 4;
}

/// Offset of `arch.cr2` in `vcpu_info` (public arch-x86/xen-x86_64.h).
const VCPU_INFO_CR2: usize = 16;

/// Whether an exception pushes an error code.
const fn has_error_code(vector: u32) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

/// Makes the guest handle an exception. `Err` says why the domain must be crashed.
pub fn inject(
    cx: &Context,
    frame: &mut TrapFrame,
    vector: u32,
    error_code: u32,
) -> Result<(), &'static str> {
    inject_into(cx, &mut cx.vcpu.pv().state(), frame, vector, error_code)
}

#[inline]
fn inject_into(
    cx: &Context,
    state: &mut PvState,
    frame: &mut TrapFrame,
    vector: u32,
    error_code: u32,
) -> Result<(), &'static str> {
    let gate = state.traps[(vector & 0xff) as usize];
    if gate.rip == 0 {
        return Err("exception without a registered handler");
    }
    let to = Bounce {
        rip: gate.rip,
        error_code: has_error_code(vector).then_some(error_code),
        mask_events: gate.mask_events,
    };
    bounce(cx, state, frame, to)
}

/// Makes the guest handle a page fault at `address`.
pub fn inject_page_fault(
    cx: &Context,
    frame: &mut TrapFrame,
    address: u64,
    error_code: u32,
) -> Result<(), &'static str> {
    page_fault_into(cx, &mut cx.vcpu.pv().state(), frame, address, error_code)
}

#[inline]
fn page_fault_into(
    cx: &Context,
    state: &mut PvState,
    frame: &mut TrapFrame,
    address: u64,
    error_code: u32,
) -> Result<(), &'static str> {
    if let Some(slot) = cx.vcpu.info.get() {
        slot.frame.write_u64(slot.offset + VCPU_INFO_CR2, address);
    }
    // All of the guest runs in ring 3; it wants to know which of its halves this was.
    let mode = if state.kernel_mode { 0 } else { pf::USER };
    let code = (error_code & !pf::USER) | mode;
    inject_into(cx, state, frame, vector::PAGE_FAULT, code)
}

/// Handles an exception that a guest raised. `Err` says why the domain must be crashed.
pub fn exception(cx: &Context, frame: &mut TrapFrame) -> Result<(), &'static str> {
    match frame.vector {
        vector::PAGE_FAULT => page_fault(cx, frame),
        vector::GENERAL_PROTECTION => general_protection(cx, frame),
        vector::INVALID_OPCODE => {
            if emulate::forced_cpuid(cx, frame) {
                return Ok(());
            }
            inject(cx, frame, vector::INVALID_OPCODE, 0)
        }
        vector::DEVICE_NOT_AVAILABLE => {
            // Raised by CR0.TS, which the guest set by fpu_taskswitch; it is cleared for the handler.
            cx.vcpu.pv().state().task_switched = false;
            arch::guest_cpu::set_task_switched(false);
            inject(cx, frame, vector::DEVICE_NOT_AVAILABLE, 0)
        }
        vector::DEBUG => {
            let status = arch::guest_cpu::read_debug(6);
            // B0..B3, BD, BS, BT are sticky for the guest to see and clear (XSA-265).
            cx.vcpu.pv().state().debug[6] |= status & 0xe00f;
            arch::guest_cpu::write_debug(6, 0xffff_0ff0);
            inject(cx, frame, vector::DEBUG, 0)
        }
        other => inject(cx, frame, other, frame.error_code),
    }
}

fn page_fault(cx: &Context, frame: &mut TrapFrame) -> Result<(), &'static str> {
    let address = arch::guest_cpu::read_cr2();
    if frame.error_code & pf::RESERVED != 0 {
        log::warn!(
            "d{}v{}: reserved bit in a page table at {address:#x}",
            cx.domain.id.0,
            cx.vcpu.id
        );
    }
    if (arch::guest::HYPERVISOR_START..arch::guest::HYPERVISOR_END).contains(&address) {
        if crate::pv::descriptor::ldt_fault(cx, address)? {
            return Ok(());
        }
        return inject_page_fault(cx, frame, address, frame.error_code);
    }
    let mut state = cx.vcpu.pv().state();
    let write_to_present = frame.error_code & (pf::PRESENT | pf::WRITE | pf::RESERVED | pf::FETCH)
        == pf::PRESENT | pf::WRITE;
    if write_to_present && state.kernel_mode {
        drop(state);
        if emulate::page_table_write(cx, frame, GuestVa::new(address)) {
            return Ok(());
        }
        state = cx.vcpu.pv().state();
    }
    page_fault_into(cx, &mut state, frame, address, frame.error_code)
}

fn general_protection(cx: &Context, frame: &mut TrapFrame) -> Result<(), &'static str> {
    // INT n through a ring-0 gate: the error code names the IDT entry (bit 1), no external event (bit 0).
    if frame.error_code & 7 == 2 {
        return software_interrupt(cx, frame, (frame.error_code >> 3 & 0xff) as u8, 2);
    }
    if emulate::privileged(cx, frame)? {
        return Ok(());
    }
    inject(cx, frame, vector::GENERAL_PROTECTION, frame.error_code)
}

/// INT n of `length` bytes: runs the guest's gate if its DPL allows, else #GP.
fn software_interrupt(
    cx: &Context,
    frame: &mut TrapFrame,
    vector: u8,
    length: u64,
) -> Result<(), &'static str> {
    let (gate, kernel) = {
        let state = cx.vcpu.pv().state();
        (state.traps[vector as usize], state.kernel_mode)
    };
    let ring = if kernel { 1 } else { 3 };
    if gate.rip == 0 || gate.dpl < ring {
        return inject(cx, frame, vector::GENERAL_PROTECTION, frame.error_code);
    }
    frame.rip = frame.rip.wrapping_add(length);
    let mut state = cx.vcpu.pv().state();
    bounce(
        cx,
        &mut state,
        frame,
        Bounce {
            rip: gate.rip,
            error_code: None,
            mask_events: gate.mask_events,
        },
    )
}

/// INT 0x80, which has a ring-3 gate: the CPU already stepped over it.
pub fn int80(cx: &Context, frame: &mut TrapFrame) -> Result<(), &'static str> {
    let gate = cx.vcpu.pv().state().traps[0x80];
    if gate.rip == 0 {
        // As if the gate were absent: the fault points at the instruction.
        frame.rip = frame.rip.wrapping_sub(2);
        return inject(cx, frame, vector::GENERAL_PROTECTION, 0x80 << 3 | 2);
    }
    software_interrupt(cx, frame, 0x80, 0)
}

/// SYSCALL from guest user mode, or from compatibility mode, which has a callback of its own.
#[inline]
pub fn user_syscall(
    cx: &Context,
    state: &mut PvState,
    frame: &mut TrapFrame,
) -> Result<(), &'static str> {
    let callback = if frame.cs == selector::GUEST_CS32 {
        Callback {
            rip: state.syscall32_callback.rip,
            // One flag (VGCF_syscall_disables_events) serves both.
            mask_events: state.syscall_callback.mask_events,
        }
    } else {
        state.syscall_callback
    };
    if callback.rip == 0 {
        frame.rip = frame.rip.wrapping_sub(2);
        return inject_into(cx, state, frame, vector::INVALID_OPCODE, 0);
    }
    let to = Bounce {
        rip: callback.rip,
        error_code: None,
        mask_events: callback.mask_events,
    };
    bounce(cx, state, frame, to)?;
    // The ABI's fixed SYSCALL mask: DF, and nothing else, is clear in the handler.
    frame.rflags &= !flags::DF;
    Ok(())
}

/// SYSENTER. The frame has no RIP and no RSP, which the instruction does not save; NT and TF are as they were (XSA-44, -339).
/// Without a callback it is #GP, also with nothing to return to, as in Xen.
pub fn sysenter(cx: &Context, frame: &mut TrapFrame) -> Result<(), &'static str> {
    let mut state = cx.vcpu.pv().state();
    let callback = state.sysenter_callback;
    if callback.rip == 0 {
        return inject_into(cx, &mut state, frame, vector::GENERAL_PROTECTION, 0);
    }
    let to = Bounce {
        rip: callback.rip,
        error_code: None,
        mask_events: callback.mask_events,
    };
    bounce(cx, &mut state, frame, to)
}

/// The event upcall.
pub fn upcall(cx: &Context, frame: &mut TrapFrame) -> Result<(), &'static str> {
    let mut state = cx.vcpu.pv().state();
    let to = Bounce {
        rip: state.event_callback.rip,
        error_code: None,
        mask_events: true,
    };
    bounce(cx, &mut state, frame, to)
}

/// The failsafe callback: the frame could not be returned to because of its selectors. The data selectors go onto
/// the guest's stack for it to inspect (public arch-x86/xen.h, failsafe callback).
pub fn failsafe(cx: &Context, frame: &mut TrapFrame) -> Result<(), &'static str> {
    let mut state = cx.vcpu.pv().state();
    state.failsafe_count = state.failsafe_count.saturating_add(1);
    let kernel_mode = state.kernel_mode;
    let mut segments = arch::guest_cpu::Segments::default();
    arch::guest_cpu::save_segments(&mut segments, kernel_mode);
    let selectors = [
        segments.ds.into(),
        segments.es.into(),
        segments.fs.into(),
        segments.gs.into(),
    ];
    let callback = state.failsafe_callback;
    let to = Bounce {
        rip: callback.rip,
        error_code: None,
        mask_events: callback.mask_events,
    };
    crate::pv::bounce::bounce_with_selectors(cx, &mut state, frame, to, selectors)
}

/// Delivers a virtual NMI that is pending ([`crate::pv::PvVcpu::raise_nmi`]), if a handler is registered.
pub fn nmi(cx: &Context, frame: &mut TrapFrame) -> Result<(), &'static str> {
    let mut state = cx.vcpu.pv().state();
    let gate = state.traps[vector::NMI as usize];
    let to = Bounce {
        rip: gate.rip,
        error_code: None,
        mask_events: gate.mask_events,
    };
    cx.vcpu.pv().nmi_taken(to.rip != 0);
    if to.rip == 0 {
        // Nobody wants it. An event that came with it must not wait for the next exit.
        drop(state);
        return if cx.vcpu.upcall_deliverable() {
            upcall(cx, frame)
        } else {
            Ok(())
        };
    }
    bounce(cx, &mut state, frame, to)
}
