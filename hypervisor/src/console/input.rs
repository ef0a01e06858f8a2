//! Console input: to dom0, or to the hypervisor's debug keys; a control character typed three times switches.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use arch::sync::SpinLock;
use hypercall_abi::xen::Virq;

use crate::event_channel;

/// Times that the switch character must follow itself.
const SWITCH_COUNT: u8 = 3;

static SWITCH: AtomicU8 = AtomicU8::new(1);
static REPEATS: AtomicU8 = AtomicU8::new(0);
static TO_HYPERVISOR: AtomicBool = AtomicBool::new(false);

/// Bytes that wait for dom0 to read them.
const BUFFER: usize = 256;

struct Buffer {
    bytes: [u8; BUFFER],
    head: usize,
    used: usize,
}

static PENDING: SpinLock<Buffer> = SpinLock::new(Buffer {
    bytes: [0; BUFFER],
    head: 0,
    used: 0,
});

impl Buffer {
    fn push(&mut self, byte: u8) {
        // A full buffer loses the newest byte, as a terminal does.
        if self.used < BUFFER {
            self.bytes[(self.head + self.used) % BUFFER] = byte;
            self.used += 1;
        }
    }

    fn pop(&mut self) -> Option<u8> {
        if self.used == 0 {
            return None;
        }
        let byte = self.bytes[self.head];
        self.head = (self.head + 1) % BUFFER;
        self.used -= 1;
        Some(byte)
    }
}

/// Sets the switch character (none: never) and where input goes first.
pub fn configure(switch: Option<u8>, to_hypervisor: bool) {
    SWITCH.store(switch.unwrap_or(0), Ordering::Relaxed);
    TO_HYPERVISOR.store(to_hypervisor, Ordering::Relaxed);
}

/// A line that says where input goes and how to switch it.
pub fn help() -> &'static str {
    match (
        SWITCH.load(Ordering::Relaxed),
        TO_HYPERVISOR.load(Ordering::Relaxed),
    ) {
        (0, _) => "serial input goes to dom0",
        (1, false) => "serial input goes to dom0 (type CTRL-a three times to switch)",
        (1, true) => "serial input goes to Oxen (type CTRL-a three times to switch)",
        (_, false) => "serial input goes to dom0 (the conswitch character, three times, switches)",
        (_, true) => "serial input goes to Oxen (the conswitch character, three times, switches)",
    }
}

/// A byte was received.
pub fn byte(byte: u8) {
    let switch = SWITCH.load(Ordering::Relaxed);
    if switch != 0 && byte == switch {
        if REPEATS.fetch_add(1, Ordering::Relaxed) + 1 == SWITCH_COUNT {
            REPEATS.store(0, Ordering::Relaxed);
            TO_HYPERVISOR.fetch_xor(true, Ordering::Relaxed);
            log::info!("{}", help());
        }
        return;
    }
    // Switch characters that did not make a switch were meant for the reader.
    for _ in 0..REPEATS.swap(0, Ordering::Relaxed) {
        deliver(switch);
    }
    deliver(byte);
}

fn deliver(byte: u8) {
    if TO_HYPERVISOR.load(Ordering::Relaxed) {
        super::debug_keys::key(byte);
    } else {
        PENDING.lock().push(byte);
        event_channel::send_global_virq(Virq::CONSOLE);
    }
}

/// Takes waiting bytes for dom0; returns how many.
pub fn take(out: &mut [u8]) -> usize {
    let mut pending = PENDING.lock();
    let mut count = 0;
    for slot in out {
        let Some(byte) = pending.pop() else { break };
        *slot = byte;
        count += 1;
    }
    count
}
