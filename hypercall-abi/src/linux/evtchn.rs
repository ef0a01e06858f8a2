//! `/dev/xen/evtchn`: event channels.
//!
//! Xen public/sys/evtchn.h.

use crate::macros::{abi_consts, abi_structs};
use crate::xen::DomId;

abi_consts! {
    u64 {
        IOCTL_EVTCHN_BIND_VIRQ = 0x44500;
        IOCTL_EVTCHN_BIND_INTERDOMAIN = 0x84501;
        IOCTL_EVTCHN_BIND_UNBOUND_PORT = 0x44502;
        IOCTL_EVTCHN_UNBIND = 0x44503;
        IOCTL_EVTCHN_NOTIFY = 0x44504;
        IOCTL_EVTCHN_RESET = 0x4505;
        IOCTL_EVTCHN_RESTRICT_DOMID = 0x24506;
    }
}

abi_structs! {
    /// `struct ioctl_evtchn_bind_virq`.
    pub struct IoctlEvtchnBindVirq: "struct ioctl_evtchn_bind_virq", size 4 {
        0 => virq: u32,
    }

    /// `struct ioctl_evtchn_bind_interdomain`.
    pub struct IoctlEvtchnBindInterdomain: "struct ioctl_evtchn_bind_interdomain", size 8 {
        0 => remote_domain: u32,
        4 => remote_port: u32,
    }

    /// `struct ioctl_evtchn_bind_unbound_port`.
    pub struct IoctlEvtchnBindUnboundPort: "struct ioctl_evtchn_bind_unbound_port", size 4 {
        0 => remote_domain: u32,
    }

    /// `struct ioctl_evtchn_unbind`.
    pub struct IoctlEvtchnUnbind: "struct ioctl_evtchn_unbind", size 4 {
        0 => port: u32,
    }

    /// `struct ioctl_evtchn_notify`.
    pub struct IoctlEvtchnNotify: "struct ioctl_evtchn_notify", size 4 {
        0 => port: u32,
    }

    /// `struct ioctl_evtchn_restrict_domid`.
    pub struct IoctlEvtchnRestrictDomid: "struct ioctl_evtchn_restrict_domid", size 2 {
        0 => domid: DomId,
    }
}
