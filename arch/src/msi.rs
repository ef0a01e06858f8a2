//! Message-signalled interrupts: what a message looks like, and the capabilities that make a function send it
//! (PCI Local Bus 3.0, section 6.8; message format: Intel SDM 3A 11.11).

use crate::hw::Mmio;
use crate::pci::{self, Sbdf};

/// What a function writes where to interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Address.
    pub address: u64,
    /// Data.
    pub data: u32,
}

/// The message for an edge interrupt with `vector` at the CPU with this APIC id; `None` for ids above 254, which
/// messages cannot name without interrupt remapping.
pub fn compose(apic_id: u32, vector: u8) -> Option<Message> {
    (apic_id < 255).then(|| Message {
        address: 0xfee0_0000 | u64::from(apic_id) << 12,
        data: vector.into(),
    })
}

/// A function's MSI capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Msi {
    function: Sbdf,
    offset: u16,
    wide: bool,
    maskable: bool,
    /// log2 of the messages it asks for.
    log2_messages: u8,
}

const CONTROL: u16 = 2;
const MSI_ENABLE: u16 = 1;
const MSI_MULTIPLE: u16 = 7 << 4;

impl Msi {
    /// Finds the capability.
    pub fn find(function: Sbdf) -> Option<Self> {
        let offset = u16::from(function.capability(pci::CAP_MSI)?);
        let control = function.read16(offset + CONTROL);
        Some(Self {
            function,
            offset,
            wide: control & 1 << 7 != 0,
            maskable: control & 1 << 8 != 0,
            log2_messages: ((control >> 1 & 7) as u8).min(5),
        })
    }

    /// How many messages the function can send (1 to 32).
    pub const fn messages(&self) -> u8 {
        1 << self.log2_messages
    }

    /// Whether single messages can be masked.
    pub const fn maskable(&self) -> bool {
        self.maskable
    }

    fn data_offset(&self) -> u16 {
        self.offset + if self.wide { 12 } else { 8 }
    }

    /// Sets the message that the function sends (with `1 << log2_count` messages, numbered in the low data bits).
    pub fn set_message(&self, message: Message, log2_count: u8) {
        self.function
            .write32(self.offset + 4, message.address as u32);
        if self.wide {
            self.function
                .write32(self.offset + 8, (message.address >> 32) as u32);
        }
        self.function
            .write16(self.data_offset(), message.data as u16);
        let control = self.function.read16(self.offset + CONTROL) & !MSI_MULTIPLE;
        self.function.write16(
            self.offset + CONTROL,
            control | u16::from(log2_count.min(self.log2_messages)) << 4,
        );
    }

    /// Lets the function send messages (and no longer assert INTx), or stops it.
    pub fn set_enabled(&self, enabled: bool) {
        let control = self.function.read16(self.offset + CONTROL) & !MSI_ENABLE;
        if enabled {
            intx_disable(self.function, true);
        }
        self.function
            .write16(self.offset + CONTROL, control | u16::from(enabled));
        if !enabled {
            intx_disable(self.function, false);
        }
    }

    /// Whether it may send messages.
    pub fn enabled(&self) -> bool {
        self.function.read16(self.offset + CONTROL) & MSI_ENABLE != 0
    }

    /// Masks or unmasks message `index`; false when the function cannot.
    pub fn set_mask(&self, index: u8, masked: bool) -> bool {
        if !self.maskable || index >= 32 {
            return false;
        }
        let offset = self.data_offset() + 4;
        let bits = self.function.read32(offset) & !(1 << index);
        self.function
            .write32(offset, bits | u32::from(masked) << index);
        true
    }
}

fn intx_disable(function: Sbdf, disable: bool) {
    let command = function.read16(pci::COMMAND) & !pci::COMMAND_INTX_DISABLE;
    function.write16(
        pci::COMMAND,
        command
            | if disable {
                pci::COMMAND_INTX_DISABLE
            } else {
                0
            },
    );
}

/// A function's MSI-X capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsixCapability {
    function: Sbdf,
    offset: u16,
    /// Entries in the table, 1 to 2048.
    pub entries: u16,
    /// Base address register that holds the table.
    pub table_bar: u8,
    /// The table's offset there, in bytes.
    pub table_offset: u32,
    /// Base address register that holds the pending bits.
    pub pending_bar: u8,
    /// Their offset there, in bytes.
    pub pending_offset: u32,
}

const MSIX_ENABLE: u16 = 1 << 15;
const MSIX_MASK_ALL: u16 = 1 << 14;
const ENTRY_BYTES: usize = 16;

impl MsixCapability {
    /// Finds the capability.
    pub fn find(function: Sbdf) -> Option<Self> {
        let offset = u16::from(function.capability(pci::CAP_MSIX)?);
        let control = function.read16(offset + CONTROL);
        let table = function.read32(offset + 4);
        let pending = function.read32(offset + 8);
        Some(Self {
            function,
            offset,
            entries: (control & 0x7ff) + 1,
            table_bar: (table & 7) as u8,
            table_offset: table & !7,
            pending_bar: (pending & 7) as u8,
            pending_offset: pending & !7,
        })
    }

    /// Sets the enable and the mask-all bit.
    pub fn set_control(&self, enabled: bool, mask_all: bool) {
        let control = self.function.read16(self.offset + CONTROL) & !(MSIX_ENABLE | MSIX_MASK_ALL);
        let bits = if enabled { MSIX_ENABLE } else { 0 } | if mask_all { MSIX_MASK_ALL } else { 0 };
        if enabled {
            intx_disable(self.function, true);
        }
        self.function.write16(self.offset + CONTROL, control | bits);
        if !enabled {
            intx_disable(self.function, false);
        }
    }

    /// The enable and the mask-all bit.
    pub fn control(&self) -> (bool, bool) {
        let control = self.function.read16(self.offset + CONTROL);
        (control & MSIX_ENABLE != 0, control & MSIX_MASK_ALL != 0)
    }

    /// Whether the function answers memory accesses at present; the table cannot be reached otherwise.
    pub fn memory_enabled(&self) -> bool {
        self.function.read16(pci::COMMAND) & pci::COMMAND_MEMORY != 0
    }

    /// Maps the table, whose base address register holds `bar_base` (0: read it from the function). `None` when it has
    /// no memory there.
    pub fn map(&self, bar_base: u64) -> Option<MsixTable> {
        let base = if bar_base != 0 {
            bar_base
        } else {
            self.function.memory_bar(self.table_bar)?
        };
        let start = base.checked_add(self.table_offset.into())?;
        let window = Mmio::map(start, usize::from(self.entries) as u64 * ENTRY_BYTES as u64)?;
        Some(MsixTable {
            window,
            entries: self.entries,
        })
    }

    /// First and last byte address of the table and of the pending bits: guests must not write the pages of either. The
    /// table's base address register holds `table_base` (0: read it from the function), since a virtual function's own
    /// registers are empty; another one is read.
    pub fn ranges(&self, table_base: u64) -> [Option<(u64, u64)>; 2] {
        let range = |bar, offset: u32, bytes: u64| {
            let base = if bar == self.table_bar && table_base != 0 {
                table_base
            } else {
                self.function.memory_bar(bar)?
            };
            let start = base.checked_add(offset.into())?;
            Some((start, start.checked_add(bytes - 1)?))
        };
        let entries = u64::from(self.entries).max(1);
        [
            range(
                self.table_bar,
                self.table_offset,
                entries * ENTRY_BYTES as u64,
            ),
            range(
                self.pending_bar,
                self.pending_offset,
                entries.div_ceil(64) * 8,
            ),
        ]
    }
}

/// A mapped MSI-X table.
#[derive(Clone, Copy, Debug)]
pub struct MsixTable {
    window: Mmio,
    entries: u16,
}

impl MsixTable {
    /// Number of entries.
    pub const fn entries(&self) -> u16 {
        self.entries
    }

    fn at(&self, entry: u16, word: usize) -> Option<usize> {
        (entry < self.entries).then(|| usize::from(entry) * ENTRY_BYTES + word * 4)
    }

    /// Masks or unmasks an entry. Nothing happens for one outside the table.
    pub fn set_mask(&self, entry: u16, masked: bool) {
        if let Some(offset) = self.at(entry, 3) {
            let control = self.window.read32(offset) & !1;
            self.window.write32(offset, control | u32::from(masked));
            // The read makes the posted write arrive.
            let _ = self.window.read32(offset);
        }
    }

    /// Sets the message of an entry, which must be masked meanwhile.
    pub fn set_message(&self, entry: u16, message: Message) {
        for (word, value) in [
            (0, message.address as u32),
            (1, (message.address >> 32) as u32),
            (2, message.data),
        ] {
            if let Some(offset) = self.at(entry, word) {
                self.window.write32(offset, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        assert_eq!(
            compose(3, 0x41),
            Some(Message {
                address: 0xfee0_3000,
                data: 0x41
            })
        );
        assert_eq!(compose(255, 0x41), None);
    }

    #[test]
    fn msi_capability() {
        for wide in [false, true] {
            let mut config = vec![0_u8; 256];
            config[..4].copy_from_slice(&[1, 2, 3, 4]);
            (config[6], config[0x34], config[0x50]) = (0x10, 0x50, pci::CAP_MSI);
            config[0x52] = 2 << 1 | u8::from(wide) << 7;
            config[0x53] = 1;
            crate::sim::add_pci_function(0, 1, 0, config);
            let f = Sbdf::new(0, 1, 0);
            let msi = Msi::find(f).unwrap();
            assert_eq!((msi.messages(), msi.maskable()), (4, true));
            msi.set_message(compose(1, 0x30).unwrap(), 1);
            msi.set_enabled(true);
            assert!(msi.enabled());
            let data = if wide { 0x5c } else { 0x58 };
            assert_eq!((f.read32(0x54), f.read16(data)), (0xfee0_1000, 0x30));
            assert_eq!(f.read16(0x52) & 0x71, 0x11);
            assert_eq!(f.read16(pci::COMMAND), pci::COMMAND_INTX_DISABLE);
            assert!(msi.set_mask(1, true));
            assert_eq!(f.read32(data + 4), 2);
            msi.set_enabled(false);
            assert_eq!(f.read16(pci::COMMAND), 0);
        }
    }

    #[test]
    fn msix_table() {
        let mut config = vec![0_u8; 256];
        config[..4].copy_from_slice(&[1, 2, 3, 4]);
        (config[6], config[0x34], config[0x70]) = (0x10, 0x70, pci::CAP_MSIX);
        config[0x72] = 3;
        config[0x75] = 0x20; // offset 0x2000 in BAR 0
        config[0x13] = 0xfe;
        crate::sim::add_pci_function(0, 1, 8, config);
        let cap = MsixCapability::find(Sbdf::new(0, 1, 8)).unwrap();
        assert_eq!(
            (cap.entries, cap.table_bar, cap.table_offset),
            (4, 0, 0x2000)
        );
        let pending = Some((0xfe00_0000, 0xfe00_0007));
        assert_eq!(cap.ranges(0), [Some((0xfe00_2000, 0xfe00_203f)), pending]);
        let pending = Some((0x1_0000, 0x1_0007));
        assert_eq!(cap.ranges(0x1_0000), [Some((0x1_2000, 0x1_203f)), pending]);
        assert_eq!(cap.ranges(u64::MAX), [None, None]);
        let table = cap.map(0).unwrap();
        table.set_mask(3, true);
        table.set_message(3, compose(2, 0x55).unwrap());
        assert_eq!(crate::sim::read_memory(0xfe00_2030), 0xfee0_2000);
        assert_eq!(crate::sim::read_memory(0xfe00_2038), 0x55);
        assert_eq!(crate::sim::read_memory(0xfe00_203c), 1);
        table.set_mask(4, true);
        assert_eq!(crate::sim::read_memory(0xfe00_204c), 0);
        cap.set_control(true, false);
        assert_eq!(cap.control(), (true, false));
        assert!(cap.map(u64::MAX - 10).is_none());
    }
}
