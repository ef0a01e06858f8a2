//! The 2-level event ABI: a pending and a mask bit per port in the shared_info page, a selector word per vCPU.
//!
//! Xen public/xen.h, `struct shared_info` and `struct vcpu_info`, for 64-bit guests: 64 words of 64 bits.

use hypercall_abi::event_channel::EVTCHN_2L_NR_CHANNELS;

use super::VCPU_INFO_PENDING_SEL;
use crate::domain::{Domain, Vcpu};

/// Offset of `evtchn_pending` in shared_info.
pub(super) const PENDING: usize = 2048;
/// Offset of `evtchn_mask` in shared_info.
pub(super) const MASK: usize = 2560;

/// Word offset and bit of a port; `None` beyond what this ABI can express.
fn bit(port: u32) -> Option<(usize, u64)> {
    (port < EVTCHN_2L_NR_CHANNELS).then(|| ((port / 64) as usize * 8, 1 << (port % 64)))
}

/// Sets the selector bit of the port's word; true if it was clear.
fn select(vcpu: &Vcpu, port: u32) -> bool {
    let bit = 1u64 << (port / 64);
    vcpu.info
        .get()
        .is_some_and(|s| s.frame.fetch_or_u64(s.offset + VCPU_INFO_PENDING_SEL, bit) & bit == 0)
}

/// Marks the port pending for `vcpu`. True if it was not pending before; the second value is true if the vCPU
/// must be told. The steps happen in this order: pending bit, mask test, selector.
pub(super) fn set_pending(domain: &Domain, vcpu: &Vcpu, port: u32) -> (bool, bool) {
    let Some((word, bit)) = bit(port) else {
        return (false, false);
    };
    let info = domain.shared_info;
    if info.fetch_or_u64(PENDING + word, bit) & bit != 0 {
        return (false, false);
    }
    let masked = info.fetch_or_u64(MASK + word, 0) & bit != 0;
    (true, !masked && select(vcpu, port))
}

/// Unmasks the port. True if the vCPU must be told of an event that was pending meanwhile.
pub(super) fn unmask(domain: &Domain, vcpu: &Vcpu, port: u32) -> bool {
    let Some((word, bit)) = bit(port) else {
        return false;
    };
    let info = domain.shared_info;
    info.fetch_and_u64(MASK + word, !bit) & bit != 0
        && info.fetch_or_u64(PENDING + word, 0) & bit != 0
        && select(vcpu, port)
}

pub(super) fn clear_pending(domain: &Domain, port: u32) {
    if let Some((word, bit)) = bit(port) {
        domain.shared_info.fetch_and_u64(PENDING + word, !bit);
    }
}

pub(super) fn is_pending(domain: &Domain, port: u32) -> bool {
    bit(port).is_some_and(|(word, bit)| domain.shared_info.read_u64(PENDING + word) & bit != 0)
}

pub(super) fn is_masked(domain: &Domain, port: u32) -> bool {
    bit(port).is_none_or(|(word, bit)| domain.shared_info.read_u64(MASK + word) & bit != 0)
}
