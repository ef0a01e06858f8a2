//! The scheduler: who runs where, in the manner of credit2 (weights, caps, credits, affinity), and the hypercalls by which
//! guests block, poll, shut down and manage their vCPUs.
//!
//! `credit` and `queue` are arithmetic and order; `scheduler` moves vCPUs between queues; this file connects it with the
//! machine (clock, interrupts, work words).

pub mod cpumask;
pub mod credit;
pub mod idle;
pub mod pool;
pub mod queue;
mod sched_op;
mod scheduler;
mod shutdown;
mod vcpu;
mod vcpu_op;

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use hypercall_abi::Errno;

pub use cpumask::{CpuMask, MAX_CPUS};
pub use sched_op::{do_sched_op, do_sched_op_compat};
pub use scheduler::{Decision, Poke, Scheduler};
pub use shutdown::{Watchdogs, domain_resume, domain_shutdown, stop_watchdogs, watchdog_expired};
pub use vcpu::{DomainSched, Info, VcpuSched};
pub use vcpu_op::{do_vcpu_op, forget_areas, release_vcpu_info};

use crate::domain::{Context, Domain, Vcpu};
use crate::event_channel;
use crate::host::host;
use crate::percpu::{self, PerCpu, work};
use crate::time::{now, vcpu_timer};

/// A pCPU's scheduler state that needs no lock; the queues are in [`Scheduler`], since others reach into them.
pub struct CpuLocal {
    _id: usize,
}

impl CpuLocal {
    /// For pCPU `id`.
    pub const fn new(id: usize) -> Self {
        Self { _id: id }
    }
}

fn this_cpu() -> usize {
    percpu::with(|b| b.id)
}

fn context(vcpu: &Arc<Vcpu>) -> Option<Context> {
    let domain = vcpu.try_domain()?;
    Some(Context {
        vcpu: vcpu.clone(),
        domain,
    })
}

/// Makes a pCPU look at its queue.
fn poke(poke: Poke) {
    if let Poke(Some(cpu)) = poke {
        percpu::raise_on(cpu, work::RESCHEDULE);
        if cpu != this_cpu() && !idle::watches(cpu) {
            interrupt(cpu);
        }
    }
}

/// Makes another pCPU leave its guest, or its halt, and look at its pending work.
fn interrupt(cpu: usize) {
    if let Some(apic_id) = host().sched.apic_id(cpu) {
        arch::apic::send_ipi(apic_id, arch::apic::vectors::EVENT_CHECK);
    }
}

fn reevaluate(vcpu: &Arc<Vcpu>) {
    if let Some(cx) = context(vcpu) {
        poke(host().sched.reevaluate(&cx, now()));
    }
}

/// Takes this pCPU into service; `acpi_id` is what ACPI calls it. On that pCPU, before its first [`pick_next`].
pub fn cpu_up(acpi_id: Option<u32>) {
    let cpu = this_cpu();
    host().sched.cpu_up(cpu, now());
    host().sched.set_apic_id(cpu, arch::apic::id());
    if let Some(id) = acpi_id {
        host().sched.set_acpi_id(cpu, id);
    }
}

/// Chooses who runs on this pCPU from now on; none: nobody, the pCPU may halt until an interrupt. What ran here
/// before is still loaded: the caller saves its registers, says so with [`context_saved`], and loads the new one's. If
/// the same vCPU comes back nothing needs to be done.
pub fn pick_next(cpu: &PerCpu) -> Option<Context> {
    let decision = host().sched.pick_next(cpu.id, now());
    cpu.timers.set_slice(decision.until);
    if decision.next.is_none() {
        cpu.timers.reprogram();
    }
    poke(decision.poke);
    if let Some(next) = &decision.next
        && next.vcpu.sched.irqs_at.load(Ordering::Relaxed) != cpu.id
    {
        next.vcpu.sched.irqs_at.store(cpu.id, Ordering::Relaxed);
        crate::irq::follow(&next.domain, &next.vcpu, cpu.id);
    }
    decision.next
}

/// The registers of `prev`, which this pCPU ran, are saved in the vCPU.
pub fn context_saved(cpu: &PerCpu, prev: &Vcpu) {
    poke(host().sched.context_saved(cpu.id, prev, now()));
}

/// Ends a vCPU's waiting for events (SCHEDOP_block, poll), if it waits.
pub fn wake(vcpu: &Arc<Vcpu>) {
    if vcpu.sched.blocked.swap(false, Ordering::SeqCst) {
        // A poll's timer may go on: it does nothing unless the vCPU polls, and the next poll sets it anew.
        event_channel::stop_polling(vcpu);
        reevaluate(vcpu);
    }
}

/// A vCPU has something to look at: wakes it if it waits, and makes its pCPU leave it for a moment if it runs elsewhere.
pub fn kick(vcpu: &Arc<Vcpu>) {
    wake(vcpu);
    if let Some(cpu) = vcpu.sched.on_cpu()
        && cpu != this_cpu()
    {
        interrupt(cpu);
    }
}

/// Starts a vCPU that was brought up, unpaused or created: it runs if nothing else keeps it.
pub fn start(vcpu: &Arc<Vcpu>) {
    reevaluate(vcpu);
}

/// A vCPU that was taken down or paused stops to run, not necessarily before this returns.
pub fn sleep(vcpu: &Arc<Vcpu>) {
    reevaluate(vcpu);
}

/// SCHEDOP_block: unmasks upcalls and waits for one, unless one is pending. The caller leaves through the exit path,
/// where the scheduler runs.
pub fn block(cx: &Context) {
    cx.vcpu.set_upcall_mask(false);
    cx.vcpu.sched.blocked.store(true, Ordering::SeqCst);
    // After the flag is set: an event that comes before is seen here, one that comes after sees the flag.
    if cx.vcpu.has_news() {
        cx.vcpu.sched.blocked.store(false, Ordering::SeqCst);
    } else {
        percpu::with(|b| b.raise(work::RESCHEDULE));
    }
}

/// SCHEDOP_yield: whoever else waits for this pCPU runs first.
pub fn yield_now(cx: &Context) {
    cx.vcpu.sched.yielding.store(true, Ordering::Relaxed);
    percpu::with(|b| b.raise(work::RESCHEDULE));
}

/// The time limit of a vCPU's poll has come.
pub(crate) fn poll_expired(vcpu: &Arc<Vcpu>) {
    if event_channel::stop_polling(vcpu) {
        wake(vcpu);
    }
}

/// Counts one more reason for a vCPU not to run. It may run until its pCPU has looked ([`is_descheduled`]).
pub fn pause_nosync(vcpu: &Arc<Vcpu>) {
    vcpu.pause_count.fetch_add(1, Ordering::SeqCst);
    sleep(vcpu);
}

/// Whether a vCPU's registers are saved, so that they can be read and changed while it is paused.
pub fn is_descheduled(vcpu: &Vcpu) -> bool {
    vcpu.sched.on_cpu().is_none()
}

/// How often [`pause`] looks before it gives up: far longer than any pCPU takes to leave a guest.
const PATIENCE: u32 = 50_000_000;

/// Pauses a vCPU of another domain and waits until its registers are saved. `EBUSY`, and not paused, if that does not happen
/// (its pCPU waits for this one): the caller tries again later.
pub fn pause(vcpu: &Arc<Vcpu>) -> Result<(), Errno> {
    pause_nosync(vcpu);
    for _ in 0..PATIENCE {
        if is_descheduled(vcpu) {
            return Ok(());
        }
        // A waiting pCPU serves shootdowns, or the other one might wait for this one.
        <arch::sync::Service as spin::RelaxStrategy>::relax();
        if cfg!(not(target_os = "none")) {
            break;
        }
    }
    unpause(vcpu);
    Err(Errno::EBUSY)
}

/// Takes back one [`pause`]. One too many is ignored.
pub fn unpause(vcpu: &Arc<Vcpu>) {
    let last = vcpu
        .pause_count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    if last == Ok(1) {
        start(vcpu);
    }
}

/// Pauses all vCPUs of a domain without waiting.
pub fn domain_pause_nosync(domain: &Domain) {
    domain.pause_count.fetch_add(1, Ordering::SeqCst);
    domain.vcpus().iter().for_each(sleep);
}

/// Pauses a domain that is not the caller's and waits until none of its vCPUs runs. `EBUSY` as [`pause`].
pub fn domain_pause(domain: &Domain) -> Result<(), Errno> {
    domain_pause_nosync(domain);
    for vcpu in domain.vcpus() {
        if let Err(errno) = pause(vcpu) {
            domain_unpause(domain);
            return Err(errno);
        }
        unpause(vcpu);
    }
    Ok(())
}

/// Takes back one pause of a domain.
pub fn domain_unpause(domain: &Domain) {
    let last = domain
        .pause_count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    if last == Ok(1) {
        domain.vcpus().iter().for_each(start);
    }
}

/// Changes a vCPU's hard affinity, soft affinity or both; see [`Scheduler::set_affinity`].
pub fn set_affinity(
    vcpu: &Arc<Vcpu>,
    hard: Option<CpuMask>,
    soft: Option<CpuMask>,
) -> Result<(), Errno> {
    let cx = context(vcpu).ok_or(Errno::ESRCH)?;
    poke(host().sched.set_affinity(&cx, hard, soft, now())?);
    Ok(())
}

/// Ends a vCPU's SCHEDOP_pin_override, if there is one (domctl setvcpuaffinity with the force flag).
pub fn end_pin_override(vcpu: &Arc<Vcpu>) {
    if let Some(cx) = context(vcpu)
        && let Ok(moved) = host().sched.pin_override(&cx, None, now())
    {
        poke(moved);
    }
}

/// Pins vCPU n of a domain to pCPU n, as far as there are so many (`dom0_vcpus_pin`).
pub fn pin_vcpus(domain: &Domain) -> Result<(), Errno> {
    let online = host().sched.online();
    for (vcpu, cpu) in domain.vcpus().iter().zip(online.iter()) {
        set_affinity(vcpu, Some(CpuMask::of(cpu)), None)?;
    }
    Ok(())
}

/// Nanoseconds that a pCPU was idle since boot (sysctl getcpuinfo); none if it is not in service.
pub fn idle_time(cpu: usize) -> Option<u64> {
    host().sched.idle_time(cpu, now())
}

/// Nanoseconds of idle time of all pCPUs in service.
pub fn total_idle_time() -> u64 {
    let now = now();
    let sched = &host().sched;
    sched
        .online()
        .iter()
        .filter_map(|cpu| sched.idle_time(cpu, now))
        .sum()
}

/// APIC id (low half) and ACPI processor id (high half) of a pCPU in service.
fn physical_id(cpu: usize) -> Option<u64> {
    let apic_id = host().sched.apic_id(cpu)?;
    // Firmware numbers processors and their APICs alike unless its tables say otherwise.
    let acpi_id = host().sched.acpi_id(cpu).unwrap_or(apic_id);
    Some(u64::from(acpi_id) << 32 | u64::from(apic_id))
}

/// Nanoseconds that a domain's vCPUs ran (domctl getdomaininfo).
pub fn domain_cpu_time(domain: &Domain) -> u64 {
    let now = now();
    domain
        .vcpus()
        .iter()
        .map(|v| v.sched.info(now).cpu_time)
        .sum()
}

/// Takes a vCPU of a dying domain, which does not run any more, out of all queues.
pub fn forget(vcpu: &Vcpu) {
    host().sched.forget(vcpu);
    vcpu_timer::stop_all(vcpu);
}

#[cfg(test)]
mod tests;
