//! sysctl, domctl, platform_op, xen_version.
