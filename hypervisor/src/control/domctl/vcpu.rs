//! vCPUs: where and how they run, and their registers.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use hypercall_abi::Errno;
use hypercall_abi::arch_x86::*;
use hypercall_abi::domctl::*;
use hypercall_abi::vcpu::Runstate;

use crate::control::sysctl::SCHEDULER;
use crate::control::{bitmap, cpus};
use crate::domain::{Context, Domain, Vcpu};
use crate::guest;
use crate::host::host;
use crate::pv::PvState;
use crate::sched::{self, CpuMask};
use crate::time::now;

/// MSRs that a vCPU may carry: what a buffer for all of them must hold.
const MSR_COUNT: u32 = 7;

fn find(domain: &Domain, id: u32, missing: Errno) -> Result<&Arc<Vcpu>, Errno> {
    domain.vcpu(id.into()).map_err(|_| missing)
}

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
    let in_force = vcpu.sched.info(now()).hard.and(&cpus::online());
    if hard {
        bitmap::write(&op.cpumap_hard, in_force, bits)?;
    }
    if let Some(new_soft) = new_soft {
        bitmap::write(&op.cpumap_soft, new_soft.and(&in_force), bits)?;
    }
    Ok(())
}

fn nodes() -> CpuMask {
    CpuMask::first_n(host().mm.buddy.nodes().max(1))
}

/// `XEN_DOMCTL_getnodeaffinity`: memory comes from every node.
pub(super) fn node_affinity(op: &DomctlNodeaffinity) -> Result<(), Errno> {
    bitmap::write(&op.nodemap, nodes(), nodes().count())
}

/// `XEN_DOMCTL_setnodeaffinity`. `EINVAL` if it leaves no node, `EOPNOTSUPP` if it leaves some of several out.
pub(super) fn set_node_affinity(op: &DomctlNodeaffinity) -> Result<(), Errno> {
    let wanted = bitmap::read(&op.nodemap)?.and(&nodes());
    if wanted.is_empty() {
        Err(Errno::EINVAL)
    } else if wanted == nodes() {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}

/// `XEN_DOMCTL_scheduler_op`: weight and cap. `EINVAL` for another scheduler, another command, or a cap above what the
/// domain's vCPUs could use.
pub(super) fn scheduler(
    domain: &Domain,
    mut op: DomctlSchedulerOp,
) -> Result<DomctlSchedulerOp, Errno> {
    if op.sched_id != SCHEDULER {
        return Err(Errno::EINVAL);
    }
    match op.cmd {
        DomctlSchedOp::PUTINFO => {
            let new = op.u.credit2();
            if usize::from(new.cap) > 100 * domain.vcpus().len() {
                return Err(Errno::EINVAL);
            }
            if new.weight != 0 {
                domain.sched.set_weight(new.weight);
            }
            domain.sched.set_cap(new.cap);
        }
        DomctlSchedOp::GETINFO => op.u.set_credit2(DomctlSchedCredit2 {
            weight: domain.sched.weight(),
            cap: domain.sched.cap(),
        }),
        _ => return Err(Errno::EINVAL),
    }
    Ok(op)
}

/// `XEN_DOMCTL_get_vcpu_msrs`: none has a value of its own. `ESRCH` for a vCPU that is not there, `EINVAL` for the caller.
pub(super) fn msrs(
    cx: &Context,
    domain: &Domain,
    mut op: DomctlVcpuMsrs,
) -> Result<DomctlVcpuMsrs, Errno> {
    let vcpu = find(domain, op.vcpu, Errno::ESRCH)?;
    if Arc::ptr_eq(vcpu, &cx.vcpu) {
        return Err(Errno::EINVAL);
    }
    op.msr_count = if op.msrs.is_null() { MSR_COUNT } else { 0 };
    Ok(op)
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
    *cr1 = state.tables.user.map_or(0, |m| m.addr().get());
    *cr3 = state.tables.kernel.map_or(0, |m| m.addr().get());
    *cr4 = state.cr4;
    image.debugreg = state.debug;
    image.event_callback_eip = state.event_callback.rip;
    image.failsafe_callback_eip = state.failsafe_callback.rip;
    image.syscall_callback_eip = state.syscall_callback.rip;
    image.fs_base = s.fs_base;
    image.gs_base_kernel = s.gs_base_kernel;
    image.gs_base_user = s.gs_base_user;
}
