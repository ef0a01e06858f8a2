//! What guests read to know the time without a hypercall: `vcpu_time_info` in `vcpu_info` and its registered copy, the wall
//! clock in `shared_info`, and the registered runstate area (Xen public/xen.h, public/vcpu.h).
//!
//! Registered areas are virtual addresses of the guest's kernel and are written only while that vCPU's address space is
//! loaded. When the guest's user page tables are loaded they may not be there; then the update is due at the next switch
//! to the kernel ([`update_areas`]). An address that holds nothing is the guest's own loss.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use arch::addr::GuestVa;
use arch::guest::copy_to;
use hypercall_abi::Errno;
use hypercall_abi::vcpu::{VcpuRunstateInfo, XEN_RUNSTATE_UPDATE};
use hypercall_abi::xen::{SharedInfo, VcpuInfo, VcpuTimeInfo, XEN_PVCLOCK_TSC_STABLE_BIT};
use zerocopy::IntoBytes;

use super::clock::{TscScale, tsc_scale, tsc_stable, wallclock_at_boot};
use super::{Timer, arm, now, vcpu_timer};
use crate::domain::{Domain, Vcpu};
use crate::host::host;
use crate::percpu;

const NANOS: u64 = 1_000_000_000;
/// Offset of the time in `vcpu_info`.
const TIME: usize = core::mem::offset_of!(VcpuInfo, time);
/// Offset of the word that carries the update flag in the runstate area.
const ENTRY_TIME: usize = core::mem::offset_of!(VcpuRunstateInfo, state_entry_time);

/// What a vCPU was last told: the scale, and where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    scale: TscScale,
    stable: bool,
}

impl Seen {
    fn present(vcpu: &Vcpu) -> Self {
        Self {
            scale: vcpu.tsc.scale().unwrap_or_else(tsc_scale),
            stable: tsc_stable(),
        }
    }

    fn info(&self, version: u32) -> VcpuTimeInfo {
        VcpuTimeInfo {
            version,
            tsc_timestamp: self.scale.tsc_base,
            system_time: self.scale.ns_base,
            tsc_to_system_mul: self.scale.mul,
            tsc_shift: self.scale.shift,
            flags: if self.stable {
                XEN_PVCLOCK_TSC_STABLE_BIT as u8
            } else {
                0
            },
            ..VcpuTimeInfo::default()
        }
    }
}

/// An odd version: an update is under way.
const fn begin(version: u32) -> u32 {
    version.wrapping_add(1) | 1
}

/// Whether the vCPU's address space is loaded on this pCPU.
fn loaded(vcpu: &Vcpu) -> bool {
    vcpu.sched.on_cpu() == Some(percpu::with(|b| b.id))
}

/// Brings a vCPU's time information up to date if it has changed. The registered copy is written now if the vCPU is
/// the one that runs here, else when it runs next.
pub fn update_vcpu_time(vcpu: &Vcpu) {
    let present = Seen::present(vcpu);
    let mut seen = vcpu.time.seen.lock();
    if *seen == Some(present) {
        return;
    }
    let Some(slot) = vcpu.info.get() else {
        return;
    };
    let at = slot.offset + TIME;
    let version = begin(slot.frame.read_u32(at));
    slot.frame.write_u32(at, version);
    // A store of any size is ordered after the version on x86; the release stores keep the compiler to it.
    let info = present.info(version);
    for (i, word) in info.as_bytes().chunks_exact(8).enumerate().skip(1) {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        slot.frame.write_u64(at + i * 8, word);
    }
    slot.frame.write_u32(at, version.wrapping_add(1));
    *seen = Some(present);
    drop(seen);
    if !(loaded(vcpu) && write_time_area(vcpu)) {
        vcpu.time.areas_pending.store(true, Ordering::Relaxed);
    }
}

/// Writes a vCPU's time information whatever the guest has seen: its `vcpu_info` lies elsewhere, or a copy was
/// registered.
pub fn force_update(vcpu: &Vcpu) {
    *vcpu.time.seen.lock() = None;
    update_vcpu_time(vcpu);
}

/// All CPUs have started, so that nothing will show the TSC to be no clock any more.
static SETTLED: AtomicBool = AtomicBool::new(false);

/// Every CPU that is to start has started.
pub fn settled() {
    SETTLED.store(true, Ordering::Relaxed);
    keep_fresh_later();
}

/// Where the TSC is not the clock, what guests were told drifts: tells the vCPU that runs here anew, every second. A CPU
/// that starts later may be the one that shows it.
pub fn keep_fresh_later() {
    arm(now().saturating_add(NANOS), Timer::Call(keep_fresh, 0));
}

/// The argument is that of a timer's call and means nothing.
fn keep_fresh(_: u64) {
    if tsc_stable() && SETTLED.load(Ordering::Relaxed) {
        return;
    }
    let running = percpu::with(|b| b.current.borrow().clone());
    if let Some(cx) = running {
        update_vcpu_time(&cx.vcpu);
    }
    keep_fresh_later();
}

/// Writes the registered copy of the time information, if there is one; false if it could not be written.
fn write_time_area(vcpu: &Vcpu) -> bool {
    let area = GuestVa::new(vcpu.time.time_area.load(Ordering::Relaxed));
    if area.get() == 0 {
        return true;
    }
    let (Some(slot), Some(seen)) = (vcpu.info.get(), *vcpu.time.seen.lock()) else {
        return true;
    };
    // The versions of the update that brought vcpu_info to its present one, so that both agree in the end.
    let info = seen.info(begin(
        slot.frame.read_u32(slot.offset + TIME).wrapping_sub(2),
    ));
    let write = |offset, bytes: &[u8]| copy_to(area.offset(offset), bytes).is_ok();
    write(0, info.version.as_bytes())
        && write(4, &info.as_bytes()[4..])
        && write(0, info.version.wrapping_add(1).as_bytes())
}

fn write_runstate_area(domain: &Domain, vcpu: &Vcpu) -> bool {
    let area = GuestVa::new(vcpu.time.runstate_area.load(Ordering::Relaxed));
    if area.get() == 0 {
        return true;
    }
    let mut info = vcpu.sched.runstate().snapshot();
    let write = |offset, bytes: &[u8]| copy_to(area.offset(offset), bytes).is_ok();
    if !domain.runstate_update_flag() {
        return write(0, info.as_bytes());
    }
    let entered = info.state_entry_time;
    info.state_entry_time |= XEN_RUNSTATE_UPDATE;
    let flagged = info.state_entry_time;
    write(ENTRY_TIME as u64, flagged.as_bytes())
        && write(0, info.as_bytes())
        && write(ENTRY_TIME as u64, entered.as_bytes())
}

/// Writes the vCPU's registered areas. Its kernel page tables are loaded. To be called when the guest goes from user to
/// kernel while [`super::VcpuTime::areas_pending`].
pub fn update_areas(vcpu: &Vcpu) {
    vcpu.time.areas_pending.store(false, Ordering::Relaxed);
    // Failure now is the guest's doing, so it is not tried again.
    if let Some(domain) = vcpu.try_domain() {
        let _ = write_runstate_area(&domain, vcpu);
    }
    let _ = write_time_area(vcpu);
}

/// The vCPU will be switched away from; its address space is still loaded. After `sched::pick_next`, so that the
/// runstate is the new one.
pub fn switching_out(domain: &Domain, vcpu: &Vcpu) {
    // In user mode the area says "running" until the guest runs again, which is how guests read it anyway.
    let _ = write_runstate_area(domain, vcpu);
}

/// The vCPU was switched to: it runs on this pCPU, its address space is loaded.
pub fn vcpu_entered(vcpu: &Arc<Vcpu>) {
    vcpu_timer::follow(vcpu, now());
    update_vcpu_time(vcpu);
    let due = vcpu.time.areas_pending.swap(false, Ordering::Relaxed);
    let written = vcpu
        .try_domain()
        .is_none_or(|domain| write_runstate_area(&domain, vcpu));
    if !written || (due && !write_time_area(vcpu)) {
        vcpu.time.areas_pending.store(true, Ordering::Relaxed);
    }
}

/// Where the runstate goes from now on; 0 for nowhere. Called in the address space of a vCPU of the same domain, so
/// it is written at once if it is there.
pub fn register_runstate_area(domain: &Domain, vcpu: &Vcpu, area: u64) {
    vcpu.time.runstate_area.store(area, Ordering::Relaxed);
    let _ = write_runstate_area(domain, vcpu);
}

/// Where the copy of the time information goes from now on; 0 for nowhere.
pub fn register_time_area(vcpu: &Vcpu, area: u64) {
    vcpu.time.time_area.store(area, Ordering::Relaxed);
    force_update(vcpu);
}

/// The wall clock: seconds and nanoseconds since 1970 (UTC) when the system time was 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wallclock {
    /// Seconds.
    pub seconds: u64,
    /// Nanoseconds, below 10^9.
    pub nanos: u32,
}

/// The wall clock now in force.
pub fn wallclock() -> Wallclock {
    let set = *host().time.wall.lock();
    set.unwrap_or_else(|| {
        let (seconds, nanos) = wallclock_at_boot();
        Wallclock { seconds, nanos }
    })
}

/// Sets the wall clock (XENPF_settime64): it was `seconds` and `nanos` at `system_time`, nanoseconds since boot. All
/// domains see it at once. `EINVAL` if `nanos` is a second or more, or the time lies before 1970 at boot.
pub fn set_wallclock(seconds: u64, nanos: u32, system_time: u64) -> Result<(), Errno> {
    if u64::from(nanos) >= NANOS {
        return Err(Errno::EINVAL);
    }
    let total = u128::from(seconds) * u128::from(NANOS) + u128::from(nanos);
    let at_boot = total
        .checked_sub(u128::from(system_time))
        .ok_or(Errno::EINVAL)?;
    let wall = Wallclock {
        seconds: u64::try_from(at_boot / u128::from(NANOS)).map_err(|_| Errno::EINVAL)?,
        nanos: (at_boot % u128::from(NANOS)) as u32,
    };
    *host().time.wall.lock() = Some(wall);
    host().domains.for_each(|d| update_domain_wallclock(d));
    Ok(())
}

/// Writes the wall clock, shifted by the domain's time offset, to its `shared_info`. Also for a new domain.
pub fn update_domain_wallclock(domain: &Domain) {
    const VERSION: usize = core::mem::offset_of!(SharedInfo, wc_version);
    const SEC: usize = core::mem::offset_of!(SharedInfo, wc_sec);
    const NSEC: usize = core::mem::offset_of!(SharedInfo, wc_nsec);
    const SEC_HI: usize = core::mem::offset_of!(SharedInfo, wc_sec_hi);
    // The domain's control lock keeps two writers apart.
    let control = domain.control.lock();
    let wall = wallclock();
    let seconds = wall
        .seconds
        .wrapping_add_signed(control.time_offset_seconds);
    let page = domain.shared_info;
    let version = begin(page.read_u32(VERSION));
    page.write_u32(VERSION, version);
    page.write_u32(SEC, seconds as u32);
    page.write_u32(NSEC, wall.nanos);
    page.write_u32(SEC_HI, (seconds >> 32) as u32);
    page.write_u32(VERSION, version.wrapping_add(1));
}
