//! Register access in either mode. Offsets are those of x2APIC MSRs; the xAPIC places register `n` at byte `n * 16`.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::hw::{self, Mmio};
use crate::sync::Once;

pub(super) const ID: u32 = 0x02;
pub(super) const VERSION: u32 = 0x03;
pub(super) const TASK_PRIORITY: u32 = 0x08;
pub(super) const PROCESSOR_PRIORITY: u32 = 0x0a;
pub(super) const EOI: u32 = 0x0b;
pub(super) const SPURIOUS: u32 = 0x0f;
pub(super) const IN_SERVICE: u32 = 0x10;
pub(super) const REQUESTED: u32 = 0x20;
pub(super) const ERROR_STATUS: u32 = 0x28;
pub(super) const COMMAND: u32 = 0x30;
const COMMAND_HIGH: u32 = 0x31;
pub(super) const LVT_TIMER: u32 = 0x32;
pub(super) const LVT_THERMAL: u32 = 0x33;
pub(super) const LVT_PERFORMANCE: u32 = 0x34;
pub(super) const LVT_LINT0: u32 = 0x35;
pub(super) const LVT_LINT1: u32 = 0x36;
pub(super) const LVT_ERROR: u32 = 0x37;
pub(super) const TIMER_INITIAL: u32 = 0x38;
pub(super) const TIMER_CURRENT: u32 = 0x39;
pub(super) const TIMER_DIVIDE: u32 = 0x3e;

pub(super) const SPURIOUS_ENABLE: u32 = 1 << 8;
pub(super) const LVT_MASKED: u32 = 1 << 16;
pub(super) const LVT_DELIVERY: u32 = 7 << 8;
pub(super) const LVT_SMI: u32 = 2 << 8;
pub(super) const LVT_NMI: u32 = 4 << 8;
pub(super) const LVT_ACTIVE_LOW: u32 = 1 << 13;
pub(super) const LVT_TSC_DEADLINE: u32 = 2 << 17;

// Interrupt command: delivery mode, level, shorthand.
pub(super) const NMI: u32 = 4 << 8;
pub(super) const INIT: u32 = 5 << 8;
pub(super) const STARTUP: u32 = 6 << 8;
pub(super) const ASSERT: u32 = 1 << 14;
pub(super) const ALL_BUT_SELF: u32 = 3 << 18;
const DELIVERY_PENDING: u32 = 1 << 12;

const X2APIC_FIRST_MSR: u32 = 0x800;

static X2APIC: AtomicBool = AtomicBool::new(false);
static WINDOW: Once<Mmio> = Once::new();

pub(super) fn use_x2apic() {
    X2APIC.store(true, Ordering::Release);
}

pub(super) fn use_xapic(address: u64) -> Option<()> {
    let window = Mmio::map(address, 0x1000)?;
    WINDOW.call_once(|| window);
    Some(())
}

#[inline]
pub(super) fn x2apic() -> bool {
    X2APIC.load(Ordering::Relaxed)
}

#[inline]
pub(super) fn read(register: u32) -> u32 {
    if x2apic() {
        return hw::rdmsr(X2APIC_FIRST_MSR + register) as u32;
    }
    WINDOW.get().map_or(0, |w| w.read32(register as usize * 16))
}

#[inline]
pub(super) fn write(register: u32, value: u32) {
    if x2apic() {
        hw::wrmsr(X2APIC_FIRST_MSR + register, value.into());
    } else if let Some(window) = WINDOW.get() {
        window.write32(register as usize * 16, value);
    }
}

pub(super) fn id() -> u32 {
    let raw = read(ID);
    if x2apic() { raw } else { raw >> 24 }
}

/// Sends an interrupt command.
pub(super) fn command(apic_id: u32, command: u32) {
    if x2apic() {
        // A WRMSR to the x2APIC does not order earlier stores (SDM 11.12.3); the receiver must see what it is told of.
        hw::fence();
        hw::wrmsr(
            X2APIC_FIRST_MSR + COMMAND,
            u64::from(apic_id) << 32 | u64::from(command),
        );
        return;
    }
    // The previous command must have left before the register is used again. An APIC that never gets rid of one is
    // broken hardware; do not hang on it.
    for _ in 0..1_000_000 {
        if read(COMMAND) & DELIVERY_PENDING == 0 {
            break;
        }
        core::hint::spin_loop();
    }
    write(COMMAND_HIGH, apic_id << 24);
    write(COMMAND, command);
}
