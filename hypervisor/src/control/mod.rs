//! The control interface: what a domain asks of the hypervisor itself, and what the tools in dom0 ask of the host and of
//! domains (Xen public/version.h, platform.h, sysctl.h, domctl.h).
//!
//! One file or folder per hypercall: `version` (xen_version), `platform/` (platform_op), `sysctl/`, `domctl/`, and `off`
//! for hypercalls whose feature this hypervisor leaves out. Invariants: only privileged domains get past the first
//! lines of platform_op, sysctl and domctl; structures that go back to a guest are built from zeroes, so that no
//! padding carries anything out.

mod bitmap;
mod cpus;
mod domain_info;
mod domain_policy;
mod domctl;
mod mca;
mod off;
mod platform;
mod policy;
mod sysctl;
mod version;
mod versions;

#[cfg(test)]
mod tests;

pub use cpus::Split;
pub use domain_policy::DomainPolicy;
pub(crate) use domctl::read_vnuma;
pub use domctl::{Told, Vnuma, do_domctl};
pub use mca::do_mca;
pub use off::{
    do_argo_op, do_dm_op, do_hvm_op, do_hypfs_op, do_kexec_op, do_tmem_op, do_xenoprof_op,
    do_xenpmu_op, do_xsm_op,
};
pub use platform::{do_platform_op, set_efi};
pub use sysctl::do_sysctl;
pub use version::{do_xen_version, set_command_line};
