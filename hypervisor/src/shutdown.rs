//! The end: power-off, reboot, and what follows a crash of dom0.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::host::host;

/// Do not reboot after a crash (option `noreboot`).
static NOREBOOT: AtomicBool = AtomicBool::new(false);

/// Sets whether the host stays halted after a crash.
pub fn set_noreboot(value: bool) {
    NOREBOOT.store(value, Ordering::Relaxed);
}

/// Why a domain shut down: `SHUTDOWN_*` of public sched.h.
#[allow(missing_docs)]
pub mod reason {
    pub const POWEROFF: u32 = 0;
    pub const REBOOT: u32 = 1;
    pub const SUSPEND: u32 = 2;
    pub const CRASH: u32 = 3;
    pub const WATCHDOG: u32 = 4;
    pub const SOFT_RESET: u32 = 5;
}

/// dom0 shut down: the host follows.
pub fn shutdown_host(why: u32) -> ! {
    let _ = host();
    match why {
        reason::POWEROFF => {
            log::info!("dom0 halted: halting the machine");
            halt()
        }
        reason::CRASH => {
            log::error!("dom0 crashed");
            after_crash()
        }
        reason::REBOOT => {
            log::info!("dom0 shut down: rebooting the machine");
            arch::power::reboot()
        }
        reason::WATCHDOG => {
            log::error!("dom0's watchdog expired: rebooting the machine");
            arch::power::reboot()
        }
        other => {
            log::info!("dom0 shut down for reason {other}: rebooting the machine");
            after_crash()
        }
    }
}

fn halt() -> ! {
    arch::cpu::halt_forever()
}

fn after_crash() -> ! {
    if NOREBOOT.load(Ordering::Relaxed) {
        log::error!("'noreboot' is set: the machine halts");
        halt()
    }
    log::error!("rebooting in 5 seconds");
    let end = arch::clock::now() + 5_000_000_000;
    while arch::clock::now() < end {
        core::hint::spin_loop();
    }
    arch::power::reboot()
}
