//! Every operation of the table in `xsm`, asked by an unprivileged domain about dom0.

use core::sync::atomic::Ordering;

use hypercall_abi::Errno;
use hypercall_abi::domctl::{Domctl, DomctlCmd, DomctlGetdomaininfo, InterfaceVersion};
use hypercall_abi::event_channel::EvtchnOp;
use hypercall_abi::grant_table::{GntStatus, GnttabOp};
use hypercall_abi::memory::{MemoryExchange, MemoryReservation, XenMem};
use hypercall_abi::physdev::PhysdevOp;
use hypercall_abi::platform::{PlatformOp, PlatformOpArg, XENPF_INTERFACE_VERSION};
use hypercall_abi::sched::SchedOp;
use hypercall_abi::sysctl::{self, Sysctl, SysctlCmd};
use hypercall_abi::version::XenVer;
use hypercall_abi::versions::stable::GET_DOMAIN_STATE;
use hypercall_abi::xen::{DomId, Hypercall};

use super::machine::*;
use crate::domain::Context;
use crate::fail::Args;
use crate::hypercall::dispatch;
use crate::xsm::{self, Privilege, TABLE};

/// An argument that names dom0 wherever the operation has a place for a domain, and is well-formed otherwise.
fn arguments(hypercall: Hypercall, op: u32) -> Args {
    put(ARG, 0, &[0u8; 256]);
    let second = Args([op.into(), ARG, 1, 0, 0, 0]);
    match hypercall {
        Hypercall::MMU_UPDATE | Hypercall::MMUEXT_OP => {
            // Number 0 in the last argument: dom0's frames.
            Args([ARG, 1, 0, 0, 0, 0])
        }
        Hypercall::UPDATE_VA_MAPPING_OTHERDOMAIN => Args([0x1000, 0, 0, 0, 0, 0]),
        Hypercall::CONSOLE_IO => Args([op.into(), 1, ARG, 0, 0, 0]),
        Hypercall::DOMCTL => {
            let domctl = Domctl {
                cmd: DomctlCmd(op),
                interface_version: InterfaceVersion::CANONICAL,
                ..Default::default()
            };
            put(ARG, 0, &domctl);
            Args([ARG, 0, 0, 0, 0, 0])
        }
        Hypercall::SYSCTL => {
            let sysctl = Sysctl {
                cmd: SysctlCmd(op),
                interface_version: sysctl::InterfaceVersion::CANONICAL,
                ..Default::default()
            };
            put(ARG, 0, &sysctl);
            Args([ARG, 0, 0, 0, 0, 0])
        }
        Hypercall::PLATFORM_OP => {
            let platform = PlatformOpArg {
                cmd: PlatformOp(op),
                interface_version: XENPF_INTERFACE_VERSION,
                ..Default::default()
            };
            put(ARG, 0, &platform);
            Args([ARG, 0, 0, 0, 0, 0])
        }
        Hypercall::MEMORY_OP => {
            if XenMem(op) == XenMem::ACQUIRE_RESOURCE {
                put(ARG, 0, &[0u32, 0, 1, 0]);
            } else if XenMem(op) == XenMem::EXCHANGE {
                let part = MemoryReservation {
                    nr_extents: 1,
                    ..Default::default()
                };
                let exchange = MemoryExchange {
                    r#in: part,
                    out: part,
                    ..Default::default()
                };
                put(ARG, 0, &exchange);
            } else if matches!(
                XenMem(op),
                XenMem::INCREASE_RESERVATION
                    | XenMem::DECREASE_RESERVATION
                    | XenMem::POPULATE_PHYSMAP
            ) {
                let reservation = MemoryReservation {
                    nr_extents: 1,
                    ..Default::default()
                };
                put(ARG, 0, &reservation);
            }
            second
        }
        _ => second,
    }
}

/// What the caller gets. Where that is not `EPERM`, why.
fn expected(hypercall: Hypercall, op: u32) -> Result<u64, Errno> {
    match hypercall {
        Hypercall::MEMORY_OP => match XenMem(op) {
            // The result is the number of extents done.
            XenMem::INCREASE_RESERVATION
            | XenMem::DECREASE_RESERVATION
            | XenMem::POPULATE_PHYSMAP => Ok(0),
            // The kind of the domain is looked at first.
            XenMem::ADD_TO_PHYSMAP | XenMem::ADD_TO_PHYSMAP_BATCH | XenMem::REMOVE_FROM_PHYSMAP => {
                Err(Errno::EACCES)
            }
            // Off for everybody.
            XenMem::ACCESS_OP => Err(Errno::EINVAL),
            XenMem::PAGING_OP | XenMem::SHARING_OP => Err(Errno::ENOSYS),
            _ => Err(Errno::EPERM),
        },
        // A status in the structure says it.
        Hypercall::GRANT_TABLE_OP if GnttabOp(op) != GnttabOp::GET_VERSION => Ok(0),
        // The caller learns that it may not know.
        Hypercall::XEN_VERSION if XenVer(op) == XenVer::COMMANDLINE => Ok(0),
        // There is no such interrupt on the test's machine, whoever asks.
        Hypercall::PHYSDEV_OP if PhysdevOp(op) == PhysdevOp::SETUP_GSI => Err(Errno::EINVAL),
        Hypercall::XEN_VERSION if op > XenVer::BUILD_ID.0 => Err(Errno::ENOSYS),
        // Its own page table is at fault before anybody else's frame is looked at.
        Hypercall::UPDATE_VA_MAPPING => Err(Errno::EINVAL),
        _ => Err(Errno::EPERM),
    }
}

/// Where an operation leaves its status, if it does.
fn status(op: u32) -> Option<GntStatus> {
    let at = match GnttabOp(op) {
        GnttabOp::SETUP_TABLE => 8,
        GnttabOp::QUERY_SIZE => 12,
        GnttabOp::GET_STATUS_FRAMES => 6,
        _ => return None,
    };
    Some(GntStatus(get::<i16>(ARG + at, 0)))
}

/// What a refused caller must not have changed of its target.
fn state(cx: &Context) -> (u64, u64, u32, bool, Option<u32>, [u8; 16]) {
    let d = &cx.domain;
    (
        d.mem.tot_pages(),
        d.mem.max_pages(),
        d.pause_count.load(Ordering::Relaxed),
        d.is_dying(),
        *d.shutdown.lock(),
        d.control.lock().handle,
    )
}

#[test]
fn an_unprivileged_domain_gets_nothing_that_is_not_its_own() {
    let m = Machine::new();
    let before = state(&m.dom0);
    let (mut asked, mut wrong) = (0, Vec::new());
    for rules in TABLE {
        let numbers = rules.operations.iter().map(|(op, _)| *op);
        // Numbers without a rule of their own too.
        for op in numbers.chain(0..100) {
            let hypercall = rules.hypercall;
            let off = hypercall == Hypercall::XENPMU_OP;
            let own_tables = hypercall == Hypercall::UPDATE_VA_MAPPING;
            if off || own_tables || xsm::required(hypercall, op) == Privilege::Anybody {
                continue;
            }
            if hypercall == Hypercall::MEMORY_OP && (op >= 64 || XenMem(op).name().is_none()) {
                continue;
            }
            let args = arguments(hypercall, op);
            let answer = settled(dispatch(&m.dom1, hypercall.0.into(), args));
            if answer != expected(hypercall, op) {
                wrong.push((hypercall, op, answer));
            }
            if hypercall == Hypercall::GRANT_TABLE_OP
                && let Some(status) = status(op)
                && status != GntStatus::PERMISSION_DENIED
            {
                wrong.push((hypercall, op, Ok(status.0 as u64)));
            }
            asked += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(asked > 300, "{asked}");
    assert_eq!(state(&m.dom0), before);
}

#[test]
fn each_kind_of_caller_gets_what_its_kind_may() {
    let m = Machine::new();
    let (dom0, dom1) = (&*m.dom0.domain, &*m.dom1.domain);
    for (privilege, own, other, control) in [
        (Privilege::Anybody, true, true, true),
        (Privilege::Target, true, false, true),
        (Privilege::Xenstore, false, false, true),
        (Privilege::DeviceModel, false, false, true),
        (Privilege::Control, false, false, true),
        (Privilege::Hardware, false, false, true),
    ] {
        assert_eq!(
            xsm::allowed(privilege, dom1, Some(dom1)),
            own,
            "{privilege:?}"
        );
        assert_eq!(
            xsm::allowed(privilege, dom1, Some(dom0)),
            other,
            "{privilege:?}"
        );
        assert_eq!(xsm::allowed(privilege, dom1, None), other, "{privilege:?}");
        assert_eq!(
            xsm::allowed(privilege, dom0, Some(dom1)),
            control,
            "{privilege:?}"
        );
        assert_eq!(
            xsm::allowed(privilege, dom0, None),
            control,
            "{privilege:?}"
        );
    }
}

#[test]
fn the_xenstore_domain_may_look_at_others_and_no_more() {
    let m = Machine::new();
    m.dom1.domain.xenstore.store(true, Ordering::Relaxed);
    let mut asked = 0;
    for cmd in 0..100 {
        let args = arguments(Hypercall::DOMCTL, cmd);
        let answer = settled(dispatch(&m.dom1, Hypercall::DOMCTL.0.into(), args));
        if DomctlCmd(cmd) == DomctlCmd::GETDOMAININFO {
            assert_eq!(answer, Ok(0));
            let info: DomctlGetdomaininfo = get(ARG + 16, 0);
            assert_eq!(info.domain, DomId(0));
            asked += 1;
        } else if DomctlCmd(cmd) == GET_DOMAIN_STATE {
            // Known to callers that name its own version.
            assert_eq!(answer, Err(Errno::ENOSYS));
        } else {
            assert_eq!(answer, Err(Errno::EPERM), "{cmd}");
        }
    }
    assert_eq!(asked, 1);
    let args = arguments(Hypercall::SYSCTL, SysctlCmd::GETDOMAININFOLIST.0);
    let answer = settled(dispatch(&m.dom1, Hypercall::SYSCTL.0.into(), args));
    assert_eq!(answer, Err(Errno::EPERM));
}

#[test]
fn a_hypercall_has_one_place_in_the_table_and_an_operation_one_rule() {
    for (i, rules) in TABLE.iter().enumerate() {
        let again = |r: &&xsm::Rules| r.hypercall == rules.hypercall;
        assert_eq!(
            TABLE.iter().skip(i + 1).find(again).map(|r| r.hypercall),
            None
        );
        for (j, (op, _)) in rules.operations.iter().enumerate() {
            let rest = rules.operations.get(j + 1..).unwrap_or_default();
            assert!(
                rest.iter().all(|(other, _)| other != op),
                "{:?} {op}",
                rules.hypercall
            );
        }
    }
    // A few that matter most, so that nobody changes them in passing.
    for (hypercall, op, privilege) in [
        (
            Hypercall::DOMCTL,
            DomctlCmd::CREATEDOMAIN.0,
            Privilege::Control,
        ),
        (Hypercall::DOMCTL, 4711, Privilege::Control),
        (Hypercall::SYSCTL, 4711, Privilege::Control),
        (Hypercall::PLATFORM_OP, 4711, Privilege::Control),
        (Hypercall(63), 0, Privilege::Control),
        (
            Hypercall::PHYSDEV_OP,
            PhysdevOp::MAP_PIRQ.0,
            Privilege::DeviceModel,
        ),
        (
            Hypercall::SCHED_OP,
            SchedOp::REMOTE_SHUTDOWN.0,
            Privilege::DeviceModel,
        ),
        (
            Hypercall::EVENT_CHANNEL_OP,
            EvtchnOp::RESET.0,
            Privilege::Target,
        ),
        (
            Hypercall::EVENT_CHANNEL_OP,
            EvtchnOp::SEND.0,
            Privilege::Anybody,
        ),
    ] {
        assert_eq!(
            xsm::required(hypercall, op),
            privilege,
            "{hypercall:?} {op}"
        );
    }
}
