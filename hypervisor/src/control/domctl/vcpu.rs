//! vCPUs: where and how they run, and their registers.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use arch::guest_cpu::{BadImage, ExtendedState};
use hypercall_abi::Errno;
use hypercall_abi::arch_x86::*;
use hypercall_abi::domctl::*;
use hypercall_abi::vcpu::Runstate;
use zerocopy::{FromZeros, IntoBytes};

use super::find;
use crate::control::{bitmap, cpus};
use crate::domain::{Context, Domain};
use crate::fail::Fail;
use crate::pv::emulate::msr;
use crate::pv::{Callback, PvState};
use crate::sched;
use crate::time::now;
use crate::{guest, pv};

/// MSRs that a vCPU may carry: what a buffer for all of them must hold.
const MSR_COUNT: u32 = 7;

/// `XEN_DOMCTL_getvcpuinfo`. `EINVAL` for a vCPU that is not there.
pub(super) fn info(domain: &Domain, id: u32) -> Result<DomctlGetvcpuinfo, Errno> {
    let vcpu = find(domain, id, Errno::EINVAL)?;
    let info = vcpu.sched.info(now());
    Ok(DomctlGetvcpuinfo {
        vcpu: id,
        online: u8::from(!vcpu.down.load(Ordering::Acquire)),
        blocked: vcpu.sched.is_blocked().into(),
        running: (info.state == Runstate::RUNNING).into(),
        cpu_time: info.cpu_time,
        cpu: info.cpu as u32,
        ..DomctlGetvcpuinfo::default()
    })
}

fn affinity_request(op: &DomctlVcpuaffinity) -> Result<(bool, bool), Errno> {
    let hard = op.flags & XEN_VCPUAFFINITY_HARD != 0;
    let soft = op.flags & XEN_VCPUAFFINITY_SOFT != 0;
    if op.flags == 0
        || hard && op.cpumap_hard.bitmap.is_null()
        || soft && op.cpumap_soft.bitmap.is_null()
    {
        return Err(Errno::EINVAL);
    }
    Ok((hard, soft))
}

/// `XEN_DOMCTL_getvcpuaffinity`. `EINVAL` for a vCPU that is not there or without a place for the answer.
pub(super) fn affinity(domain: &Domain, op: &DomctlVcpuaffinity) -> Result<(), Errno> {
    let vcpu = find(domain, op.vcpu, Errno::EINVAL)?;
    let (hard, soft) = affinity_request(op)?;
    let info = vcpu.sched.info(now());
    let bits = cpus::present().len();
    if hard {
        bitmap::write(&op.cpumap_hard, info.hard, bits)?;
    }
    if soft {
        bitmap::write(&op.cpumap_soft, info.soft, bits)?;
    }
    Ok(())
}

/// `XEN_DOMCTL_setvcpuaffinity`: both or nothing; what comes into force is written back. `EINVAL` if no CPU in service is
/// left, else as [`affinity`].
pub(super) fn set_affinity(domain: &Domain, op: &DomctlVcpuaffinity) -> Result<(), Errno> {
    let vcpu = find(domain, op.vcpu, Errno::EINVAL)?;
    let (hard, soft) = affinity_request(op)?;
    let read = |wanted: bool, map| wanted.then(|| bitmap::read(map)).transpose();
    let (new_hard, new_soft) = (read(hard, &op.cpumap_hard)?, read(soft, &op.cpumap_soft)?);
    if op.flags & XEN_VCPUAFFINITY_FORCE != 0 {
        sched::end_pin_override(vcpu);
    }
    sched::set_affinity(vcpu, new_hard, new_soft)?;
    let bits = cpus::present().len();
    let usable = sched::pool::of(domain)?.cpus;
    let in_force = vcpu.sched.info(now()).hard.and(&usable);
    if hard {
        bitmap::write(&op.cpumap_hard, in_force, bits)?;
    }
    if let Some(new_soft) = new_soft {
        bitmap::write(&op.cpumap_soft, new_soft.and(&in_force), bits)?;
    }
    Ok(())
}

/// `XEN_DOMCTL_get_vcpu_msrs`: those that are not zero, which only TSC_AUX can be; without an array, how many there may be.
/// `ESRCH` for a vCPU that is not there, `EINVAL` for the caller, `ENOBUFS` (and how many there are) for too little room,
/// `EFAULT`, `EBUSY` if it could not be stopped yet.
pub(super) fn msrs(cx: &Context, domain: &Domain, op: &mut DomctlVcpuMsrs) -> Result<(), Errno> {
    let vcpu = find(domain, op.vcpu, Errno::ESRCH)?;
    if Arc::ptr_eq(vcpu, &cx.vcpu) {
        return Err(Errno::EINVAL);
    }
    if op.msrs.is_null() {
        op.msr_count = MSR_COUNT;
        return Ok(());
    }
    sched::pause(vcpu)?;
    let tsc_aux = vcpu.pv().state().tsc_aux;
    sched::unpause(vcpu);
    let room = op.msr_count;
    op.msr_count = 0;
    if tsc_aux == 0 || !msr::has_tsc_aux(domain, vcpu.id) {
        return Ok(());
    }
    op.msr_count = 1;
    if room == 0 {
        return Err(Errno::ENOBUFS);
    }
    let value = DomctlVcpuMsr {
        index: msr::TSC_AUX,
        value: tsc_aux.into(),
        ..DomctlVcpuMsr::default()
    };
    guest::write(op.msrs, 0, &value)
}

/// `XEN_DOMCTL_getvcpucontext`. `EINVAL` for the caller or a vCPU that is not there, `ENODATA` for one never initialised,
/// `EBUSY` if it could not be stopped yet.
pub(super) fn context(cx: &Context, domain: &Domain, op: &DomctlVcpucontext) -> Result<(), Errno> {
    let vcpu = find(domain, op.vcpu, Errno::EINVAL)?;
    if Arc::ptr_eq(vcpu, &cx.vcpu) {
        return Err(Errno::EINVAL);
    }
    if !vcpu.initialised.load(Ordering::Acquire) {
        return Err(Errno::ENODATA);
    }
    let mut image = Box::<VcpuGuestContext>::default();
    sched::pause(vcpu)?;
    if !vcpu.down.load(Ordering::Acquire) {
        image.flags |= u64::from(VGCF_ONLINE);
    }
    image.vm_assist = domain.pv().vm_assist.load(Ordering::Relaxed);
    image.user_regs.saved_upcall_mask = vcpu.upcall_masked().into();
    fill(&mut image, &mut vcpu.pv().state());
    sched::unpause(vcpu);
    guest::write(op.ctxt, 0, &*image)
}

/// `XEN_DOMCTL_setvcpucontext`: a vCPU's whole state. `EINVAL` for a vCPU that is not there, `EFAULT`, `ENOMEM`, else as
/// [`pv::initialise_vcpu`] says; `EBUSY` if the domain could not be stopped yet.
pub(super) fn set_context(domain: &Arc<Domain>, op: &DomctlVcpucontext) -> Result<(), Fail> {
    let vcpu = find(domain, op.vcpu, Errno::EINVAL)?;
    if op.ctxt.is_null() {
        // A reset for HVM guests; a PV vCPU has nothing to go back to.
        return Err(Errno::EOPNOTSUPP.into());
    }
    let mut image: Box<VcpuGuestContext> =
        VcpuGuestContext::new_box_zeroed().map_err(|_| Errno::ENOMEM)?;
    guest::read_bytes(op.ctxt.cast(), image.as_mut_bytes())?;
    sched::domain_pause(domain)?;
    let result = {
        let _control = domain.control.lock();
        pv::initialise_vcpu(domain, vcpu, &image).map(|()| {
            vcpu.initialised.store(true, Ordering::Release);
            let online = image.flags & u64::from(VGCF_ONLINE) != 0;
            vcpu.down.store(!online, Ordering::SeqCst);
        })
    };
    if result.is_ok() && vcpu.id == 0 {
        crate::time::update_domain_wallclock(domain);
    }
    // Also lets it run if it may now.
    sched::domain_unpause(domain);
    result
}

/// `XEN_DOMCTL_get_ext_vcpucontext`. `ESRCH` for a vCPU that is not there or the caller.
pub(super) fn extended_context(
    cx: &Context,
    domain: &Domain,
    mut op: DomctlExtVcpucontext,
) -> Result<DomctlExtVcpucontext, Errno> {
    let vcpu = find(domain, op.vcpu, Errno::ESRCH)?;
    if Arc::ptr_eq(vcpu, &cx.vcpu) {
        return Err(Errno::ESRCH);
    }
    op.size = size_of::<DomctlExtVcpucontext>() as u32;
    sched::pause(vcpu)?;
    {
        let state = vcpu.pv().state();
        op.sysenter_callback_cs = FLAT_KERNEL_CS;
        op.sysenter_callback_eip = state.sysenter_callback.rip;
        op.sysenter_disables_events = state.sysenter_callback.mask_events.into();
        op.syscall32_callback_cs = FLAT_KERNEL_CS;
        op.syscall32_callback_eip = state.syscall32_callback.rip;
        op.syscall32_disables_events = state.syscall32_callback.mask_events.into();
    }
    sched::unpause(vcpu);
    // Guests have no machine-check banks.
    op.u = DomctlExtVcpucontextU::default();
    Ok(op)
}

/// `XEN_DOMCTL_set_ext_vcpucontext`. `ESRCH` for a vCPU that is not there or of the caller's own domain, `EINVAL` for a
/// structure that is too short or addresses that a guest may not have.
pub(super) fn set_extended_context(
    cx: &Context,
    domain: &Domain,
    op: &DomctlExtVcpucontext,
) -> Result<(), Errno> {
    const LEAST: usize = core::mem::offset_of!(DomctlExtVcpucontext, u);
    let vcpu = find(domain, op.vcpu, Errno::ESRCH)?;
    if core::ptr::eq(domain, &*cx.domain) {
        return Err(Errno::ESRCH);
    }
    let addresses = [op.sysenter_callback_eip, op.syscall32_callback_eip];
    if (op.size as usize) < LEAST || !addresses.into_iter().all(pv::code_address_ok) {
        return Err(Errno::EINVAL);
    }
    sched::pause(vcpu)?;
    {
        let mut state = vcpu.pv().state();
        state.sysenter_callback = Callback {
            rip: op.sysenter_callback_eip,
            mask_events: op.sysenter_disables_events != 0,
        };
        state.syscall32_callback = Callback {
            rip: op.syscall32_callback_eip,
            mask_events: op.syscall32_disables_events != 0,
        };
    }
    sched::unpause(vcpu);
    Ok(())
}

/// XCR0 and what was ever in it, before the XSAVE image.
const EXTENDED_HEADER: u64 = 16;

/// `XEN_DOMCTL_getvcpuextstate`: the size to expect, or the state: XCR0, the mask of components, the XSAVE image in its
/// standard form. `ESRCH` for a vCPU that is not there, `EINVAL` for the caller, another mask or too little room.
pub(super) fn extended_state(
    cx: &Context,
    domain: &Domain,
    mut op: DomctlVcpuextstate,
) -> Result<DomctlVcpuextstate, Errno> {
    let vcpu = find(domain, op.vcpu, Errno::ESRCH)?;
    if Arc::ptr_eq(vcpu, &cx.vcpu) {
        return Err(Errno::EINVAL);
    }
    let mask = arch::guest_cpu::xcr0_supported();
    let image = ExtendedState::image_size() as u64;
    let size = EXTENDED_HEADER + if mask == 0 { 0 } else { image };
    if op.size == 0 && op.xfeature_mask == 0 || op.buffer.is_null() {
        op.xfeature_mask = mask;
        op.size = size;
        return Ok(op);
    }
    if op.size < size || op.xfeature_mask != mask {
        return Err(Errno::EINVAL);
    }
    sched::pause(vcpu)?;
    let written = {
        let mut state = vcpu.pv().state();
        let xcr0 = if mask == 0 {
            0
        } else {
            state.xstate.xcr0.max(1)
        };
        guest::write(op.buffer, 0, &xcr0)
            .and_then(|()| guest::write(op.buffer, 1, &mask))
            .and_then(|()| {
                let to = op.buffer.offset(2).ok_or(Errno::EFAULT)?;
                if mask == 0 {
                    return Ok(());
                }
                guest::write_bytes(to.cast(), state.xstate.image())
            })
    };
    sched::unpause(vcpu);
    written?;
    op.size = size;
    Ok(op)
}

/// `XEN_DOMCTL_setvcpuextstate`. `ESRCH` for a vCPU that is not there, `EINVAL` for the caller or what no XSAVE could have
/// written here, `EOPNOTSUPP` for the compacted form, `ENOMEM`, `EFAULT`.
pub(super) fn set_extended_state(
    cx: &Context,
    domain: &Domain,
    op: &DomctlVcpuextstate,
) -> Result<(), Errno> {
    let vcpu = find(domain, op.vcpu, Errno::ESRCH)?;
    let most = EXTENDED_HEADER + ExtendedState::image_size() as u64;
    if Arc::ptr_eq(vcpu, &cx.vcpu) || op.size < EXTENDED_HEADER || op.size > most {
        return Err(Errno::EINVAL);
    }
    let (xcr0, ever): (u64, u64) = (guest::read(op.buffer, 0)?, guest::read(op.buffer, 1)?);
    let mask = arch::guest_cpu::xcr0_supported();
    let acceptable = if ever == 0 {
        xcr0 == 0
    } else {
        xcr0 & !ever == 0 && ever & !mask == 0 && pv::emulate::xcr0_valid(xcr0)
    };
    if !acceptable {
        return Err(Errno::EINVAL);
    }
    let len = (op.size - EXTENDED_HEADER) as usize;
    let mut image = Vec::new();
    image.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    image.resize(len, 0);
    let from = op.buffer.offset(2).ok_or(Errno::EFAULT)?;
    guest::read_bytes(from.cast(), &mut image)?;
    sched::pause(vcpu)?;
    let result = {
        let mut state = vcpu.pv().state();
        if len == 0 {
            Ok(())
        } else {
            state.xstate.set_image(&image, ever).map_err(|e| match e {
                BadImage::Compacted => Errno::EOPNOTSUPP,
                BadImage::Invalid => Errno::EINVAL,
            })
        }
        .map(|()| state.xstate.xcr0 = xcr0)
    };
    sched::unpause(vcpu);
    result
}

/// `XEN_DOMCTL_set_vcpu_msrs`. `ESRCH` for a vCPU that is not there, `EINVAL` for the caller, too many of them, and those
/// that the vCPU has not or that cannot have the value; `EFAULT`, `EBUSY` if it could not be stopped yet. After an error in
/// the list its index comes back.
pub(super) fn set_msrs(
    cx: &Context,
    domain: &Domain,
    op: &mut DomctlVcpuMsrs,
) -> Result<(), Errno> {
    let vcpu = find(domain, op.vcpu, Errno::ESRCH)?;
    if Arc::ptr_eq(vcpu, &cx.vcpu) || op.msr_count > MSR_COUNT {
        return Err(Errno::EINVAL);
    }
    let set = |index| {
        let entry: DomctlVcpuMsr = guest::read(op.msrs, index)?;
        let ours = entry.index == msr::TSC_AUX && msr::has_tsc_aux(domain, vcpu.id);
        if !ours || entry.reserved != 0 {
            return Err(Errno::EINVAL);
        }
        let value = u32::try_from(entry.value).map_err(|_| Errno::EINVAL)?;
        vcpu.pv().state().tsc_aux = value;
        Ok(())
    };
    sched::pause(vcpu)?;
    let result = (0..op.msr_count).try_for_each(|n| set(n.into()).map_err(|errno| (n, errno)));
    sched::unpause(vcpu);
    result.map_err(|(index, errno)| {
        op.msr_count = index;
        errno
    })
}

/// A PV vCPU's registers and registrations, the counterpart of `pv::initialise_vcpu`.
fn fill(image: &mut VcpuGuestContext, state: &mut PvState) {
    let mut flag = |on: bool, bit: u32| image.flags |= if on { u64::from(bit) } else { 0 };
    flag(true, VGCF_I387_VALID);
    flag(state.kernel_mode, VGCF_IN_KERNEL);
    flag(
        state.failsafe_callback.mask_events,
        VGCF_FAILSAFE_DISABLES_EVENTS,
    );
    flag(
        state.syscall_callback.mask_events,
        VGCF_SYSCALL_DISABLES_EVENTS,
    );
    image.fpu_ctxt.x = state.xstate.legacy();
    let f = &state.frame;
    let s = &state.segments;
    image.user_regs = CpuUserRegs {
        r15: f.r15,
        r14: f.r14,
        r13: f.r13,
        r12: f.r12,
        rbp: f.rbp,
        rbx: f.rbx,
        r11: f.r11,
        r10: f.r10,
        r9: f.r9,
        r8: f.r8,
        rax: f.rax,
        rcx: f.rcx,
        rdx: f.rdx,
        rsi: f.rsi,
        rdi: f.rdi,
        rip: f.rip,
        cs: f.cs as u16,
        rflags: f.rflags | u64::from(state.iopl & 3) << 12,
        rsp: f.rsp,
        ss: f.ss as u16,
        es: s.es,
        ds: s.ds,
        fs: s.fs,
        gs: s.gs,
        saved_upcall_mask: image.user_regs.saved_upcall_mask,
        ..CpuUserRegs::default()
    };
    for ((vector, to), gate) in (0..=u8::MAX).zip(&mut image.trap_ctxt).zip(&state.traps) {
        *to = TrapInfo {
            vector,
            flags: gate.dpl & 3 | u8::from(gate.mask_events) << 2,
            cs: gate.cs,
            address: gate.rip,
            ..TrapInfo::default()
        };
    }
    if state.ldt_entries != 0 {
        image.ldt_base = state.ldt_base;
    }
    image.ldt_ents = state.ldt_entries.into();
    let frames = (state.gdt_entries as usize).div_ceil(512);
    for (to, frame) in image.gdt_frames.iter_mut().zip(&state.gdt).take(frames) {
        *to = frame.get();
    }
    image.gdt_ents = state.gdt_entries.into();
    image.kernel_ss = state.kernel_ss;
    image.kernel_sp = state.kernel_sp;
    // CR0 as PV guests have it (PG, AM, WP, NE, ET, PE) and the TS bit that the guest set.
    let [cr0, cr1, _, cr3, cr4, ..] = &mut image.ctrlreg;
    *cr0 = 0x8005_0031 | u64::from(state.task_switched) << 3;
    *cr1 = state.tables.user().map_or(0, |m| m.addr().get());
    *cr3 = state.tables.kernel().map_or(0, |m| m.addr().get());
    *cr4 = state.cr4;
    image.debugreg = state.debug;
    image.event_callback_eip = state.event_callback.rip;
    image.failsafe_callback_eip = state.failsafe_callback.rip;
    image.syscall_callback_eip = state.syscall_callback.rip;
    image.fs_base = s.fs_base;
    image.gs_base_kernel = s.gs_base_kernel;
    image.gs_base_user = s.gs_base_user;
}
