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

use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use arch::sync::SpinLock;
use hypercall_abi::xen::Virq;

pub use io::do_console_io;
pub use logger::{GUEST, attach_screen, start};
use ring::Ring;

use crate::event_channel;
use crate::options::Options;
use crate::percpu::{self, work};

/// Handle of the console in `Host`; its state is static (see above).
#[derive(Default)]
pub struct Console {}

static RING: SpinLock<Ring> = SpinLock::new(Ring::new());

/// dom0's output goes into the ring, too (`console_to_ring`).
static DOM0_TO_RING: AtomicBool = AtomicBool::new(false);

/// dom0 runs: somebody may read the ring.
static READERS: AtomicBool = AtomicBool::new(false);

/// The ring has what its readers were not told of.
static NEWS: AtomicBool = AtomicBool::new(false);

/// Puts a message into the ring and on the sinks.
fn write_message(bytes: &[u8]) {
    push(bytes);
    arch::console::write(bytes);
}

/// Puts bytes into the ring and has its readers told: on the way out to a guest, since messages come under any lock.
fn push(bytes: &[u8]) {
    RING.lock().push(bytes);
    if READERS.load(Ordering::Relaxed) {
        NEWS.store(true, Ordering::Release);
        percpu::with(|cpu| cpu.raise(work::DEFERRED));
    }
}

/// Puts dom0's output on the serial ports, and where the options say so into the ring.
fn write_from_dom0(bytes: &[u8]) {
    arch::console::write_serial(bytes);
    if DOM0_TO_RING.load(Ordering::Relaxed) {
        push(bytes);
    }
}

/// Makes the ring as large as the options want (`conring_size=`, rounded up to a power of two); once there is a heap.
pub fn enlarge_ring(options: &Options) {
    let Some(wanted) = options.ring_size else {
        return;
    };
    let size = wanted.next_power_of_two().min(ring::LARGEST.into()) as usize;
    let mut memory = Vec::new();
    if memory.try_reserve_exact(size).is_err() {
        log::warn!("no memory for a console ring of {} KiB", size >> 10);
        return;
    }
    memory.resize(size, 0);
    RING.lock().grow(memory);
    // The message goes into the ring itself.
    let size = ring_size();
    log::info!("console ring: {} KiB", size >> 10);
}

/// Bytes that the ring keeps.
pub fn ring_size() -> u32 {
    RING.lock().size()
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
    READERS.store(true, Ordering::Relaxed);
    log::info!("{}", input::help());
}

/// Work put off: characters that interrupt handlers received, and word of new messages (`VIRQ_CON_RING`).
pub fn run_deferred() {
    if NEWS.swap(false, Ordering::Acquire) {
        event_channel::send_global_virq(Virq::CON_RING);
    }
    while let Some(byte) = arch::console::read() {
        input::byte(byte);
    }
}
