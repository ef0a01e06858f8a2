//! Sizes of extended state (Intel SDM 1, chapter 13): what guests and the domain builder must know. Saving and loading
//! is `guest_cpu`'s.

use super::features::{cpuid, features};

/// Bytes of an FXSAVE image.
pub const FXSAVE_SIZE: u32 = 512;

/// Where one component lives in a standard-format XSAVE area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// The XCR0 bits that the processor supports; 0 without XSAVE.
#[must_use]
pub fn supported() -> u64 {
    if !features().xsave {
        return 0;
    }
    let leaf = cpuid(0xd, 0);
    u64::from(leaf.edx) << 32 | u64::from(leaf.eax)
}

/// A user component's place (2..=62); `None` if the processor does not have it.
#[must_use]
pub fn component(n: u32) -> Option<Component> {
    if !(2..63).contains(&n) || supported() >> n & 1 == 0 {
        return None;
    }
    let leaf = cpuid(0xd, n);
    Some(Component {
        offset: leaf.ebx,
        size: leaf.eax,
    })
}

/// Bytes of a standard-format XSAVE area for the components in `xcr0`: at least legacy region and header.
#[must_use]
pub fn area_size(xcr0: u64) -> u32 {
    (2..63)
        .filter(|n| xcr0 >> n & 1 != 0)
        .filter_map(component)
        .map(|c| c.offset.saturating_add(c.size))
        .fold(FXSAVE_SIZE + 64, u32::max)
}

/// Whether XSETBV takes this value (Intel SDM 1, 13.3): x87 always, AVX needs SSE, AVX-512's parts come together and
/// need AVX, so do MPX's and AMX's.
#[must_use]
pub fn valid_xcr0(value: u64) -> bool {
    let has = |bits: u64| value & bits == bits;
    let any = |bits: u64| value & bits != 0;
    value & !supported() == 0
        && has(1)
        && (!any(4) || has(2))
        && (!any(0xe0) || (has(0xe0) && has(4)))
        && (!any(0x18) || has(0x18))
        && (!any(0x6_0000) || has(0x6_0000))
}
