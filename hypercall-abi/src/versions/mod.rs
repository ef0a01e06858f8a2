//! domctl and sysctl in the versions that Xen 4.14 to 4.22 speak.
//!
//! The tools name the version that they were built for. This crate's structures are those of version 0x15 of both (Xen 4.17),
//! the *canonical* ones; each module here holds the structures in which an older or newer version differs, and the way
//! there and back. What a module does not name is laid out alike: `tests/versions` compares every structure of every
//! version with what the releases' headers say.

pub mod domctl_0x12;
pub mod domctl_0x13;
pub mod domctl_0x14;
pub mod domctl_0x17;
pub mod stable;
pub mod sysctl_0x13;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::Errno;
use crate::check::Struct;
use crate::domctl::{self, *};
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
    /// Creation's flags that its Xen has names for; those of the canonical version are left to whoever creates.
    flags: u32,
    creation: fn(&DomctlU) -> Result<DomctlCreatedomain, Errno>,
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
    fn new<T: IntoBytes + Immutable>(value: &T) -> Self {
        Self {
            bytes: with_front(value),
            len: size_of::<T>(),
        }
    }

    /// The structure's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

fn same_info(info: &DomctlGetdomaininfo) -> DomainInfo {
    DomainInfo::new(info)
}

fn same_creation(u: &DomctlU) -> Result<DomctlCreatedomain, Errno> {
    Ok(u.createdomain())
}

/// A flag and all below it.
const fn up_to(flag: u32) -> u32 {
    flag | (flag - 1)
}

/// Numbers from here up to 999 belong to newer versions than the canonical one.
const CANONICAL_END: u32 = 87;

/// Every domctl version that is spoken, in ascending order.
pub static DOMCTL: &[DomctlVersion] = &[
    DomctlVersion {
        version: 0x12,
        releases: "4.14",
        commands_end: 84,
        flags: up_to(XEN_DOMCTL_CDF_IOMMU),
        creation: domctl_0x12::creation,
        info: domctl_0x12::info,
        structs: &[domctl_0x12::STRUCTS, domctl_0x13::STRUCTS],
    },
    DomctlVersion {
        version: 0x13,
        releases: "4.15",
        commands_end: 85,
        flags: up_to(XEN_DOMCTL_CDF_NESTED_VIRT),
        creation: domctl_0x13::creation,
        info: domctl_0x13::info,
        structs: &[domctl_0x13::STRUCTS],
    },
    DomctlVersion {
        version: 0x14,
        releases: "4.16",
        commands_end: 85,
        flags: u32::MAX,
        creation: domctl_0x14::creation,
        info: same_info,
        structs: &[domctl_0x14::STRUCTS],
    },
    DomctlVersion {
        version: 0x15,
        releases: "4.17",
        commands_end: CANONICAL_END,
        flags: u32::MAX,
        creation: same_creation,
        info: same_info,
        structs: &[],
    },
    DomctlVersion {
        version: 0x16,
        releases: "4.18",
        commands_end: CANONICAL_END,
        flags: u32::MAX,
        creation: same_creation,
        info: same_info,
        structs: &[],
    },
    DomctlVersion {
        version: 0x17,
        releases: "4.19 to 4.21",
        commands_end: CANONICAL_END,
        flags: up_to(XEN_DOMCTL_CDF_MAX),
        creation: domctl_0x17::creation,
        info: same_info,
        structs: &[domctl_0x17::STRUCTS],
    },
    DomctlVersion {
        version: 0x18,
        releases: "4.22",
        commands_end: CANONICAL_END,
        flags: up_to(XEN_DOMCTL_CDF_MAX),
        creation: domctl_0x17::creation,
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
        structs: &[],
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
        Ok(match cmd {
            DomctlCmd::CREATEDOMAIN => {
                let creation = (self.creation)(u)?;
                if creation.flags & !self.flags != 0 {
                    return Err(Errno::EINVAL);
                }
                Request::Ask(with_front(&creation))
            }
            DomctlCmd::IRQ_PERMISSION if self.version <= 0x13 => {
                Request::Ask(domctl_0x13::irq_permission(u))
            }
            domctl_0x12::DISABLE_MIGRATE if self.version == 0x12 => Request::Nothing,
            _ => Request::Ask(*u),
        })
    }

    /// An answer in the caller's terms; `asked` is what came with the request. Creation changes nothing of it.
    pub fn reply(&self, cmd: DomctlCmd, answer: &DomctlU, asked: &DomctlU) -> DomctlU {
        match cmd {
            DomctlCmd::CREATEDOMAIN => *asked,
            DomctlCmd::GETDOMAININFO => with_front(&self.info(&answer.getdomaininfo()).bytes),
            _ => *answer,
        }
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

/// Creation's fields that lie alike in all versions, which are those up to `max_maptrack_frames`; zeroes behind them.
fn creation_front(u: &DomctlU) -> DomctlCreatedomain {
    DomctlCreatedomain {
        grant_opts: 0,
        vmtrace_size: 0,
        cpupool_id: 0,
        arch: Default::default(),
        ..u.createdomain()
    }
}

/// The structure at the front of a larger one or of a union.
fn front_of<T: FromBytes, U: IntoBytes + Immutable>(whole: &U) -> T {
    const { assert!(size_of::<T>() <= size_of::<U>()) };
    crate::check::read_prefix(whole.as_bytes())
}

/// What begins with this structure and is zeroes behind it.
fn with_front<T: IntoBytes + Immutable, U: FromBytes + IntoBytes>(front: &T) -> U {
    const { assert!(size_of::<T>() <= size_of::<U>()) };
    let mut whole = U::new_zeroed();
    crate::check::write_prefix(whole.as_mut_bytes(), front);
    whole
}

/// A version's structures: creation and getdomaininfo, which begin alike in all versions, by their ends; others whole.
macro_rules! versioned {
    (
        $(creation $creation:ident, size $creation_size:literal { $($creation_end:tt)* })?
        $(info $info:ident, size $info_size:literal { $($info_end:tt)* })?
        $(others { $($others:tt)* })?
    ) => {
        abi_structs! {
            $(
                /// `struct xen_domctl_createdomain`.
                pub struct $creation: "struct xen_domctl_createdomain", size $creation_size {
                    0 => ssidref: u32,
                    4 => handle: [u8; 16],
                    20 => flags: u32,
                    24 => iommu_opts: u32,
                    28 => max_vcpus: u32,
                    32 => max_evtchn_port: u32,
                    36 => max_grant_frames: i32,
                    40 => max_maptrack_frames: i32,
                    $($creation_end)*
                }
            )?
            $(
                /// `struct xen_domctl_getdomaininfo`.
                pub struct $info: "struct xen_domctl_getdomaininfo", size $info_size {
                    0 => domain: crate::xen::DomId,
                    2 => _hole0: [u8; 2] as "",
                    4 => flags: u32,
                    8 => tot_pages: u64,
                    16 => max_pages: u64,
                    24 => outstanding_pages: u64,
                    32 => shr_pages: u64,
                    40 => paged_pages: u64,
                    48 => shared_info_frame: u64,
                    56 => cpu_time: u64,
                    64 => nr_online_vcpus: u32,
                    68 => max_vcpu_id: u32,
                    72 => ssidref: u32,
                    76 => handle: [u8; 16],
                    92 => cpupool: u32,
                    $($info_end)*
                }
            )?
            $($($others)*)?
        }
    };
}
use versioned;
