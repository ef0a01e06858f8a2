//! Which translations a CPU keeps when it changes page tables, and what makes it forget them.
//!
//! A PV vCPU has two address spaces, guest kernel and guest user. With process-context identifiers (Intel SDM 3A,
//! 4.10.1; AMD APM 2, 5.5.1) each has a number of its own, the same for all vCPUs, and going from one to the other
//! forgets nothing. Therefore:
//!
//! * Whatever ends a vCPU's stay, or exchanges one of its tables, forgets what is cached under the numbers that it had:
//!   a number's translations always come from the tables that the running vCPU has for it.
//! * A flush covers both numbers, though only one is loaded. A CR3 load alone never does, so it is no full flush.
//! * Where a number must be loaded only to forget, the idle tables are loaded with it: a CPU that speculates meanwhile
//!   finds nothing of a guest's there to cache under the wrong number.
//!
//! This module decides and touches nothing; [`super`] carries the steps out. The hypervisor's own mappings are global
//! and guests' never are, so nothing here reaches the former but [`Step::Everything`].

use crate::cpu::Vendor;

/// CR3 bit 63: what is cached under the number stays.
pub const KEEP: u64 = 1 << 63;
/// CR3's bits for the number.
const NUMBER: u64 = 0xfff;

/// An address space of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Guest kernel mode. The idle tables have this one's number.
    Kernel = 0,
    /// Guest user mode.
    User = 1,
}

impl Space {
    /// The one that is in use in a mode.
    #[inline]
    #[must_use]
    pub const fn of_mode(kernel_mode: bool) -> Self {
        if kernel_mode {
            Self::Kernel
        } else {
            Self::User
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Kernel => Self::User,
            Self::User => Self::Kernel,
        }
    }

    const fn of_cr3(cr3: u64) -> Self {
        Self::of_mode(cr3 & NUMBER == 0)
    }
}

/// One thing for a CPU to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Load CR3: without [`KEEP`] this forgets what is cached under the loaded number.
    Load(u64),
    /// INVLPG: one address under the loaded number, and its global translation.
    Page(u64),
    /// INVPCID of one address under a number.
    PageUnder(Space, u64),
    /// INVPCID of a number.
    Under(Space),
    /// INVPCID of all numbers, global translations excepted.
    All,
    /// All numbers and global translations.
    Everything,
}

/// What a CPU has, as far as it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tagging {
    /// The two address spaces have numbers.
    pub pcid: bool,
    /// INVPCID exists.
    pub invpcid: bool,
}

/// A processor, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Who made it.
    pub vendor: Vendor,
    /// CPUID's family and model, extended parts included.
    pub family: u32,
    /// See `family`.
    pub model: u32,
    /// It has process-context identifiers.
    pub pcid: bool,
    /// It has INVPCID.
    pub invpcid: bool,
}

impl Tagging {
    /// What to use of what a processor has. `pcid` and `invpcid` are what the command line allows.
    #[must_use]
    pub fn choose(cpu: &Processor, pcid: bool, invpcid: bool) -> Self {
        // On these INVLPG may leave global translations while PCIDs are on (Intel's specification updates for the 12th
        // and 13th generation, "INVLPG May Not Properly Clear Global TLB Entries"): the descriptor tables' windows
        // change under it. Microcode mends some of them, which is not looked at.
        const BROKEN: [u32; 6] = [0x97, 0x9a, 0xb7, 0xba, 0xbe, 0xbf];
        let broken = cpu.vendor == Vendor::Intel && cpu.family == 6 && BROKEN.contains(&cpu.model);
        Self {
            pcid: cpu.pcid && pcid && !broken,
            invpcid: cpu.invpcid && invpcid,
        }
    }

    /// CR3 for going to an address space of the vCPU that runs already, and that was announced by [`Self::replace`].
    #[inline]
    #[must_use]
    pub const fn enter(self, space: Space, root: u64) -> u64 {
        if self.pcid {
            root | space as u64 | KEEP
        } else {
            root
        }
    }

    /// CR3 that forgets what is cached under the space's number.
    const fn fresh(self, space: Space, root: u64) -> u64 {
        self.enter(space, root) & !KEEP
    }

    /// Loads the tables of a vCPU (`None`: it has none for that mode), or other ones of the vCPU that runs. Covers all
    /// that guests mapped.
    #[inline]
    pub fn replace(
        self,
        roots: [Option<u64>; 2],
        now: Space,
        idle: u64,
        mut step: impl FnMut(Step),
    ) {
        let root = |space: Space| roots[space as usize].unwrap_or(idle);
        if self.pcid {
            step(Step::Load(self.fresh(now.other(), root(now.other()))));
        }
        step(Step::Load(self.fresh(now, root(now))));
    }

    /// Forgets one address in both address spaces. `cr3` is what is loaded.
    #[inline]
    pub fn flush_page(self, cr3: u64, idle: u64, va: u64, mut step: impl FnMut(Step)) {
        if self.pcid {
            let other = Space::of_cr3(cr3).other();
            if self.invpcid {
                step(Step::PageUnder(other, va));
            } else {
                step(Step::Load(self.enter(other, idle)));
                step(Step::Page(va));
                step(Step::Load(cr3 | KEEP));
            }
        }
        step(Step::Page(va));
    }

    /// Forgets one address space.
    #[inline]
    pub fn flush_space(self, cr3: u64, idle: u64, space: Space, mut step: impl FnMut(Step)) {
        if !self.pcid || space == Space::of_cr3(cr3) {
            step(Step::Load(cr3));
        } else if self.invpcid {
            step(Step::Under(space));
        } else {
            step(Step::Load(self.fresh(space, idle)));
            step(Step::Load(cr3 | KEEP));
        }
    }

    /// Forgets all that guests mapped.
    #[inline]
    pub fn flush_guests(self, cr3: u64, idle: u64, mut step: impl FnMut(Step)) {
        if self.pcid {
            if self.invpcid {
                return step(Step::All);
            }
            step(Step::Load(self.fresh(Space::of_cr3(cr3).other(), idle)));
        }
        step(Step::Load(cr3));
    }
}

#[cfg(test)]
mod tests;
