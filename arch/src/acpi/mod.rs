//! The ACPI tables that the hypervisor itself needs; dom0 interprets the rest.
//!
//! Tables are firmware's claims: each is read once into a buffer, its length and checksum are checked, and every field
//! is read through bounds-checked accessors. A table that does not hold up is left out with a [`Warning`]; nothing here
//! panics or loops on hostile input. Source: ACPI Specification 6.5, chapter 5.

mod bytes;
mod discover;
mod tables;

use alloc::vec::Vec;

pub use discover::{AcpiError, PhysRead, Warning, find, parse};
pub use tables::*;

use crate::addr::PhysAddr;
use crate::sync::Once;

/// What the tables said.
#[derive(Clone, Debug, Default)]
pub struct Acpi {
    /// Where the root pointer is: dom0 gets this address.
    pub rsdp: u64,
    /// Physical address of the local APICs' registers (xAPIC mode).
    pub local_apic_address: u64,
    /// Whether a pair of 8259 interrupt controllers exists.
    pub has_8259: bool,
    /// Processors, in table order.
    pub processors: Vec<Processor>,
    /// I/O APICs.
    pub io_apics: Vec<IoApicEntry>,
    /// ISA interrupts that are not wired to the pin of their number.
    pub overrides: Vec<IsaOverride>,
    /// I/O APIC pins that carry an NMI.
    pub nmi_sources: Vec<NmiSource>,
    /// Local APIC pins that carry an NMI.
    pub local_nmis: Vec<LocalNmi>,
    /// PCI Express configuration windows.
    pub mcfg: Vec<McfgEntry>,
    /// The HPET's register block.
    pub hpet: Option<u64>,
    /// Power management registers.
    pub fadt: Option<Fadt>,
    /// Processors' proximity domains.
    pub cpu_affinity: Vec<CpuAffinity>,
    /// Memory ranges' proximity domains.
    pub memory_affinity: Vec<MemoryAffinity>,
    /// Distances between proximity domains.
    pub slit: Option<Slit>,
    /// Every table found: signature, physical address, length in bytes.
    pub tables: Vec<TableInfo>,
    /// What did not hold up.
    pub warnings: Vec<Warning>,
}

static ACPI: Once<Acpi> = Once::new();

/// Finds and parses the tables. `rsdp` is the root pointer that the boot loader gave; without it the BIOS areas are
/// searched. Called once by the boot CPU when the heap and device mappings work.
pub fn init(rsdp: Option<PhysAddr>) -> Result<&'static Acpi, AcpiError> {
    let mut memory = Machine;
    let rsdp = match rsdp {
        Some(address) => address.get(),
        None => find(&mut memory).ok_or(AcpiError::NoRootPointer)?,
    };
    let acpi = parse(&mut memory, rsdp)?;
    Ok(ACPI.call_once(|| acpi))
}

/// What [`init`] found; empty before it and on machines without ACPI.
pub fn get() -> &'static Acpi {
    static NONE: Acpi = Acpi {
        rsdp: 0,
        local_apic_address: 0xfee0_0000,
        has_8259: true,
        processors: Vec::new(),
        io_apics: Vec::new(),
        overrides: Vec::new(),
        nmi_sources: Vec::new(),
        local_nmis: Vec::new(),
        mcfg: Vec::new(),
        hpet: None,
        fadt: None,
        cpu_affinity: Vec::new(),
        memory_affinity: Vec::new(),
        slit: None,
        tables: Vec::new(),
        warnings: Vec::new(),
    };
    ACPI.get().unwrap_or(&NONE)
}

/// Reads the machine's memory through temporary device mappings, wherever a table lies.
struct Machine;

impl PhysRead for Machine {
    fn read(&mut self, address: u64, out: &mut [u8]) -> bool {
        crate::hw::read_physical(address, out)
    }
}
