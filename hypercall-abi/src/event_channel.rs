//! Event channels: two-level and FIFO.
//!
//! Xen public/event_channel.h.

use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};
use crate::xen::DomId;
use crate::xen::Virq;

open_enums! {
    /// Commands of `event_channel_op`.
    pub enum EvtchnOp(u32) "EVTCHNOP_" {
        BIND_INTERDOMAIN = 0;
        BIND_VIRQ = 1;
        BIND_PIRQ = 2;
        CLOSE = 3;
        SEND = 4;
        STATUS = 5;
        ALLOC_UNBOUND = 6;
        BIND_IPI = 7;
        BIND_VCPU = 8;
        UNMASK = 9;
        RESET = 10;
        INIT_CONTROL = 11;
        EXPAND_ARRAY = 12;
        SET_PRIORITY = 13;
    }

    /// States of a port in [`EvtchnStatus`].
    pub enum EvtchnStat(u32) "EVTCHNSTAT_" {
        CLOSED = 0;
        UNBOUND = 1;
        INTERDOMAIN = 2;
        PIRQ = 3;
        VIRQ = 4;
        IPI = 5;
    }
}

abi_consts! {
    u32 {
        BIND_PIRQ__WILL_SHARE = 1;
        EVTCHN_2L_NR_CHANNELS = 0x1000;
        EVTCHN_FIFO_PRIORITY_MAX = 0;
        EVTCHN_FIFO_PRIORITY_DEFAULT = 7;
        EVTCHN_FIFO_PRIORITY_MIN = 15;
        EVTCHN_FIFO_MAX_QUEUES = 16;
        EVTCHN_FIFO_PENDING = 31;
        EVTCHN_FIFO_MASKED = 30;
        EVTCHN_FIFO_LINKED = 29;
        EVTCHN_FIFO_BUSY = 28;
        EVTCHN_FIFO_LINK_BITS = 17;
        EVTCHN_FIFO_LINK_MASK = 0x1ffff;
        EVTCHN_FIFO_NR_CHANNELS = 1 << 17;
    }
}

abi_structs! {
    /// `struct evtchn_alloc_unbound`: the argument of [`EvtchnOp::ALLOC_UNBOUND`].
    pub struct EvtchnAllocUnbound: "struct evtchn_alloc_unbound", size 8 {
        0 => dom: DomId,
        2 => remote_dom: DomId,
        4 => port: EvtchnPort,
    }

    /// `struct evtchn_bind_interdomain`: the argument of [`EvtchnOp::BIND_INTERDOMAIN`].
    pub struct EvtchnBindInterdomain: "struct evtchn_bind_interdomain", size 12 {
        0 => remote_dom: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => remote_port: EvtchnPort,
        8 => local_port: EvtchnPort,
    }

    /// `struct evtchn_bind_virq`: the argument of [`EvtchnOp::BIND_VIRQ`].
    pub struct EvtchnBindVirq: "struct evtchn_bind_virq", size 12 {
        0 => virq: Virq,
        4 => vcpu: u32,
        8 => port: EvtchnPort,
    }

    /// `struct evtchn_bind_pirq`: the argument of [`EvtchnOp::BIND_PIRQ`].
    pub struct EvtchnBindPirq: "struct evtchn_bind_pirq", size 12 {
        0 => pirq: u32,
        4 => flags: u32,
        8 => port: EvtchnPort,
    }

    /// `struct evtchn_bind_ipi`: the argument of [`EvtchnOp::BIND_IPI`].
    pub struct EvtchnBindIpi: "struct evtchn_bind_ipi", size 8 {
        0 => vcpu: u32,
        4 => port: EvtchnPort,
    }

    /// `struct evtchn_close`: the argument of [`EvtchnOp::CLOSE`].
    pub struct EvtchnClose: "struct evtchn_close", size 4 {
        0 => port: EvtchnPort,
    }

    /// `struct evtchn_send`: the argument of [`EvtchnOp::SEND`].
    pub struct EvtchnSend: "struct evtchn_send", size 4 {
        0 => port: EvtchnPort,
    }

    /// Member `unbound` of [`EvtchnStatusU`].
    pub struct EvtchnStatusUnbound: "__typeof__(((__typeof__(((struct evtchn_status*)0)->u)*)0)->unbound)", size 2 {
        0 => dom: DomId,
    }

    /// Member `interdomain` of [`EvtchnStatusU`].
    pub struct EvtchnStatusInterdomain: "__typeof__(((__typeof__(((struct evtchn_status*)0)->u)*)0)->interdomain)", size 8 {
        0 => dom: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => port: EvtchnPort,
    }

    /// `struct evtchn_status`: the argument of [`EvtchnOp::STATUS`].
    pub struct EvtchnStatus: "struct evtchn_status", size 24 {
        0 => dom: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => port: EvtchnPort,
        8 => status: EvtchnStat,
        12 => vcpu: u32,
        16 => u: EvtchnStatusU,
    }

    /// `struct evtchn_bind_vcpu`: the argument of [`EvtchnOp::BIND_VCPU`].
    pub struct EvtchnBindVcpu: "struct evtchn_bind_vcpu", size 8 {
        0 => port: EvtchnPort,
        4 => vcpu: u32,
    }

    /// `struct evtchn_unmask`: the argument of [`EvtchnOp::UNMASK`].
    pub struct EvtchnUnmask: "struct evtchn_unmask", size 4 {
        0 => port: EvtchnPort,
    }

    /// `struct evtchn_reset`: the argument of [`EvtchnOp::RESET`].
    pub struct EvtchnReset: "struct evtchn_reset", size 2 {
        0 => dom: DomId,
    }

    /// `struct evtchn_init_control`: the argument of [`EvtchnOp::INIT_CONTROL`].
    pub struct EvtchnInitControl: "struct evtchn_init_control", size 24 {
        0 => control_gfn: u64,
        8 => offset: u32,
        12 => vcpu: u32,
        16 => link_bits: u8,
        17 => _pad: [u8; 7],
    }

    /// `struct evtchn_expand_array`: the argument of [`EvtchnOp::EXPAND_ARRAY`].
    pub struct EvtchnExpandArray: "struct evtchn_expand_array", size 8 {
        0 => array_gfn: u64,
    }

    /// `struct evtchn_set_priority`: the argument of [`EvtchnOp::SET_PRIORITY`].
    pub struct EvtchnSetPriority: "struct evtchn_set_priority", size 8 {
        0 => port: EvtchnPort,
        4 => priority: u32,
    }

    /// `struct evtchn_op`.
    pub struct EvtchnOpArg: "struct evtchn_op", size 28 {
        0 => cmd: u32,
        4 => u: EvtchnOpArgU,
    }

    /// `struct evtchn_fifo_control_block`.
    pub struct EvtchnFifoControlBlock: "struct evtchn_fifo_control_block", size 72 {
        0 => ready: u32,
        4 => _rsvd: u32,
        8 => head: [u32; 16],
    }
}

abi_unions! {
    /// Field `u` of [`EvtchnStatus`]: one of these, by what a field beside it says.
    pub union EvtchnStatusU: "__typeof__(((struct evtchn_status*)0)->u)", [u32; 2] {
        unbound / set_unbound: EvtchnStatusUnbound,
        interdomain / set_interdomain: EvtchnStatusInterdomain,
        pirq / set_pirq: u32,
        virq / set_virq: u32,
    }

    /// Field `u` of [`EvtchnOpArg`]: one of these, by what a field beside it says.
    pub union EvtchnOpArgU: "__typeof__(((struct evtchn_op*)0)->u)", [u32; 6] {
        alloc_unbound / set_alloc_unbound: EvtchnAllocUnbound,
        bind_interdomain / set_bind_interdomain: EvtchnBindInterdomain,
        bind_virq / set_bind_virq: EvtchnBindVirq,
        bind_pirq / set_bind_pirq: EvtchnBindPirq,
        bind_ipi / set_bind_ipi: EvtchnBindIpi,
        close / set_close: EvtchnClose,
        send / set_send: EvtchnSend,
        status / set_status: EvtchnStatus,
        bind_vcpu / set_bind_vcpu: EvtchnBindVcpu,
        unmask / set_unmask: EvtchnUnmask,
    }
}

/// An event-channel port number, local to a domain.
pub type EvtchnPort = u32;
