//! The end: power-off, reboot, and what follows a crash of dom0.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use arch::power::Method;

use crate::options::{Options, RebootMethod};

/// Do not reboot after a crash (options `noreboot`, `reboot=no`).
static NOREBOOT: AtomicBool = AtomicBool::new(false);
/// A warm restart (`reboot=warm`).
static WARM: AtomicBool = AtomicBool::new(false);
/// The method to try first: an index of [`FIRST`].
static METHOD: AtomicU8 = AtomicU8::new(0);

/// Methods and what messages call them.
const FIRST: [(Option<Method>, &str); 6] = [
    (None, "every method in turn"),
    (Some(Method::Acpi), "the ACPI reset register"),
    (Some(Method::Keyboard), "the keyboard controller"),
    (Some(Method::TripleFault), "a triple fault"),
    (Some(Method::Chipset), "port 0xcf9"),
    (Some(Method::PowerCycle), "a power cycle through port 0xcf9"),
];

fn method() -> (Option<Method>, &'static str) {
    let index = usize::from(METHOD.load(Ordering::Relaxed));
    FIRST.get(index).copied().unwrap_or(FIRST[0])
}

/// Keeps what the options say about the end.
pub fn configure(options: &Options) {
    NOREBOOT.store(options.no_reboot, Ordering::Relaxed);
    WARM.store(options.warm_reboot, Ordering::Relaxed);
    let method = match options.reboot {
        RebootMethod::Default => 0,
        RebootMethod::Acpi => 1,
        RebootMethod::Keyboard => 2,
        RebootMethod::TripleFault => 3,
        RebootMethod::Pci => 4,
        RebootMethod::Power => 5,
    };
    METHOD.store(method, Ordering::Relaxed);
}

/// Restarts the machine as configured.
pub fn restart() -> ! {
    arch::power::reboot(method().0, WARM.load(Ordering::Relaxed))
}

/// What follows a failure that the hypervisor cannot go on from: a restart after five seconds, or a halt if the
/// options say so. `say` prints a line.
pub fn after_failure(say: impl FnOnce(core::fmt::Arguments<'_>)) -> ! {
    if NOREBOOT.load(Ordering::Relaxed) {
        say(format_args!("'noreboot' is set: the machine halts"));
        halt()
    }
    say(format_args!("rebooting in 5 seconds by {}", method().1));
    arch::clock::delay(5_000_000_000);
    restart()
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
            restart()
        }
        reason::WATCHDOG => {
            log::error!("dom0's watchdog expired: rebooting the machine");
            restart()
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
    after_failure(|line| log::error!("{line}"))
}
