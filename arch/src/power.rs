//! Reset and power-off (ACPI 6.5, sections 4.8.3 and 4.8.4.6).
#![allow(unsafe_code)]

use crate::acpi::{self, AddressSpace, Register};
use crate::addr::PhysAddr;
use crate::cpu::port;
use crate::paging::{CacheMode, IoMem, ioremap};
use crate::sync::Once;

/// Ways to reset the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The FADT's reset register.
    Acpi,
    /// The keyboard controller's reset line.
    Keyboard,
    /// The chipset's reset control register at 0xcf9.
    Chipset,
    /// The same register, with the power taken away for a moment.
    PowerCycle,
    /// An exception that cannot be delivered.
    TripleFault,
}

/// All of them, the most orderly first.
pub const METHODS: [Method; 4] = [
    Method::Acpi,
    Method::Keyboard,
    Method::Chipset,
    Method::TripleFault,
];

/// Where firmware looks for the kind of restart, and the word that asks it to skip its memory tests (IBM PC BIOS data
/// area).
const RESET_FLAG: u64 = 0x472;
const WARM: u16 = 0x1234;

/// The page of that word, mapped before it is needed: a CPU that panics may hold the locks that mapping takes.
static BIOS_DATA: Once<IoMem> = Once::new();

/// Makes ready for [`reboot`], once there are mappings.
pub fn prepare() {
    if let Ok(area) = ioremap(PhysAddr(RESET_FLAG & !0xfff), 0x1000, CacheMode::WriteBack) {
        BIOS_DATA.call_once(|| area);
    }
}

/// Resets the machine: by `first` if given, then by every usual method in turn, in the end by a triple fault, which
/// cannot fail. `warm` asks firmware to skip its memory tests. The other CPUs should have been stopped.
pub fn reboot(first: Option<Method>, warm: bool) -> ! {
    if let Some(area) = BIOS_DATA.get() {
        area.write16((RESET_FLAG & 0xfff) as usize, if warm { WARM } else { 0 });
    }
    for method in first.into_iter().chain(METHODS) {
        attempt(method);
        // Give the reset 100 ms to arrive.
        crate::clock::delay(100_000_000);
    }
    attempt(Method::TripleFault);
    crate::cpu::halt_forever()
}

fn attempt(method: Method) {
    match method {
        Method::Acpi => {
            if let Some((register, value)) = acpi::get().fadt.as_ref().and_then(|f| f.reset) {
                write(&register, value.into());
            }
        }
        Method::Keyboard => {
            for _ in 0..10 {
                // Wait until the controller takes a command (bit 1: input buffer full).
                for _ in 0..0x1_0000 {
                    if port::inb(0x64) & 2 == 0 {
                        break;
                    }
                }
                port::outb(0x64, 0xfe);
                crate::clock::delay(50_000);
            }
        }
        Method::Chipset => {
            let keep = port::inb(0xcf9) & !0x0e;
            port::outb(0xcf9, keep | 2);
            crate::clock::delay(50_000);
            port::outb(0xcf9, keep | 6);
        }
        Method::PowerCycle => {
            let keep = port::inb(0xcf9) & !0x0e;
            port::outb(0xcf9, keep | 0x0a);
            crate::clock::delay(50_000);
            port::outb(0xcf9, keep | 0x0e);
        }
        Method::TripleFault => triple_fault(),
    }
}

#[cfg(target_os = "none")]
fn triple_fault() {
    let nothing = [0u64; 2];
    // SAFETY: the machine resets; nothing runs after this.
    unsafe { core::arch::asm!("lidt [{}]", "int3", in(reg) &nothing) };
}

#[cfg(not(target_os = "none"))]
fn triple_fault() {}

/// Writes a fixed-hardware register where it lives.
fn write(register: &Register, value: u32) {
    match register.space {
        AddressSpace::Io => {
            let Ok(at) = u16::try_from(register.address) else {
                return;
            };
            match register.width {
                8 => port::outb(at, value as u8),
                16 => port::outw(at, value as u16),
                _ => port::outl(at, value),
            }
        }
        AddressSpace::Memory => {
            let bytes = u64::from(register.width / 8).max(1);
            let Ok(memory) = ioremap(PhysAddr(register.address), bytes, CacheMode::Uncached) else {
                return;
            };
            match bytes {
                1 => memory.write8(0, value as u8),
                2..=3 => memory.write16(0, value as u16),
                _ => memory.write32(0, value),
            }
        }
        // The reset register may be in configuration space of bus 0: device in bits 32..=47, function in 16..=31.
        AddressSpace::PciConfig => {
            let (device, function) = (register.address >> 32 & 0x1f, register.address >> 16 & 7);
            let offset = register.address as u32 & 0xff;
            port::outl(
                0xcf8,
                0x8000_0000 | (device as u32) << 11 | (function as u32) << 8 | offset & 0xfc,
            );
            port::outb(0xcfc + (offset & 3) as u16, value as u8);
        }
    }
}

/// Why the machine could not be put to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPowerControl;

/// Enters a sleep state whose `SLP_TYP` values dom0 has found in its DSDT: for S5 this does not return. Control values
/// are as dom0 would write them to PM1a and PM1b (`SLP_TYP` in bits 10..=12, `SLP_EN` set here).
///
/// # Errors
/// [`NoPowerControl`] when the FADT names no PM1a control register.
pub fn enter_sleep(pm1a: u16, pm1b: u16) -> Result<(), NoPowerControl> {
    const SLP_EN: u32 = 1 << 13;
    let fadt = acpi::get().fadt.as_ref().ok_or(NoPowerControl)?;
    let a = fadt.pm1a_control.ok_or(NoPowerControl)?;
    // SLP_TYP first, SLP_EN in a second write, as some chipsets want it.
    for enable in [0, SLP_EN] {
        write(&a, u32::from(pm1a) & !SLP_EN | enable);
        if let Some(b) = fadt.pm1b_control {
            write(&b, u32::from(pm1b) & !SLP_EN | enable);
        }
    }
    crate::clock::delay(1_000_000_000);
    Ok(())
}

/// Powers the machine off (S5) with the given `SLP_TYP` values; halts for good if the hardware does not obey.
pub fn power_off(slp_typ_a: u8, slp_typ_b: u8) -> ! {
    let _ = enter_sleep(
        u16::from(slp_typ_a & 7) << 10,
        u16::from(slp_typ_b & 7) << 10,
    );
    crate::cpu::halt_forever()
}
