//! CPU pools and scheduler parameters, as `xl cpupool-*` and `xl sched-*` ask.

use core::sync::atomic::Ordering;

use hypercall_abi::domctl::*;
use hypercall_abi::sysctl::{self, *};
use hypercall_abi::xen::{DomId, XenctlBitmap};
use hypercall_abi::{Errno, GuestHandle};

use super::machine::*;
use crate::control::{do_domctl, do_sysctl};
use crate::host::host;

const ANY: u32 = XEN_SYSCTL_CPUPOOL_PAR_ANY;

fn sysctl(m: &Machine, cmd: SysctlCmd, set: impl FnOnce(&mut SysctlU)) -> Result<SysctlU, Errno> {
    let mut op = Sysctl {
        cmd,
        interface_version: sysctl::InterfaceVersion::CANONICAL,
        ..Default::default()
    };
    set(&mut op.u);
    call(do_sysctl, &m.dom0, &mut op).map(|_| op.u)
}

fn domctl(
    m: &Machine,
    cmd: DomctlCmd,
    domain: u16,
    set: impl FnOnce(&mut DomctlU),
) -> Result<DomctlU, Errno> {
    let mut op = Domctl {
        cmd,
        interface_version: hypercall_abi::domctl::InterfaceVersion::CANONICAL,
        domain: DomId(domain),
        ..Default::default()
    };
    set(&mut op.u);
    call(do_domctl, &m.dom0, &mut op).map(|_| op.u)
}

/// One request; the set of CPUs goes to ARRAY.
fn pool(m: &Machine, request: SysctlCpupoolOp) -> Result<SysctlCpupoolOp, Errno> {
    let request = SysctlCpupoolOp {
        cpumap: XenctlBitmap {
            bitmap: GuestHandle::new(ARRAY),
            nr_bits: 24,
            ..Default::default()
        },
        ..request
    };
    sysctl(m, SysctlCmd::CPUPOOL_OP, |u| u.set_cpupool_op(request)).map(|u| u.cpupool_op())
}

fn with_cpu(m: &Machine, op: CpupoolOp, cpupool_id: u32, cpu: u32) -> Result<(), Errno> {
    let request = SysctlCpupoolOp {
        op,
        cpupool_id,
        cpu,
        ..Default::default()
    };
    pool(m, request).map(|_| ())
}

fn create(m: &Machine, cpupool_id: u32, sched_id: Scheduler) -> Result<u32, Errno> {
    let request = SysctlCpupoolOp {
        op: CpupoolOp::CREATE,
        cpupool_id,
        sched_id,
        ..Default::default()
    };
    pool(m, request).map(|op| op.cpupool_id)
}

fn move_domain(m: &Machine, domid: u32, cpupool_id: u32) -> Result<(), Errno> {
    let request = SysctlCpupoolOp {
        op: CpupoolOp::MOVEDOMAIN,
        cpupool_id,
        domid,
        ..Default::default()
    };
    pool(m, request).map(|_| ())
}

/// Id, scheduler, domains and CPUs of the first pool from an id up.
fn info(m: &Machine, cpupool_id: u32) -> Result<(u32, Scheduler, u32, u8), Errno> {
    let request = SysctlCpupoolOp {
        op: CpupoolOp::INFO,
        cpupool_id,
        ..Default::default()
    };
    let op = pool(m, request)?;
    Ok((op.cpupool_id, op.sched_id, op.n_dom, get::<u8>(ARRAY, 0)))
}

fn free(m: &Machine) -> u8 {
    let request = SysctlCpupoolOp {
        op: CpupoolOp::FREEINFO,
        ..Default::default()
    };
    pool(m, request).expect("answer");
    get::<u8>(ARRAY, 0)
}

#[test]
fn one_pool_with_everything_at_first() {
    let m = Machine::new();
    assert_eq!(info(&m, 0), Ok((0, Scheduler::CREDIT2, 2, 3)));
    assert_eq!(bytes(ARRAY, 4), [3, 0, 0, DIRT]);
    assert_eq!(info(&m, 1), Err(Errno::ENOENT));
    assert_eq!(free(&m), 0);
    assert_eq!(with_cpu(&m, CpupoolOp::DESTROY, 0, 0), Err(Errno::EBUSY));
    assert_eq!(with_cpu(&m, CpupoolOp::DESTROY, 1, 0), Err(Errno::ENOENT));
    assert_eq!(with_cpu(&m, CpupoolOp::ADDCPU, 0, ANY), Err(Errno::ENODEV));
    assert_eq!(with_cpu(&m, CpupoolOp::ADDCPU, 0, 1), Err(Errno::ENODEV));
    assert_eq!(with_cpu(&m, CpupoolOp::ADDCPU, 0, 777), Err(Errno::EINVAL));
    assert_eq!(with_cpu(&m, CpupoolOp::ADDCPU, 7, 1), Err(Errno::ENOENT));
    assert_eq!(with_cpu(&m, CpupoolOp::RMCPU, 0, 0), Err(Errno::EINVAL));
    assert_eq!(with_cpu(&m, CpupoolOp::RMCPU, 0, 77), Err(Errno::EINVAL));
    assert_eq!(with_cpu(&m, CpupoolOp::RMCPU, 7, 1), Err(Errno::ENOENT));
    assert_eq!(move_domain(&m, 0, 0), Err(Errno::EPERM));
    assert_eq!(move_domain(&m, 9, 0), Err(Errno::ESRCH));
    assert_eq!(move_domain(&m, 1 << 20, 0), Err(Errno::ESRCH));
    assert_eq!(move_domain(&m, 1, 1), Err(Errno::ENOENT));
    assert_eq!(move_domain(&m, 1, 0), Ok(()));
    let odd = SysctlCpupoolOp {
        op: CpupoolOp(9),
        ..Default::default()
    };
    assert_eq!(pool(&m, odd).err(), Some(Errno::ENOSYS));
}

#[test]
fn pools_come_and_go() {
    let m = Machine::new();
    assert_eq!(create(&m, 0, Scheduler::CREDIT2), Err(Errno::EEXIST));
    assert_eq!(create(&m, ANY, Scheduler::RTDS), Err(Errno::ENOENT));
    assert_eq!(create(&m, ANY, Scheduler::CREDIT2), Ok(1));
    assert_eq!(create(&m, 7, Scheduler::CREDIT), Ok(7));
    assert_eq!(create(&m, 7, Scheduler::CREDIT), Err(Errno::EEXIST));
    assert_eq!(create(&m, 5, Scheduler::CREDIT2), Ok(5));
    // Two for each CPU.
    assert_eq!(create(&m, ANY, Scheduler::CREDIT2), Err(Errno::ENOSPC));
    assert_eq!(info(&m, 2), Ok((5, Scheduler::CREDIT2, 0, 0)));
    assert_eq!(info(&m, 6), Ok((7, Scheduler::CREDIT, 0, 0)));
    for id in [1, 5, 7] {
        assert_eq!(with_cpu(&m, CpupoolOp::DESTROY, id, 0), Ok(()));
    }
    assert_eq!(info(&m, 1), Err(Errno::ENOENT));
    // Ids at the end of their range do not wrap.
    assert_eq!(
        create(&m, u32::MAX - 1, Scheduler::CREDIT2),
        Ok(u32::MAX - 1)
    );
    assert_eq!(create(&m, ANY, Scheduler::CREDIT2), Ok(1));
}

#[test]
fn cpus_and_domains_move_between_pools() {
    let m = Machine::new();
    assert_eq!(create(&m, ANY, Scheduler::CREDIT), Ok(1));
    assert_eq!(move_domain(&m, 1, 1), Err(Errno::ENOENT), "no CPU yet");
    assert_eq!(with_cpu(&m, CpupoolOp::RMCPU, 0, ANY), Ok(()));
    assert_eq!((free(&m), info(&m, 0).map(|i| i.3)), (2, Ok(1)));
    assert_eq!(
        with_cpu(&m, CpupoolOp::RMCPU, 0, 1),
        Err(Errno::EADDRNOTAVAIL)
    );
    assert_eq!(with_cpu(&m, CpupoolOp::ADDCPU, 1, ANY), Ok(()));
    assert_eq!((free(&m), info(&m, 1).map(|i| i.3)), (0, Ok(2)));
    let vcpu = &m.dom1.vcpu;
    let cx = context(&m.dom1.domain, 0);
    vcpu.down.store(false, Ordering::SeqCst);
    let _ = host().sched.reevaluate(&cx, 0);
    assert_eq!(vcpu.sched.info(0).cpu, 0);
    assert_eq!(move_domain(&m, 1, 1), Ok(()));
    assert_eq!(info(&m, 1), Ok((1, Scheduler::CREDIT, 1, 2)));
    assert_eq!(vcpu.sched.info(0).cpu, 1, "it waits where it may run");
    let answer = domctl(&m, DomctlCmd::GETDOMAININFO, 1, |_| ()).expect("info");
    assert_eq!(answer.getdomaininfo().cpupool, 1);
    // Its affinity is limited to its pool.
    let affinity = |cpus: u8| {
        let op = DomctlVcpuaffinity {
            vcpu: 0,
            flags: XEN_VCPUAFFINITY_HARD,
            cpumap_hard: XenctlBitmap {
                bitmap: GuestHandle::new(ARRAY),
                nr_bits: 8,
                ..Default::default()
            },
            ..Default::default()
        };
        put(ARRAY, 0, &cpus);
        domctl(&m, DomctlCmd::SETVCPUAFFINITY, 1, |u| {
            u.set_vcpuaffinity(op)
        })
        .map(|_| get::<u8>(ARRAY, 0))
    };
    assert_eq!(affinity(1), Err(Errno::EINVAL));
    assert_eq!(affinity(3), Ok(2), "what is in force comes back");
    // The last CPU stays under a living domain; a dying one falls back to pool 0.
    assert_eq!(with_cpu(&m, CpupoolOp::RMCPU, 1, 1), Err(Errno::EBUSY));
    assert_eq!(with_cpu(&m, CpupoolOp::DESTROY, 1, 0), Err(Errno::EBUSY));
    m.dom1.domain.dying.store(true, Ordering::SeqCst);
    assert_eq!(with_cpu(&m, CpupoolOp::RMCPU, 1, 1), Ok(()));
    assert_eq!(info(&m, 0), Ok((0, Scheduler::CREDIT2, 2, 1)));
    assert_eq!(vcpu.sched.info(0).cpu, 0);
    assert_eq!(with_cpu(&m, CpupoolOp::DESTROY, 1, 0), Ok(()));
    assert_eq!(with_cpu(&m, CpupoolOp::ADDCPU, 0, 1), Ok(()));
    assert_eq!((free(&m), info(&m, 0).map(|i| i.3)), (0, Ok(3)));
}

#[test]
fn a_vcpu_whose_affinity_is_taken_away_runs_anywhere_in_its_pool() {
    let m = Machine::new();
    let cx = context(&m.dom1.domain, 0);
    let only = crate::sched::CpuMask::of(1);
    let set = host().sched.set_affinity(&cx, Some(only), None, 0);
    assert!(set.is_ok());
    assert_eq!(with_cpu(&m, CpupoolOp::RMCPU, 0, 1), Ok(()));
    assert_eq!(cx.vcpu.sched.info(0).hard, crate::sched::CpuMask::ALL);
    assert_eq!(with_cpu(&m, CpupoolOp::ADDCPU, 0, 1), Ok(()));
    // One that is bound keeps its CPU in the pool, and its domain with it.
    let bound = host().sched.pin_override(&cx, Some(1), 0);
    assert!(bound.is_ok());
    assert_eq!(with_cpu(&m, CpupoolOp::RMCPU, 0, 1), Err(Errno::EADDRINUSE));
}

#[test]
fn new_domains_enter_a_pool_that_can_run_them() {
    let m = Machine::new();
    let add = |id| crate::sched::pool::add_domain(&m.dom1.domain, id);
    assert_eq!(add(3), Err(Errno::ESRCH));
    assert_eq!(create(&m, 3, Scheduler::CREDIT2), Ok(3));
    assert_eq!(add(3), Err(Errno::ENODEV));
    assert_eq!(with_cpu(&m, CpupoolOp::RMCPU, 0, 1), Ok(()));
    assert_eq!(with_cpu(&m, CpupoolOp::ADDCPU, 3, 1), Ok(()));
    assert_eq!(add(3), Ok(()));
    assert_eq!(m.dom1.domain.sched.pool(), 3);
}

#[test]
fn parameters_of_credit2() {
    let m = Machine::new();
    let adjust = |cmd, cpupool_id, sched_id, ratelimit_us| {
        let mut op = SysctlSchedulerOp {
            cpupool_id,
            sched_id,
            cmd,
            ..Default::default()
        };
        op.u.set_sched_credit2(SysctlCredit2Schedule { ratelimit_us });
        sysctl(&m, SysctlCmd::SCHEDULER_OP, |u| u.set_scheduler_op(op))
            .map(|u| u.scheduler_op().u.sched_credit2().ratelimit_us)
    };
    let (put, get) = (SysctlSchedOp::PUTINFO, SysctlSchedOp::GETINFO);
    assert_eq!(adjust(get, 0, Scheduler::CREDIT2, 0), Ok(1000));
    for rate in [0, 100, 500, 500_000] {
        assert_eq!(adjust(put, 0, Scheduler::CREDIT2, rate), Ok(rate));
        assert_eq!(adjust(get, 0, Scheduler::CREDIT2, 0), Ok(rate));
    }
    for rate in [1, 99, 500_001, u32::MAX] {
        let answer = adjust(put, 0, Scheduler::CREDIT2, rate);
        assert_eq!(answer, Err(Errno::EINVAL), "{rate}");
    }
    assert_eq!(adjust(get, 1, Scheduler::CREDIT2, 0), Err(Errno::ESRCH));
    assert_eq!(adjust(get, 0, Scheduler::CREDIT, 0), Err(Errno::EINVAL));
    let odd = adjust(SysctlSchedOp(2), 0, Scheduler::CREDIT2, 0);
    assert_eq!(odd, Err(Errno::EINVAL));
}

#[test]
fn parameters_of_credit() {
    let m = Machine::new();
    assert_eq!(create(&m, ANY, Scheduler::CREDIT), Ok(1));
    let adjust = |cmd, tslice_ms, ratelimit_us, vcpu_migr_delay_us| {
        let mut op = SysctlSchedulerOp {
            cpupool_id: 1,
            sched_id: Scheduler::CREDIT,
            cmd,
            ..Default::default()
        };
        op.u.set_sched_credit(SysctlCreditSchedule {
            tslice_ms,
            ratelimit_us,
            vcpu_migr_delay_us,
        });
        sysctl(&m, SysctlCmd::SCHEDULER_OP, |u| u.set_scheduler_op(op)).map(|u| {
            let now = u.scheduler_op().u.sched_credit();
            (now.tslice_ms, now.ratelimit_us, now.vcpu_migr_delay_us)
        })
    };
    let (put, get) = (SysctlSchedOp::PUTINFO, SysctlSchedOp::GETINFO);
    assert_eq!(adjust(get, 0, 0, 0), Ok((10, 1000, 0)));
    assert_eq!(adjust(put, 30, 2000, 5), Ok((30, 2000, 5)));
    for (slice, rate, delay) in [
        (0, 0, 0),
        (1001, 0, 0),
        (1, 2000, 0),
        (30, 99, 0),
        (30, 0, 100_001),
    ] {
        let answer = adjust(put, slice, rate, delay);
        assert_eq!(answer, Err(Errno::EINVAL), "{slice} {rate} {delay}");
    }
    assert_eq!(adjust(get, 0, 0, 0), Ok((30, 2000, 5)));
    // A domain there is asked for credit's weight and cap.
    assert_eq!(with_cpu(&m, CpupoolOp::RMCPU, 0, 1), Ok(()));
    assert_eq!(with_cpu(&m, CpupoolOp::ADDCPU, 1, 1), Ok(()));
    assert_eq!(move_domain(&m, 1, 1), Ok(()));
    let share = |sched_id, cmd, weight, cap| {
        let mut op = DomctlSchedulerOp {
            sched_id,
            cmd,
            ..Default::default()
        };
        op.u.set_credit(DomctlSchedCredit { weight, cap });
        domctl(&m, DomctlCmd::SCHEDULER_OP, 1, |u| u.set_scheduler_op(op)).map(|u| {
            let now = u.scheduler_op().u.credit();
            (now.weight, now.cap)
        })
    };
    let (put, get) = (DomctlSchedOp::PUTINFO, DomctlSchedOp::GETINFO);
    assert_eq!(share(Scheduler::CREDIT, put, 512, 200), Ok((512, 200)));
    let kept = share(Scheduler::CREDIT, put, 0, u16::MAX);
    assert_eq!(kept, Ok((0, u16::MAX)));
    assert_eq!(share(Scheduler::CREDIT, get, 0, 0), Ok((512, 200)));
    assert_eq!(share(Scheduler::CREDIT2, get, 0, 0), Err(Errno::EINVAL));
    for cmd in [
        DomctlSchedOp::PUTVCPUINFO,
        DomctlSchedOp::GETVCPUINFO,
        DomctlSchedOp(4),
    ] {
        assert_eq!(share(Scheduler::CREDIT, cmd, 0, 0), Err(Errno::EINVAL));
    }
}
