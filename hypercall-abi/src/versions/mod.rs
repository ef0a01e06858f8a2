//! domctl and sysctl in the versions that Xen 4.14 to 4.22 speak.
//!
//! The tools name the version that they were built for. This crate's structures are those of version 0x15 of both (Xen 4.17),
//! the *canonical* ones; each module here holds the structures in which an older or newer version differs, and the way
//! there and back. What a module does not name is laid out alike: `tests/versions` compares every structure of every
//! version with what the releases' headers say.
//!
//! | release | domctl | sysctl |
//! |---|---|---|
//! | 4.14 | 0x12 | 0x13 |
//! | 4.15 | 0x13 | 0x13 |
//! | 4.16 | 0x14 | 0x14 |
//! | 4.17 | 0x15 | 0x15 |
//! | 4.18 | 0x16 | 0x15 |
//! | 4.19, 4.20 | 0x17 | 0x15 |
//! | 4.21 | 0x17 | 0x16 |
//! | 4.22 | 0x18 | 0x16 |

pub mod domctl_0x12;
pub mod domctl_0x13;
pub mod domctl_0x14;
pub mod domctl_0x17;
pub mod stable;
pub mod sysctl_0x13;
pub mod sysctl_0x16;

use zerocopy::IntoBytes;

use crate::Errno;
use crate::check::Struct;
use crate::domctl::{self, DomctlCmd, DomctlGetdomaininfo, DomctlU};
use crate::sysctl::{self, SysctlCmd, SysctlU};

/// What a request means in canonical terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<U> {
    /// Do the command of the same number with this argument.
    Ask(U),
    /// The command asks for nothing that still exists: it succeeds if its domain is there.
    Nothing,
}

/// A version of domctl.
pub struct DomctlVersion {
    /// Its number.
    pub version: u32,
    /// Releases that speak it.
    pub releases: &'static str,
    /// The first command number that it has not, from 80 to 999 (gdbsx has numbers of its own).
    commands_end: u32,
    request: fn(DomctlCmd, &DomctlU) -> Result<Request<DomctlU>, Errno>,
    reply: fn(DomctlCmd, &DomctlU, &DomctlU) -> DomctlU,
    info: fn(&DomctlGetdomaininfo) -> DomainInfo,
    /// Structures in which it differs, for the header check.
    #[doc(hidden)]
    pub structs: &'static [&'static [Struct]],
}

/// A version of sysctl.
pub struct SysctlVersion {
    /// Its number.
    pub version: u32,
    /// Releases that speak it.
    pub releases: &'static str,
    reply: fn(SysctlCmd, &SysctlU) -> SysctlU,
    info: fn(&DomctlGetdomaininfo) -> DomainInfo,
    /// Structures in which it differs, for the header check.
    #[doc(hidden)]
    pub structs: &'static [&'static [Struct]],
}

/// `struct xen_domctl_getdomaininfo` in some version: its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainInfo {
    bytes: [u8; size_of::<DomctlGetdomaininfo>()],
    len: usize,
}

impl DomainInfo {
    fn new<T: IntoBytes + zerocopy::Immutable>(value: &T) -> Self {
        let mut info = Self {
            bytes: [0; size_of::<DomctlGetdomaininfo>()],
            len: 0,
        };
        for (to, from) in info.bytes.iter_mut().zip(value.as_bytes()) {
            *to = *from;
            info.len += 1;
        }
        info
    }

    /// The structure's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

fn same_info(info: &DomctlGetdomaininfo) -> DomainInfo {
    DomainInfo::new(info)
}

fn same_request(_: DomctlCmd, u: &DomctlU) -> Result<Request<DomctlU>, Errno> {
    Ok(Request::Ask(*u))
}

fn same_reply(_: DomctlCmd, answer: &DomctlU, _: &DomctlU) -> DomctlU {
    *answer
}

/// Numbers from here up to 999 belong to newer versions than the canonical one.
const CANONICAL_END: u32 = 87;

/// Every domctl version that is spoken, in ascending order.
pub static DOMCTL: &[DomctlVersion] = &[
    DomctlVersion {
        version: 0x12,
        releases: "4.14",
        commands_end: 84,
        request: domctl_0x12::request,
        reply: domctl_0x12::reply,
        info: domctl_0x12::info,
        structs: &[domctl_0x12::STRUCTS, domctl_0x13::STRUCTS],
    },
    DomctlVersion {
        version: 0x13,
        releases: "4.15",
        commands_end: 85,
        request: domctl_0x13::request,
        reply: domctl_0x13::reply,
        info: domctl_0x13::info,
        structs: &[domctl_0x13::STRUCTS],
    },
    DomctlVersion {
        version: 0x14,
        releases: "4.16",
        commands_end: 85,
        request: domctl_0x14::request,
        reply: domctl_0x14::reply,
        info: same_info,
        structs: &[domctl_0x14::STRUCTS],
    },
    DomctlVersion {
        version: 0x15,
        releases: "4.17",
        commands_end: CANONICAL_END,
        request: same_request,
        reply: same_reply,
        info: same_info,
        structs: &[],
    },
    DomctlVersion {
        version: 0x16,
        releases: "4.18",
        commands_end: CANONICAL_END,
        request: same_request,
        reply: same_reply,
        info: same_info,
        structs: &[],
    },
    DomctlVersion {
        version: 0x17,
        releases: "4.19 to 4.21",
        commands_end: CANONICAL_END,
        request: domctl_0x17::request,
        reply: domctl_0x17::reply,
        info: same_info,
        structs: &[domctl_0x17::STRUCTS],
    },
    DomctlVersion {
        version: 0x18,
        releases: "4.22",
        commands_end: CANONICAL_END,
        request: domctl_0x17::request,
        reply: domctl_0x17::reply,
        info: same_info,
        structs: &[domctl_0x17::STRUCTS],
    },
];

/// Every sysctl version that is spoken, in ascending order.
pub static SYSCTL: &[SysctlVersion] = &[
    SysctlVersion {
        version: 0x13,
        releases: "4.14 and 4.15",
        reply: sysctl_0x13::reply,
        info: domctl_0x13::info,
        structs: &[sysctl_0x13::STRUCTS, domctl_0x13::STRUCTS],
    },
    SysctlVersion {
        version: 0x14,
        releases: "4.16",
        reply: sysctl_0x13::reply_0x14,
        info: same_info,
        structs: &[sysctl_0x13::STRUCTS],
    },
    SysctlVersion {
        version: 0x15,
        releases: "4.17 to 4.20",
        reply: |_, answer| *answer,
        info: same_info,
        structs: &[],
    },
    SysctlVersion {
        version: 0x16,
        releases: "4.21 and 4.22",
        reply: |_, answer| *answer,
        info: same_info,
        structs: &[sysctl_0x16::STRUCTS],
    },
];

/// The domctl version with this number, if it is spoken.
pub fn domctl(version: domctl::InterfaceVersion) -> Option<&'static DomctlVersion> {
    DOMCTL.iter().find(|v| v.version == version.0)
}

/// The sysctl version with this number, if it is spoken.
pub fn sysctl(version: sysctl::InterfaceVersion) -> Option<&'static SysctlVersion> {
    SYSCTL.iter().find(|v| v.version == version.0)
}

impl DomctlVersion {
    /// Whether the version has a command of this number.
    pub fn has(&self, cmd: DomctlCmd) -> bool {
        cmd.0 < self.commands_end || cmd.0 >= DomctlCmd::GDBSX_GUESTMEMIO.0
    }

    /// A request in canonical terms. `ENOSYS` for commands that the version has not, `EINVAL` for values that its Xen
    /// refuses.
    pub fn request(&self, cmd: DomctlCmd, u: &DomctlU) -> Result<Request<DomctlU>, Errno> {
        if !self.has(cmd) {
            return Err(Errno::ENOSYS);
        }
        (self.request)(cmd, u)
    }

    /// An answer in the caller's terms; `asked` is what came with the request.
    pub fn reply(&self, cmd: DomctlCmd, answer: &DomctlU, asked: &DomctlU) -> DomctlU {
        (self.reply)(cmd, answer, asked)
    }

    /// A domain's state as this version lays it out.
    pub fn info(&self, info: &DomctlGetdomaininfo) -> DomainInfo {
        (self.info)(info)
    }
}

impl SysctlVersion {
    /// An answer in the caller's terms. Requests are alike in all versions.
    pub fn reply(&self, cmd: SysctlCmd, answer: &SysctlU) -> SysctlU {
        (self.reply)(cmd, answer)
    }

    /// An element of getdomaininfolist's array as this version lays it out.
    pub fn info(&self, info: &DomctlGetdomaininfo) -> DomainInfo {
        (self.info)(info)
    }
}

/// Reads a version's structure from the start of a union.
fn member<T: zerocopy::FromBytes + IntoBytes + zerocopy::FromZeros>(u: &impl UnionBytes) -> T {
    crate::check::read_prefix(u.bytes())
}

/// The bytes of the two unions.
trait UnionBytes {
    fn bytes(&self) -> &[u8];
}

impl UnionBytes for DomctlU {
    fn bytes(&self) -> &[u8] {
        IntoBytes::as_bytes(self)
    }
}

/// A domctl union that begins with a version's structure, zeroes behind it.
fn domctl_with<T: IntoBytes + zerocopy::Immutable>(value: &T) -> DomctlU {
    let mut u = DomctlU::default();
    crate::check::write_prefix(IntoBytes::as_mut_bytes(&mut u), value);
    u
}

/// A sysctl union that begins with a version's structure, zeroes behind it.
fn sysctl_with<T: IntoBytes + zerocopy::Immutable>(value: &T) -> SysctlU {
    let mut u = SysctlU::default();
    crate::check::write_prefix(IntoBytes::as_mut_bytes(&mut u), value);
    u
}
