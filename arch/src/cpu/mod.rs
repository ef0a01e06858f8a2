//! The processor: features, control registers, MSRs, ports, extended state.
#![allow(unsafe_code)]

pub mod port;
#[cfg(target_os = "none")]
pub(crate) mod usercopy;

/// Stops this CPU for good, interrupts off.
pub fn halt_forever() -> ! {
    #[cfg(target_os = "none")]
    loop {
        // SAFETY: stopping needs nothing from memory.
        unsafe { core::arch::asm!("cli", "hlt", options(nomem, nostack)) };
    }
    #[cfg(not(target_os = "none"))]
    panic!("the CPU was halted for good")
}
