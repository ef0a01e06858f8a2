//! The small hypercalls of PV guests: trap table, callbacks, stack, FPU, debug registers, segment bases, assists, NMI.

use core::sync::atomic::Ordering;

use hypercall_abi::arch_x86::{FLAT_KERNEL_CS, TrapInfo};
use hypercall_abi::callback::{
    CALLBACKF_MASK_EVENTS, CallbackOp, CallbackRegister, CallbackType, CallbackUnregister,
};
use hypercall_abi::nmi::{NmiOp, XennmiCallback};
use hypercall_abi::xen::{VmAssistCmd, VmAssistType};
use hypercall_abi::{Errno, GuestHandle};

use crate::domain::Context;
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::preempt::Budget;
use crate::pv::trap::vector::NMI;
use crate::pv::{Callback, PvState, TrapGate, canonical, code_address_ok};

/// One `trap_info` as a gate. Selectors get RPL 3.
pub fn gate(info: &TrapInfo) -> TrapGate {
    TrapGate {
        rip: info.address,
        cs: info.cs | 3,
        dpl: info.flags & 3,
        mask_events: info.flags & 4 != 0,
    }
}

/// `HYPERVISOR_set_trap_table(table)`: entries up to one with a null address; a null table clears all.
pub fn do_set_trap_table(cx: &Context, args: Args) -> Return {
    let table = GuestHandle::<TrapInfo>::new(args.0[0]);
    if table.is_null() {
        cx.vcpu.pv().state().traps = [TrapGate::default(); 256];
        return Ok(0);
    }
    let budget = Budget::new();
    for index in 0.. {
        let info = guest::read(table, index)?;
        if info.address == 0 {
            break;
        }
        if !code_address_ok(info.address) {
            return Err(Errno::EINVAL.into());
        }
        cx.vcpu.pv().state().traps[info.vector as usize] = gate(&info);
        if budget.spend(4) {
            let next = table.offset(index + 1).ok_or(Errno::EFAULT)?;
            return Err(Fail::Continue(Args([next.addr(), 0, 0, 0, 0, 0])));
        }
    }
    Ok(0)
}

fn set_callback(
    state: &mut PvState,
    kind: CallbackType,
    address: u64,
    mask_events: bool,
) -> Result<(), Errno> {
    if address != 0 && !code_address_ok(address) {
        return Err(Errno::EINVAL);
    }
    let value = Callback {
        rip: address,
        mask_events,
    };
    match kind {
        CallbackType::EVENT => {
            state.event_callback = Callback {
                rip: address,
                mask_events: true,
            }
        }
        CallbackType::FAILSAFE => state.failsafe_callback = value,
        CallbackType::SYSCALL => state.syscall_callback = value,
        CallbackType::SYSCALL32 => state.syscall32_callback = value,
        CallbackType::SYSENTER => state.sysenter_callback = value,
        CallbackType::NMI => set_nmi_callback(state, address),
        CallbackType::SYSENTER_DEPRECATED => return Err(Errno::EINVAL),
        _ => return Err(Errno::ENOSYS),
    }
    Ok(())
}

/// The callback for NMIs is their entry in the trap table, which Linux fills for its other vCPUs by vcpu_op(initialise) only.
/// An address of 0 takes it away.
fn set_nmi_callback(state: &mut PvState, rip: u64) {
    state.traps[NMI as usize] = match rip {
        0 => TrapGate::default(),
        rip => TrapGate {
            rip,
            cs: FLAT_KERNEL_CS,
            dpl: 0,
            mask_events: true,
        },
    };
}

/// `HYPERVISOR_callback_op(cmd, arg)` (public callback.h).
pub fn do_callback_op(cx: &Context, args: Args) -> Return {
    let [cmd, arg, ..] = args.0;
    match CallbackOp(cmd as u32) {
        CallbackOp::REGISTER => {
            let reg: CallbackRegister = guest::read(GuestHandle::new(arg), 0)?;
            let mask = reg.flags & CALLBACKF_MASK_EVENTS != 0;
            set_callback(&mut cx.vcpu.pv().state(), reg.r#type, reg.address, mask)?;
            Ok(0)
        }
        CallbackOp::UNREGISTER => {
            let unreg: CallbackUnregister = guest::read(GuestHandle::new(arg), 0)?;
            match unreg.r#type {
                CallbackType::NMI => {
                    set_nmi_callback(&mut cx.vcpu.pv().state(), 0);
                    Ok(0)
                }
                CallbackType::EVENT
                | CallbackType::FAILSAFE
                | CallbackType::SYSCALL
                | CallbackType::SYSENTER_DEPRECATED
                | CallbackType::SYSENTER => Err(Errno::EINVAL.into()),
                _ => Err(Errno::ENOSYS.into()),
            }
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// `HYPERVISOR_set_callbacks(event, failsafe, syscall)`: the older form of callback_op.
pub fn do_set_callbacks(cx: &Context, args: Args) -> Return {
    let [event, failsafe, syscall, ..] = args.0;
    let mut state = cx.vcpu.pv().state();
    set_callback(&mut state, CallbackType::EVENT, event, true)?;
    set_callback(&mut state, CallbackType::FAILSAFE, failsafe, false)?;
    set_callback(&mut state, CallbackType::SYSCALL, syscall, false)?;
    Ok(0)
}

/// `HYPERVISOR_stack_switch(ss, esp)`: the guest kernel's stack for entries from its user mode.
pub fn do_stack_switch(cx: &Context, args: Args) -> Return {
    let [ss, sp, ..] = args.0;
    let mut state = cx.vcpu.pv().state();
    state.kernel_ss = (ss | 3) & 0xffff;
    state.kernel_sp = sp;
    Ok(0)
}

/// `HYPERVISOR_fpu_taskswitch(set)`: the guest's CR0.TS.
pub fn do_fpu_taskswitch(cx: &Context, args: Args) -> Return {
    let set = args.0[0] as u32 != 0;
    let mut state = cx.vcpu.pv().state();
    if state.task_switched != set {
        state.task_switched = set;
        arch::guest_cpu::set_task_switched(set);
    }
    Ok(0)
}

/// DR6 bits that exist.
const DR6_DEFINED: u64 = 0xe00f;
/// DR6 bits that read as one.
const DR6_ONES: u64 = 0xffff_0ff0;
/// DR7: local and global enables of breakpoints 0..=3.
const DR7_ENABLES: u64 = 0xff;
/// DR7 bit that reads as one.
const DR7_ONES: u64 = 1 << 10;
/// DR7: general detect.
const DR7_GD: u64 = 1 << 13;

/// Keeps the value of a virtual debug register of a vCPU. `EINVAL` for breakpoints in the hypervisor or reserved bits,
/// `EPERM` for general detection and I/O breakpoints without CR4.DE, `ENODEV` for registers that do not exist.
pub fn keep_debug(state: &mut PvState, register: u64, value: u64) -> Result<(), Errno> {
    match register {
        0..=3 => {
            if value != 0 && !(canonical(value) && code_address_ok(value)) {
                return Err(Errno::EINVAL);
            }
            state.debug[register as usize] = value;
        }
        4 | 6 if register == 6 || state.cr4 & 8 == 0 => {
            if value > u64::from(u32::MAX) {
                return Err(Errno::EINVAL);
            }
            state.debug[6] = value & DR6_DEFINED | DR6_ONES;
        }
        5 | 7 if register == 7 || state.cr4 & 8 == 0 => {
            if value > u64::from(u32::MAX) {
                return Err(Errno::EINVAL);
            }
            if value & DR7_GD != 0 {
                return Err(Errno::EPERM);
            }
            // I/O breakpoints (type 2) need CR4.DE, and lengths of 8 are fine in 64-bit mode.
            for n in 0..4 {
                let kind = value >> (16 + 4 * n) & 3;
                if value >> (2 * n) & 3 != 0 && kind == 2 && state.cr4 & 8 == 0 {
                    return Err(Errno::EPERM);
                }
            }
            state.debug[7] = value & 0xffff_03ff | DR7_ONES;
        }
        _ => return Err(Errno::ENODEV),
    }
    Ok(())
}

/// Sets a virtual debug register of the running vCPU. Errors as [`keep_debug`].
pub fn set_debug(state: &mut PvState, register: u64, value: u64) -> Result<(), Errno> {
    keep_debug(state, register, value)?;
    let enabled = state.debug[7] & DR7_ENABLES != 0;
    match register {
        0..=3 if enabled => {
            arch::guest_cpu::write_debug(register as usize, state.debug[register as usize]);
        }
        5 | 7 => {
            if enabled {
                for n in 0..4 {
                    arch::guest_cpu::write_debug(n, state.debug[n]);
                }
            }
            arch::guest_cpu::write_debug(7, if enabled { state.debug[7] } else { 0 });
        }
        _ => {}
    }
    Ok(())
}

/// Reads a virtual debug register.
pub fn get_debug(state: &PvState, register: u64) -> Result<u64, Errno> {
    match register {
        0..=3 => Ok(state.debug[register as usize]),
        6 => Ok(state.debug[6] | DR6_ONES),
        4 if state.cr4 & 8 == 0 => Ok(state.debug[6] | DR6_ONES),
        7 => Ok(state.debug[7] | DR7_ONES),
        5 if state.cr4 & 8 == 0 => Ok(state.debug[7] | DR7_ONES),
        _ => Err(Errno::ENODEV),
    }
}

/// `HYPERVISOR_set_debugreg(register, value)`.
pub fn do_set_debugreg(cx: &Context, args: Args) -> Return {
    let [register, value, ..] = args.0;
    set_debug(&mut cx.vcpu.pv().state(), register & 0xffff_ffff, value)?;
    Ok(0)
}

/// `HYPERVISOR_get_debugreg(register)`.
pub fn do_get_debugreg(cx: &Context, args: Args) -> Return {
    Ok(get_debug(&cx.vcpu.pv().state(), args.0[0] & 0xffff_ffff)?)
}

/// `HYPERVISOR_set_segment_base(which, base)` (public arch-x86/xen-x86_64.h `SEGBASE_*`).
pub fn do_set_segment_base(_cx: &Context, args: Args) -> Return {
    let [which, base, ..] = args.0;
    match which as u32 {
        0..=2 if !canonical(base) => return Err(Errno::EINVAL.into()),
        0 => arch::guest_cpu::set_fs_base(base),
        // Called from guest kernel mode, so the user base is the inactive one.
        1 => arch::guest_cpu::set_shadow_gs_base(base),
        2 => arch::guest_cpu::set_gs_base(base),
        3 => {
            if !arch::guest_cpu::load_gs_selector(
                base as u16 | (3 * u16::from(base & 0xfffc != 0)),
                true,
            ) {
                log::debug!("set_segment_base: GS selector {base:#x} could not be loaded");
            }
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// Assists that a 64-bit PV guest may switch.
fn assist_valid(kind: u64) -> bool {
    [
        VmAssistType::N4GB_SEGMENTS,
        VmAssistType::N4GB_SEGMENTS_NOTIFY,
        VmAssistType::WRITABLE_PAGETABLES,
        VmAssistType::PAE_EXTENDED_CR3,
        VmAssistType::ARCHITECTURAL_IOPL,
        VmAssistType::RUNSTATE_UPDATE_FLAG,
        VmAssistType::M2P_STRICT,
    ]
    .iter()
    .any(|t| u64::from(t.0) == kind)
}

/// Whether a word of assists, a bit each, has only such as a guest may switch.
pub fn assists_valid(word: u64) -> bool {
    (0..64).all(|kind| word >> kind & 1 == 0 || assist_valid(kind))
}

/// `HYPERVISOR_vm_assist(cmd, type)`.
pub fn do_vm_assist(cx: &Context, args: Args) -> Return {
    let [cmd, kind, ..] = args.0;
    let (cmd, kind) = (VmAssistCmd(cmd as u32), kind & 0xffff_ffff);
    if !assist_valid(kind) {
        return Err(Errno::EINVAL.into());
    }
    let assists = &cx.domain.pv().vm_assist;
    match cmd {
        VmAssistCmd::ENABLE => assists.fetch_or(1 << kind, Ordering::Relaxed),
        VmAssistCmd::DISABLE => assists.fetch_and(!(1 << kind), Ordering::Relaxed),
        _ => return Err(Errno::ENOSYS.into()),
    };
    Ok(0)
}

/// `HYPERVISOR_nmi_op(cmd, arg)`.
pub fn do_nmi_op(cx: &Context, args: Args) -> Return {
    let [cmd, arg, ..] = args.0;
    match NmiOp(cmd as u32) {
        NmiOp::REGISTER_CALLBACK => {
            let callback: XennmiCallback = guest::read(GuestHandle::new(arg), 0)?;
            if cx.vcpu.id != 0 || !code_address_ok(callback.handler_address) {
                return Err(Errno::EINVAL.into());
            }
            set_nmi_callback(&mut cx.vcpu.pv().state(), callback.handler_address);
            Ok(0)
        }
        NmiOp::UNREGISTER_CALLBACK => {
            if cx.vcpu.id != 0 {
                return Err(Errno::EINVAL.into());
            }
            set_nmi_callback(&mut cx.vcpu.pv().state(), 0);
            Ok(0)
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}
