//! `/dev/xen/xenbus_backend`: the ring of a xenstored in the kernel's domain.
//!
//! Xen public/sys/xenbus_dev.h.

use crate::macros::abi_consts;

abi_consts! {
    u64 {
        IOCTL_XENBUS_BACKEND_EVTCHN = 0x4200;
        IOCTL_XENBUS_BACKEND_SETUP = 0x4201;
    }
}
