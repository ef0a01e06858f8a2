//! Port I/O of PV guests: who may touch which port, and the ports that are answered by the hypervisor.

use core::sync::atomic::Ordering;

use arch::addr::GuestVa;

use crate::domain::Context;

/// PCI configuration mechanism 1: address and data ports.
const PCI_ADDRESS: u16 = 0xcf8;
const PCI_DATA: u16 = 0xcfc;

/// Whether the guest's present mode has I/O privilege by its virtual IOPL: its user mode at 3, its kernel from 1, or
/// always where the IOPL is the architecture's.
pub fn iopl_ok(cx: &Context) -> bool {
    let state = cx.vcpu.pv().state();
    let kernel = u8::from(!cx.domain.pv().architectural_iopl());
    state.iopl >= if state.kernel_mode { kernel } else { 3 }
}

/// Whether the guest itself allows the access: by IOPL or by its I/O bitmap.
fn guest_allows(cx: &Context, port: u16, size: usize) -> bool {
    if iopl_ok(cx) {
        return true;
    }
    let (bitmap, ports) = cx.vcpu.pv().state().io_bitmap;
    if bitmap == 0 || u32::from(port) + size as u32 > ports {
        return false;
    }
    // Two bytes hold any run of four ports.
    let mut bits = [0xffu8; 2];
    let at = GuestVa::new(bitmap.wrapping_add(u64::from(port >> 3)));
    if arch::guest::copy_from(at, &mut bits).is_err()
        && arch::guest::copy_from(at, &mut bits[..1]).is_err()
    {
        return false;
    }
    u16::from_le_bytes(bits) >> (port & 7) & ((1 << size) - 1) == 0
}

/// What the hypervisor does about an access that the guest itself allows.
enum Route {
    Hardware,
    PciAddress,
    PciData,
    /// Reads all ones, writes vanish.
    Absent,
}

fn route(cx: &Context, port: u16, size: usize) -> Route {
    if port == PCI_ADDRESS && size == 4 {
        Route::PciAddress
    } else if (PCI_DATA..PCI_DATA + 4).contains(&port) {
        Route::PciData
    } else if cx.domain.irqs.ports_permitted(port, size) {
        Route::Hardware
    } else {
        Route::Absent
    }
}

/// IN of 1, 2 or 4 bytes. `None`: the guest gets its #GP.
pub fn read(cx: &Context, port: u16, size: usize) -> Option<u32> {
    if !guest_allows(cx, port, size) {
        return None;
    }
    let ones = super::decode::mask(size) as u32;
    Some(match route(cx, port, size) {
        Route::Hardware => match size {
            1 => arch::cpu::port::inb(port).into(),
            2 => arch::cpu::port::inw(port).into(),
            _ => arch::cpu::port::inl(port),
        },
        Route::PciAddress => cx.domain.pv().pci_address.load(Ordering::Relaxed),
        Route::PciData if cx.domain.privileged => {
            let address = cx.domain.pv().pci_address.load(Ordering::Relaxed);
            arch::pci::legacy_read(address, port - PCI_DATA, size)
        }
        Route::PciData | Route::Absent => ones,
    })
}

/// OUT of 1, 2 or 4 bytes. `None`: the guest gets its #GP.
pub fn write(cx: &Context, port: u16, size: usize, value: u32) -> Option<()> {
    if !guest_allows(cx, port, size) {
        return None;
    }
    match route(cx, port, size) {
        Route::Hardware => match size {
            1 => arch::cpu::port::outb(port, value as u8),
            2 => arch::cpu::port::outw(port, value as u16),
            _ => arch::cpu::port::outl(port, value),
        },
        Route::PciAddress => cx.domain.pv().pci_address.store(value, Ordering::Relaxed),
        Route::PciData if cx.domain.privileged => {
            let address = cx.domain.pv().pci_address.load(Ordering::Relaxed);
            arch::pci::legacy_write(address, port - PCI_DATA, size, value);
        }
        Route::PciData | Route::Absent => {}
    }
    Some(())
}
