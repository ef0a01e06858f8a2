//! Random hypercalls: numbers and arguments that are almost right.

use hypercall_abi::xen::Hypercall;
use pv_guest as guest;
use pv_guest::{PAGE, hypercall};

use crate::machine::World;

/// Words that an argument structure is filled with.
const WORDS: u64 = 48;

impl World {
    /// One argument, or one word of a structure.
    fn word(&mut self) -> u64 {
        match self.random.below(12) {
            0 | 1 => self.random.odd(),
            2 => self.any_page().0,
            3 | 4 => self.any_page().1,
            5 => (self.any_page().1 * PAGE) | self.random.below(PAGE),
            6 => self
                .random
                .of(&[0x7ff0, 0x7ff1, 0x7ff2, 0x7ff4, 0, 1, 2, 3]),
            7 => self.table_entry(),
            8 => self.random.below(4) << 32 | self.random.below(64),
            9 => self.argument_page(),
            _ => self.random.below(32),
        }
    }

    /// A page that structures are put into, at a random offset now and then.
    fn argument_page(&mut self) -> u64 {
        let page = self.arguments[self.random.below(self.arguments.len() as u64) as usize];
        if self.random.one_in(8) {
            page + self.random.below(PAGE)
        } else {
            page
        }
    }

    /// What a page-table entry may be: a frame of the pool, mostly, with random rights.
    pub fn table_entry(&mut self) -> u64 {
        let frame = match self.random.below(16) {
            0 => self.random.odd() & 0x000f_ffff_ffff_f000,
            1 => self.random.of(&[0, 0xb8, 0xa0, 0xfee00, 0xfec00, 0x100000]) * PAGE,
            2 => self.tables * PAGE,
            _ => self.any_page().1 * PAGE,
        };
        let flags = match self.random.below(8) {
            0 => self.random.next() & 0xfff0_0000_0000_0fff,
            1 => 0,
            2 => 0x87,
            3 | 4 => 5,
            _ => 7,
        };
        frame | flags
    }

    fn fill(&mut self, page: u64) {
        let page = page & !(PAGE - 1);
        for i in 0..WORDS {
            let mut word = self.word();
            if self.random.one_in(3) {
                word = word & 0xffff_ffff | self.word() << 32;
            }
            guest::write(page + i * 8, word);
        }
    }

    /// Any hypercall with any arguments.
    pub fn random_call(&mut self) {
        let number = if self.random.one_in(20) {
            self.random.odd()
        } else {
            self.random.below(56)
        };
        for i in 0..self.arguments.len() {
            if self.random.one_in(2) {
                self.fill(self.arguments[i]);
            }
        }
        let mut args = [0; 6];
        for arg in &mut args {
            *arg = self.word();
        }
        match Hypercall(number as u32) {
            // They would leave for good: to nowhere, to sleep, to the end.
            Hypercall::IRET | Hypercall::SCHED_OP_COMPAT => return,
            Hypercall::SCHED_OP if number == 29 => {
                args[0] = self.random.of(&[0, 4, 5, 7, 8, u64::MAX]);
                // A watchdog ends the guest some seconds later.
                if self.random.one_in(1000) {
                    args[0] = 6;
                }
            }
            // Garbage on the host's console helps nobody.
            Hypercall::CONSOLE_IO if !self.random.one_in(50) => return,
            Hypercall::MULTICALL => {
                args[0] = self.arguments[0];
                args[1] = self.random.below(5);
                self.multicall();
            }
            // Operations take a command and a structure, or a structure and a count.
            Hypercall::MEMORY_OP
            | Hypercall::EVENT_CHANNEL_OP
            | Hypercall::PHYSDEV_OP
            | Hypercall::XEN_VERSION
            | Hypercall::CALLBACK_OP
            | Hypercall::NMI_OP => {
                args[0] = self.random.below(40);
                args[1] = self.argument_page();
            }
            Hypercall::GRANT_TABLE_OP => {
                args[0] = self.random.below(13);
                args[1] = self.argument_page();
                args[2] = self.random.below(6);
            }
            Hypercall::VCPU_OP => {
                args[0] = self.random.below(15);
                args[1] = self.random.below(3);
                args[2] = self.argument_page();
            }
            _ => {}
        }
        let _ = hypercall(number, args);
        guest::claim_traps();
    }

    /// Entries of a multicall (public xen.h: op, result, six arguments), without those that never come back.
    fn multicall(&mut self) {
        for entry in 0..5 {
            let at = self.arguments[0] + entry * 64;
            let op = self.random.of(&[1, 12, 14, 17, 20, 26, 32, 33, 99]);
            guest::write(at, op);
            guest::write(at + 16, self.random.below(16));
            guest::write(at + 24, self.arguments[1]);
        }
    }

    /// One hostile step on page tables.
    pub fn table_step(&mut self) {
        let (address, mfn) = self.any_table();
        match self.random.below(10) {
            // Map it writable, fill it with entries.
            0 | 1 => {
                let mapped = self.map(address, (mfn * PAGE) | 7);
                if mapped {
                    for i in 0..512 {
                        let entry = if self.random.one_in(4) {
                            self.table_entry()
                        } else {
                            0
                        };
                        guest::write(address + i * 8, entry);
                    }
                }
            }
            2 => {
                let _ = self.map(address, (mfn * PAGE) | 5);
            }
            3 => {
                let entry = self.table_entry();
                let _ = self.map(address, entry);
            }
            // Pin and unpin it at any level; flushes and the other operations.
            4..=6 => {
                let _ = self.map(address, (mfn * PAGE) | 5);
                let cmd = match self.random.below(8) {
                    0..=3 => self.random.below(4),
                    4 | 5 => 4,
                    // Not 5, NEW_BASEPTR: nothing would come after it.
                    _ => 6 + self.random.below(14),
                };
                let what = if self.random.one_in(10) {
                    self.word()
                } else {
                    mfn
                };
                let more = self.word();
                if cmd != 15 {
                    guest::mmuext(cmd, what, more);
                }
            }
            // Change entries of what may be a table.
            _ => {
                let count = 1 + self.random.below(24);
                for i in 0..count {
                    let (_, table) = self.any_table();
                    let cmd = self.random.of(&[0, 0, 0, 2, 2, 1, 3]);
                    let at = table * PAGE + self.random.below(512) * 8 + cmd;
                    let entry = self.table_entry();
                    guest::write(self.arguments[2] + i * 16, at);
                    guest::write(self.arguments[2] + i * 16 + 8, entry);
                }
                let _ = guest::call(
                    Hypercall::MMU_UPDATE,
                    [self.arguments[2], count, 0, 0x7ff0, 0, 0],
                );
            }
        }
    }

    fn map(&mut self, address: u64, entry: u64) -> bool {
        let flags = self.random.of(&[0, 1, 2, 2, 2]);
        guest::call(
            Hypercall::UPDATE_VA_MAPPING,
            [address, entry, flags, 0, 0, 0],
        ) == 0
            && entry & 3 == 3
            && flags != 0
    }
}
