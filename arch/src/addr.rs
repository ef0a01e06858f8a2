//! Addresses and frame numbers of different kinds, which do not mix.

use core::fmt;

/// Bytes in a page frame.
pub const PAGE_SIZE: u64 = 4096;
/// `PAGE_SIZE` as a `usize`.
pub const PAGE_BYTES: usize = 4096;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub u64);
        impl $name {
            /// Wraps a raw number.
            pub const fn new(raw: u64) -> Self { Self(raw) }
            /// The raw number.
            pub const fn get(self) -> u64 { self.0 }
            /// The raw number as an index.
            pub const fn index(self) -> usize { self.0 as usize }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{:#x}", self.0) }
        }
        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::LowerHex::fmt(&self.0, f) }
        }
    };
}

number!(
    /// A machine (host-physical) frame number.
    Mfn
);
number!(
    /// A guest frame number: what the guest calls physical. For PV guests an MFN in disguise where the ABI says so.
    Gfn
);
number!(
    /// A machine (host-physical) byte address.
    PhysAddr
);
number!(
    /// A guest virtual address as alleged by the guest: nothing is known about it until it is copied through `guest`.
    GuestVa
);

impl Mfn {
    /// No frame (Xen's `INVALID_MFN`).
    pub const INVALID: Self = Self(u64::MAX);
    /// The frame's first byte.
    pub const fn addr(self) -> PhysAddr {
        PhysAddr(self.0 << PAGE_SHIFT)
    }
    /// The frame `n` further on, wrapping (callers check the range).
    pub const fn offset(self, n: u64) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl PhysAddr {
    /// The frame that holds this byte.
    pub const fn mfn(self) -> Mfn {
        Mfn(self.0 >> PAGE_SHIFT)
    }
    /// Offset within the frame, in bytes.
    pub const fn page_offset(self) -> usize {
        (self.0 & (PAGE_SIZE - 1)) as usize
    }
    /// The address `n` bytes further on, wrapping.
    pub const fn offset(self, n: u64) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl GuestVa {
    /// The address `n` bytes further on, wrapping (the copy functions check the range).
    pub const fn offset(self, n: u64) -> Self {
        Self(self.0.wrapping_add(n))
    }
}
