//! Traps that are not a guest's ordinary exceptions: those of the hypervisor itself, NMIs, machine checks.

use arch::entry::TrapFrame;

use crate::options::OnNmi;
use crate::percpu;
use crate::pv::trap::vector;

/// A trap while the hypervisor ran. A fault with a fix-up continues there; an interrupt (taken in the idle loop) is
/// served; anything else is a bug of ours.
pub fn in_hypervisor(frame: &mut TrapFrame) {
    match frame.vector {
        vector::NMI => return nmi(frame),
        vector::MACHINE_CHECK => return machine_check(frame),
        0x20.. => return crate::irq::interrupt(frame.vector as u8),
        vector::PAGE_FAULT if ldt_page(frame) => return,
        vector::DEBUG => {
            // A guest's data breakpoint on memory that the hypervisor copied (XSA-260, -444): not an error.
            arch::guest_cpu::write_debug(6, 0xffff_0ff0);
            return;
        }
        _ => {}
    }
    if let Some(fixup) = arch::extable::fixup(frame.rip) {
        frame.rip = fixup;
        return;
    }
    let address = arch::guest_cpu::read_cr2();
    panic!(
        "trap {} error {:#x} cr2 {address:#x} in the hypervisor{}\n{frame:#x?}",
        frame.vector,
        frame.error_code,
        arch::backtrace::Trace::of(frame.rip, frame.rbp)
    );
}

/// Whether the fault was on a guest LDT page that is loaded on demand (a selector load on the guest's behalf).
fn ldt_page(_frame: &TrapFrame) -> bool {
    let address = arch::guest_cpu::read_cr2();
    percpu::with(|cpu| match cpu.current.try_borrow() {
        Ok(current) => current
            .as_ref()
            .is_some_and(|cx| crate::pv::descriptor::ldt_fault(cx, address).unwrap_or(false)),
        Err(_) => false,
    })
}

/// A non-maskable interrupt: from the hardware (reported, then as configured) or from another CPU that panicked.
pub fn nmi(frame: &TrapFrame) {
    if crate::fault::panicking() {
        arch::cpu::halt_forever();
    }
    crate::time::watchdog::nmi(frame);
    // System control port B: bit 7 memory parity (SERR), bit 6 I/O check.
    let reason = arch::cpu::port::inb(0x61);
    if reason & 0xc0 == 0 {
        return;
    }
    let on_error = ON_NMI.load(core::sync::atomic::Ordering::Relaxed);
    if on_error != OnNmi::Ignore as u8 {
        crate::console::emergency(format_args!("NMI: system control port says {reason:#x}"));
    }
    if on_error == OnNmi::Fatal as u8 {
        panic!("NMI for a parity or I/O error, and nmi=fatal");
    }
}

/// What parity and I/O errors do: an [`OnNmi`].
static ON_NMI: core::sync::atomic::AtomicU8 =
    core::sync::atomic::AtomicU8::new(OnNmi::Report as u8);

/// Keeps what the options say about NMIs.
pub fn configure(on_nmi: OnNmi) {
    ON_NMI.store(on_nmi as u8, core::sync::atomic::Ordering::Relaxed);
}

/// A machine check: fatal, with everything that the banks say.
pub fn machine_check(frame: &TrapFrame) {
    let status = arch::cpu::msr::try_read(0x17a).unwrap_or(0);
    let banks = arch::cpu::msr::try_read(0x179).unwrap_or(0) & 0xff;
    for bank in 0..banks as u32 {
        let value = arch::cpu::msr::try_read(0x401 + 4 * bank).unwrap_or(0);
        if value >> 63 != 0 {
            crate::console::emergency(format_args!(
                "machine check: bank {bank} status {value:#018x}"
            ));
        }
    }
    panic!("machine check, MCG_STATUS {status:#x}, at {:#x}", frame.rip);
}

static PANICKING: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

/// Whether a CPU has panicked: the others stop at their next NMI.
pub fn panicking() -> bool {
    PANICKING.load(core::sync::atomic::Ordering::Acquire)
}

/// Marks the panic; true for the first CPU to get here.
pub fn enter_panic() -> bool {
    !PANICKING.swap(true, core::sync::atomic::Ordering::AcqRel)
}
