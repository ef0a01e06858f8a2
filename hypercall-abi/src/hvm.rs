//! Hardware-assisted guests (Xen public/hvm/ and public/arch-x86/hvm/).

pub mod dm_op;
pub mod e820;
pub mod guest_acpi;
pub mod hvm_info_table;
pub mod hvm_op;
pub mod hvm_vcpu;
pub mod ioreq;
pub mod params;
pub mod save;
pub mod start_info;
pub mod xs_strings;
