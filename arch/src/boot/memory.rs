//! Reading physical memory while the loader's structures are still in it.

use super::BootError;

/// Physical memory as the boot parsers see it; tests put a few slices behind it.
pub trait Memory {
    /// Fills `out` from physical `address`, or returns false if any byte of it cannot be read.
    fn read(&self, address: u64, out: &mut [u8]) -> bool;
}

/// Reads `N` bytes at `address`; `what` names the structure in the error.
pub(super) fn bytes<const N: usize>(
    memory: &dyn Memory,
    address: u64,
    what: &'static str,
) -> Result<[u8; N], BootError> {
    let mut out = [0; N];
    if memory.read(address, &mut out) {
        Ok(out)
    } else {
        Err(BootError::Truncated(what))
    }
}

/// A little-endian word of a slice that is known to hold it; 0 beyond its end.
pub(super) fn u16_at(data: &[u8], offset: usize) -> u16 {
    word(data, offset).map_or(0, u16::from_le_bytes)
}
/// As [`u16_at`].
pub(super) fn u32_at(data: &[u8], offset: usize) -> u32 {
    word(data, offset).map_or(0, u32::from_le_bytes)
}
/// As [`u16_at`].
pub(super) fn u64_at(data: &[u8], offset: usize) -> u64 {
    word(data, offset).map_or(0, u64::from_le_bytes)
}

fn word<const N: usize>(data: &[u8], offset: usize) -> Option<[u8; N]> {
    data.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// The physical memory of the machine, below a limit.
pub struct Physical {
    #[cfg_attr(
        not(target_os = "none"),
        allow(dead_code, reason = "only the bare backend has physical memory")
    )]
    limit: u64,
}

impl Physical {
    /// # Safety
    /// Physical addresses below `limit` are mapped at the direct map's base while this value lives, and reading any of
    /// them has no side effect that matters.
    #[must_use]
    pub const unsafe fn new(limit: u64) -> Self {
        Self { limit }
    }
}

#[cfg(target_os = "none")]
impl Memory for Physical {
    fn read(&self, address: u64, out: &mut [u8]) -> bool {
        let Some(end) = address.checked_add(out.len() as u64) else {
            return false;
        };
        if end > self.limit {
            return false;
        }
        let source = (crate::frame::DIRECT_MAP_BASE + address) as *const u8;
        for (i, byte) in out.iter_mut().enumerate() {
            // SAFETY: inside the mapped limit (contract of `new`); volatile, as others may own those bytes.
            *byte = unsafe { source.add(i).read_volatile() };
        }
        true
    }
}

#[cfg(not(target_os = "none"))]
impl Memory for Physical {
    fn read(&self, _address: u64, _out: &mut [u8]) -> bool {
        false
    }
}
