//! SCHEDOP_*, VCPUOP_* and set_timer_op on a simulated machine of one pCPU: refusals, effects, known bugs.

use arch::addr::Mfn;
use hypercall_abi::GuestHandle;
use hypercall_abi::event_channel::{EvtchnBindVirq, EvtchnOp};
use hypercall_abi::sched::*;
use hypercall_abi::vcpu::*;
use hypercall_abi::xen::{DomId, SharedInfo, VcpuInfo, VcpuTimeInfo, Virq};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::*;
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::simulated;

const ARG: u64 = 0x10_0000;
/// Somewhere else in the guest, for areas that it registers.
const AREA: u64 = ARG + 0x800;
/// Not mapped.
const NOWHERE: u64 = 0x66_0000;
const EVTCHN_PENDING: usize = core::mem::offset_of!(SharedInfo, evtchn_pending);

/// dom0 and domain 1, both up with two vCPUs; vCPU 0 of dom0 runs.
fn machine() -> (Arc<Domain>, Arc<Domain>) {
    simulated::switch_on_without_memory(64);
    arch::hosted::map_guest(ARG, 4096);
    arch::sim::reset();
    arch::sim::set_now(1_000);
    percpu::with(|b| b.pending.store(0, Ordering::SeqCst));
    let (dom0, domu) = (domain(0, 2), domain(1, 2));
    for d in [&dom0, &domu] {
        host().domains.insert(d.clone()).expect("fresh");
    }
    cpu_up(None);
    start(&dom0.vcpus()[0]);
    assert!(Arc::ptr_eq(
        &switch().expect("ready").vcpu,
        &dom0.vcpus()[0]
    ));
    (dom0, domu)
}

/// What the exit path does.
fn switch() -> Option<Context> {
    percpu::with(|b| {
        b.pending.fetch_and(!work::RESCHEDULE, Ordering::SeqCst);
        let prev = b.current.borrow_mut().take();
        let next = pick_next(b);
        if let Some(prev) = prev {
            let stays = next
                .as_ref()
                .is_some_and(|n| Arc::ptr_eq(&n.vcpu, &prev.vcpu));
            if !stays {
                crate::time::switching_out(&prev.domain, &prev.vcpu);
                context_saved(b, &prev.vcpu);
            }
        }
        if let Some(next) = &next {
            crate::time::vcpu_entered(&next.vcpu);
        }
        *b.current.borrow_mut() = next.clone();
        next
    })
}

fn pending(bits: u32) -> bool {
    percpu::with(|b| b.pending.load(Ordering::SeqCst)) & bits != 0
}

fn cx(d: &Arc<Domain>) -> Context {
    context(&d.vcpus()[0]).expect("alive")
}

fn errno(result: Return) -> Errno {
    match result {
        Err(Fail::Errno(errno)) => errno,
        other => panic!("{other:?}"),
    }
}

fn put<T: IntoBytes + Immutable>(value: &T) {
    guest::write(GuestHandle::new(ARG), 0, value).expect("mapped");
}

fn get<T: FromBytes + IntoBytes>(at: u64) -> T {
    guest::read(GuestHandle::new(at), 0).expect("mapped")
}

fn sched_op(d: &Arc<Domain>, op: SchedOp, arg: u64) -> Return {
    do_sched_op(&cx(d), Args([op.0.into(), arg, 0, 0, 0, 0]))
}

fn vcpu_op(d: &Arc<Domain>, op: VcpuOp, vcpu: u64, arg: u64) -> Return {
    do_vcpu_op(&cx(d), Args([op.0.into(), vcpu, arg, 0, 0, 0]))
}

fn with_arg<T: IntoBytes + Immutable>(d: &Arc<Domain>, op: SchedOp, value: &T) -> Return {
    put(value);
    sched_op(d, op, ARG)
}

fn bind_timer(d: &Arc<Domain>) -> u32 {
    put(&EvtchnBindVirq {
        virq: Virq::TIMER,
        vcpu: 0,
        port: 0,
    });
    let args = Args([EvtchnOp::BIND_VIRQ.0.into(), ARG, 0, 0, 0, 0]);
    assert_eq!(event_channel::do_event_channel_op(&cx(d), args), Ok(0));
    get::<EvtchnBindVirq>(ARG).port
}

fn port_pending(d: &Domain, port: u32) -> bool {
    d.shared_info
        .read_u64(EVTCHN_PENDING + port as usize / 64 * 8)
        >> (port % 64)
        & 1
        != 0
}

fn at(ns: u64) {
    arch::sim::set_now(ns);
    percpu::with(crate::time::run_expired);
}

#[test]
fn sched_op_refusals() {
    let (dom0, domu) = machine();
    assert_eq!(errno(sched_op(&dom0, SchedOp(99), 0)), Errno::ENOSYS);
    for op in [
        SchedOp::SHUTDOWN,
        SchedOp::SHUTDOWN_CODE,
        SchedOp::POLL,
        SchedOp::REMOTE_SHUTDOWN,
        SchedOp::WATCHDOG,
        SchedOp::PIN_OVERRIDE,
    ] {
        assert_eq!(errno(sched_op(&dom0, op, NOWHERE)), Errno::EFAULT, "{op:?}");
    }
    let pin = |d, pcpu| with_arg(d, SchedOp::PIN_OVERRIDE, &SchedPinOverride { pcpu });
    assert_eq!(errno(pin(&domu, 0)), Errno::EPERM);
    assert_eq!(errno(pin(&dom0, 4096)), Errno::EINVAL);
    assert_eq!(errno(pin(&dom0, -1)), Errno::EINVAL);
    assert_eq!(pin(&dom0, 0), Ok(0));
    assert_eq!(errno(pin(&dom0, 0)), Errno::EBUSY);
    assert_eq!(pin(&dom0, -1), Ok(0));
    let remote = |d, id| {
        let request = SchedRemoteShutdown {
            domain_id: DomId(id),
            reason: Shutdown::CRASH,
            ..Default::default()
        };
        with_arg(d, SchedOp::REMOTE_SHUTDOWN, &request)
    };
    assert_eq!(errno(remote(&dom0, 77)), Errno::ESRCH);
    assert_eq!(errno(remote(&domu, 0)), Errno::EPERM);
    assert_eq!(*dom0.shutdown.lock(), None);
    assert_eq!(remote(&dom0, 1), Ok(0));
    assert_eq!(*domu.shutdown.lock(), Some(Shutdown::CRASH.0));
    let compat = |cmd: u64| do_sched_op_compat(&cx(&dom0), Args([cmd, 0, 0, 0, 0, 0]));
    assert_eq!(errno(compat(3)), Errno::ENOSYS);
    assert_eq!(compat(0), Ok(0));
}

#[test]
fn block_waits_unless_an_upcall_is_pending() {
    let (dom0, _) = machine();
    let v = &dom0.vcpus()[0];
    v.set_upcall_mask(true);
    v.set_upcall_pending();
    assert_eq!(sched_op(&dom0, SchedOp::BLOCK, 0), Ok(0));
    assert!(!v.upcall_masked() && !v.sched.is_blocked());
    dom0.shared_info.write_u8(0, 0);
    assert_eq!(sched_op(&dom0, SchedOp::BLOCK, 0), Ok(0));
    assert!(v.sched.is_blocked() && pending(work::RESCHEDULE));
    assert!(switch().is_none());
    assert_eq!(v.sched.info(now()).state, Runstate::BLOCKED);
    kick(v);
    assert!(pending(work::RESCHEDULE));
    assert!(switch().is_some());
}

#[test]
fn an_nmi_ends_waiting() {
    let (dom0, _) = machine();
    let v = &dom0.vcpus()[0];
    assert_eq!(sched_op(&dom0, SchedOp::BLOCK, 0), Ok(0));
    assert!(switch().is_none());
    assert_eq!(vcpu_op(&dom0, VcpuOp::SEND_NMI, 0, 0), Ok(0));
    assert!(switch().is_some());
    // One that came before is not slept over either.
    assert!(v.pv().nmi_deliverable());
    assert_eq!(sched_op(&dom0, SchedOp::BLOCK, 0), Ok(0));
    assert!(!v.sched.is_blocked());
    put(&SchedPoll {
        ports: GuestHandle::new(ARG),
        nr_ports: 0,
        timeout: 0,
        ..Default::default()
    });
    assert_eq!(sched_op(&dom0, SchedOp::POLL, ARG), Ok(0));
    assert!(!v.sched.is_blocked());
}

#[test]
fn an_event_between_block_and_the_choice_is_not_lost() {
    let (dom0, _) = machine();
    let v = &dom0.vcpus()[0];
    assert_eq!(sched_op(&dom0, SchedOp::BLOCK, 0), Ok(0));
    kick(v);
    assert!(switch().is_some());
}

#[test]
fn shutdown_stops_the_domain_and_can_be_taken_back() {
    let (_, domu) = machine();
    let code = SchedShutdown {
        reason: Shutdown::SUSPEND,
    };
    assert_eq!(with_arg(&domu, SchedOp::SHUTDOWN_CODE, &code), Ok(0));
    assert_eq!(*domu.shutdown.lock(), None);
    let other = SchedShutdown {
        reason: Shutdown::REBOOT,
    };
    assert_eq!(with_arg(&domu, SchedOp::SHUTDOWN, &other), Ok(0));
    // The reason that was announced counts.
    assert_eq!(*domu.shutdown.lock(), Some(Shutdown::SUSPEND.0));
    assert_eq!(domu.pause_count.load(Ordering::SeqCst), 1);
    assert_eq!(with_arg(&domu, SchedOp::SHUTDOWN, &other), Ok(0));
    assert_eq!(domu.pause_count.load(Ordering::SeqCst), 1);
    domain_resume(&domu);
    assert_eq!(domu.pause_count.load(Ordering::SeqCst), 0);
    assert_eq!(*domu.shutdown.lock(), None);
}

#[test]
fn watchdogs() {
    let (_, domu) = machine();
    let watchdog = |id, timeout| with_arg(&domu, SchedOp::WATCHDOG, &SchedWatchdog { id, timeout });
    assert_eq!(errno(watchdog(3, 1)), Errno::EINVAL);
    assert_eq!(errno(watchdog(1, 1)), Errno::EINVAL);
    assert_eq!(watchdog(0, 10), Ok(1));
    assert_eq!(watchdog(0, 10), Ok(2));
    assert_eq!(errno(watchdog(0, 10)), Errno::ENOSPC);
    assert_eq!(watchdog(2, 0), Ok(0));
    assert_eq!(errno(watchdog(2, 5)), Errno::EINVAL);
    at(9_000_000_000);
    assert_eq!(watchdog(1, 10), Ok(0));
    at(18_000_000_000);
    assert_eq!(*domu.shutdown.lock(), None);
    at(20_000_000_000);
    assert_eq!(*domu.shutdown.lock(), Some(Shutdown::WATCHDOG.0));
}

#[test]
fn poll_refusals_and_wake_ups() {
    let (dom0, _) = machine();
    let v = &dom0.vcpus()[0];
    let poll = |nr_ports, ports, timeout| {
        let request = SchedPoll {
            ports: GuestHandle::new(ports),
            nr_ports,
            timeout,
            ..Default::default()
        };
        with_arg(&dom0, SchedOp::POLL, &request)
    };
    assert_eq!(errno(poll(129, AREA, 0)), Errno::EINVAL);
    assert_eq!(
        errno(poll(1, arch::guest::HYPERVISOR_START, 0)),
        Errno::EFAULT
    );
    assert_eq!(errno(poll(1, NOWHERE, 0)), Errno::EFAULT);
    assert!(!v.sched.is_blocked());
    let port = bind_timer(&dom0);
    guest::write(GuestHandle::new(AREA), 0, &port).expect("mapped");
    assert_eq!(poll(1, AREA, 0), Ok(0));
    assert!(v.sched.is_blocked());
    event_channel::send_virq(v, Virq::TIMER);
    assert!(!v.sched.is_blocked());
    // Pending already: no wait.
    assert_eq!(poll(1, AREA, 0), Ok(0));
    assert!(!v.sched.is_blocked());
    // No port, a time limit.
    dom0.shared_info.write_u8(0, 0);
    assert_eq!(poll(0, 0, 5_000), Ok(0));
    assert!(v.sched.is_blocked());
    assert!(switch().is_none());
    at(4_999);
    assert!(v.sched.is_blocked());
    at(5_000);
    assert!(!v.sched.is_blocked() && switch().is_some());
}

#[test]
fn xsa_221_polling_unbound_ports_is_refused() {
    let (dom0, _) = machine();
    for port in [0u32, 5, 4095, 4096, u32::MAX] {
        guest::write(GuestHandle::new(AREA), 0, &port).expect("mapped");
        let request = SchedPoll {
            ports: GuestHandle::new(AREA),
            nr_ports: 1,
            ..Default::default()
        };
        assert_eq!(
            errno(with_arg(&dom0, SchedOp::POLL, &request)),
            Errno::EINVAL,
            "{port}"
        );
        assert!(!dom0.vcpus()[0].sched.is_blocked());
    }
}

#[test]
fn vcpu_op_refusals() {
    let (dom0, _) = machine();
    assert_eq!(errno(vcpu_op(&dom0, VcpuOp::IS_UP, 2, 0)), Errno::ENOENT);
    assert_eq!(
        errno(vcpu_op(&dom0, VcpuOp::IS_UP, u64::from(u32::MAX), 0)),
        Errno::ENOENT
    );
    assert_eq!(errno(vcpu_op(&dom0, VcpuOp(99), 0, 0)), Errno::ENOSYS);
    for op in [
        VcpuOp::GET_RUNSTATE_INFO,
        VcpuOp::REGISTER_RUNSTATE_MEMORY_AREA,
        VcpuOp::SET_PERIODIC_TIMER,
        VcpuOp::SET_SINGLESHOT_TIMER,
        VcpuOp::REGISTER_VCPU_INFO,
        VcpuOp::REGISTER_VCPU_TIME_MEMORY_AREA,
        VcpuOp::INITIALISE,
    ] {
        assert_eq!(
            errno(vcpu_op(&dom0, op, 0, NOWHERE)),
            Errno::EFAULT,
            "{op:?}"
        );
    }
    // Another vCPU's single-shot timer.
    assert_eq!(
        errno(vcpu_op(&dom0, VcpuOp::SET_SINGLESHOT_TIMER, 1, ARG)),
        Errno::EINVAL
    );
    assert_eq!(
        errno(vcpu_op(&dom0, VcpuOp::STOP_SINGLESHOT_TIMER, 1, 0)),
        Errno::EINVAL
    );
    for period_ns in [0, 999_999, u64::MAX] {
        put(&VcpuSetPeriodicTimer { period_ns });
        assert_eq!(
            errno(vcpu_op(&dom0, VcpuOp::SET_PERIODIC_TIMER, 0, ARG)),
            Errno::EINVAL
        );
    }
    assert_eq!(errno(vcpu_op(&dom0, VcpuOp::SEND_NMI, 0, 1)), Errno::EINVAL);
    assert_eq!(
        errno(vcpu_op(&dom0, VcpuOp::GET_PHYSID, 0, ARG)),
        Errno::EINVAL
    );
    // In the hypervisor's range.
    put(&arch::guest::HYPERVISOR_START);
    for op in [
        VcpuOp::REGISTER_RUNSTATE_MEMORY_AREA,
        VcpuOp::REGISTER_VCPU_TIME_MEMORY_AREA,
    ] {
        assert_eq!(errno(vcpu_op(&dom0, op, 0, ARG)), Errno::EFAULT);
    }
}

#[test]
fn pinned_vcpus_of_dom0_have_a_physical_id() {
    let (dom0, domu) = machine();
    set_affinity(&dom0.vcpus()[0], Some(CpuMask::of(0)), None).expect("online");
    set_affinity(&domu.vcpus()[0], Some(CpuMask::of(0)), None).expect("online");
    host().sched.set_apic_id(0, 6);
    host().sched.set_acpi_id(0, 3);
    assert_eq!(vcpu_op(&dom0, VcpuOp::GET_PHYSID, 0, ARG), Ok(0));
    assert_eq!(get::<VcpuGetPhysid>(ARG).phys_id, 3 << 32 | 6);
    assert_eq!(
        errno(vcpu_op(&domu, VcpuOp::GET_PHYSID, 0, ARG)),
        Errno::EINVAL
    );
}

#[test]
fn xsa_296_initialise_checks_anew_on_every_attempt() {
    let (dom0, _) = machine();
    dom0.vcpus()[1].down.store(true, Ordering::SeqCst);
    // Initialised meanwhile, for instance by another vCPU: an attempt that comes back is refused.
    arch::hosted::map_guest(ARG, 0x2000);
    assert_eq!(
        errno(vcpu_op(&dom0, VcpuOp::INITIALISE, 1, ARG)),
        Errno::EEXIST
    );
    // Without a vcpu_info there is nothing to initialise.
    dom0.vcpus()[1].info.set(None);
    assert_eq!(
        errno(vcpu_op(&dom0, VcpuOp::INITIALISE, 1, ARG)),
        Errno::EINVAL
    );
    // And what was never initialised does not come up.
    dom0.vcpus()[1].initialised.store(false, Ordering::SeqCst);
    assert_eq!(errno(vcpu_op(&dom0, VcpuOp::UP, 1, 0)), Errno::EINVAL);
}

#[test]
fn up_and_down() {
    let (dom0, _) = machine();
    assert_eq!(vcpu_op(&dom0, VcpuOp::IS_UP, 1, 0), Ok(1));
    assert_eq!(vcpu_op(&dom0, VcpuOp::DOWN, 1, 0), Ok(0));
    assert_eq!(vcpu_op(&dom0, VcpuOp::IS_UP, 1, 0), Ok(0));
    assert_eq!(vcpu_op(&dom0, VcpuOp::UP, 1, 0), Ok(0));
    assert_eq!(vcpu_op(&dom0, VcpuOp::IS_UP, 1, 0), Ok(1));
    assert_eq!(dom0.vcpus()[1].sched.info(now()).state, Runstate::RUNNABLE);
    assert_eq!(vcpu_op(&dom0, VcpuOp::DOWN, 1, 0), Ok(0));
    assert_eq!(dom0.vcpus()[1].sched.info(now()).state, Runstate::OFFLINE);
    // The last one ends the domain.
    assert_eq!(vcpu_op(&dom0, VcpuOp::DOWN, 0, 0), Ok(0));
    assert_eq!(*dom0.shutdown.lock(), Some(Shutdown::POWEROFF.0));
}

#[test]
fn timers_raise_virq_timer() {
    let (dom0, _) = machine();
    let port = bind_timer(&dom0);
    let clear = || {
        dom0.shared_info.write_u64(EVTCHN_PENDING, 0);
        dom0.shared_info.write_u8(0, 0);
    };
    let set_timer = |t: u64| do_set_timer(&dom0, t);
    assert_eq!(set_timer(10_000), Ok(0));
    at(9_999);
    assert!(!port_pending(&dom0, port));
    at(10_000);
    assert!(port_pending(&dom0, port));
    clear();
    // Stopped.
    assert_eq!(set_timer(20_000), Ok(0));
    assert_eq!(set_timer(0), Ok(0));
    at(30_000);
    assert!(!port_pending(&dom0, port));
    // A wrapped time comes in 100 ms.
    assert_eq!(set_timer(u64::MAX - 5), Ok(0));
    at(30_000 + 99_999_999);
    assert!(!port_pending(&dom0, port));
    at(30_000 + 100_000_000);
    assert!(port_pending(&dom0, port));
    clear();
    // In the past.
    put(&VcpuSetSingleshotTimer {
        timeout_abs_ns: 5,
        flags: VCPU_SSHOTTMR_FUTURE,
        ..Default::default()
    });
    assert_eq!(
        errno(vcpu_op(&dom0, VcpuOp::SET_SINGLESHOT_TIMER, 0, ARG)),
        Errno::ETIME
    );
    assert!(!port_pending(&dom0, port));
    put(&VcpuSetSingleshotTimer {
        timeout_abs_ns: 5,
        ..Default::default()
    });
    assert_eq!(vcpu_op(&dom0, VcpuOp::SET_SINGLESHOT_TIMER, 0, ARG), Ok(0));
    assert!(port_pending(&dom0, port));
    clear();
    // Periodic, until stopped.
    let begin = now();
    put(&VcpuSetPeriodicTimer {
        period_ns: 1_000_000,
    });
    assert_eq!(vcpu_op(&dom0, VcpuOp::SET_PERIODIC_TIMER, 0, ARG), Ok(0));
    for n in 1..4 {
        at(begin + n * 1_000_000);
        assert!(port_pending(&dom0, port), "{n}");
        clear();
    }
    assert_eq!(vcpu_op(&dom0, VcpuOp::STOP_PERIODIC_TIMER, 0, 0), Ok(0));
    at(begin + 10_000_000);
    assert!(!port_pending(&dom0, port));
}

fn do_set_timer(d: &Arc<Domain>, timeout: u64) -> Return {
    crate::time::do_set_timer_op(&cx(d), Args([timeout, 0, 0, 0, 0, 0]))
}

#[test]
fn the_hardware_timer_rests_when_nothing_is_due() {
    let (dom0, _) = machine();
    assert_eq!(do_set_timer(&dom0, 50_000), Ok(0));
    assert_eq!(do_set_timer(&dom0, 0), Ok(0));
    arch::sim::take_events();
    assert_eq!(sched_op(&dom0, SchedOp::BLOCK, 0), Ok(0));
    assert!(switch().is_none());
    assert_eq!(
        arch::sim::take_events(),
        [arch::sim::Event::Deadline { ns: None }]
    );
}

#[test]
fn time_is_told_in_vcpu_info_and_the_copy() {
    let (dom0, _) = machine();
    let v = &dom0.vcpus()[0];
    crate::time::force_update(v);
    let mut bytes = [0; size_of::<VcpuTimeInfo>()];
    dom0.shared_info
        .read(core::mem::offset_of!(VcpuInfo, time), &mut bytes);
    let info = VcpuTimeInfo::read_from_bytes(&bytes).expect("size");
    assert!(info.version != 0 && info.version % 2 == 0);
    assert_eq!(info.flags, 1);
    // 1 GHz: one tick is a nanosecond.
    let ticks = 1_000_000u64;
    let shifted = if info.tsc_shift < 0 {
        ticks >> -info.tsc_shift
    } else {
        ticks << info.tsc_shift
    };
    let ns = ((u128::from(shifted) * u128::from(info.tsc_to_system_mul)) >> 32) as u64;
    assert!(ns.abs_diff(ticks) <= 1);
    put(&AREA);
    assert_eq!(
        vcpu_op(&dom0, VcpuOp::REGISTER_VCPU_TIME_MEMORY_AREA, 0, ARG),
        Ok(0)
    );
    let copy: VcpuTimeInfo = get(AREA);
    assert_eq!(copy.tsc_to_system_mul, info.tsc_to_system_mul);
    assert_eq!(copy.version % 2, 0);
    assert_eq!(copy.version, info.version + 2);
    // An address without memory is not an error, then or later.
    put(&NOWHERE);
    assert_eq!(
        vcpu_op(&dom0, VcpuOp::REGISTER_VCPU_TIME_MEMORY_AREA, 0, ARG),
        Ok(0)
    );
    assert!(v.time.areas_pending());
    crate::time::update_areas(v);
    assert!(!v.time.areas_pending());
}

#[test]
fn runstate_is_told_in_the_area() {
    let (dom0, _) = machine();
    put(&AREA);
    assert_eq!(
        vcpu_op(&dom0, VcpuOp::REGISTER_RUNSTATE_MEMORY_AREA, 0, ARG),
        Ok(0)
    );
    let info: VcpuRunstateInfo = get(AREA);
    assert_eq!(info.state, Runstate::RUNNING);
    assert_eq!(info.state_entry_time, 1_000);
    arch::sim::set_now(3_000);
    assert_eq!(vcpu_op(&dom0, VcpuOp::GET_RUNSTATE_INFO, 0, ARG), Ok(0));
    assert_eq!(get::<VcpuRunstateInfo>(ARG).time[0], 2_000);
    assert_eq!(sched_op(&dom0, SchedOp::BLOCK, 0), Ok(0));
    assert!(switch().is_none());
    assert_eq!(get::<VcpuRunstateInfo>(AREA).state, Runstate::BLOCKED);
    arch::sim::set_now(7_000);
    kick(&dom0.vcpus()[0]);
    assert!(switch().is_some());
    dom0.pv().vm_assist.store(1 << 5, Ordering::SeqCst);
    let info: VcpuRunstateInfo = get(AREA);
    assert_eq!((info.state, info.time[2]), (Runstate::RUNNING, 4_000));
    assert_eq!(info.state_entry_time & XEN_RUNSTATE_UPDATE, 0);
}

#[test]
fn the_wall_clock_is_told_to_all() {
    let (dom0, domu) = machine();
    domu.control.lock().time_offset_seconds = 100;
    assert_eq!(
        crate::time::set_wallclock(1, 1_000_000_000, 0),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        crate::time::set_wallclock(1, 0, 2_000_000_000),
        Err(Errno::EINVAL)
    );
    let seconds = 5 << 32;
    assert_eq!(
        crate::time::set_wallclock(seconds, 7, 1_000_000_000),
        Ok(())
    );
    for (d, offset) in [(&dom0, 0), (&domu, 100)] {
        let page = d.shared_info;
        let base = core::mem::offset_of!(SharedInfo, wc_version);
        let low = u64::from(page.read_u32(base + 4));
        let high = u64::from(page.read_u32(base + 12));
        assert_eq!(page.read_u32(base) % 2, 0);
        assert_eq!(high << 32 | low, seconds - 1 + offset);
        assert_eq!(page.read_u32(base + 8), 7);
    }
}

#[test]
fn xsa_327_vcpu_info_must_be_aligned_and_in_one_page() {
    let (dom0, _) = machine();
    let register = |offset| {
        put(&VcpuRegisterVcpuInfo {
            mfn: 9,
            offset,
            rsvd: 0,
        });
        vcpu_op(&dom0, VcpuOp::REGISTER_VCPU_INFO, 0, ARG)
    };
    for offset in [1, 4, 63, 4096 - 56, 4095, 4096, u32::MAX, u32::MAX - 7] {
        assert_eq!(errno(register(offset)), Errno::ENXIO, "{offset}");
    }
    // Not a page of the domain's.
    assert_eq!(errno(register(64)), Errno::EINVAL);
    assert_eq!(
        dom0.vcpus()[0].info.get().expect("default").frame,
        dom0.shared_info
    );
}

#[test]
fn vcpu_info_of_another_vcpu_that_is_up_stays() {
    let (dom0, _) = machine();
    put(&VcpuRegisterVcpuInfo {
        mfn: 9,
        offset: 0,
        rsvd: 0,
    });
    assert_eq!(
        errno(vcpu_op(&dom0, VcpuOp::REGISTER_VCPU_INFO, 1, ARG)),
        Errno::EINVAL
    );
    // A second registration, too.
    *dom0.vcpus()[0].info_page.lock() = Some(Mfn::new(9));
    assert_eq!(
        errno(vcpu_op(&dom0, VcpuOp::REGISTER_VCPU_INFO, 0, ARG)),
        Errno::EINVAL
    );
}

#[test]
fn pause_and_unpause() {
    let (_, domu) = machine();
    let v = &domu.vcpus()[0];
    start(v);
    assert_eq!(v.sched.info(now()).state, Runstate::RUNNABLE);
    assert_eq!(pause(v), Ok(()));
    assert_eq!(v.sched.info(now()).state, Runstate::OFFLINE);
    unpause(v);
    assert_eq!(v.sched.info(now()).state, Runstate::RUNNABLE);
    unpause(v);
    assert_eq!(v.pause_count.load(Ordering::SeqCst), 0);
    assert_eq!(domain_pause(&domu), Ok(()));
    assert_eq!(v.sched.info(now()).state, Runstate::OFFLINE);
    domain_unpause(&domu);
    assert_eq!(v.sched.info(now()).state, Runstate::RUNNABLE);
}
