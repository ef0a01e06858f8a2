//! Host-side tests: refusals, delivery in both ABIs, the state machine against a model, known classes of bugs.

mod audit;
mod consumer;
mod fifo;
mod model;
mod two_level;
mod xsa;

use alloc::sync::Arc;

use arch::addr::Mfn;
use hypercall_abi::Errno;
use hypercall_abi::event_channel::*;
use hypercall_abi::xen::{DomId, Virq};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::*;
use crate::fail::{Args, Fail, Return};
use crate::host::host;
use crate::simulated::{self, context};

/// Frames of the simulated machine.
pub const FRAMES: usize = 200;
/// Where the simulated guest keeps hypercall arguments.
const ARG: u64 = 0x10_0000;

/// A fresh machine with domains `0..domains` of `vcpus` vCPUs each; domain n's shared_info is frame n.
fn machine(domains: u16, vcpus: u32) -> Vec<Arc<Domain>> {
    simulated::switch_on_without_memory(FRAMES);
    arch::hosted::map_guest(ARG, 4096);
    (0..domains)
        .map(|id| simulated::domain_without_memory(id, vcpus))
        .collect()
}

#[test]
fn ports_do_not_grow_into_what_the_hypervisor_keeps() {
    let d = machine(1, 1).remove(0);
    let first: Vec<u32> = (1..BUCKET).map(|_| unbound(&d, 0)).collect();
    host().mm.set_reserve(1);
    assert_eq!(alloc_unbound(&d, DomId::SELF, DomId(0)), Err(Errno::ENOMEM));
    call(&d, EvtchnOp::CLOSE, &mut EvtchnClose { port: first[0] }).expect("bound");
    unbound(&d, 0);
    host().mm.set_reserve(0);
    unbound(&d, 0);
}

#[test]
fn a_timer_that_outlives_its_domain_raises_nothing() {
    let d = machine(1, 1).remove(0);
    let vcpu = d.vcpus()[0].clone();
    start_polling(&vcpu);
    host().domains.remove(d.id);
    drop(d);
    assert!(vcpu.try_domain().is_none());
    send_virq(&vcpu, Virq::TIMER);
    assert!(!virq_bound(&vcpu, Virq::TIMER));
    assert!(stop_polling(&vcpu));
}

/// A hypercall with an argument, as vCPU 0 of `d`.
fn call<T: FromBytes + IntoBytes + Immutable>(
    d: &Arc<Domain>,
    op: EvtchnOp,
    arg: &mut T,
) -> Result<(), Errno> {
    match raw_call(d, op, arg) {
        Ok(0) => Ok(()),
        Err(Fail::Errno(errno)) => Err(errno),
        other => panic!("{other:?}"),
    }
}

fn raw_call<T: FromBytes + IntoBytes + Immutable>(
    d: &Arc<Domain>,
    op: EvtchnOp,
    arg: &mut T,
) -> Return {
    let handle = hypercall_abi::GuestHandle::new(ARG);
    crate::guest::write(handle, 0, arg).expect("mapped");
    let args = Args([op.0.into(), ARG, 0, 0, 0, 0]);
    let result = do_event_channel_op(&context(d, 0), args);
    *arg = crate::guest::read(handle, 0).expect("mapped");
    result
}

fn alloc_unbound(d: &Arc<Domain>, dom: DomId, remote: DomId) -> Result<u32, Errno> {
    let mut op = EvtchnAllocUnbound {
        dom,
        remote_dom: remote,
        port: 0,
    };
    call(d, EvtchnOp::ALLOC_UNBOUND, &mut op).map(|()| op.port)
}

fn unbound(d: &Arc<Domain>, remote: u16) -> u32 {
    alloc_unbound(d, DomId::SELF, DomId(remote)).expect("port")
}

fn bind(d: &Arc<Domain>, remote: u16, port: u32) -> Result<u32, Errno> {
    let mut op = EvtchnBindInterdomain {
        remote_dom: DomId(remote),
        remote_port: port,
        ..Default::default()
    };
    call(d, EvtchnOp::BIND_INTERDOMAIN, &mut op).map(|()| op.local_port)
}

fn bind_virq(d: &Arc<Domain>, virq: u32, vcpu: u32) -> Result<u32, Errno> {
    let mut op = EvtchnBindVirq {
        virq: Virq(virq),
        vcpu,
        port: 0,
    };
    call(d, EvtchnOp::BIND_VIRQ, &mut op).map(|()| op.port)
}

fn bind_ipi(d: &Arc<Domain>, vcpu: u32) -> Result<u32, Errno> {
    let mut op = EvtchnBindIpi { vcpu, port: 0 };
    call(d, EvtchnOp::BIND_IPI, &mut op).map(|()| op.port)
}

fn close_port(d: &Arc<Domain>, port: u32) -> Result<(), Errno> {
    call(d, EvtchnOp::CLOSE, &mut EvtchnClose { port })
}

fn send_port(d: &Arc<Domain>, port: u32) -> Result<(), Errno> {
    call(d, EvtchnOp::SEND, &mut EvtchnSend { port })
}

fn unmask_port(d: &Arc<Domain>, port: u32) -> Result<(), Errno> {
    call(d, EvtchnOp::UNMASK, &mut EvtchnUnmask { port })
}

fn bind_vcpu(d: &Arc<Domain>, port: u32, vcpu: u32) -> Result<(), Errno> {
    call(d, EvtchnOp::BIND_VCPU, &mut EvtchnBindVcpu { port, vcpu })
}

fn status(d: &Arc<Domain>, dom: DomId, port: u32) -> Result<EvtchnStatus, Errno> {
    let mut op = EvtchnStatus {
        dom,
        port,
        ..Default::default()
    };
    call(d, EvtchnOp::STATUS, &mut op).map(|()| op)
}

fn reset_self(d: &Arc<Domain>) -> Result<(), Errno> {
    let mut op = EvtchnOp::RESET;
    loop {
        match raw_call(d, op, &mut EvtchnReset { dom: DomId::SELF }) {
            Ok(_) => return Ok(()),
            Err(Fail::Errno(errno)) => return Err(errno),
            Err(Fail::Continue(args)) => op = EvtchnOp(args.0[0] as u32),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// A connected pair of ports: one of `a`, one of `b`.
fn pair(a: &Arc<Domain>, b: &Arc<Domain>) -> (u32, u32) {
    let pa = unbound(a, b.id.0);
    (pa, bind(b, a.id.0, pa).expect("bound"))
}

/// Takes the upcall flag and selector of a vCPU back, as the guest does on entry. True if an upcall was pending.
fn take_upcall(d: &Domain, vcpu: usize) -> bool {
    let slot = d.vcpus()[vcpu].info.get().expect("slot");
    slot.frame
        .fetch_and_u64(slot.offset + VCPU_INFO_PENDING_SEL, 0);
    slot.frame.fetch_and_u8(slot.offset, 0) != 0
}

/// Checks what must always hold, by counting anew.
fn check_invariants(domains: &[Arc<Domain>]) {
    for d in domains {
        let (valid, active, hypervisor) = {
            let table = d.events.table.lock();
            (
                DomainEvents::valid_ports(&table),
                table.active,
                table.hypervisor,
            )
        };
        let (mut bound, mut own) = (0, 0);
        for port in 0..valid {
            let channel = d.events.channel(port).expect("valid");
            let state = channel.state.lock();
            let free = {
                let table = d.events.table.lock();
                table.free[(port / BUCKET) as usize] >> (port % BUCKET) & 1 != 0
            };
            assert_eq!(free, matches!(*state, State::Free), "free map, port {port}");
            assert_eq!(port == 0, matches!(*state, State::Reserved));
            bound += u32::from(state.is_bound());
            own += u32::from(channel.consumer() == Consumer::Hypervisor);
            assert!((channel.vcpu() as usize) < d.vcpus().len().max(1));
            match &*state {
                State::Interdomain { remote, port: far } if (remote.id, *far) != (d.id, port) => {
                    let far_state = remote.events.channel(*far).expect("valid").state.lock();
                    assert!(
                        matches!(&*far_state, State::Interdomain { remote, port: back }
                            if remote.id == d.id && *back == port),
                        "the ends name each other"
                    );
                }
                State::Virq { virq } => {
                    let v = if virq_is_global(*virq) {
                        0
                    } else {
                        channel.vcpu()
                    };
                    let slot = &d.vcpus()[v as usize].events.virq_ports[*virq as usize];
                    assert_eq!(slot.load(Ordering::SeqCst), port);
                }
                _ => {}
            }
        }
        assert_eq!((active, hypervisor), (bound, own), "counts of d{}", d.id.0);
        for v in d.vcpus() {
            for (virq, slot) in v.events.virq_ports.iter().enumerate() {
                let port = slot.load(Ordering::SeqCst);
                if port != 0 {
                    let state = d.events.channel(port).expect("valid").state.lock();
                    assert!(matches!(*state, State::Virq { virq: n } if n as usize == virq));
                }
            }
        }
    }
}
