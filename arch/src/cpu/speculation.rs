//! What can be done to a processor's predictors and buffers so that a guest learns nothing through them. What is done,
//! and when, is decided by whoever calls; nothing here asks whether the processor has what is used.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use super::msr;

/// IA32_SPEC_CTRL (Intel "Speculative Execution Side Channel Mitigations"; AMD document 111006-B).
const SPEC_CTRL: u32 = 0x48;
/// IA32_PRED_CMD.
const PRED_CMD: u32 = 0x49;
const EFER: u32 = 0xc000_0080;
const AUTOMATIC_IBRS: u64 = 1 << 21;

/// Bits of SPEC_CTRL.
pub mod control {
    /// Indirect branches of more privileged code are not predicted from what less privileged code did.
    pub const IBRS: u64 = 1 << 0;
    /// Not from what the other thread of the core did.
    pub const STIBP: u64 = 1 << 1;
    /// Loads do not pass stores whose address is not known.
    pub const SSBD: u64 = 1 << 2;
    /// Branch history of ring 3 does not choose predictions of the supervisor's.
    pub const BHI_DIS_S: u64 = 1 << 10;
}

/// What SPEC_CTRL always has; all ones: the register is not used.
static BASE: AtomicU64 = AtomicU64::new(UNUSED);
const UNUSED: u64 = u64::MAX;

/// SPEC_CTRL exists and always has these bits. On the boot CPU, before others run; [`init`] follows on each.
pub fn use_control(base: u64) {
    BASE.store(base, Ordering::Relaxed);
}

/// Predictions of the supervisor's indirect branches are kept apart by the processor itself (AMD). As [`use_control`].
pub fn use_automatic_ibrs() {
    AUTOMATIC.store(1, Ordering::Relaxed);
}

static AUTOMATIC: AtomicU64 = AtomicU64::new(0);

/// Brings this CPU into the state that was decided on.
pub fn init() {
    let base = BASE.load(Ordering::Relaxed);
    if base != UNUSED {
        // SAFETY: bits that restrict speculation, for a register that is there.
        unsafe { msr::write(SPEC_CTRL, base) };
    }
    if AUTOMATIC.load(Ordering::Relaxed) != 0 {
        // SAFETY: the bit exists (the caller of `use_automatic_ibrs` looked) and restricts speculation only.
        unsafe { msr::write(EFER, msr::read(EFER) | AUTOMATIC_IBRS) };
    }
}

/// Loads what the guest that runs wants of SPEC_CTRL besides what it always has. Nothing where the register is not used.
#[inline]
pub fn set_guest_control(value: u64) {
    let base = BASE.load(Ordering::Relaxed);
    if base != UNUSED {
        crate::percpu::set_spec_ctrl(value | base);
    }
}

/// Writes SPEC_CTRL.
pub(crate) fn write_control(value: u64) {
    // SAFETY: bits that restrict speculation, for a register that is there.
    unsafe { msr::write(SPEC_CTRL, value) };
}

/// Indirect branches after this are not predicted from what ran before (IBPB).
pub fn prediction_barrier() {
    // SAFETY: a command without other effect; whoever calls knows that the register is there.
    unsafe { msr::write(PRED_CMD, 1) };
}

/// Leaves nothing of what ran before among the predictions of returns.
pub fn overwrite_return_stack() {
    #[cfg(target_os = "none")]
    // SAFETY: calls whose return addresses are taken off the stack again; none of them returns, and a processor that
    // predicts that they do waits in a loop.
    unsafe {
        core::arch::asm!(
            "mov {n:e}, 16",
            "2: call 3f",
            "22: pause", "lfence", "jmp 22b",
            "3: call 4f",
            "33: pause", "lfence", "jmp 33b",
            "4: sub {n:e}, 1",
            "jnz 2b",
            "add rsp, 32 * 8",
            n = out(reg) _,
        );
    }
}

/// `index` if it is below `length`, else 0, also while the processor speculates about the comparison that the caller
/// made (Spectre variant 1). To be used between a bounds check and the access.
#[inline(always)]
#[must_use]
pub fn clamp(index: usize, length: usize) -> usize {
    #[cfg(target_os = "none")]
    {
        let mask: usize;
        // SAFETY: arithmetic.
        unsafe {
            core::arch::asm!("cmp {i}, {n}", "sbb {m}, {m}", i = in(reg) index, n = in(reg) length,
                m = out(reg) mask, options(pure, nomem, nostack));
        }
        index & mask
    }
    #[cfg(not(target_os = "none"))]
    if index < length { index } else { 0 }
}

/// An element of a table at an index that a guest chose; nothing beyond the table is read, not even speculatively.
#[inline(always)]
pub fn get<T>(table: &[T], index: usize) -> Option<&T> {
    if index >= table.len() {
        return None;
    }
    // SAFETY: below the length, as was just seen, and `clamp` does not change what is.
    Some(unsafe { table.get_unchecked(clamp(index, table.len())) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_what_is_beyond() {
        let table = [1, 2, 3];
        for n in 0..6 {
            assert_eq!(get(&table, n), table.get(n));
        }
        assert_eq!(get(&table, usize::MAX), None);
        assert_eq!(get::<u8>(&[], 0), None);
        assert_eq!((clamp(2, 3), clamp(3, 3), clamp(usize::MAX, 3)), (2, 0, 0));
    }
}
