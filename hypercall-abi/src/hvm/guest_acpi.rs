//! ACPI of HVM guests.
//!
//! Xen public/arch-x86/guest-acpi.h.

use crate::macros::abi_consts;

abi_consts! {
    u32 {
        XEN_ACPI_CPU_MAP = 0xaf00;
        XEN_ACPI_CPU_MAP_LEN = 16;
        XEN_ACPI_GPE0_CPUHP_BIT = 2;
    }
}
