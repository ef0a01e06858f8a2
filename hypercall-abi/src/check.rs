//! The tables behind the header check, and the byte access behind unions.
//! Not part of the ABI: hidden from users of the crate.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// A structure or union, as the crate lays it out.
#[derive(Debug)]
pub struct Struct {
    /// Rust name, without the module.
    pub rust: &'static str,
    /// C type expression.
    pub c: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Members in order.
    pub fields: &'static [Field],
}

/// A member of a [`Struct`].
#[derive(Debug)]
pub struct Field {
    /// C member designator; empty if C has none (padding, bit-field container).
    pub c: &'static str,
    /// Offset in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
}

/// A constant, as the crate defines it.
#[derive(Debug)]
pub struct Const {
    /// Rust name, without the module.
    pub rust: &'static str,
    /// C name, any case, or C expression.
    pub c: &'static str,
    /// Value, sign-extended.
    pub value: u64,
}

/// A string constant.
#[derive(Debug)]
pub struct Str {
    /// C name, the same as in Rust.
    pub c: &'static str,
    /// Value.
    pub value: &'static str,
}

/// Everything one module defines.
#[derive(Debug)]
pub struct Module {
    /// Path below the crate.
    pub name: &'static str,
    /// Structures.
    pub structs: &'static [Struct],
    /// Unions.
    pub unions: &'static [Struct],
    /// Constants of open enums.
    pub enums: &'static [Const],
    /// Plain constants.
    pub consts: &'static [Const],
    /// String constants.
    pub strs: &'static [Str],
}

/// Every module whose definitions come from Xen's headers.
#[rustfmt::skip] // a line per module
pub const MODULES: &[Module] = &[
    Module { name: "arch_x86", structs: crate::arch_x86::STRUCTS, unions: &[], enums: crate::arch_x86::ENUMS, consts: crate::arch_x86::CONSTS, strs: &[] },
    Module { name: "callback", structs: crate::callback::STRUCTS, unions: &[], enums: crate::callback::ENUMS, consts: crate::callback::CONSTS, strs: &[] },
    Module { name: "cpufeatureset", structs: &[], unions: &[], enums: crate::cpufeatureset::ENUMS, consts: &[], strs: &[] },
    Module { name: "cpuid", structs: &[], unions: &[], enums: &[], consts: crate::cpuid::CONSTS, strs: &[] },
    Module { name: "domctl", structs: crate::domctl::STRUCTS, unions: crate::domctl::UNIONS, enums: crate::domctl::ENUMS, consts: crate::domctl::CONSTS, strs: &[] },
    Module { name: "domctl::debug", structs: crate::domctl::debug::STRUCTS, unions: crate::domctl::debug::UNIONS, enums: &[], consts: &[], strs: &[] },
    Module { name: "domctl::device", structs: crate::domctl::device::STRUCTS, unions: crate::domctl::device::UNIONS, enums: &[], consts: &[], strs: &[] },
    Module { name: "domctl::sched", structs: crate::domctl::sched::STRUCTS, unions: crate::domctl::sched::UNIONS, enums: &[], consts: &[], strs: &[] },
    Module { name: "domctl::vcpu", structs: crate::domctl::vcpu::STRUCTS, unions: crate::domctl::vcpu::UNIONS, enums: &[], consts: &[], strs: &[] },
    Module { name: "elfnote", structs: &[], unions: &[], enums: crate::elfnote::ENUMS, consts: &[], strs: &[] },
    Module { name: "event_channel", structs: crate::event_channel::STRUCTS, unions: crate::event_channel::UNIONS, enums: crate::event_channel::ENUMS, consts: crate::event_channel::CONSTS, strs: &[] },
    Module { name: "features", structs: &[], unions: &[], enums: &[], consts: crate::features::CONSTS, strs: &[] },
    Module { name: "grant_table", structs: crate::grant_table::STRUCTS, unions: crate::grant_table::UNIONS, enums: crate::grant_table::ENUMS, consts: crate::grant_table::CONSTS, strs: &[] },
    Module { name: "hvm::dm_op", structs: crate::hvm::dm_op::STRUCTS, unions: crate::hvm::dm_op::UNIONS, enums: crate::hvm::dm_op::ENUMS, consts: crate::hvm::dm_op::CONSTS, strs: &[] },
    Module { name: "hvm::e820", structs: &[], unions: &[], enums: &[], consts: crate::hvm::e820::CONSTS, strs: &[] },
    Module { name: "hvm::guest_acpi", structs: &[], unions: &[], enums: &[], consts: crate::hvm::guest_acpi::CONSTS, strs: &[] },
    Module { name: "hvm::hvm_info_table", structs: crate::hvm::hvm_info_table::STRUCTS, unions: &[], enums: &[], consts: crate::hvm::hvm_info_table::CONSTS, strs: &[] },
    Module { name: "hvm::hvm_op", structs: crate::hvm::hvm_op::STRUCTS, unions: crate::hvm::hvm_op::UNIONS, enums: crate::hvm::hvm_op::ENUMS, consts: crate::hvm::hvm_op::CONSTS, strs: &[] },
    Module { name: "hvm::hvm_vcpu", structs: crate::hvm::hvm_vcpu::STRUCTS, unions: crate::hvm::hvm_vcpu::UNIONS, enums: &[], consts: crate::hvm::hvm_vcpu::CONSTS, strs: &[] },
    Module { name: "hvm::ioreq", structs: crate::hvm::ioreq::STRUCTS, unions: &[], enums: crate::hvm::ioreq::ENUMS, consts: crate::hvm::ioreq::CONSTS, strs: &[] },
    Module { name: "hvm::params", structs: &[], unions: &[], enums: crate::hvm::params::ENUMS, consts: crate::hvm::params::CONSTS, strs: &[] },
    Module { name: "hvm::save", structs: crate::hvm::save::STRUCTS, unions: crate::hvm::save::UNIONS, enums: crate::hvm::save::ENUMS, consts: crate::hvm::save::CONSTS, strs: &[] },
    Module { name: "hvm::start_info", structs: crate::hvm::start_info::STRUCTS, unions: &[], enums: crate::hvm::start_info::ENUMS, consts: crate::hvm::start_info::CONSTS, strs: &[] },
    Module { name: "hvm::xs_strings", structs: &[], unions: &[], enums: &[], consts: &[], strs: crate::hvm::xs_strings::STRS },
    Module { name: "hypfs", structs: crate::hypfs::STRUCTS, unions: &[], enums: crate::hypfs::ENUMS, consts: crate::hypfs::CONSTS, strs: &[] },
    Module { name: "io::blkif", structs: crate::io::blkif::STRUCTS, unions: &[], enums: crate::io::blkif::ENUMS, consts: crate::io::blkif::CONSTS, strs: &[] },
    Module { name: "io::console", structs: crate::io::console::STRUCTS, unions: &[], enums: &[], consts: &[], strs: &[] },
    Module { name: "io::fbif", structs: crate::io::fbif::STRUCTS, unions: crate::io::fbif::UNIONS, enums: crate::io::fbif::ENUMS, consts: crate::io::fbif::CONSTS, strs: &[] },
    Module { name: "io::kbdif", structs: crate::io::kbdif::STRUCTS, unions: crate::io::kbdif::UNIONS, enums: crate::io::kbdif::ENUMS, consts: crate::io::kbdif::CONSTS, strs: crate::io::kbdif::STRS },
    Module { name: "io::libxenvchan", structs: crate::io::libxenvchan::STRUCTS, unions: &[], enums: &[], consts: crate::io::libxenvchan::CONSTS, strs: &[] },
    Module { name: "io::netif", structs: crate::io::netif::STRUCTS, unions: crate::io::netif::UNIONS, enums: crate::io::netif::ENUMS, consts: crate::io::netif::CONSTS, strs: &[] },
    Module { name: "io::pciif", structs: crate::io::pciif::STRUCTS, unions: &[], enums: crate::io::pciif::ENUMS, consts: crate::io::pciif::CONSTS, strs: crate::io::pciif::STRS },
    Module { name: "io::protocols", structs: &[], unions: &[], enums: &[], consts: &[], strs: crate::io::protocols::STRS },
    Module { name: "io::ring", structs: crate::io::ring::STRUCTS, unions: &[], enums: &[], consts: crate::io::ring::CONSTS, strs: &[] },
    Module { name: "io::xenbus", structs: &[], unions: &[], enums: crate::io::xenbus::ENUMS, consts: &[], strs: &[] },
    Module { name: "io::xs_wire", structs: crate::io::xs_wire::STRUCTS, unions: &[], enums: crate::io::xs_wire::ENUMS, consts: crate::io::xs_wire::CONSTS, strs: crate::io::xs_wire::STRS },
    Module { name: "kexec", structs: crate::kexec::STRUCTS, unions: crate::kexec::UNIONS, enums: crate::kexec::ENUMS, consts: crate::kexec::CONSTS, strs: &[] },
    Module { name: "linux::evtchn", structs: crate::linux::evtchn::STRUCTS, unions: &[], enums: &[], consts: crate::linux::evtchn::CONSTS, strs: &[] },
    Module { name: "linux::gntalloc", structs: crate::linux::gntalloc::STRUCTS, unions: &[], enums: &[], consts: crate::linux::gntalloc::CONSTS, strs: &[] },
    Module { name: "linux::gntdev", structs: crate::linux::gntdev::STRUCTS, unions: crate::linux::gntdev::UNIONS, enums: &[], consts: crate::linux::gntdev::CONSTS, strs: &[] },
    Module { name: "linux::privcmd", structs: crate::linux::privcmd::STRUCTS, unions: &[], enums: &[], consts: crate::linux::privcmd::CONSTS, strs: &[] },
    Module { name: "linux::xenbus_dev", structs: &[], unions: &[], enums: &[], consts: crate::linux::xenbus_dev::CONSTS, strs: &[] },
    Module { name: "mca", structs: crate::mca::STRUCTS, unions: crate::mca::UNIONS, enums: crate::mca::ENUMS, consts: crate::mca::CONSTS, strs: &[] },
    Module { name: "memory", structs: crate::memory::STRUCTS, unions: crate::memory::UNIONS, enums: crate::memory::ENUMS, consts: crate::memory::CONSTS, strs: &[] },
    Module { name: "nmi", structs: crate::nmi::STRUCTS, unions: &[], enums: crate::nmi::ENUMS, consts: crate::nmi::CONSTS, strs: &[] },
    Module { name: "physdev", structs: crate::physdev::STRUCTS, unions: crate::physdev::UNIONS, enums: crate::physdev::ENUMS, consts: crate::physdev::CONSTS, strs: &[] },
    Module { name: "platform", structs: crate::platform::STRUCTS, unions: crate::platform::UNIONS, enums: crate::platform::ENUMS, consts: crate::platform::CONSTS, strs: &[] },
    Module { name: "platform::firmware", structs: crate::platform::firmware::STRUCTS, unions: crate::platform::firmware::UNIONS, enums: &[], consts: &[], strs: &[] },
    Module { name: "platform::power", structs: crate::platform::power::STRUCTS, unions: crate::platform::power::UNIONS, enums: &[], consts: &[], strs: &[] },
    Module { name: "pmu", structs: crate::pmu::STRUCTS, unions: crate::pmu::UNIONS, enums: crate::pmu::ENUMS, consts: crate::pmu::CONSTS, strs: &[] },
    Module { name: "sched", structs: crate::sched::STRUCTS, unions: &[], enums: crate::sched::ENUMS, consts: crate::sched::CONSTS, strs: &[] },
    Module { name: "sysctl", structs: crate::sysctl::STRUCTS, unions: crate::sysctl::UNIONS, enums: crate::sysctl::ENUMS, consts: crate::sysctl::CONSTS, strs: &[] },
    Module { name: "sysctl::debug", structs: crate::sysctl::debug::STRUCTS, unions: &[], enums: &[], consts: &[], strs: &[] },
    Module { name: "sysctl::livepatch", structs: crate::sysctl::livepatch::STRUCTS, unions: crate::sysctl::livepatch::UNIONS, enums: &[], consts: &[], strs: &[] },
    Module { name: "sysctl::power", structs: crate::sysctl::power::STRUCTS, unions: crate::sysctl::power::UNIONS, enums: &[], consts: &[], strs: &[] },
    Module { name: "sysctl::sched", structs: crate::sysctl::sched::STRUCTS, unions: crate::sysctl::sched::UNIONS, enums: &[], consts: &[], strs: &[] },
    Module { name: "trace", structs: crate::trace::STRUCTS, unions: crate::trace::UNIONS, enums: &[], consts: crate::trace::CONSTS, strs: &[] },
    Module { name: "vcpu", structs: crate::vcpu::STRUCTS, unions: crate::vcpu::UNIONS, enums: crate::vcpu::ENUMS, consts: crate::vcpu::CONSTS, strs: &[] },
    Module { name: "version", structs: crate::version::STRUCTS, unions: &[], enums: crate::version::ENUMS, consts: crate::version::CONSTS, strs: &[] },
    Module { name: "vm_event", structs: crate::vm_event::STRUCTS, unions: crate::vm_event::UNIONS, enums: crate::vm_event::ENUMS, consts: crate::vm_event::CONSTS, strs: &[] },
    Module { name: "xen", structs: crate::xen::STRUCTS, unions: crate::xen::UNIONS, enums: crate::xen::ENUMS, consts: crate::xen::CONSTS, strs: &[] },
    Module { name: "xenoprof", structs: crate::xenoprof::STRUCTS, unions: &[], enums: crate::xenoprof::ENUMS, consts: crate::xenoprof::CONSTS, strs: &[] },
    Module { name: "errno", structs: &[], unions: &[], enums: crate::errno::ENUMS, consts: &[], strs: &[] },
];

/// The first `size_of::<T>()` bytes as a `T`; zeroes if there are too few, which
/// the assertions beside every union exclude.
pub(crate) fn read_prefix<T: FromBytes>(bytes: &[u8]) -> T {
    match T::read_from_prefix(bytes) {
        Ok((value, _)) => value,
        Err(_) => FromZeros::new_zeroed(),
    }
}

/// Writes `value` to the front of `bytes`; see [`read_prefix`] on sizes.
pub(crate) fn write_prefix<T: IntoBytes + Immutable>(bytes: &mut [u8], value: &T) {
    let written = value.write_to_prefix(bytes);
    debug_assert!(written.is_ok());
}
