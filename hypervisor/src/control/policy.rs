//! CPU policies and feature sets as the tools read them: the host's CPUID, and what PV guests see of it. Xen
//! public/sysctl.h, public/arch-x86/cpufeatureset.h; the order of leaves is that of Xen's serialised policies.

use arch::cpu::{Cpuid, cpuid};
use hypercall_abi::arch_x86::{CpuidLeaf, MsrEntry};
use hypercall_abi::{Errno, GuestHandle};

use crate::control::DomainPolicy;
use crate::guest;
use crate::pv::emulate::cpuid::leaf as pv_leaf;

/// Words of a feature set.
pub const FEATURE_WORDS: usize = 19;
/// Most leaves of a serialised policy.
pub const MAX_LEAVES: u32 = 120;
/// Most MSRs of a serialised policy.
pub const MAX_MSRS: u32 = 2;
/// Stands for "this leaf has no subleaves".
pub const NO_SUBLEAF: u32 = u32::MAX;
/// Last basic and extended leaves of a policy.
pub const LAST_BASIC: u32 = 0xd;
pub const LAST_EXTENDED: u32 = 0x21;
/// Subleaves kept of leaves 4, 7, 0xb and 0xd.
pub const CACHES: u32 = 6;
pub const FEATURES: u32 = 3;
pub const TOPOLOGY: u32 = 2;
pub const STATES: u32 = 63;
/// MSR_INTEL_PLATFORM_INFO and MSR_ARCH_CAPABILITIES: nothing of them is offered.
pub const MSRS: [u32; 2] = [0xce, 0x10a];

/// Whose view.
#[derive(Clone, Copy, Debug)]
pub enum Policy<'a> {
    /// The processor's.
    Host,
    /// A PV guest's.
    Pv,
    /// That of a domain which has its own.
    Own(&'a DomainPolicy),
}

impl Policy<'_> {
    fn leaf(self, leaf: u32, subleaf: u32) -> Cpuid {
        match self {
            Self::Host => cpuid(leaf, subleaf),
            Self::Pv => pv_leaf(leaf, subleaf, false, 0),
            Self::Own(policy) => policy.stored(leaf, subleaf),
        }
    }

    fn max_basic(self) -> u32 {
        self.leaf(0, 0).eax
    }

    fn max_extended(self) -> u32 {
        let max = self.leaf(0x8000_0000, 0).eax;
        if max >> 16 == 0x8000 { max } else { 0 }
    }

    /// A leaf, zeroes if it is beyond what the policy has.
    fn known(self, leaf: u32, subleaf: u32) -> Cpuid {
        let there = match leaf {
            0x8000_0000.. => leaf <= self.max_extended(),
            7 => self.max_basic() >= 7 && subleaf <= self.leaf(7, 0).eax,
            _ => leaf <= self.max_basic(),
        };
        if there {
            self.leaf(leaf, subleaf)
        } else {
            Cpuid::default()
        }
    }

    /// The feature set.
    pub fn features(self) -> [u32; FEATURE_WORDS] {
        let (one, seven) = (self.known(1, 0), self.known(7, 0));
        let (seven1, seven2) = (self.known(7, 1), self.known(7, 2));
        let (e1, e21) = (self.known(0x8000_0001, 0), self.known(0x8000_0021, 0));
        [
            one.edx,
            one.ecx,
            e1.edx,
            e1.ecx,
            self.known(0xd, 1).eax,
            seven.ebx,
            seven.ecx,
            self.known(0x8000_0007, 0).edx,
            self.known(0x8000_0008, 0).ebx,
            seven.edx,
            seven1.eax,
            e21.eax,
            seven1.ebx,
            seven2.edx,
            seven1.ecx,
            seven1.edx,
            0,
            0,
            e21.ecx,
        ]
    }

    /// Writes the leaves to the caller's array of `room` entries; how many there were. `ENOBUFS` if it is too small.
    pub fn write_leaves(self, array: GuestHandle<CpuidLeaf>, room: u32) -> Result<u32, Errno> {
        let mut out = Writer {
            array,
            room,
            used: 0,
        };
        for leaf in 0..=self.max_basic().min(LAST_BASIC) {
            match leaf {
                4 => self.until_type_zero(&mut out, 4, CACHES, |l| l.eax & 0x1f)?,
                7 => {
                    for sub in 0..=self.leaf(7, 0).eax.min(FEATURES - 1) {
                        out.put(7, sub, self.leaf(7, sub))?;
                    }
                }
                0xb => self.until_type_zero(&mut out, 0xb, TOPOLOGY, |l| l.ecx >> 8 & 0xff)?,
                0xd => self.states(&mut out)?,
                _ => out.put(leaf, NO_SUBLEAF, self.leaf(leaf, 0))?,
            }
        }
        // The hypervisor's own leaves are not part of a policy: no limits.
        out.put(0x4000_0000, NO_SUBLEAF, Cpuid::default())?;
        out.put(0x4000_0100, NO_SUBLEAF, Cpuid::default())?;
        for leaf in 0..=(self.max_extended() & 0xffff).min(LAST_EXTENDED) {
            let number = 0x8000_0000 | leaf;
            out.put(number, NO_SUBLEAF, self.leaf(number, 0))?;
        }
        Ok(out.used)
    }

    fn until_type_zero(
        self,
        out: &mut Writer,
        leaf: u32,
        most: u32,
        kind: fn(&Cpuid) -> u32,
    ) -> Result<(), Errno> {
        for sub in 0..most {
            let l = self.leaf(leaf, sub);
            out.put(leaf, sub, l)?;
            if kind(&l) == 0 {
                break;
            }
        }
        Ok(())
    }

    fn states(self, out: &mut Writer) -> Result<(), Errno> {
        let (user, features) = (self.leaf(0xd, 0), self.leaf(0xd, 1));
        out.put(0xd, 0, user)?;
        out.put(0xd, 1, features)?;
        let low = u64::from(user.eax | features.ecx);
        let states = u64::from(user.edx | features.edx) << 32 | low;
        for sub in 2..STATES {
            if states >> sub == 0 {
                break;
            }
            let l = if states >> sub & 1 != 0 {
                self.leaf(0xd, sub)
            } else {
                Cpuid::default()
            };
            out.put(0xd, sub, l)?;
        }
        Ok(())
    }
}

/// Writes the MSRs to the caller's array of `room` entries; how many there were. `ENOBUFS` if it is too small.
pub fn write_msrs(array: GuestHandle<MsrEntry>, room: u32) -> Result<u32, Errno> {
    for (i, &idx) in (0..).zip(&MSRS) {
        if i >= room {
            return Err(Errno::ENOBUFS);
        }
        let entry = MsrEntry {
            idx,
            ..MsrEntry::default()
        };
        guest::write(array, i.into(), &entry)?;
    }
    Ok(MAX_MSRS)
}

struct Writer {
    array: GuestHandle<CpuidLeaf>,
    room: u32,
    used: u32,
}

impl Writer {
    fn put(&mut self, leaf: u32, subleaf: u32, l: Cpuid) -> Result<(), Errno> {
        if self.used >= self.room {
            return Err(Errno::ENOBUFS);
        }
        let entry = CpuidLeaf {
            leaf,
            subleaf,
            a: l.eax,
            b: l.ebx,
            c: l.ecx,
            d: l.edx,
        };
        guest::write(self.array, self.used.into(), &entry)?;
        self.used += 1;
        Ok(())
    }
}
