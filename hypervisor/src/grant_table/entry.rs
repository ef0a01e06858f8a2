//! Grant entries: the words shared with the granting guest, and the hypervisor's own record of what is in use.
//!
//! Xen public/grant_table.h. A v1 entry is 8 bytes, its status bits are in its flags; a v2 entry is 16 bytes, its
//! status bits are a word in the status frames. The flags and domain id of both are one 32-bit word at the start.

use arch::addr::Mfn;
use arch::frame::RawFrame;
use hypercall_abi::grant_table::{
    GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_SUB_PAGE, GTF_TRANSITIVE, GTF_TYPE_MASK,
    GTF_WRITING, GntStatus,
};

use crate::domain::DomainId;

/// How often a v1 entry that the guest keeps changing is tried.
const TRIES: u32 = 5;

/// How often a grant is in use, by kind of use: four counters of 8 bits. Counts stay at 128 or below, so that adding
/// one never carries over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pin(pub(super) u32);

impl Pin {
    pub(super) const HOST_WRITE: Self = Self(1);
    pub(super) const HOST_READ: Self = Self(1 << 8);
    pub(super) const DEVICE_WRITE: Self = Self(1 << 16);
    pub(super) const DEVICE_READ: Self = Self(1 << 24);

    pub(super) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether anybody may write.
    pub(super) const fn writable(self) -> bool {
        self.0 & 0x00ff_00ff != 0
    }

    /// Adds one of each kind in `kinds`; `None` if a counter is at its limit.
    pub(super) const fn with(self, kinds: Self) -> Option<Self> {
        if self.0 & (kinds.0 << 7) == 0 {
            Some(Self(self.0 + kinds.0))
        } else {
            None
        }
    }

    /// Takes one of each kind in `kinds` away.
    ///
    /// # Panics
    /// If there is none: each is taken away by whoever added it (a hypervisor bug otherwise).
    pub(super) fn without(self, kinds: Self) -> Self {
        for byte in 0..4 {
            let part = |p: Self| p.0 >> (byte * 8) & 0xff;
            assert!(part(self) >= part(kinds), "grant pin underflow");
        }
        Self(self.0 - kinds.0)
    }

    /// The pins that a mapping with these properties takes.
    pub(super) fn of_mapping(host: bool, device: bool, read_only: bool) -> Self {
        let mut pin = 0;
        if host {
            pin += if read_only {
                Self::HOST_READ.0
            } else {
                Self::HOST_WRITE.0
            };
        }
        if device {
            pin += if read_only {
                Self::DEVICE_READ.0
            } else {
                Self::DEVICE_WRITE.0
            };
        }
        Self(pin)
    }
}

/// The hypervisor's record of a grant; all but `pin` is valid only while it is pinned, and constant then.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) pin: Pin,
    /// Who uses it.
    pub(super) user: DomainId,
    pub(super) mfn: Mfn,
    /// The part of the page that is granted, in bytes.
    pub(super) start: u16,
    pub(super) length: u16,
    /// Only a part, or transitive: for copies only.
    pub(super) sub_page: bool,
    /// Where the page really comes from: the domain and entry, its own unless transitive.
    pub(super) origin: (DomainId, u32),
}

impl Active {
    pub(super) const fn unused() -> Self {
        Self {
            pin: Pin(0),
            user: DomainId(0),
            mfn: Mfn::INVALID,
            start: 0,
            length: 0,
            sub_page: false,
            origin: (DomainId(0), 0),
        }
    }
}

/// An entry that the guest shares, in one version or the other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shared {
    /// Frame and byte offset.
    V1(RawFrame, usize),
    /// The same, and the frame and offset of the status word.
    V2(RawFrame, usize, RawFrame, usize),
}

/// Flags and domain id, read together.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) flags: u16,
    pub(super) domain: u16,
}

impl Header {
    fn from_word(word: u32) -> Self {
        Self {
            flags: word as u16,
            domain: (word >> 16) as u16,
        }
    }

    /// Whether it grants `user` access. For a mapping only whole pages will do, for a copy also transitive grants
    /// (v2).
    fn grants(self, user: DomainId, mapping: bool, v2: bool) -> bool {
        let mask = GTF_TYPE_MASK | if mapping { GTF_SUB_PAGE } else { 0 };
        let kind = self.flags & mask;
        self.domain == user.0
            && (kind == GTF_PERMIT_ACCESS || (v2 && !mapping && kind == GTF_TRANSITIVE))
    }
}

impl Shared {
    pub(super) fn header(self) -> Header {
        let (Self::V1(frame, at) | Self::V2(frame, at, ..)) = self;
        Header::from_word(frame.read_u32(at))
    }

    pub(super) fn is_v2(self) -> bool {
        matches!(self, Self::V2(..))
    }

    /// The frame number that the guest grants, as an allegation.
    pub(super) fn frame(self) -> u64 {
        match self {
            Self::V1(frame, at) => frame.read_u32(at + 4).into(),
            Self::V2(frame, at, ..) => frame.read_u64(at + 8),
        }
    }

    /// Offset and length of a sub-page grant (v2).
    pub(super) fn part(self) -> (u16, u16) {
        match self {
            Self::V1(..) => (0, arch::addr::PAGE_BYTES as u16),
            Self::V2(frame, at, ..) => {
                let word = frame.read_u32(at + 4);
                (word as u16, (word >> 16) as u16)
            }
        }
    }

    /// Domain and entry that a transitive grant passes on (v2).
    pub(super) fn transitive(self) -> (u16, u32) {
        match self {
            Self::V1(..) => (u16::MAX, 0),
            Self::V2(frame, at, ..) => (frame.read_u16(at + 4), frame.read_u32(at + 8)),
        }
    }

    fn set_status(self, bits: u16) {
        match self {
            Self::V1(frame, at) => frame.fetch_or_u16(at, bits),
            Self::V2(.., status, at) => status.fetch_or_u16(at, bits),
        };
    }

    fn clear_status(self, bits: u16) {
        match self {
            Self::V1(frame, at) => frame.fetch_and_u16(at, !bits),
            Self::V2(.., status, at) => status.fetch_and_u16(at, !bits),
        };
    }

    /// Marks the entry as in use, if it grants that: `GENERAL_ERROR` if it does not, or changes too often. `pin` is
    /// its present use; an entry in use is not asked again whom it is for (the record says it).
    pub(super) fn begin_use(
        self,
        pin: Pin,
        user: DomainId,
        read_only: bool,
        mapping: bool,
    ) -> Result<(), GntStatus> {
        match self {
            Self::V1(frame, at) => begin_v1(frame, at, pin, user, read_only, mapping),
            Self::V2(..) => self.begin_v2(pin, user, read_only, mapping),
        }
    }

    fn begin_v2(
        self,
        pin: Pin,
        user: DomainId,
        read_only: bool,
        mapping: bool,
    ) -> Result<(), GntStatus> {
        let refused = |header: Header| {
            (pin.is_zero() && !header.grants(user, mapping, true))
                || (!read_only && header.flags & GTF_READONLY != 0)
        };
        if refused(self.header()) {
            return Err(GntStatus::GENERAL_ERROR);
        }
        let bits = if read_only {
            GTF_READING
        } else {
            GTF_READING | GTF_WRITING
        };
        self.set_status(bits);
        // The guest revokes by changing the flags and then looking at the status: look at the flags after setting
        // it. (All these accesses are sequentially consistent read-modify-writes or ordered after one.)
        if refused(self.header()) {
            self.end_use(pin, read_only);
            return Err(GntStatus::GENERAL_ERROR);
        }
        Ok(())
    }

    /// Takes status bits back that the present use no longer justifies.
    pub(super) fn end_use(self, pin: Pin, read_only: bool) {
        let mut bits = 0;
        if pin.is_zero() {
            bits |= GTF_READING;
        }
        if !read_only && !pin.writable() {
            bits |= GTF_WRITING;
        }
        if bits != 0 {
            self.clear_status(bits);
        }
    }
}

fn begin_v1(
    frame: RawFrame,
    at: usize,
    pin: Pin,
    user: DomainId,
    read_only: bool,
    mapping: bool,
) -> Result<(), GntStatus> {
    let mut word = frame.read_u32(at);
    for _ in 0..TRIES {
        let header = Header::from_word(word);
        if (pin.is_zero() && !header.grants(user, mapping, false))
            || (!read_only && header.flags & GTF_READONLY != 0)
        {
            return Err(GntStatus::GENERAL_ERROR);
        }
        let bits = if read_only {
            GTF_READING
        } else {
            GTF_READING | GTF_WRITING
        };
        match frame.cmpxchg_u32(at, word, word | u32::from(bits)) {
            Ok(_) => return Ok(()),
            Err(found) => word = found,
        }
    }
    Err(GntStatus::GENERAL_ERROR)
}
