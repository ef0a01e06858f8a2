//! physdev_op (Xen public/physdev.h): interrupts and PCI functions for dom0, I/O rights of guests.

use arch::addr::Mfn;
use arch::ioapic::{self, Wiring};
use arch::pci::Sbdf;
use hypercall_abi::physdev::*;
use hypercall_abi::xen::{DomId, Hypercall};
use hypercall_abi::{Errno, GuestHandle};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::descriptor::User;
use super::device::Wanted;
use super::pirq;
use crate::domain::{Context, Domain, DomainId};
use crate::fail::{Args, Return};
use crate::guest;
use crate::host::host;
use crate::mm::{PageType, get_page_and_type};
use crate::xsm;

/// The largest number of messages that one MSI capability can have.
const MAX_MSI_MESSAGES: i32 = 32;
/// An RTE's delivery modes above lowest priority: SMI, NMI, INIT, ExtINT.
const RTE_SPECIAL_DELIVERY: u32 = 0b110 << 8;
const RTE_MASKED: u32 = 1 << 16;
const RTE_LEVEL: u32 = 1 << 15;
const RTE_ACTIVE_LOW: u32 = 1 << 13;
/// Bytes of a full I/O permission bitmap.
const IO_BITMAP_BYTES: usize = 8192;

fn input<T: FromBytes + IntoBytes>(arg: u64) -> Result<T, Errno> {
    guest::read(GuestHandle::new(arg), 0)
}

fn output<T: IntoBytes + Immutable>(arg: u64, value: &T) -> Return {
    guest::write(GuestHandle::new(arg), 0, value)?;
    Ok(0)
}

fn may(cx: &Context, op: PhysdevOp, target: Option<&Domain>) -> Result<(), Errno> {
    xsm::check(&cx.domain, Hypercall::PHYSDEV_OP, op.0, target)
}

fn done(result: Result<(), Errno>) -> Return {
    result?;
    Ok(0)
}

/// `physdev_op(cmd, arg)`. Errors are Xen 4.17's.
pub fn do_physdev_op(cx: &Context, args: Args) -> Return {
    let arg = args.0[1];
    let d = &*cx.domain;
    let command = PhysdevOp(args.0[0] as u32);
    match command {
        PhysdevOp::EOI => done(pirq::end(d, input::<PhysdevEoi>(arg)?.irq)),
        PhysdevOp::PIRQ_EOI_GMFN_V1 | PhysdevOp::PIRQ_EOI_GMFN_V2 => {
            set_eoi_page(d, input(arg)?, command == PhysdevOp::PIRQ_EOI_GMFN_V1)
        }
        PhysdevOp(PHYSDEVOP_IRQ_UNMASK_NOTIFY) => {
            pirq::end_unmasked(d);
            Ok(0)
        }
        PhysdevOp::IRQ_STATUS_QUERY => {
            let mut query: PhysdevIrqStatusQuery = input(arg)?;
            if query.irq >= host().irqs.count() {
                return Err(Errno::EINVAL.into());
            }
            // The exact answer is in the page of pirq_eoi_gmfn; who does not use that ends every interrupt.
            query.flags = XENIRQSTAT_NEEDS_EOI;
            output(arg, &query)
        }
        PhysdevOp::SET_IOPL => set_iopl(cx, input(arg)?),
        PhysdevOp::SET_IOBITMAP => set_io_bitmap(cx, input(arg)?),
        PhysdevOp::APIC_READ => apic_read(cx, arg),
        PhysdevOp::APIC_WRITE => apic_write(cx, input(arg)?),
        PhysdevOp::ALLOC_IRQ_VECTOR => {
            let mut op: PhysdevIrq = input(arg)?;
            may(cx, command, None)?;
            // Vectors are the hypervisor's business; dom0 writes this number into its I/O APIC entries.
            op.vector = op.irq;
            output(arg, &op)
        }
        PhysdevOp::MAP_PIRQ => map_pirq(cx, arg),
        PhysdevOp::UNMAP_PIRQ => {
            let op: PhysdevUnmapPirq = input(arg)?;
            with_target(cx, command, op.domid, |target| pirq::unmap(target, op.pirq))?;
            Ok(0)
        }
        PhysdevOp::SETUP_GSI => setup_gsi(cx, input(arg)?),
        PhysdevOp::GET_FREE_PIRQ => {
            let mut op: PhysdevGetFreePirq = input(arg)?;
            op.pirq = pirq::reserve(d, MapPirqType(op.r#type as u32))?;
            output(arg, &op)
        }
        _ => device_op(cx, command, arg),
    }
}

fn device_op(cx: &Context, command: PhysdevOp, arg: u64) -> Return {
    let table = &host().irqs;
    let devices = || table.devices.lock();
    let add = |function| {
        may(cx, command, None)?;
        done(devices().add(function))
    };
    let remove = |function| {
        may(cx, command, None)?;
        // Their numbers stay dom0's until it unmaps them.
        for number in devices().remove(function)? {
            if let Some(mut irq) = table.lock(number) {
                irq.stop();
            }
        }
        Ok(0)
    };
    let restore = |function| {
        may(cx, command, None)?;
        done(devices().restore(table, function))
    };
    match command {
        PhysdevOp::MANAGE_PCI_ADD => {
            let op: PhysdevManagePci = input(arg)?;
            add(Sbdf::new(0, op.bus, op.devfn))
        }
        PhysdevOp::MANAGE_PCI_REMOVE => {
            let op: PhysdevManagePci = input(arg)?;
            remove(Sbdf::new(0, op.bus, op.devfn))
        }
        PhysdevOp::MANAGE_PCI_ADD_EXT => {
            let op: PhysdevManagePciExt = input(arg)?;
            if op.is_extfn > 1 || op.is_virtfn > 1 {
                return Err(Errno::EINVAL.into());
            }
            add(Sbdf::new(0, op.bus, op.devfn))
        }
        PhysdevOp::PCI_DEVICE_ADD => {
            let op: PhysdevPciDeviceAdd = input(arg)?;
            add(Sbdf::new(op.seg, op.bus, op.devfn))
        }
        PhysdevOp::PCI_DEVICE_REMOVE => remove(function(input(arg)?)),
        PhysdevOp::RESTORE_MSI => {
            let op: PhysdevRestoreMsi = input(arg)?;
            restore(Sbdf::new(0, op.bus, op.devfn))
        }
        PhysdevOp::RESTORE_MSI_EXT => restore(function(input(arg)?)),
        PhysdevOp::PREPARE_MSIX | PhysdevOp::RELEASE_MSIX => {
            let op: PhysdevPciDevice = input(arg)?;
            may(cx, command, None)?;
            done(devices().prepare_msix(function(op), command == PhysdevOp::RELEASE_MSIX))
        }
        PhysdevOp::PCI_MMCFG_RESERVED => {
            may(cx, command, None)?;
            mmcfg_reserved(input(arg)?)
        }
        PhysdevOp::DBGP_OP => {
            may(cx, command, None)?;
            // No USB debug port is used as a console, so dom0 may reset any controller.
            let _: PhysdevDbgpOp = input(arg)?;
            Ok(0)
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn function(op: PhysdevPciDevice) -> Sbdf {
    Sbdf::new(op.seg, op.bus, op.devfn)
}

/// Runs `f` on the domain that a map call names. `ESRCH` if there is none, `EPERM` for all but dom0.
fn with_target<R>(
    cx: &Context,
    op: PhysdevOp,
    id: DomId,
    f: impl FnOnce(&Domain) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let own = id == DomId::SELF || id.0 == cx.domain.id.0;
    let target = if own {
        cx.domain.clone()
    } else {
        host().domains.get(DomainId(id.0))?
    };
    may(cx, op, Some(&target))?;
    if target.is_dying() {
        return Err(Errno::ESRCH);
    }
    f(&target)
}

fn map_pirq(cx: &Context, arg: u64) -> Return {
    let mut map: PhysdevMapPirq = input(arg)?;
    let kind = MapPirqType(map.r#type as u32);
    let segment = match kind {
        MapPirqType::MSI_SEG => (map.bus >> 16) as u16,
        MapPirqType::MULTI_MSI => {
            if map.table_base != 0 {
                return Err(Errno::EINVAL.into());
            }
            (map.bus >> 16) as u16
        }
        _ => 0,
    };
    let function = Sbdf::new(segment, map.bus as u8, map.devfn as u8);
    let result = with_target(cx, PhysdevOp::MAP_PIRQ, map.domid, |target| match kind {
        MapPirqType::GSI => pirq::map_gsi(target, map.index, map.pirq),
        // Only new interrupts can be mapped: there is no other way to come by the number of an existing one.
        MapPirqType::MSI | MapPirqType::MSI_SEG if map.index != -1 => Err(Errno::EINVAL),
        MapPirqType::MSI | MapPirqType::MSI_SEG => {
            let wanted = match map.table_base {
                0 => Wanted::Msi,
                base => Wanted::MsiX {
                    entry: map.entry_nr,
                    base,
                },
            };
            pirq::map_message(target, function, wanted, map.pirq)
        }
        MapPirqType::MULTI_MSI => match map.entry_nr {
            1 => pirq::map_message(target, function, Wanted::Msi, map.pirq),
            // Several messages cannot go to several CPUs without interrupt remapping, so Xen refuses them then; drivers
            // fall back to one.
            2..=MAX_MSI_MESSAGES => Err(Errno::EOPNOTSUPP),
            _ => Err(Errno::EDOM),
        },
        _ => Err(Errno::EINVAL),
    });
    if let Ok(pirq) = result {
        map.pirq = pirq as i32;
    }
    guest::write(GuestHandle::new(arg), 0, &map)?;
    result?;
    Ok(0)
}

fn set_eoi_page(domain: &Domain, op: PhysdevPirqEoiGmfn, auto_unmask: bool) -> Return {
    let page = get_page_and_type(Mfn::new(op.gmfn), domain, PageType::Writable)
        .map_err(|_| Errno::EINVAL)?;
    done(pirq::set_eoi_map(domain, page, auto_unmask))
}

fn set_iopl(cx: &Context, op: PhysdevSetIopl) -> Return {
    if op.iopl > 3 {
        return Err(Errno::EINVAL.into());
    }
    cx.vcpu.pv().state().iopl = op.iopl as u8;
    Ok(0)
}

fn set_io_bitmap(cx: &Context, op: PhysdevSetIobitmap) -> Return {
    let bitmap = op.bitmap.addr();
    if !arch::guest::range_ok(arch::addr::GuestVa::new(bitmap), IO_BITMAP_BYTES)
        || op.nr_ports > 65_536
    {
        return Err(Errno::EINVAL.into());
    }
    cx.vcpu.pv().state().io_bitmap = (bitmap, op.nr_ports);
    Ok(0)
}

fn apic_read(cx: &Context, arg: u64) -> Return {
    let mut op: PhysdevApic = input(arg)?;
    may(cx, PhysdevOp::APIC_READ, None)?;
    let value = ioapic::read_register(op.apic_physbase, op.reg as u8);
    op.value = value.unwrap_or(op.value);
    guest::write(GuestHandle::new(arg), 0, &op)?;
    value.ok_or(Errno::EINVAL)?;
    Ok(0)
}

/// Old kernels program their I/O APIC entries; the vector field then holds the pirq. Xen `ioapic_guest_write`.
fn apic_write(cx: &Context, op: PhysdevApic) -> Return {
    may(cx, PhysdevOp::APIC_WRITE, None)?;
    if !ioapic::addresses().contains(&op.apic_physbase) {
        return Err(Errno::EINVAL.into());
    }
    if op.reg < 0x10 || op.reg & 1 != 0 {
        return Ok(0);
    }
    if op.value & RTE_SPECIAL_DELIVERY != 0 {
        return Err(Errno::EINVAL.into());
    }
    let register = u8::try_from(op.reg).map_err(|_| Errno::EINVAL)?;
    let gsi = ioapic::gsi_of_register(op.apic_physbase, register).ok_or(Errno::EINVAL)?;
    let irq = host().irqs.irq(gsi).ok_or(Errno::EINVAL)?;
    {
        let mut irq = irq.lock();
        if !matches!(irq.user, User::Nobody) {
            return Ok(0);
        }
        irq.wiring = Wiring {
            level: op.value & RTE_LEVEL != 0,
            active_low: op.value & RTE_ACTIVE_LOW != 0,
        };
    }
    if op.value & RTE_MASKED == 0 {
        let pirq = if gsi >= 256 { gsi } else { op.value & 0xff };
        if pirq >= host().irqs.count() {
            return Err(Errno::EINVAL.into());
        }
        pirq::map_gsi(&cx.domain, gsi as i32, pirq as i32)?;
    }
    Ok(0)
}

fn setup_gsi(cx: &Context, op: PhysdevSetupGsi) -> Return {
    let table = &host().irqs;
    let gsi = u32::try_from(op.gsi)
        .ok()
        .filter(|&g| g < table.gsi_end())
        .ok_or(Errno::EINVAL)?;
    may(cx, PhysdevOp::SETUP_GSI, None)?;
    let mut irq = table
        .irq(gsi)
        .filter(|_| ioapic::exists(gsi))
        .ok_or(Errno::EINVAL)?
        .lock();
    if !matches!(irq.user, User::Nobody) || irq.configured {
        return Err(Errno::EEXIST.into());
    }
    irq.configured = true;
    irq.wiring = Wiring {
        level: op.triggering != 0,
        active_low: op.polarity != 0,
    };
    // A pin that has a vector already gets the new wiring; others get it when they are bound.
    irq.restore();
    Ok(0)
}

/// dom0 found that the firmware reserved this configuration window. `ENODEV` if ACPI does not list it.
fn mmcfg_reserved(op: PhysdevPciMmcfgReserved) -> Return {
    let listed = arch::acpi::get().mcfg.iter().any(|w| {
        w.address == op.address
            && w.segment == op.segment
            && w.first_bus == op.start_bus
            && w.last_bus == op.end_bus
    });
    if listed {
        Ok(0)
    } else {
        Err(Errno::ENODEV.into())
    }
}
