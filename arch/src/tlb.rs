//! TLB shootdown (being built).
#![allow(unsafe_code)]

/// Serves shootdowns that other CPUs asked of this one.
pub fn service_pending() {}

/// Forgets what this CPU knows of one address (global entries too), in the address space that is loaded.
#[inline]
pub fn invalidate_page(va: u64) {
    #[cfg(target_os = "none")]
    // SAFETY: forgetting a translation is always allowed.
    unsafe {
        core::arch::asm!("invlpg [{}]", in(reg) va, options(nostack, preserves_flags))
    };
    #[cfg(not(target_os = "none"))]
    let _ = va;
}
