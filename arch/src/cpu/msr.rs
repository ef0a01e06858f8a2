//! Model-specific registers. On the hosted backend they are cells of the simulated machine, and none faults.

/// The register does not exist, or does not take the value (#GP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsrFault;

/// Reads a register that is known to exist.
#[inline]
#[must_use]
pub fn read(msr: u32) -> u64 {
    #[cfg(target_os = "none")]
    {
        let (low, high): (u32, u32);
        // SAFETY: reading an existing register has no effect on memory.
        unsafe {
            core::arch::asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high,
                options(nomem, nostack, preserves_flags));
        }
        u64::from(high) << 32 | u64::from(low)
    }
    #[cfg(not(target_os = "none"))]
    crate::sim::rdmsr(msr)
}

/// Writes a register that is known to take the value.
///
/// # Safety
/// The write does not break what the hypervisor relies on (mappings, entry points, its own code's behaviour).
#[inline]
pub unsafe fn write(msr: u32, value: u64) {
    #[cfg(target_os = "none")]
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
    #[cfg(not(target_os = "none"))]
    crate::sim::wrmsr(msr, value);
}

/// Reads a register that may not exist.
///
/// # Errors
/// [`MsrFault`] when the processor refuses.
pub fn try_read(msr: u32) -> Result<u64, MsrFault> {
    #[cfg(target_os = "none")]
    {
        let (low, high, failed): (u32, u32, u32);
        // SAFETY: a fault is fixed up; reading has no effect on memory.
        unsafe {
            core::arch::asm!(
                "xor {f:e}, {f:e}",
                "2: rdmsr",
                "jmp 4f",
                "3: mov {f:e}, 1",
                "4:",
                ".pushsection .ex_table, \"a\", @progbits",
                ".balign 8",
                ".quad 2b, 3b",
                ".popsection",
                f = out(reg) failed,
                inout("ecx") msr => _, out("eax") low, out("edx") high,
                options(nomem, nostack)
            );
        }
        if failed == 0 {
            Ok(u64::from(high) << 32 | u64::from(low))
        } else {
            Err(MsrFault)
        }
    }
    #[cfg(not(target_os = "none"))]
    Ok(crate::sim::rdmsr(msr))
}

/// Writes a register that may not exist or may not take the value.
///
/// # Errors
/// [`MsrFault`] when the processor refuses.
///
/// # Safety
/// As for [`write`].
pub unsafe fn try_write(msr: u32, value: u64) -> Result<(), MsrFault> {
    #[cfg(target_os = "none")]
    {
        let failed: u32;
        // SAFETY: a fault is fixed up; the rest is the caller's promise.
        unsafe {
            core::arch::asm!(
                "xor {f:e}, {f:e}",
                "2: wrmsr",
                "jmp 4f",
                "3: mov {f:e}, 1",
                "4:",
                ".pushsection .ex_table, \"a\", @progbits",
                ".balign 8",
                ".quad 2b, 3b",
                ".popsection",
                f = out(reg) failed,
                in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
                options(nostack)
            );
        }
        if failed == 0 { Ok(()) } else { Err(MsrFault) }
    }
    #[cfg(not(target_os = "none"))]
    {
        crate::sim::wrmsr(msr, value);
        Ok(())
    }
}
