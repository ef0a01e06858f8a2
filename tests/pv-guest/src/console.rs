//! Words for who reads the guest's console.

use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::xen::Hypercall;

use crate::entry::call;
use crate::memory::{read, write_bytes};
use crate::start::StartInfo;

/// What the guest is at, for who reports its end.
pub static PROGRESS: AtomicU64 = AtomicU64::new(0);

/// Writes to the console's ring (public io/console.h) and tells dom0.
pub fn say(text: &[u8]) {
    let (ring, port) = StartInfo::get().console();
    // in[1024], out[2048], in_cons, in_prod, out_cons, out_prod.
    let (out, indexes) = (ring + 1024, ring + 1024 + 2048);
    for &byte in text {
        let mut patience = 100_000;
        loop {
            let word = read(indexes + 8);
            let (consumed, produced) = (word as u32, (word >> 32) as u32);
            if produced.wrapping_sub(consumed) < 2048 {
                write_bytes(out + u64::from(produced % 2048), &[byte]);
                write_bytes(indexes + 12, &produced.wrapping_add(1).to_le_bytes());
                break;
            }
            patience -= 1;
            if patience == 0 {
                return;
            }
            notify(port);
            core::hint::spin_loop();
        }
    }
    notify(port);
}

fn notify(port: u64) {
    let argument = [port];
    // EVTCHNOP_send
    let _ = call(
        Hypercall::EVENT_CHANNEL_OP,
        [4, argument.as_ptr() as u64, 0, 0, 0, 0],
    );
}

/// Writes a number.
pub fn say_number(mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    say(&digits[at..]);
}

/// Writes a number in hexadecimal, with all 16 digits.
pub fn say_hex(number: u64) {
    let digits: [u8; 16] =
        core::array::from_fn(|at| b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 15]);
    say(&digits);
}

pub(crate) fn say_progress() {
    say(b" in round ");
    say_number(PROGRESS.load(Ordering::Relaxed));
    say(b"\n");
}
