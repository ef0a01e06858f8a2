//! Control registers and the set-up that every CPU gets before anything else runs on it.

use core::sync::atomic::{AtomicU64, Ordering};

use super::features::features;
#[cfg_attr(not(target_os = "none"), allow(unused_imports))]
use super::msr;

#[allow(missing_docs, reason = "the manuals' names")]
mod bits {
    bitflags::bitflags! {
    /// CR4 (Intel SDM 3A, 2.5; AMD APM 2, 3.1.7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Cr4: u64 {
        const VME = 1 << 0;
        const PVI = 1 << 1;
        const TSD = 1 << 2;
        const DE = 1 << 3;
        const PSE = 1 << 4;
        const PAE = 1 << 5;
        const MCE = 1 << 6;
        const PGE = 1 << 7;
        const PCE = 1 << 8;
        const OSFXSR = 1 << 9;
        const OSXMMEXCPT = 1 << 10;
        const UMIP = 1 << 11;
        const FSGSBASE = 1 << 16;
        const PCIDE = 1 << 17;
        const OSXSAVE = 1 << 18;
        const SMEP = 1 << 20;
        const SMAP = 1 << 21;
    }
    }
}
pub use bits::Cr4;

/// The bits of CR4 that follow the running guest.
pub const GUEST_CR4: Cr4 = Cr4::TSD
    .union(Cr4::DE)
    .union(Cr4::PCE)
    .union(Cr4::FSGSBASE)
    .union(Cr4::OSXSAVE);

/// Page attributes by PAT index, as the ABI fixes them for PV guests: WB, WT, UC-, UC, WC, WP, UC, UC.
pub const PAT: u64 = 0x0000_0501_0007_0406;

/// CR0 while the hypervisor runs: PG, WP, NE, ET, MP, PE (TS follows the guest).
pub const CR0: u64 = 0x8001_0033;

/// CR4 of a CPU between guests: what the machine offers and Oxen uses. UMIP stays off, as PV guests may use SGDT and
/// its kin as they always could.
#[must_use]
pub fn base_cr4() -> Cr4 {
    let f = features();
    let mut cr4 = Cr4::PAE | Cr4::PGE | Cr4::OSFXSR | Cr4::OSXMMEXCPT | Cr4::DE;
    cr4.set(Cr4::MCE, f.machine_check);
    cr4.set(Cr4::SMEP, f.smep);
    cr4.set(Cr4::SMAP, f.smap);
    cr4.set(Cr4::PCIDE, crate::tlb::tagging().pcid);
    cr4.set(Cr4::FSGSBASE, f.fsgsbase);
    cr4.set(Cr4::OSXSAVE, f.xsave);
    cr4 - Cr4::from_bits_retain(WITHHELD.load(Ordering::Relaxed))
}

/// What is not used although the machine has it.
static WITHHELD: AtomicU64 = AtomicU64::new(0);

/// Leaves features unused although the machine has them. For the boot CPU, before [`init`] and before other CPUs run.
pub fn withhold(features: Cr4) {
    WITHHELD.store(features.bits(), Ordering::Relaxed);
}

/// This CPU's CR4.
#[inline]
#[must_use]
pub fn read_cr4() -> Cr4 {
    Cr4::from_bits_retain(backend::read_cr4())
}

/// Sets the bits of CR4 that follow the guest ([`GUEST_CR4`]; others in `value`, and those that the CPU does not have,
/// are ignored).
#[inline]
pub fn set_guest_cr4(value: u64) {
    let wanted = Cr4::from_bits_retain(value) & GUEST_CR4;
    let mut allowed = GUEST_CR4;
    let f = features();
    allowed.set(Cr4::FSGSBASE, f.fsgsbase);
    allowed.set(Cr4::OSXSAVE, f.xsave);
    let old = read_cr4();
    // XSETBV and XSAVE are the hypervisor's own tools, so OSXSAVE stays on where it exists.
    let new = (old - GUEST_CR4) | (wanted & allowed) | (base_cr4() & Cr4::OSXSAVE);
    if new != old {
        backend::write_cr4(new.bits());
    }
}

/// This CPU's page-table root as loaded.
#[inline]
#[must_use]
pub fn read_cr3() -> u64 {
    backend::read_cr3()
}

/// Brings this CPU's control registers, PAT and extended features into their base state. Every CPU calls it once,
/// before it meets a guest.
pub fn init() {
    #[cfg(target_os = "none")]
    {
        const EFER: u32 = 0xc000_0080;
        const PAT_MSR: u32 = 0x277;
        const MISC_ENABLE: u32 = 0x1a0;
        let f = features();
        if f.vendor == super::Vendor::Intel
            && let Ok(value) = msr::try_read(MISC_ENABLE)
            && value & 1 << 22 != 0
        {
            // "Limit CPUID maxval" would hide leaves.
            // SAFETY: clears a bit that only affects CPUID.
            let _ = unsafe { msr::try_write(MISC_ENABLE, value & !(1 << 22)) };
        }
        // SAFETY: the values below are architectural for what CPUID announces; the mappings in use are the same in
        // all of them (no user pages, no PCIDs yet).
        unsafe {
            msr::write(EFER, msr::read(EFER) | 0x901); // NXE, LME, SCE
            msr::write(PAT_MSR, PAT);
            core::arch::asm!("mov cr0, {}", in(reg) CR0, options(nostack));
        }
        backend::write_cr4(base_cr4().bits());
        super::speculation::init();
        if f.xsave {
            // SAFETY: x87 state is always supported; guests' own choice is loaded with their state.
            unsafe {
                core::arch::asm!("xsetbv", in("ecx") 0, in("eax") 1, in("edx") 0, options(nomem, nostack))
            };
        }
    }
    #[cfg(not(target_os = "none"))]
    let _ = (CR0, msr::read(0));
}

#[cfg(target_os = "none")]
pub(crate) mod backend {
    use core::arch::asm;

    #[inline]
    pub fn read_cr4() -> u64 {
        let value;
        // SAFETY: only reads.
        unsafe { asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }
    /// `value` keeps paging as it is and uses only features that the CPU has.
    #[inline]
    pub fn write_cr4(value: u64) {
        // SAFETY: callers in this module keep the invariants.
        unsafe { asm!("mov cr4, {}", in(reg) value, options(nostack, preserves_flags)) };
    }
    #[inline]
    pub fn read_cr3() -> u64 {
        let value;
        // SAFETY: only reads.
        unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }
}

#[cfg(not(target_os = "none"))]
pub(crate) mod backend {
    use std::cell::Cell;

    std::thread_local! {
        static CR4: Cell<u64> = const { Cell::new(0x20) };
    }
    pub fn read_cr4() -> u64 {
        CR4.get()
    }
    pub fn write_cr4(value: u64) {
        CR4.set(value);
    }
    pub fn read_cr3() -> u64 {
        0
    }
}
