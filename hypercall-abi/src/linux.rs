//! The devices through which Linux gives its processes hypercalls, event
//! channels and grants (headers `xen/sys/*.h`; Linux include/uapi/xen/*.h).

pub mod evtchn;
pub mod gntalloc;
pub mod gntdev;
pub mod privcmd;
pub mod xenbus_dev;
