//! Event channels.

use hypercall_abi::GuestHandle;
use hypercall_abi::event_channel::{
    EvtchnAllocUnbound, EvtchnClose, EvtchnExpandArray, EvtchnInitControl, EvtchnOp,
    EvtchnSetPriority,
};
use hypercall_abi::sched::{SchedOp, SchedPoll};
use hypercall_abi::xen::{DomId, Hypercall};
use pv_guest::write;
use zerocopy::{Immutable, IntoBytes};

use crate::guest::{Guest, Outcome, get, operate, refused, require};

crate::tests!(
    xsa_107_fifo_operations_before_there_is_a_control_block,
    xsa_188_a_control_block_that_cannot_be,
    xsa_221_poll_of_ports_that_nobody_made,
    xsa_317_ports_end_where_the_bitmap_ends,
);

fn event<T: IntoBytes + Immutable>(op: EvtchnOp, argument: &T) -> i64 {
    operate(Hypercall::EVENT_CHANNEL_OP, op.0, argument)
}

fn expand(array_gfn: u64) -> i64 {
    event(EvtchnOp::EXPAND_ARRAY, &EvtchnExpandArray { array_gfn })
}

fn xsa_107_fifo_operations_before_there_is_a_control_block(guest: &mut Guest) -> Outcome {
    let page = guest.page();
    refused(expand(page.mfn), "there is no control block")?;
    for port in [1, 5, 1 << 17] {
        let priority = EvtchnSetPriority { port, priority: 3 };
        refused(
            event(EvtchnOp::SET_PRIORITY, &priority),
            "there are no priorities",
        )?;
    }
    Ok(())
}

fn xsa_188_a_control_block_that_cannot_be(guest: &mut Guest) -> Outcome {
    let page = guest.page();
    let control = |control_gfn, offset, vcpu| EvtchnInitControl {
        control_gfn,
        offset,
        vcpu,
        ..Default::default()
    };
    for _ in 0..3 {
        for bad in [
            control(0xf_ffff_ffff, 0, 0),
            control(page.mfn, 4, 0),
            control(page.mfn, 4090, 0),
            control(page.mfn, 1 << 20, 0),
            control(page.mfn, 0, 99),
            // A table that is in use is nothing to write to.
            control(guest.l4.mfn, 0, 0),
        ] {
            refused(event(EvtchnOp::INIT_CONTROL, &bad), "that control block")?;
            refused(expand(page.mfn), "there is still no control block")?;
        }
    }
    Ok(())
}

fn xsa_221_poll_of_ports_that_nobody_made(guest: &mut Guest) -> Outcome {
    let ports = guest.page().at;
    for port in [0u64, 3, 500, 1023, 4095, 4096, 1 << 17, 0xffff_ffff] {
        write(ports, port | port << 32);
        for count in [0, 1, 2] {
            let poll = SchedPoll {
                ports: GuestHandle::new(ports),
                nr_ports: count,
                // Nanoseconds since the machine's start: long past.
                timeout: 1,
                ..Default::default()
            };
            let result = operate(Hypercall::SCHED_OP, SchedOp::POLL.0, &poll);
            require(result <= 0, "at once, or refused", result)?;
        }
    }
    let poll = SchedPoll {
        ports: GuestHandle::new(ports),
        nr_ports: 1 << 20,
        timeout: 1,
        ..Default::default()
    };
    let result = operate(Hypercall::SCHED_OP, SchedOp::POLL.0, &poll);
    refused(result, "too many ports")
}

fn xsa_317_ports_end_where_the_bitmap_ends(_: &mut Guest) -> Outcome {
    let mut last = 0;
    let mut count = 0;
    loop {
        let wanted = EvtchnAllocUnbound {
            dom: DomId::SELF,
            remote_dom: DomId::SELF,
            port: 0,
        };
        let result = event(EvtchnOp::ALLOC_UNBOUND, &wanted);
        if result < 0 {
            break;
        }
        last = get::<EvtchnAllocUnbound>(0).port;
        count += 1;
        require(last < 4096, "a port within the bitmap", i64::from(last))?;
    }
    require(count > 4000, "all of the ports", count)?;
    // All but the first few, which are the console's and the store's.
    for port in (last - 4000)..=last {
        event(EvtchnOp::CLOSE, &EvtchnClose { port });
    }
    Ok(())
}
