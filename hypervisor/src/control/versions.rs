//! Versions of the tools' interfaces. The caller names the one it was built for; those in a table here are spoken, the
//! others refused with a line that names both sides. A version gets into the table with the layouts in which it differs
//! from the canonical one; so far none but the canonical one is there.

use core::sync::atomic::{AtomicU32, Ordering};

use hypercall_abi::{Errno, domctl, sysctl};

/// sysctl versions that are spoken, of those known (0x13 to 0x16).
const SYSCTL: &[u32] = &[sysctl::InterfaceVersion::CANONICAL.0];
/// domctl versions that are spoken, of those known (0x12 to 0x18).
const DOMCTL: &[u32] = &[domctl::InterfaceVersion::CANONICAL.0];

fn check(
    interface: &str,
    spoken: &[u32],
    version: u32,
    known: bool,
    last: &AtomicU32,
) -> Result<(), Errno> {
    if spoken.contains(&version) {
        return Ok(());
    }
    // Tools ask again and again: one line per version in a row.
    if last.swap(version, Ordering::Relaxed) != version {
        log::warn!(
            "{interface} refused: the caller's interface version is {version:#x}{}, this hypervisor's {spoken:x?}",
            if known { "" } else { " (unknown)" },
        );
    }
    Err(Errno::EACCES)
}

/// `EACCES` unless this sysctl version is spoken.
pub fn sysctl(version: sysctl::InterfaceVersion) -> Result<(), Errno> {
    static LAST: AtomicU32 = AtomicU32::new(0);
    check("sysctl", SYSCTL, version.0, version.is_known(), &LAST)
}

/// `EACCES` unless this domctl version is spoken.
pub fn domctl(version: domctl::InterfaceVersion) -> Result<(), Errno> {
    static LAST: AtomicU32 = AtomicU32::new(0);
    check("domctl", DOMCTL, version.0, version.is_known(), &LAST)
}
