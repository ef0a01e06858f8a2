//! PCI configuration space: the 0xcf8/0xcfc ports, and memory windows (MCFG) for other segments and extended registers.
//!
//! dom0's own accesses to the ports are emulated, so the pair of ports belongs to the hypervisor.

#[cfg(target_os = "none")]
use alloc::collections::BTreeMap;
use core::fmt;

#[cfg(target_os = "none")]
use crate::sync::SpinLock;

/// A PCI function: segment, bus, device and function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sbdf {
    /// Segment group.
    pub segment: u16,
    /// Bus.
    pub bus: u8,
    /// Device in bits 3..=7, function in bits 0..=2.
    pub devfn: u8,
}

impl fmt::Display for Sbdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{}",
            self.segment,
            self.bus,
            self.devfn >> 3,
            self.devfn & 7
        )
    }
}

/// Offset of the vendor id.
pub const VENDOR_ID: u16 = 0x00;
/// Offset of the command register.
pub const COMMAND: u16 = 0x04;
/// Command bit: the function answers in memory space.
pub const COMMAND_MEMORY: u16 = 1 << 1;
/// Command bit: no INTx.
pub const COMMAND_INTX_DISABLE: u16 = 1 << 10;
/// Offset of the status register.
pub const STATUS: u16 = 0x06;
/// Status bit: there is a capability list.
pub const STATUS_CAPABILITIES: u16 = 1 << 4;
/// Offset of the header type.
pub const HEADER_TYPE: u16 = 0x0e;
/// Offset of the first base address register.
pub const BAR0: u16 = 0x10;
/// Offset of the capability pointer.
pub const CAPABILITY_POINTER: u16 = 0x34;
/// Capability id of MSI.
pub const CAP_MSI: u8 = 0x05;
/// Capability id of MSI-X.
pub const CAP_MSIX: u8 = 0x11;

macro_rules! access {
    ($read:ident, $write:ident, $ty:ty) => {
        /// Reads a register; all ones when the function or register does not exist. The offset is aligned down.
        pub fn $read(self, offset: u16) -> $ty {
            const SIZE: u16 = size_of::<$ty>() as u16;
            space::read(self, offset & !(SIZE - 1), SIZE as u8) as $ty
        }
        /// Writes a register. The offset is aligned down.
        pub fn $write(self, offset: u16, value: $ty) {
            const SIZE: u16 = size_of::<$ty>() as u16;
            space::write(self, offset & !(SIZE - 1), SIZE as u8, value.into());
        }
    };
}

impl Sbdf {
    /// From its parts.
    pub const fn new(segment: u16, bus: u8, devfn: u8) -> Self {
        Self {
            segment,
            bus,
            devfn,
        }
    }

    access!(read8, write8, u8);
    access!(read16, write16, u16);
    access!(read32, write32, u32);

    /// Whether a function answers here.
    pub fn exists(self) -> bool {
        // 0x0000 comes from broken bridges.
        !matches!(self.read16(VENDOR_ID), 0xffff | 0)
    }

    /// The offset of a capability in the standard list. Lists that loop or leave the space end the search.
    pub fn capability(self, id: u8) -> Option<u8> {
        if !self.exists() || self.read16(STATUS) & STATUS_CAPABILITIES == 0 {
            return None;
        }
        let mut offset = self.read8(CAPABILITY_POINTER) & !3;
        // 48 capabilities of 4 bytes fill the space behind the header.
        for _ in 0..48 {
            if offset < 0x40 {
                return None;
            }
            let [found, next] = self.read16(offset.into()).to_le_bytes();
            if found == id {
                return Some(offset);
            }
            if found == 0xff {
                return None;
            }
            offset = next & !3;
        }
        None
    }

    /// The physical address in a memory base address register (0 to 5); `None` for an I/O or unset one.
    pub fn memory_bar(self, index: u8) -> Option<u64> {
        if index > 5 || (self.read8(HEADER_TYPE) & 0x7f == 1 && index > 1) {
            return None;
        }
        let offset = BAR0 + u16::from(index) * 4;
        let low = self.read32(offset);
        if low & 1 != 0 {
            return None;
        }
        let high = if low & 6 == 4 && index < 5 {
            self.read32(offset + 4)
        } else {
            0
        };
        let address = u64::from(high) << 32 | u64::from(low & !0xf);
        (address != 0).then_some(address)
    }
}

/// What a guest's access to the data port means: `address` is what it wrote to 0xcf8, `lane` the port's distance from
/// 0xcfc, `size` 1, 2 or 4 bytes. `None` when the address is not enabled or the access leaves the data port.
pub fn legacy_target(address: u32, lane: u16, size: usize) -> Option<(Sbdf, u16)> {
    if address & 1 << 31 == 0
        || lane >= 4
        || usize::from(lane) + size > 4
        || !matches!(size, 1 | 2 | 4)
    {
        return None;
    }
    // Bits 24..=27 hold the upper register number on AMD processors; only the hypervisor uses that.
    let offset = (address & 0xfc) as u16 + lane;
    Some((
        Sbdf::new(0, (address >> 16) as u8, (address >> 8) as u8),
        offset,
    ))
}

/// Reads the data port on a guest's behalf (see [`legacy_target`]); all ones where it floats.
pub fn legacy_read(address: u32, lane: u16, size: usize) -> u32 {
    let ones = if size >= 4 {
        u32::MAX
    } else {
        (1 << (size * 8)) - 1
    };
    legacy_target(address, lane, size).map_or(ones, |(target, offset)| {
        space::read(target, offset, size as u8)
    })
}

/// Writes the data port on a guest's behalf (see [`legacy_target`]).
pub fn legacy_write(address: u32, lane: u16, size: usize, value: u32) {
    if let Some((target, offset)) = legacy_target(address, lane, size) {
        space::write(target, offset, size as u8, value);
    }
}

/// Memory windows opened so far, one page per function.
#[cfg(target_os = "none")]
static WINDOWS: SpinLock<BTreeMap<Sbdf, Option<crate::hw::Mmio>>> = SpinLock::new(BTreeMap::new());

/// Whether the MCFG has a window for this function.
pub fn has_window(target: Sbdf) -> bool {
    window_address(target).is_some()
}

fn window_address(target: Sbdf) -> Option<u64> {
    let acpi = crate::acpi::get();
    let window = acpi.mcfg.iter().find(|w| {
        w.segment == target.segment && (w.first_bus..=w.last_bus).contains(&target.bus)
    })?;
    window
        .address
        .checked_add(u64::from(target.bus) << 20 | u64::from(target.devfn) << 12)
}

#[cfg(target_os = "none")]
mod space {
    use super::{Sbdf, WINDOWS, window_address};
    use crate::hw::{self, Mmio};
    use crate::sync::SpinLock;

    static PORTS: SpinLock<()> = SpinLock::new(());

    fn window(target: Sbdf) -> Option<Mmio> {
        let mut windows = WINDOWS.lock();
        *windows
            .entry(target)
            .or_insert_with(|| Mmio::map(window_address(target)?, 0x1000))
    }

    fn through_ports(target: Sbdf, offset: u16) -> bool {
        target.segment == 0 && offset < 0x100
    }

    fn select(target: Sbdf, offset: u16) -> u16 {
        let address = 1 << 31
            | u32::from(target.bus) << 16
            | u32::from(target.devfn) << 8
            | u32::from(offset & 0xfc);
        hw::outl(0xcf8, address);
        0xcfc + (offset & 3)
    }

    pub(super) fn read(target: Sbdf, offset: u16, size: u8) -> u32 {
        if through_ports(target, offset) {
            let _guard = PORTS.lock();
            let port = select(target, offset);
            return match size {
                1 => hw::inb(port).into(),
                2 => hw::inw(port).into(),
                _ => hw::inl(port),
            };
        }
        let Some(window) = window(target).filter(|_| offset < 0x1000) else {
            return u32::MAX;
        };
        match size {
            1 => window.read8(offset.into()).into(),
            2 => window.read16(offset.into()).into(),
            _ => window.read32(offset.into()),
        }
    }

    pub(super) fn write(target: Sbdf, offset: u16, size: u8, value: u32) {
        if through_ports(target, offset) {
            let _guard = PORTS.lock();
            let port = select(target, offset);
            match size {
                1 => hw::outb(port, value as u8),
                2 => hw::outw(port, value as u16),
                _ => hw::outl(port, value),
            }
            return;
        }
        let Some(window) = window(target).filter(|_| offset < 0x1000) else {
            return;
        };
        match size {
            1 => window.write8(offset.into(), value as u8),
            2 => window.write16(offset.into(), value as u16),
            _ => window.write32(offset.into(), value),
        }
    }
}

#[cfg(not(target_os = "none"))]
mod space {
    use super::Sbdf;
    use crate::sim;

    pub(super) fn read(t: Sbdf, offset: u16, size: u8) -> u32 {
        let byte = |n: u16| sim::pci_read(t.segment, t.bus, t.devfn, offset + n);
        (0..u16::from(size)).fold(0, |value, n| value | u32::from(byte(n)) << (8 * n))
    }

    pub(super) fn write(t: Sbdf, offset: u16, size: u8, value: u32) {
        for n in 0..u16::from(size) {
            sim::pci_write(
                t.segment,
                t.bus,
                t.devfn,
                offset + n,
                (value >> (8 * n)) as u8,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plug(devfn: u8, edit: impl FnOnce(&mut Vec<u8>)) -> Sbdf {
        let mut config = vec![0; 256];
        config[..4].copy_from_slice(&[0x86, 0x80, 0x22, 0x29]);
        config[6] = 0x10;
        edit(&mut config);
        crate::sim::add_pci_function(0, 0, devfn, config);
        Sbdf::new(0, 0, devfn)
    }

    #[test]
    fn capabilities_and_bars() {
        let f = plug(8, |c| {
            c[0x34] = 0x43;
            c[0x40..0x42].copy_from_slice(&[1, 0x50]);
            c[0x50..0x52].copy_from_slice(&[CAP_MSI, 0]);
            c[0x10..0x18].copy_from_slice(&[0x0c, 0, 0, 0xfe, 2, 0, 0, 0]);
            c[0x18..0x1c].copy_from_slice(&[1, 0xc0, 0, 0]);
        });
        assert!(f.exists() && !Sbdf::new(0, 0, 9).exists());
        assert_eq!(
            (f.capability(CAP_MSI), f.capability(CAP_MSIX)),
            (Some(0x50), None)
        );
        assert_eq!(
            (
                f.memory_bar(0),
                f.memory_bar(2),
                f.memory_bar(3),
                f.memory_bar(6)
            ),
            (Some(0x2_fe00_0000), None, None, None)
        );
        assert_eq!(Sbdf::new(0, 0, 9).capability(CAP_MSI), None);
    }

    #[test]
    fn capability_lists_that_loop_end() {
        let f = plug(16, |c| {
            c[0x34] = 0x40;
            c[0x40..0x42].copy_from_slice(&[1, 0x44]);
            c[0x44..0x46].copy_from_slice(&[9, 0x40]);
        });
        assert_eq!(f.capability(CAP_MSI), None);
        let f = plug(24, |c| c[0x34] = 0x10);
        assert_eq!(f.capability(CAP_MSI), None);
    }

    #[test]
    fn emulated_port_accesses() {
        let f = Some((Sbdf::new(0, 2, 0x18), 0x3e));
        assert_eq!(legacy_target(0x8002_183c, 2, 2), f);
        assert_eq!(legacy_target(0x0002_183c, 2, 2), None);
        assert_eq!(legacy_target(0x8002_183c, 2, 4), None);
        assert_eq!(legacy_target(0x8002_183c, 9, 1), None);
        assert_eq!(legacy_target(0x8002_183c, 0, 3), None);
        assert_eq!(
            (legacy_read(0, 0, 2), legacy_read(0, 0, 4)),
            (0xffff, u32::MAX)
        );
    }
}
