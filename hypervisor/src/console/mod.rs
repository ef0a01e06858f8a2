//! The console: messages, their ring (`xl dmesg`), input and its switching between dom0 and the hypervisor, debug keys.
//!
//! Works from the first message on, before there is a heap; so its state is static rather than part of `Host`.

pub mod debug_keys;
pub mod input;
mod io;
mod logger;
pub mod ring;

#[cfg(test)]
mod tests;

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use arch::sync::SpinLock;

pub use io::do_console_io;
pub use logger::{GUEST, attach_screen, start};
use ring::Ring;

/// Handle of the console in `Host`; its state is static (see above).
#[derive(Default)]
pub struct Console {}

static RING: SpinLock<Ring> = SpinLock::new(Ring::new());

/// Messages go to the ring only: dom0 owns the screen and asked for quiet (none does yet).
static TO_SINKS: AtomicBool = AtomicBool::new(true);

/// Puts a message into the ring and on the sinks.
fn write_message(bytes: &[u8]) {
    RING.lock().push(bytes);
    if TO_SINKS.load(Ordering::Relaxed) {
        arch::console::write(bytes);
    }
}

/// Reads from the ring (sysctl readconsole): from `index` if `incremental`, else from the oldest byte kept. Returns the
/// number of bytes read and the index after them; `clear` forgets everything.
pub fn read_ring(out: &mut [u8], index: u32, incremental: bool, clear: bool) -> (usize, u32) {
    RING.lock().read(out, index, incremental, clear)
}

/// Prints whatever state the machine is in (panic, NMI).
pub fn emergency(args: fmt::Arguments<'_>) {
    struct Emergency;
    impl Write for Emergency {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            if let Some(mut ring) = RING.try_lock() {
                ring.push(text.as_bytes());
            }
            arch::console::write_emergency(text.as_bytes());
            Ok(())
        }
    }
    let _ = Emergency.write_fmt(args);
    let _ = Emergency.write_str("\n");
}

/// dom0 is about to run: the screens are its own from now on, unless the options keep them.
pub fn to_dom0(keep_screen: bool) {
    if !keep_screen {
        arch::console::detach_screens();
    }
    log::info!("{}", input::help());
}

/// Work put off by interrupt handlers: received characters.
pub fn run_deferred() {
    while let Some(byte) = arch::console::read() {
        input::byte(byte);
    }
}
