//! The processor: features, control registers, MSRs, ports, waiting.
//!
//! What belongs to the running guest (segments, extended state, debug registers) is in `guest_cpu`.
#![allow(unsafe_code)]

pub mod control;
mod features;
pub mod msr;
pub mod port;
pub mod speculation;
#[cfg(target_os = "none")]
pub(crate) mod usercopy;
pub mod xstate;

pub use control::set_guest_cr4;
pub use features::{Cpuid, Features, Vendor, cpuid, features, signature};

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

/// Sleeps until an interrupt was taken (its handler has run when this returns). Interrupts are off before and after.
/// An interrupt that is already pending is taken at once: STI holds it off until HLT has begun.
#[inline]
pub fn wait_for_interrupt() {
    #[cfg(target_os = "none")]
    // SAFETY: the interrupt handlers keep all registers, and the stack below RSP is free (no red zone).
    unsafe {
        core::arch::asm!("sti", "hlt", "cli")
    };
    #[cfg(not(target_os = "none"))]
    std::thread::yield_now();
}

/// Sleeps as [`wait_for_interrupt`], in the C-state that the MWAIT hint names, unless `word` differs from `unless`.
/// A write to `word` by another CPU ends it too. Only where [`Features::mwait`] is set.
#[inline]
pub fn mwait(word: &core::sync::atomic::AtomicU32, unless: u32, hint: u32) {
    #[cfg(target_os = "none")]
    {
        // SAFETY: MONITOR only watches the line; the caller has checked that the instruction exists.
        unsafe {
            core::arch::asm!("monitor", in("rax") word.as_ptr(), in("ecx") 0, in("edx") 0, options(nostack));
        }
        if word.load(core::sync::atomic::Ordering::SeqCst) == unless {
            // SAFETY: as in `wait_for_interrupt`: STI holds an interrupt off until MWAIT has begun, and ends it then.
            // So no extension by which masked interrupts end it is needed (not every processor has it).
            unsafe {
                core::arch::asm!("sti", "mwait", "cli", in("eax") hint, in("ecx") 0);
            }
        }
    }
    #[cfg(not(target_os = "none"))]
    {
        let _ = (word, unless, hint);
        std::thread::yield_now();
    }
}

/// MWAIT hints of the idle states of this CPU, the shallowest first, with the C-state each belongs to (Intel SDM 2A, CPUID
/// leaf 5: sub-states of C0 to C7 in four bits each). States that stop the local APIC timer are left out. Empty
/// without MONITOR.
#[must_use]
pub fn mwait_states() -> [Option<(u8, u32)>; 7] {
    let mut states = [None; 7];
    if !features().mwait {
        return states;
    }
    // Always a state of its own, whatever the leaf says; on AMD the leaf says nothing more.
    states[0] = Some((1, 0));
    if cpuid(0, 0).eax < 5 || cpuid(5, 0).ecx & 1 == 0 {
        return states;
    }
    let counts = cpuid(5, 0).edx;
    let timer_runs_on = cpuid(0, 0).eax >= 6 && cpuid(6, 0).eax & 1 << 2 != 0;
    for state in 2..=7u8 {
        if timer_runs_on && counts >> (4 * state) & 0xf != 0 {
            states[usize::from(state - 1)] = Some((state, u32::from(state - 1) << 4));
        }
    }
    states
}

/// Takes pending interrupts, if there are any: a short window in long work of the idle loop.
#[inline]
pub fn interrupt_window() {
    #[cfg(target_os = "none")]
    // SAFETY: as in `wait_for_interrupt`.
    unsafe {
        core::arch::asm!("sti", "nop", "cli")
    };
}

/// The time-stamp counter, not ordered against other instructions.
#[inline]
#[must_use]
pub fn rdtsc() -> u64 {
    #[cfg(target_os = "none")]
    // SAFETY: every x86-64 CPU has it.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_os = "none"))]
    crate::sim::tsc()
}

/// The time-stamp counter, read after all earlier loads have been done.
#[inline]
#[must_use]
pub fn rdtsc_ordered() -> u64 {
    #[cfg(target_os = "none")]
    // SAFETY: LFENCE orders, nothing more.
    unsafe {
        core::arch::asm!("lfence", options(nostack, preserves_flags));
    }
    rdtsc()
}
