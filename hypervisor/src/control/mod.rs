//! The control interface: what a domain asks of the hypervisor itself, and what the tools in dom0 ask of the host and of
//! domains (Xen public/version.h, platform.h, sysctl.h, domctl.h).
//!
//! Layout: one file per hypercall - `version` (xen_version), `platform/` (platform_op), `sysctl/`, `domctl/`, and `off`
//! for hypercalls whose feature this hypervisor leaves out, which answer as Xen 4.17 answers with the feature off.
//! This folder is owned by the control interface's engineer (branch `control`), not by the domain builder's.
