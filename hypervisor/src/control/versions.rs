//! Versions of the tools' interfaces. The caller names the one it was built for; every version from Xen 4.14 to 4.22 is
//! spoken (`hypercall_abi::versions`), others are refused with a line that names both sides.

use core::fmt::{Display, Formatter, Result as FmtResult};
use core::sync::atomic::{AtomicU32, Ordering};

use hypercall_abi::versions::{self, DomctlVersion, SysctlVersion};
use hypercall_abi::{Errno, domctl, sysctl};

/// What is spoken here, in words.
struct Spoken<I>(I);

impl<I: Iterator<Item = (u32, &'static str)> + Clone> Display for Spoken<I> {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        for (i, (version, releases)) in self.0.clone().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{version:#x} (Xen {releases})")?;
        }
        Ok(())
    }
}

/// Tools ask again and again: one line per version in a row.
fn refuse(interface: &str, version: u32, last: &AtomicU32, spoken: impl Display) -> Errno {
    if last.swap(version, Ordering::Relaxed) != version {
        log::warn!(
            "{interface} refused: the caller's interface version is {version:#x}, this hypervisor's are {spoken}"
        );
    }
    Errno::EACCES
}

/// The layouts of a sysctl version. `EACCES` unless it is spoken.
pub fn sysctl(version: sysctl::InterfaceVersion) -> Result<&'static SysctlVersion, Errno> {
    static LAST: AtomicU32 = AtomicU32::new(u32::MAX);
    versions::sysctl(version).ok_or_else(|| {
        let spoken = versions::SYSCTL.iter().map(|v| (v.version, v.releases));
        refuse("sysctl", version.0, &LAST, Spoken(spoken))
    })
}

/// The layouts of a domctl version. `EACCES` unless it is spoken.
pub fn domctl(version: domctl::InterfaceVersion) -> Result<&'static DomctlVersion, Errno> {
    static LAST: AtomicU32 = AtomicU32::new(u32::MAX);
    versions::domctl(version).ok_or_else(|| {
        let spoken = versions::DOMCTL.iter().map(|v| (v.version, v.releases));
        refuse("domctl", version.0, &LAST, Spoken(spoken))
    })
}
