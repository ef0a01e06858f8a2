//! What every test needs: pages, code in either mode, hypercalls, a verdict.

use core::sync::atomic::Ordering;

use hypercall_abi::xen::{DomId, Hypercall, MmuUpdate, MmuextOp};
use pv_guest::{
    BASE, CS, PAGE, PROGRESS, Registers, SS, StartInfo, Trap, argument, call, claim_traps, end,
    landing, last_trap, mmuext, read, run_kernel, run_user, say, say_hex, say_number, write,
    write_bytes,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{debug, events, grants, memory, privilege, tables, traps};

/// Exceptions by number.
pub mod vector {
    pub const DEBUG: u64 = 1;
    pub const BREAKPOINT: u64 = 3;
    pub const INVALID_OPCODE: u64 = 6;
    pub const NO_DEVICE: u64 = 7;
    pub const PROTECTION: u64 = 13;
    pub const PAGE_FAULT: u64 = 14;
}

/// Flags of a page-table entry.
pub const PRESENT: u64 = 1;
/// As above.
pub const WRITABLE: u64 = 2;
/// As above.
pub const USER: u64 = 4;
/// As above: in a table of level 2 or 3.
pub const SUPERPAGE: u64 = 1 << 7;
/// A mapping that may only be read.
pub const READ: u64 = PRESENT | USER;
/// A mapping that may be written; also what tables above level 1 have in their entries.
pub const WRITE: u64 = READ | WRITABLE;

/// Why a test did not pass.
pub enum Miss {
    /// It has no meaning here.
    Skip(&'static str),
    /// What should have been, and what was seen instead.
    Fail(&'static str, i64),
}

/// What a test comes to.
pub type Outcome = Result<(), Miss>;

/// The test fails unless this holds; `saw` helps whoever reads it.
pub fn require(holds: bool, what: &'static str, saw: i64) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(Miss::Fail(what, saw))
    }
}

/// The hypervisor must have refused: a negative result.
pub fn refused(result: i64, what: &'static str) -> Outcome {
    require(result < 0, what, result)
}

/// The hypervisor must have done it: zero.
pub fn done(result: i64, what: &'static str) -> Outcome {
    require(result == 0, what, result)
}

/// Pages after the builder's own that are surely mapped: it adds at least 512 KiB.
const PAGES: usize = 112;
/// Of them: code, and the stack of code under test.
const CODE: usize = 0;
const STACK: usize = 1;
const FIRST: usize = 2;
/// Where in the code page user mode's code is, when kernel mode's is before it.
pub const USER_CODE: u64 = 1024;

/// A page of this guest.
#[derive(Clone, Copy)]
pub struct Page {
    /// Its address.
    pub at: u64,
    /// Its machine frame.
    pub mfn: u64,
}

impl Page {
    /// Maps it where it is, with these flags.
    pub fn remap(self, flags: u64) -> i64 {
        update_va(self.at, (self.mfn * PAGE) | flags, UVMF_INVLPG)
    }
    /// An entry of it as a page table, for `mmu_update`.
    pub fn entry(self, index: u64) -> u64 {
        self.mfn * PAGE + index * 8
    }
}

/// `update_va_mapping` flushes that address here.
pub const UVMF_INVLPG: u64 = hypercall_abi::xen::UVMF_INVLPG;

/// Maps something at an address of this guest.
pub fn update_va(address: u64, entry: u64, flags: u64) -> i64 {
    let args = [address, entry, flags, 0, 0, 0];
    call(Hypercall::UPDATE_VA_MAPPING, args)
}

/// One page-table update; the command is in the low bits of `ptr`.
pub fn mmu_update(ptr: u64, val: u64) -> i64 {
    mmu_update_of(ptr, val, DomId::SELF)
}

/// The same in the name of another domain.
pub fn mmu_update_of(ptr: u64, val: u64, domain: DomId) -> i64 {
    let at = put(0, &MmuUpdate { ptr, val });
    let args = [at, 1, 0, u64::from(domain.0), 0, 0];
    call(Hypercall::MMU_UPDATE, args)
}

/// Pins a frame as the table of that level, or takes that back.
pub fn pin(op: MmuextOp, mfn: u64) -> i64 {
    mmuext(u64::from(op.0), mfn, 0)
}

/// Puts a structure into the room for arguments, at this offset.
pub fn put<T: IntoBytes + Immutable>(offset: u64, value: &T) -> u64 {
    write_bytes(argument() + offset, value.as_bytes());
    argument() + offset
}

/// Reads a structure of at most 128 bytes from there.
pub fn get<T: FromBytes>(offset: u64) -> T {
    let mut bytes = [0; 128];
    for (at, word) in (0u64..).zip(bytes.chunks_exact_mut(8)) {
        word.copy_from_slice(&read(argument() + offset + at * 8).to_le_bytes());
    }
    match T::read_from_prefix(&bytes) {
        Ok((value, _)) => value,
        Err(_) => T::new_zeroed(),
    }
}

/// A hypercall with a command and a structure at the beginning of the room for arguments.
pub fn operate<T: IntoBytes + Immutable>(hypercall: Hypercall, command: u32, value: &T) -> i64 {
    let at = put(0, value);
    call(hypercall, [u64::from(command), at, 0, 0, 0, 0])
}

/// The address at which a slot of the top-level table begins.
pub fn slot(index: u64) -> u64 {
    // Canonical: bit 47 goes on upwards.
    (((index << 39 << 16) as i64) >> 16) as u64
}

/// This guest.
pub struct Guest {
    pages: [Page; PAGES],
    next: usize,
    /// The top-level table in use.
    pub l4: Page,
}

impl Guest {
    fn new(start: StartInfo) -> Self {
        let page = |at: u64| Page {
            at,
            mfn: start.mfn((at - BASE) / PAGE),
        };
        // The builder's layout ends with the page tables and a stack.
        let first = start.tables() + (start.table_frames() + 2) * PAGE;
        Self {
            pages: core::array::from_fn(|i| page(first + i as u64 * PAGE)),
            next: FIRST,
            l4: page(start.tables()),
        }
    }

    /// A page that no test has had, full of zeroes.
    pub fn page(&mut self) -> Page {
        let page = self.pages[self.next];
        self.next += 1;
        for at in (0..PAGE).step_by(8) {
            write(page.at + at, 0);
        }
        page
    }

    /// A page table with these entries, mapped as such may be.
    pub fn table(&mut self, entries: &[(u64, u64)]) -> Page {
        let page = self.page();
        for (index, entry) in entries {
            write(page.at + index * 8, *entry);
        }
        page.remap(READ);
        page
    }

    /// Where code under test is put.
    pub fn code(&self) -> u64 {
        self.pages[CODE].at
    }

    /// The frame of that.
    pub fn code_frame(&self) -> u64 {
        self.pages[CODE].mfn
    }

    /// Top of the stack of code under test.
    pub fn stack(&self) -> u64 {
        self.pages[STACK].at + PAGE / 2
    }

    /// Runs code in user mode; it comes back with a system call if with nothing else.
    pub fn user(&self, code: &[u8], registers: &Registers, flags: u64) -> Trap {
        write_bytes(self.code(), code);
        // syscall, int3
        write_bytes(self.code() + code.len() as u64, &[0x0f, 0x05, 0xcc]);
        self.iret(self.code(), registers, flags, CS, 0)
    }

    /// Goes to user mode by the iret hypercall; `how` is its flags (VGCF).
    pub fn iret(&self, rip: u64, registers: &Registers, flags: u64, cs: u64, how: u64) -> Trap {
        let frame = self.frame(rip, registers, flags, cs, how);
        run_user(&frame, registers);
        last_trap()
    }

    /// What the iret hypercall takes.
    pub fn frame(
        &self,
        rip: u64,
        registers: &Registers,
        flags: u64,
        cs: u64,
        how: u64,
    ) -> [u64; 9] {
        let [rax, rcx, ..] = *registers;
        let r11 = registers[11];
        [rax, r11, rcx, how, rip, cs, flags, self.stack(), SS]
    }

    /// Runs code in kernel mode to its end.
    pub fn kernel(&self, code: &[u8], registers: &Registers) -> Trap {
        let at = self.code();
        write_bytes(at, code);
        // jmp [rip + 0], and where to.
        let end = at + code.len() as u64;
        write_bytes(end, &[0xff, 0x25, 0, 0, 0, 0]);
        write_bytes(end + 6, &landing().to_le_bytes());
        let mut registers = *registers;
        if registers[4] == 0 {
            registers[4] = self.stack();
        }
        run_kernel(at, &registers);
        last_trap()
    }

    /// Reads a word that may not be there: `None` if that ends in a trap.
    pub fn peek(&self, address: u64) -> Option<u64> {
        // mov rax, [rdi]
        let trap = self.kernel(&[0x48, 0x8b, 0x07], &registers(&[(7, address)]));
        (trap.vector == pv_guest::NO_TRAP).then_some(trap.registers[0])
    }

    /// CPUID as the hypervisor gives it to this guest: eax, ebx, ecx, edx.
    pub fn cpuid(&self, leaf: u64, subleaf: u64) -> [u64; 4] {
        // ud2, "xen", cpuid: what the public headers call XEN_CPUID.
        let code = [0x0f, 0x0b, b'x', b'e', b'n', 0x0f, 0xa2];
        let found = self.kernel(&code, &registers(&[(0, leaf), (1, subleaf)]));
        let [rax, _, rdx, rbx, ..] = found.registers;
        [rax, rbx, found.registers[1], rdx].map(|word| word & 0xffff_ffff)
    }

    /// Puts tables for one page into an unused slot of the top-level table, and maps a frame at `address` there.
    pub fn map_far(&mut self, address: u64, entry: u64) -> Outcome {
        let index = |level: u64| (address >> (3 + 9 * level)) & 511;
        let l1 = self.table(&[(index(1), entry)]);
        let l2 = self.table(&[(index(2), (l1.mfn * PAGE) | WRITE)]);
        let l3 = self.table(&[(index(3), (l2.mfn * PAGE) | WRITE)]);
        let result = mmu_update(self.l4.entry(index(4)), (l3.mfn * PAGE) | WRITE);
        done(result, "new tables are taken")
    }
}

/// Registers of which these (number, value) are not 0.
pub fn registers(some: &[(usize, u64)]) -> Registers {
    let mut registers = [0; 16];
    for (number, value) in some {
        registers[*number] = *value;
    }
    registers
}

/// The usual flags. In those that `iret` takes, bit 9 lets events in, of which these tests want none.
pub const FLAGS: u64 = 2;

/// A test and its name.
pub type Test = (&'static str, fn(&mut Guest) -> Outcome);

/// The guest's life.
pub fn run(start: StartInfo) -> ! {
    let mut guest = Guest::new(start);
    claim_traps();
    // Guest user mode sees what the kernel sees.
    mmuext(u64::from(MmuextOp::NEW_USER_BASEPTR.0), guest.l4.mfn, 0);
    let all = [
        privilege::TESTS,
        traps::TESTS,
        debug::TESTS,
        tables::TESTS,
        memory::TESTS,
        events::TESTS,
        grants::TESTS,
    ];
    let mut count = 0;
    for (name, test) in all.into_iter().flatten() {
        PROGRESS.store(count, Ordering::Relaxed);
        let outcome = test(&mut guest);
        claim_traps();
        match outcome {
            Ok(()) => line(b"ok ", name, b"", ""),
            Err(Miss::Skip(why)) => line(b"skip ", name, b": ", why),
            Err(Miss::Fail(what, saw)) => {
                line(b"FAIL ", name, b": ", what);
                say(b", saw ");
                say_hex(saw as u64);
            }
        }
        say(b"\n");
        count += 1;
    }
    say(b"%% done ");
    say_number(count);
    say(b"\n");
    end(0)
}

fn line(verdict: &[u8], name: &str, between: &[u8], more: &str) {
    say(b"%% ");
    say(verdict);
    say(name.as_bytes());
    say(between);
    say(more.as_bytes());
}

/// A list of tests under their own names.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        /// What this file tests.
        pub const TESTS: &[$crate::guest::Test] = &[$((stringify!($name), $name)),*];
    };
}
