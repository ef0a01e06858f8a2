//! `HYPERVISOR_vcpu_op` (Xen public/vcpu.h).

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use arch::addr::{GuestVa, Mfn, PAGE_BYTES};
use hypercall_abi::arch_x86::VcpuGuestContext;
use hypercall_abi::sched::Shutdown;
use hypercall_abi::vcpu::{
    VCPU_SSHOTTMR_FUTURE, VcpuGetPhysid, VcpuOp, VcpuRegisterRunstateMemoryArea,
    VcpuRegisterTimeMemoryArea, VcpuRegisterVcpuInfo, VcpuRunstateInfo, VcpuSetPeriodicTimer,
    VcpuSetSingleshotTimer,
};
use hypercall_abi::xen::{VcpuInfo, VcpuTimeInfo, Virq};
use hypercall_abi::{Errno, GuestHandle};
use zerocopy::{FromZeros, IntoBytes};

use super::{shutdown, sleep, start};
use crate::domain::vcpu::VcpuInfoSlot;
use crate::domain::{Context, Domain, Vcpu};
use crate::fail::{Args, Fail, Return};
use crate::mm::{self, PageType};
use crate::time::{self, VcpuTimer, guest_clock, vcpu_timer};
use crate::{event_channel, guest, pv};

/// Shortest period of the periodic timer, in nanoseconds.
const MIN_PERIOD: u64 = 1_000_000;
/// Longest, as in Xen.
const MAX_PERIOD: u64 = u64::MAX >> 2;
const INFO_BYTES: usize = size_of::<VcpuInfo>();

/// `HYPERVISOR_vcpu_op(cmd, vcpuid, arg)`: on a vCPU of the caller's domain. `ENOENT` if it has no such vCPU.
pub fn do_vcpu_op(cx: &Context, args: Args) -> Return {
    let [cmd, id, arg, ..] = args.0;
    let vcpu = cx.domain.vcpu((id as u32).into())?;
    let own = Arc::ptr_eq(vcpu, &cx.vcpu);
    match VcpuOp(cmd as u32) {
        VcpuOp::INITIALISE => match initialise(&cx.domain, vcpu, arg) {
            Err(Fail::Errno(Errno::ERESTART)) => return Err(Fail::Continue(args)),
            result => result?,
        },
        VcpuOp::UP => up(&cx.domain, vcpu)?,
        VcpuOp::DOWN => down(&cx.domain, vcpu),
        VcpuOp::IS_UP => return Ok((!vcpu.down.load(Ordering::Acquire)).into()),
        VcpuOp::GET_RUNSTATE_INFO => {
            let info = vcpu.sched.runstate().snapshot_at(time::now());
            guest::write(GuestHandle::new(arg), 0, &info)?;
        }
        VcpuOp::REGISTER_RUNSTATE_MEMORY_AREA => {
            let request: VcpuRegisterRunstateMemoryArea = guest::read(GuestHandle::new(arg), 0)?;
            let area = area_ok(request.addr.v(), size_of::<VcpuRunstateInfo>())?;
            guest_clock::register_runstate_area(&cx.domain, vcpu, area);
        }
        VcpuOp::SET_PERIODIC_TIMER => {
            let request: VcpuSetPeriodicTimer = guest::read(GuestHandle::new(arg), 0)?;
            if !(MIN_PERIOD..=MAX_PERIOD).contains(&request.period_ns) {
                return Err(Errno::EINVAL.into());
            }
            vcpu_timer::set_periodic(vcpu, request.period_ns);
        }
        VcpuOp::STOP_PERIODIC_TIMER => vcpu_timer::stop(vcpu, VcpuTimer::Periodic),
        VcpuOp::SET_SINGLESHOT_TIMER | VcpuOp::STOP_SINGLESHOT_TIMER if !own => {
            return Err(Errno::EINVAL.into());
        }
        VcpuOp::SET_SINGLESHOT_TIMER => {
            let request: VcpuSetSingleshotTimer = guest::read(GuestHandle::new(arg), 0)?;
            set_singleshot(vcpu, &request)?;
        }
        VcpuOp::STOP_SINGLESHOT_TIMER => vcpu_timer::stop(vcpu, VcpuTimer::Singleshot),
        VcpuOp::REGISTER_VCPU_INFO => {
            let request: VcpuRegisterVcpuInfo = guest::read(GuestHandle::new(arg), 0)?;
            register_vcpu_info(&cx.domain, vcpu, own, &request)?;
        }
        VcpuOp::SEND_NMI => {
            if arg != 0 {
                return Err(Errno::EINVAL.into());
            }
            if vcpu.pv().raise_nmi() {
                super::kick(vcpu);
            }
        }
        VcpuOp::GET_PHYSID => {
            let phys_id = physical_id(&cx.domain, vcpu).ok_or(Errno::EINVAL)?;
            guest::write(GuestHandle::new(arg), 0, &VcpuGetPhysid { phys_id })?;
        }
        VcpuOp::REGISTER_VCPU_TIME_MEMORY_AREA => {
            let request: VcpuRegisterTimeMemoryArea = guest::read(GuestHandle::new(arg), 0)?;
            let area = area_ok(request.addr.v(), size_of::<VcpuTimeInfo>())?;
            guest_clock::register_time_area(vcpu, area);
        }
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

/// An address that the guest may register: 0 to unregister, or outside the hypervisor's range. What is there is found out
/// at every write.
fn area_ok(area: u64, len: usize) -> Result<u64, Errno> {
    if area == 0 || arch::guest::range_ok(GuestVa::new(area), len) {
        Ok(area)
    } else {
        Err(Errno::EFAULT)
    }
}

/// VCPUOP_initialise. Every attempt, also one that continues an earlier one, checks everything anew (XSA-296).
fn initialise(domain: &Domain, vcpu: &Vcpu, arg: u64) -> Result<(), Fail> {
    if vcpu.info.get().is_none() {
        return Err(Errno::EINVAL.into());
    }
    let mut context: Box<VcpuGuestContext> =
        VcpuGuestContext::new_box_zeroed().map_err(|_| Errno::ENOMEM)?;
    guest::read_bytes(GuestHandle::new(arg), context.as_mut_bytes())?;
    let _control = domain.control.lock();
    if vcpu.initialised.load(Ordering::Acquire) {
        return Err(Errno::EEXIST.into());
    }
    pv::initialise_vcpu(domain, vcpu, &context)?;
    vcpu.initialised.store(true, Ordering::Release);
    Ok(())
}

fn up(domain: &Domain, vcpu: &Arc<Vcpu>) -> Result<(), Errno> {
    let _control = domain.control.lock();
    if !vcpu.initialised.load(Ordering::Acquire) {
        return Err(Errno::EINVAL);
    }
    if vcpu.down.swap(false, Ordering::SeqCst) {
        start(vcpu);
    }
    Ok(())
}

/// The last vCPU that goes down ends the domain.
fn down(domain: &Domain, vcpu: &Arc<Vcpu>) {
    let others = domain
        .vcpus()
        .iter()
        .any(|v| v.id != vcpu.id && !v.down.load(Ordering::Acquire));
    if !others {
        shutdown::domain_shutdown(domain, Shutdown::POWEROFF);
    } else if !vcpu.down.swap(true, Ordering::SeqCst) {
        sleep(vcpu);
    }
}

fn set_singleshot(vcpu: &Arc<Vcpu>, request: &VcpuSetSingleshotTimer) -> Result<(), Errno> {
    let now = time::now();
    let timeout = request.timeout_abs_ns;
    // Beyond 2^63 the time is negative, which is also over.
    if timeout >= now && i64::try_from(timeout).is_ok() {
        vcpu_timer::set(vcpu, VcpuTimer::Singleshot, timeout);
        return Ok(());
    }
    if request.flags & VCPU_SSHOTTMR_FUTURE != 0 {
        return Err(Errno::ETIME);
    }
    vcpu_timer::stop(vcpu, VcpuTimer::Singleshot);
    event_channel::send_virq(vcpu, Virq::TIMER);
    Ok(())
}

/// Moves a vCPU's `vcpu_info` to a place of the guest's choice, once. `ENXIO` for a place that crosses the page's end or is
/// not aligned (XSA-327), `EINVAL` if it was moved before, if the vCPU is another that is up, or for a page that is not
/// the domain's or not writable.
fn register_vcpu_info(
    domain: &Domain,
    vcpu: &Arc<Vcpu>,
    own: bool,
    request: &VcpuRegisterVcpuInfo,
) -> Result<(), Errno> {
    let offset = request.offset as usize;
    if offset > PAGE_BYTES - INFO_BYTES || !offset.is_multiple_of(align_of::<VcpuInfo>()) {
        return Err(Errno::ENXIO);
    }
    // Also keeps two registrations apart.
    let _control = domain.control.lock();
    let mut kept = vcpu.info_page.lock();
    if kept.is_some() || !(own || vcpu.down.load(Ordering::Acquire)) {
        return Err(Errno::EINVAL);
    }
    let page = mm::get_page_and_type(Mfn::new(request.mfn), domain, PageType::Writable)
        .map_err(|_| Errno::EINVAL)?;
    let frame = page.frame();
    {
        let mut bytes = [0; INFO_BYTES];
        match vcpu.info.get() {
            Some(old) => old.frame.read(old.offset, &mut bytes),
            // Never had one: upcalls are masked.
            None => bytes[1] = 1,
        }
        frame.write(offset, &bytes);
        vcpu.info.set(Some(VcpuInfoSlot { frame, offset }));
    }
    *kept = Some(page.into_raw());
    drop(kept);
    event_channel::vcpu_info_moved(vcpu);
    guest_clock::force_update(vcpu);
    Ok(())
}

/// Gives back the page of a registered `vcpu_info`: the vCPU does not run any more and takes no events.
pub fn release_vcpu_info(vcpu: &Vcpu) {
    let mut kept = vcpu.info_page.lock();
    if let Some(mfn) = kept.take() {
        vcpu.info.set(None);
        drop(mm::TypedRef::from_raw(mfn));
    }
}

/// Takes away what a vCPU registered: its runstate area, and its `vcpu_info`, which is that in shared_info again if there is
/// one for it. The vCPU does not run, and its domain's event channels are closed.
pub fn forget_areas(domain: &Domain, vcpu: &Vcpu) {
    guest_clock::register_runstate_area(domain, vcpu, 0);
    let mut kept = vcpu.info_page.lock();
    if let Some(mfn) = kept.take() {
        vcpu.info.set(VcpuInfoSlot::shared(domain, vcpu.id));
        drop(mm::TypedRef::from_raw(mfn));
    }
}

/// The APIC id (low half) and ACPI id (high half) of the pCPU that a vCPU of dom0 is pinned to.
fn physical_id(domain: &Domain, vcpu: &Vcpu) -> Option<u64> {
    let hard = vcpu.sched.info(time::now()).hard;
    if !domain.is_hardware() || hard.count() != 1 {
        return None;
    }
    super::physical_id(hard.first()?)
}
