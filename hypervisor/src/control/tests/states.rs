//! What the xenstored of Xen 4.21 and later asks: which domains changed.

use core::sync::atomic::Ordering;

use hypercall_abi::Errno;
use hypercall_abi::domctl::{Domctl, InterfaceVersion};
use hypercall_abi::event_channel::{EvtchnBindVirq, EvtchnClose, EvtchnOp};
use hypercall_abi::versions::stable::*;
use hypercall_abi::xen::{DomId, Hypercall, Virq};

use super::machine::*;
use crate::control::do_domctl;
use crate::domain::Context;
use crate::fail::Args;
use crate::host::host;
use crate::hypercall::dispatch;

fn ask(cx: &Context, domain: u16) -> Result<(u16, GetDomainState), Errno> {
    let mut op = Domctl {
        cmd: GET_DOMAIN_STATE,
        interface_version: InterfaceVersion(VERSION),
        domain: DomId(domain),
        ..Default::default()
    };
    call(do_domctl, cx, &mut op).map(|_| (op.domain.0, GetDomainState::from_request(&op.u)))
}

fn events(cx: &Context, op: EvtchnOp) -> u64 {
    let args = Args([op.0.into(), ARG, 0, 0, 0, 0]);
    settled(dispatch(cx, Hypercall::EVENT_CHANNEL_OP.0.into(), args)).expect("done")
}

/// Binds VIRQ_DOM_EXC, as a starting xenstored does; its port.
fn bind(cx: &Context) -> u32 {
    let op = EvtchnBindVirq {
        virq: Virq::DOM_EXC,
        ..Default::default()
    };
    put(ARG, 0, &op);
    events(cx, EvtchnOp::BIND_VIRQ);
    get::<EvtchnBindVirq>(ARG, 0).port
}

#[test]
fn changes_are_told_once_and_again_to_a_new_xenstored() {
    let m = Machine::new();
    let any = DomId::INVALID.0;
    assert_eq!(ask(&m.dom0, any), Err(Errno::EACCES), "no VIRQ bound");
    let port = bind(&m.dom0);
    let caps = CAP_CONTROL | CAP_HARDWARE;
    let (id, first) = ask(&m.dom0, any).expect("dom0");
    assert_eq!((id, first.state, first.caps), (0, STATE_EXIST, caps));
    let (id, second) = ask(&m.dom0, any).expect("domain 1");
    assert_eq!((id, second.state, second.caps), (1, STATE_EXIST, 0));
    assert_ne!(first.unique_id, second.unique_id);
    assert_eq!(ask(&m.dom0, any), Err(Errno::ENOENT));
    // It shuts down, is torn down, and goes.
    *m.dom1.domain.shutdown.lock() = Some(0);
    let (id, now) = ask(&m.dom0, any).expect("shutdown");
    assert_eq!((id, now.state), (1, STATE_EXIST | STATE_SHUTDOWN));
    assert_eq!(ask(&m.dom0, any), Err(Errno::ENOENT));
    m.dom1.domain.dying.store(true, Ordering::SeqCst);
    let (_, now) = ask(&m.dom0, any).expect("dying");
    assert_eq!(now.state, STATE_EXIST | STATE_SHUTDOWN | STATE_DYING);
    host().domains.remove(m.dom1.domain.id);
    assert_eq!(ask(&m.dom0, any), Ok((1, GetDomainState::default())));
    assert_eq!(ask(&m.dom0, any), Err(Errno::ENOENT));
    // xenstored starts anew.
    put(ARG, 0, &EvtchnClose { port });
    events(&m.dom0, EvtchnOp::CLOSE);
    assert_eq!(ask(&m.dom0, any), Err(Errno::EACCES));
    bind(&m.dom0);
    assert_eq!(ask(&m.dom0, any).map(|(id, _)| id), Ok(0));
}

#[test]
fn one_domain_is_described_to_who_may_know() {
    let m = Machine::new();
    let (id, state) = ask(&m.dom0, 1).expect("domain 1");
    assert_eq!((id, state.unique_id), (1, m.dom1.domain.unique_id));
    assert_eq!(ask(&m.dom0, 9), Err(Errno::ESRCH));
    assert_eq!(ask(&m.dom1, 1), Err(Errno::EPERM));
    m.dom1.domain.xenstore.store(true, Ordering::Relaxed);
    assert_eq!(ask(&m.dom1, 0).map(|(id, _)| id), Ok(0));
    assert_eq!(ask(&m.dom1, 1).map(|(_, s)| s.caps), Ok(CAP_XENSTORE));
    assert_eq!(ask(&m.dom1, DomId::INVALID.0), Err(Errno::EACCES));
    let mut op = Domctl {
        cmd: GET_DOMAIN_STATE,
        interface_version: InterfaceVersion(VERSION),
        domain: DomId(1),
        ..Default::default()
    };
    op.u.0[0] = 1 << 32;
    assert_eq!(call(do_domctl, &m.dom0, &mut op), Err(Errno::EINVAL));
    // Only version 0 has it.
    op.interface_version = InterfaceVersion::CANONICAL;
    assert_eq!(call(do_domctl, &m.dom0, &mut op), Err(Errno::ENOSYS));
}
