//! The PCI functions that dom0 reported, and their message-signalled interrupts.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use arch::addr::{Mfn, PhysAddr};
use arch::msi::{Msi, MsixCapability, MsixTable};
use arch::pci::Sbdf;
use hypercall_abi::Errno;

use super::IrqTable;
use super::descriptor::Source;
use crate::host::host;

/// Most functions that are kept: 256 buses of one segment.
const MAX_FUNCTIONS: usize = 65_536;

/// A PCI function.
#[derive(Default)]
struct Function {
    msix: Option<(MsixCapability, MsixTable)>,
    /// Frames of its table and of its pending bits, which guests may only read while MSI-X is in use.
    protected: [Option<(Mfn, Mfn)>; 2],
    /// dom0 keeps the capability ready for a guest (prepare_msix).
    prepared: bool,
    /// Irqs of its messages.
    irqs: Vec<u16>,
}

/// The functions by address.
#[derive(Default)]
pub(super) struct Devices(BTreeMap<Sbdf, Function>);

/// What a message-signalled irq is wanted for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// The function's MSI.
    Msi,
    /// An entry of its MSI-X table, whose base address register holds `base` according to dom0.
    MsiX { entry: i32, base: u64 },
}

impl Devices {
    /// Notes a function. `ENOMEM` when there are too many.
    pub(super) fn add(&mut self, function: Sbdf) -> Result<(), Errno> {
        if self.0.len() >= MAX_FUNCTIONS && !self.0.contains_key(&function) {
            return Err(Errno::ENOMEM);
        }
        self.0.entry(function).or_default();
        Ok(())
    }

    /// Forgets a function; the irqs that it still had. `ENODEV` if it is not known.
    pub(super) fn remove(&mut self, function: Sbdf) -> Result<Vec<u16>, Errno> {
        let mut device = self.0.remove(&function).ok_or(Errno::ENODEV)?;
        device.forget_msix();
        Ok(core::mem::take(&mut device.irqs))
    }

    fn known(&mut self, function: Sbdf) -> Result<&mut Function, Errno> {
        // Functions that were there at boot need no report.
        if !self.0.contains_key(&function) && function.exists() {
            self.add(function)?;
        }
        self.0.get_mut(&function).ok_or(Errno::ENODEV)
    }

    /// Finds a free irq for a message of `function` and sets its source, masked. `ENODEV` without function or
    /// capability, `EINVAL` for an entry outside the table, `EEXIST` if that message has an irq, `ENXIO` if the table
    /// cannot be reached, `EINVAL` when irqs have run out (as Xen answers).
    pub(super) fn create_irq(
        &mut self,
        table: &IrqTable,
        function: Sbdf,
        wanted: Wanted,
    ) -> Result<u16, Errno> {
        let device = self.known(function)?;
        let source = match wanted {
            Wanted::Msi => {
                let msi = Msi::find(function).ok_or(Errno::ENODEV)?;
                Source::Msi { function, msi }
            }
            Wanted::MsiX { entry, base } => {
                let msix = device.msix_table(function, base)?;
                let entry = u16::try_from(entry)
                    .ok()
                    .filter(|&e| e < msix.entries())
                    .ok_or(Errno::EINVAL)?;
                Source::MsiX {
                    function,
                    table: msix,
                    entry,
                }
            }
        };
        for &number in &device.irqs {
            let other = table.lock(number).map(|irq| irq.source);
            let same = match (source, other) {
                (Source::Msi { .. }, Some(Source::Msi { .. })) => true,
                (Source::MsiX { entry, .. }, Some(Source::MsiX { entry: other, .. })) => {
                    entry == other
                }
                _ => false,
            };
            if same {
                return Err(Errno::EEXIST);
            }
        }
        for number in table.gsi_end()..table.count() {
            let Some(irq) = table.irq(number) else { break };
            let mut irq = irq.lock();
            if matches!(irq.source, Source::Free) && irq.place.is_none() {
                irq.source = source;
                device.irqs.push(irq.number);
                return Ok(irq.number);
            }
        }
        Err(Errno::EINVAL)
    }

    /// Gives a message's irq back: silences its source and forgets it.
    pub(super) fn destroy_irq(&mut self, table: &IrqTable, number: u16) {
        let Some(mut irq) = table.lock(number) else {
            return;
        };
        irq.stop();
        let function = match irq.source {
            Source::Msi { function, msi } => {
                msi.set_enabled(false);
                function
            }
            Source::MsiX { function, .. } => function,
            Source::Gsi { .. } | Source::Free => return,
        };
        let was_msix = matches!(irq.source, Source::MsiX { .. });
        irq.source = Source::Free;
        irq.unplace(table);
        drop(irq);
        if let Some(device) = self.0.get_mut(&function) {
            device.irqs.retain(|&n| n != number);
            if was_msix && device.irqs.is_empty() && !device.prepared {
                device.forget_msix();
            }
        }
    }

    /// Programs all messages of a function again. `ENODEV` if it is not known.
    pub(super) fn restore(&mut self, table: &IrqTable, function: Sbdf) -> Result<(), Errno> {
        let device = self.0.get(&function).ok_or(Errno::ENODEV)?;
        let mut msix = false;
        for &number in &device.irqs {
            let Some(irq) = table.lock(number) else {
                continue;
            };
            match irq.source {
                Source::Msi { msi, .. } => {
                    msi.set_enabled(false);
                    irq.restore();
                    msi.set_enabled(true);
                }
                Source::MsiX { .. } => {
                    if let Some((capability, _)) = device.msix
                        && !msix
                    {
                        if !capability.memory_enabled() {
                            return Err(Errno::ENXIO);
                        }
                        capability.set_control(true, true);
                        msix = true;
                    }
                    irq.restore();
                }
                Source::Gsi { .. } | Source::Free => {}
            }
        }
        if let Some((capability, _)) = device.msix.filter(|_| msix) {
            capability.set_control(true, false);
        }
        Ok(())
    }

    /// PHYSDEVOP_prepare_msix and release_msix. `ENODEV` if the function is not known or has no MSI-X, `EBUSY` if its
    /// entries are in use or it is in that state already.
    pub(super) fn prepare_msix(&mut self, function: Sbdf, release: bool) -> Result<(), Errno> {
        let device = self.known(function)?;
        if !device.irqs.is_empty() || device.prepared != release {
            return Err(Errno::EBUSY);
        }
        if release {
            device.forget_msix();
        } else {
            device.msix_table(function, 0)?;
        }
        device.prepared = !release;
        Ok(())
    }
}

impl Function {
    fn msix_table(&mut self, function: Sbdf, base: u64) -> Result<MsixTable, Errno> {
        if let Some((_, table)) = self.msix {
            return Ok(table);
        }
        let capability = MsixCapability::find(function).ok_or(Errno::ENODEV)?;
        if !capability.memory_enabled() {
            return Err(Errno::ENXIO);
        }
        // What the function itself says counts; dom0's word only where that is empty (virtual functions).
        let own = function.memory_bar(capability.table_bar).unwrap_or(base);
        let table = capability.map(own).ok_or(Errno::ENXIO)?;
        self.protected = capability.ranges(own).map(|range| {
            let (first, last) = range?;
            let (first, last) = (PhysAddr(first).mfn(), PhysAddr(last).mfn());
            host().mm.protect_device(first, last);
            Some((first, last))
        });
        self.msix = Some((capability, table));
        Ok(table)
    }

    fn forget_msix(&mut self) {
        self.msix = None;
        for (first, last) in core::mem::take(&mut self.protected).into_iter().flatten() {
            host().mm.release_device(first, last);
        }
    }
}
