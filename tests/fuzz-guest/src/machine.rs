//! The rounds: which pages the guest plays with, and what it does next.

use core::sync::atomic::Ordering;

use hypercall_abi::xen::Hypercall;
use pv_guest as guest;
use pv_guest::{BASE, CS, PAGE, PROGRESS, Registers, SS, StartInfo};

use crate::instructions::{self, LONGEST};
use crate::random::Random;

/// Pages after the builder's own that are surely mapped: it adds at least 512 KiB.
const POOL: usize = 112;
/// Of them: code, its stack, structures; the rest may become page tables.
const CODE: usize = 0;
const STACK: usize = 2;
const ARGUMENTS: core::ops::Range<usize> = 4..8;
const FIRST_TABLE: usize = 8;

/// Everything that a round needs.
pub struct World {
    pub random: Random,
    /// Frame of the kernel's own L4.
    pub tables: u64,
    /// Pages for structures.
    pub arguments: [u64; ARGUMENTS.end - ARGUMENTS.start],
    /// Address and frame of each page.
    pool: [(u64, u64); POOL],
}

impl World {
    /// A page of the pool: address and frame.
    pub fn any_page(&mut self) -> (u64, u64) {
        self.random.of(&self.pool)
    }

    /// One of those that may become page tables.
    pub fn any_table(&mut self) -> (u64, u64) {
        self.random.of(&self.pool[FIRST_TABLE..])
    }

    fn registers(&mut self) -> Registers {
        let mut registers = [0; 16];
        for register in &mut registers {
            *register = match self.random.below(6) {
                0 => self.any_page().0,
                1 => self.any_page().0 + self.random.below(PAGE),
                2 => self.any_page().1 * PAGE,
                // Ports and model-specific registers.
                3 => self.random.of(&[
                    0xc000_0080,
                    0xc000_0081,
                    0xc000_0082,
                    0xc000_0100,
                    0xc000_0101,
                    0xc000_0102,
                    0x1b,
                    0x10,
                    0x174,
                    0x1d9,
                    0x277,
                    0x3f8,
                    0xcf8,
                    0xcfc,
                    0x60,
                    0xc001_0015,
                ]),
                4 => self.random.below(64),
                _ => self.random.odd(),
            };
        }
        registers[4] = self.pool[STACK].0 + PAGE / 2;
        if self.random.one_in(40_000) {
            registers[4] = self.random.odd();
        }
        registers
    }

    /// One random instruction in guest kernel or guest user mode.
    fn instruction(&mut self, user: bool) {
        let code = self.pool[CODE].0;
        let mut bytes = [0; LONGEST];
        let length = if user || self.random.one_in(200) {
            instructions::random(&mut self.random, &mut bytes)
        } else {
            instructions::on_present_stack(&mut self.random, &mut bytes)
        };
        guest::write_bytes(code, &bytes[..length]);
        // jmp [rip + 0], and where to; in user mode a system call brings it back.
        let mut back = [0; 14];
        back[..6].copy_from_slice(&[0xff, 0x25, 0, 0, 0, 0]);
        back[6..].copy_from_slice(&guest::landing().to_le_bytes());
        if user {
            back[..3].copy_from_slice(&[0x0f, 0x05, 0xcc]);
        }
        guest::write_bytes(code + length as u64, &back);
        let registers = self.registers();
        if !user {
            guest::run_kernel(code, &registers);
            return;
        }
        let mut frame = [
            registers[0],
            registers[11],
            registers[1],
            0,
            code,
            CS,
            0x202,
            registers[4],
            SS,
        ];
        if self.random.one_in(500) {
            let field = self.random.below(9) as usize;
            frame[field] = self.random.odd();
        }
        guest::run_user(&frame, &registers);
    }

    /// Maps the pages again that the guest cannot do much without.
    fn mend(&mut self) {
        for (address, mfn) in &self.pool[..FIRST_TABLE] {
            let entry = (mfn * PAGE) | 7;
            let _ = guest::call(Hypercall::UPDATE_VA_MAPPING, [*address, entry, 2, 0, 0, 0]);
        }
    }

    fn round(&mut self) {
        match self.random.below(16) {
            // In guest kernel mode whatever moves the stack ends the guest, so that is rare.
            0..=2 => self.instruction(false),
            3..=8 => self.instruction(true),
            9..=12 => self.random_call(),
            _ => self.table_step(),
        }
    }
}

/// The guest's life.
pub fn run(start: StartInfo) -> ! {
    let seed = start.argument(b"seed=", 1);
    let rounds = start.argument(b"rounds=", 10_000);
    let frame_of = |address: u64| start.mfn((address - BASE) / PAGE);
    // The builder's layout ends with the page tables and a stack.
    let first = start.tables() + (start.table_frames() + 2) * PAGE;
    let mut pool = [(0, 0); POOL];
    for (i, page) in (0u64..).zip(&mut pool) {
        let address = first + i * PAGE;
        *page = (address, frame_of(address));
    }
    let mut world = World {
        random: Random::new(seed),
        tables: frame_of(start.tables()),
        arguments: core::array::from_fn(|i| pool[ARGUMENTS.start + i].0),
        pool,
    };
    guest::claim_traps();
    // Guest user mode sees what the kernel sees (MMUEXT_NEW_USER_BASEPTR).
    guest::mmuext(15, world.tables, 0);
    guest::say(b"%% fuzz seed ");
    guest::say_number(seed);
    guest::say(b"\n");
    for round in 0..rounds {
        if round % 64 == 0 {
            guest::claim_traps();
            world.mend();
        }
        PROGRESS.store(round, Ordering::Relaxed);
        if round % 256 == 0 {
            guest::say(b"%% round ");
            guest::say_number(round);
            guest::say(b" traps ");
            guest::say_number(guest::traps());
            guest::say(b"\n");
        }
        world.round();
    }
    guest::say(b"%% done ");
    guest::say_number(guest::traps());
    guest::say(b"\n");
    guest::end(0)
}
