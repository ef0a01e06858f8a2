//! Page-table entries (AMD APM 2 5.3, Intel SDM 3A 4.5) and what a PV guest may put into them.

use arch::addr::{Mfn, PAGE_SHIFT};

/// An entry of any level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Pte(pub u64);

impl Pte {
    /// Present.
    pub const P: u64 = 1 << 0;
    /// Writable.
    pub const RW: u64 = 1 << 1;
    /// Reachable from ring 3.
    pub const US: u64 = 1 << 2;
    /// Write-through (PAT index bit 0).
    pub const PWT: u64 = 1 << 3;
    /// Cache disable (PAT index bit 1).
    pub const PCD: u64 = 1 << 4;
    /// Accessed.
    pub const A: u64 = 1 << 5;
    /// Dirty.
    pub const D: u64 = 1 << 6;
    /// PAT index bit 2 in an L1 entry; page size above.
    pub const PAT: u64 = 1 << 7;
    /// Global.
    pub const G: u64 = 1 << 8;
    /// No execute.
    pub const NX: u64 = 1 << 63;
    /// Software bit that marks a guest kernel mapping (as Xen does), since both guest modes need `US`.
    pub const GUEST_KERNEL: u64 = 1 << 52;
    /// The frame's address.
    pub const ADDR: u64 = 0x000f_ffff_ffff_f000;
    /// Cacheability.
    pub const CACHE: u64 = Self::PWT | Self::PCD | Self::PAT;
    /// Bits no level accepts from a guest, besides address bits beyond the machine.
    const REFUSED: u64 = Self::CACHE | Self::G;

    /// Maps `mfn` with these flags.
    pub const fn new(mfn: Mfn, flags: u64) -> Self {
        Self((mfn.get() << PAGE_SHIFT) & Self::ADDR | flags)
    }
    /// Whether it maps anything.
    pub const fn present(self) -> bool {
        self.0 & Self::P != 0
    }
    /// Whether it maps for writing.
    pub const fn writable(self) -> bool {
        self.0 & (Self::P | Self::RW) == Self::P | Self::RW
    }
    /// The frame.
    pub const fn mfn(self) -> Mfn {
        Mfn::new((self.0 & Self::ADDR) >> PAGE_SHIFT)
    }
    /// Whether all these bits are set.
    pub const fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }

    /// Whether an L1 entry has bits that this guest may not set. Cacheability is for domains with device memory.
    pub const fn l1_refused(self, cache_control: bool) -> bool {
        let refused = if cache_control { 0 } else { Self::CACHE };
        self.0 & refused != 0
    }

    /// Whether an entry above L1 has bits that guests may not set; superpages are among them.
    pub const fn upper_refused(self) -> bool {
        self.0 & Self::REFUSED != 0
    }

    /// What the machine gets for a guest's L1 entry: reachable from ring 3, where guest kernels run too. Guest user
    /// mappings are in both of a process's tables and become global, to survive the switch between the two; guest
    /// kernel mappings must not.
    pub const fn adjusted_l1(self) -> Self {
        if !self.present() {
            return self;
        }
        let mut bits = self.0;
        if bits & Self::US == 0 {
            bits |= Self::GUEST_KERNEL;
        }
        if bits & Self::GUEST_KERNEL == 0 && GLOBAL_USER {
            bits |= Self::G;
        } else {
            bits &= !Self::G;
        }
        Self(bits | Self::US)
    }

    /// The same for an entry above L1.
    pub const fn adjusted_upper(self) -> Self {
        if self.present() {
            Self(self.0 | Self::US)
        } else {
            self
        }
    }

    /// As in an L4: accessed as well, so that the hypervisor may copy entries without losing the processor's marks.
    pub const fn adjusted_l4(self) -> Self {
        if self.present() {
            Self(self.0 | Self::US | Self::A)
        } else {
            self
        }
    }
}

/// Whether guest user mappings are global. Every TLB flush and every change of address space must then drop global
/// entries too.
pub const GLOBAL_USER: bool = false;
