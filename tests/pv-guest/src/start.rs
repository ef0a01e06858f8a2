//! What the domain builder says, and the guest's end.

use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::xen::Hypercall;

use crate::entry::call;
use crate::memory::{address_of, read};

/// Where the guest's memory begins in its address space; see `guest.ld`.
pub const BASE: u64 = 0xffff_ffff_8000_0000;

static START: AtomicU64 = AtomicU64::new(0);

/// What the domain builder says (public `start_info`), by byte offset.
#[derive(Clone, Copy)]
pub struct StartInfo(u64);

impl StartInfo {
    /// For [`crate::entry!`]: remembers where it lies.
    pub fn first(address: u64) -> Self {
        START.store(address, Ordering::Relaxed);
        Self(address)
    }
    pub(crate) fn get() -> Self {
        Self(START.load(Ordering::Relaxed))
    }
    fn word(self, offset: u64) -> u64 {
        read(self.0 + offset)
    }
    /// The guest's pages.
    pub fn pages(self) -> u64 {
        self.word(32)
    }
    /// Machine address of the shared information page.
    pub fn shared_info(self) -> u64 {
        self.word(40)
    }
    /// Address of the console's ring, and its event channel.
    pub fn console(self) -> (u64, u64) {
        (address_of(self.word(72)), self.word(80) & 0xffff_ffff)
    }
    /// Where the page tables lie.
    pub fn tables(self) -> u64 {
        self.word(88)
    }
    /// How many frames they are.
    pub fn table_frames(self) -> u64 {
        self.word(96)
    }
    /// The machine frame of a page of this guest.
    pub fn mfn(self, pfn: u64) -> u64 {
        read(self.word(104) + pfn * 8)
    }
    /// The number after `word` on the command line, or `usual`.
    pub fn argument(self, word: &[u8], usual: u64) -> u64 {
        let line = self.0 + 128;
        let byte = |at: u64| (read(line + (at & !7)) >> ((at & 7) * 8)) as u8;
        let mut at = 0;
        while at < 1000 && byte(at) != 0 {
            if (at == 0 || byte(at - 1) == b' ')
                && (0u64..).zip(word).all(|(i, &want)| byte(at + i) == want)
            {
                let mut number = 0u64;
                let mut digit = at + word.len() as u64;
                while byte(digit).is_ascii_digit() {
                    number = number
                        .wrapping_mul(10)
                        .wrapping_add(u64::from(byte(digit) - b'0'));
                    digit += 1;
                }
                return number;
            }
            at += 1;
        }
        usual
    }
}

/// Ends the guest. 0: power off, 3: crash (SCHEDOP_shutdown).
pub fn end(reason: u64) -> ! {
    let argument = [reason];
    loop {
        let _ = call(
            Hypercall::SCHED_OP,
            [2, argument.as_ptr() as u64, 0, 0, 0, 0],
        );
    }
}
