//! The parts of the CPU that belong to the running guest and that entry code leaves alone: data segments and their
//! bases, extended (FPU, vector) state, debug registers, CR2, CR0.TS.
#![allow(unsafe_code)]

use alloc::vec::Vec;

/// Data segment selectors and bases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Segments {
    pub ds: u16,
    pub es: u16,
    pub fs: u16,
    pub gs: u16,
    pub fs_base: u64,
    /// The base in use in guest kernel mode.
    pub gs_base_kernel: u64,
    /// The base in use in guest user mode.
    pub gs_base_user: u64,
}

/// x87, SSE, AVX ... state of a vCPU in XSAVE (or FXSAVE) format; empty until first saved.
#[derive(Clone, Debug, Default)]
pub struct ExtendedState {
    /// Over-allocated so that a 64-byte aligned image fits.
    bytes: Vec<u8>,
    /// XCR0 of the vCPU; 0 before anything was loaded means the reset value 1.
    pub xcr0: u64,
}

/// Why an XSAVE image is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadImage {
    /// In the compacted form.
    Compacted,
    /// With components, reserved bits or a length that no XSAVE here would have written.
    Invalid,
}

impl ExtendedState {
    fn place(&mut self, size: usize) -> *mut u8 {
        if self.bytes.is_empty() {
            self.bytes = alloc::vec![0; size + 64];
            let start = self.bytes.as_mut_ptr();
            let image = start.wrapping_add(start.align_offset(64));
            // Reset values: FCW 0x37f, MXCSR 0x1f80.
            let offset = image as usize - start as usize;
            self.bytes[offset] = 0x7f;
            self.bytes[offset + 1] = 0x03;
            self.bytes[offset + 24] = 0x80;
            self.bytes[offset + 25] = 0x1f;
        }
        let start = self.bytes.as_mut_ptr();
        start.wrapping_add(start.align_offset(64))
    }

    /// Sets the legacy (FXSAVE) region, as `vcpu_guest_context.fpu_ctxt` gives it.
    pub fn set_legacy(&mut self, fxsave: &[u8; 512]) {
        let size = backend::xsave_size();
        let image = self.place(size);
        let offset = image as usize - self.bytes.as_ptr() as usize;
        self.bytes[offset..offset + 512].copy_from_slice(fxsave);
        // MXCSR: reserved bits would fault when the image is loaded (Intel SDM 1 10.2.3.3; DAZ is in every x86-64 CPU).
        self.bytes[offset + 26] = 0;
        self.bytes[offset + 27] = 0;
        if size > 512 {
            // XSTATE_BV: x87 and SSE come from the image.
            self.bytes[offset + 512] |= 3;
        }
    }

    /// Bytes of an image with all components of this CPU, in the standard form.
    pub fn image_size() -> usize {
        backend::xsave_size()
    }

    /// The whole image. The vCPU does not run.
    pub fn image(&mut self) -> &[u8] {
        let size = backend::xsave_size();
        let offset = self.place(size) as usize - self.bytes.as_ptr() as usize;
        &self.bytes[offset..offset + size]
    }

    /// Replaces the image by one that may hold the components `mask`. What could not be loaded (Intel SDM 1 13.8.1) is
    /// refused. The vCPU does not run.
    pub fn set_image(&mut self, image: &[u8], mask: u64) -> Result<(), BadImage> {
        let size = backend::xsave_size();
        let word = |at: usize| {
            let bytes = image.get(at..at + 8).ok_or(BadImage::Invalid)?;
            Ok(u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
        };
        let (present, compaction) = (word(512)?, word(520)?);
        if compaction != 0 {
            return Err(BadImage::Compacted);
        }
        let reserved_clear = image
            .get(528..576)
            .is_some_and(|r| r.iter().all(|&b| b == 0));
        if image.len() > size || present & !mask != 0 || !reserved_clear {
            return Err(BadImage::Invalid);
        }
        let offset = self.place(size) as usize - self.bytes.as_ptr() as usize;
        let to = &mut self.bytes[offset..offset + size];
        let (head, rest) = to.split_at_mut(image.len());
        head.copy_from_slice(image);
        rest.fill(0);
        // MXCSR's reserved bits would fault, too.
        head[26..28].fill(0);
        Ok(())
    }

    /// Takes the memory that an image needs now, so that nothing fails for want of it later.
    pub fn prepare(&mut self) {
        self.place(backend::xsave_size());
    }

    /// Back to the values after a reset.
    pub fn reset(&mut self) {
        self.bytes.clear();
    }

    /// The legacy (FXSAVE) region, for `vcpu_guest_context.fpu_ctxt`. The vCPU does not run.
    pub fn legacy(&mut self) -> [u8; 512] {
        let image = self.place(backend::xsave_size());
        let offset = image as usize - self.bytes.as_ptr() as usize;
        let mut fxsave = [0; 512];
        fxsave.copy_from_slice(&self.bytes[offset..offset + 512]);
        fxsave
    }

    /// Saves the CPU's state here.
    pub fn save(&mut self) {
        let image = self.place(backend::xsave_size());
        backend::xsave(image, self.xcr0.max(1));
    }

    /// Loads the CPU's state from here.
    pub fn load(&mut self) {
        let image = self.place(backend::xsave_size());
        backend::xrstor(image, self.xcr0.max(1));
    }
}

pub use backend::{
    load_fs_selector, load_gs_selector, load_segments, read_cr2, read_debug, save_segments,
    set_fs_base, set_gs_base, set_shadow_gs_base, set_task_switched, set_xcr0, swap_gs,
    write_back_caches, write_debug, xcr0_supported,
};

#[cfg(target_os = "none")]
mod backend {
    use super::Segments;
    use core::arch::asm;
    use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

    const FS_BASE: u32 = 0xc000_0100;
    const GS_BASE: u32 = 0xc000_0101;
    const SHADOW_GS_BASE: u32 = 0xc000_0102;

    /// Bytes of an XSAVE image with everything that the CPU supports; 512 without XSAVE.
    static XSAVE_SIZE: AtomicU32 = AtomicU32::new(0);
    static XCR0_ALL: AtomicU64 = AtomicU64::new(0);
    static HAS_XSAVE: AtomicBool = AtomicBool::new(false);

    fn detect() {
        let leaf1 = core::arch::x86_64::__cpuid(1);
        if leaf1.ecx & (1 << 26) != 0 {
            let leaf = core::arch::x86_64::__cpuid_count(0xd, 0);
            // Everything user-visible but PKRU's and AMX's corner cases is offered as the CPU has it.
            XCR0_ALL.store(
                u64::from(leaf.edx) << 32 | u64::from(leaf.eax),
                Ordering::Relaxed,
            );
            HAS_XSAVE.store(true, Ordering::Relaxed);
            XSAVE_SIZE.store(leaf.ecx.max(576), Ordering::Release);
        } else {
            XSAVE_SIZE.store(512, Ordering::Release);
        }
    }

    pub fn xsave_size() -> usize {
        if XSAVE_SIZE.load(Ordering::Acquire) == 0 {
            detect();
        }
        XSAVE_SIZE.load(Ordering::Acquire) as usize
    }

    /// The XCR0 bits that the CPU supports; 0 without XSAVE.
    pub fn xcr0_supported() -> u64 {
        xsave_size();
        XCR0_ALL.load(Ordering::Relaxed)
    }

    fn rdmsr(msr: u32) -> u64 {
        let (low, high): (u32, u32);
        // SAFETY: only called for the base MSRs above, which every x86-64 CPU has.
        unsafe {
            asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nomem, nostack))
        };
        u64::from(high) << 32 | u64::from(low)
    }

    fn wrmsr(msr: u32, value: u64) {
        // SAFETY: only called for the base MSRs above with canonical values (callers check); they affect guest
        // code only, since the hypervisor uses neither FS nor GS.
        unsafe {
            asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nomem, nostack))
        };
    }

    pub fn xsave(image: *mut u8, xcr0: u64) {
        // What the guest switched off in XCR0 is kept all the same: it may switch it on again.
        let all = XCR0_ALL.load(Ordering::Relaxed);
        if all != 0 && xcr0 != all {
            set_xcr0(all);
        }
        // SAFETY: the image is 64-byte aligned and as large as CPUID says for all components (`image`).
        unsafe {
            // CR0.TS would fault here.
            asm!("clts", options(nomem, nostack));
            if HAS_XSAVE.load(Ordering::Relaxed) {
                asm!("xsave64 [{}]", in(reg) image, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
            } else {
                asm!("fxsave64 [{}]", in(reg) image, options(nostack));
            }
        }
    }

    pub fn xrstor(image: *mut u8, xcr0: u64) {
        // SAFETY: as in `xsave`; the image was written by XSAVE or is the reset image, so its header is valid.
        unsafe {
            asm!("clts", options(nomem, nostack));
            if HAS_XSAVE.load(Ordering::Relaxed) {
                // Everything that the image may hold, then what the guest wants.
                set_xcr0(XCR0_ALL.load(Ordering::Relaxed));
                asm!("xrstor64 [{}]", in(reg) image, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack));
                if xcr0 != XCR0_ALL.load(Ordering::Relaxed) {
                    set_xcr0(xcr0);
                }
            } else {
                asm!("fxrstor64 [{}]", in(reg) image, options(nostack));
            }
        }
    }

    /// Sets XCR0; the value was checked against [`xcr0_supported`].
    pub fn set_xcr0(value: u64) {
        // SAFETY: a supported value only changes which state the guest's vector instructions may touch.
        unsafe {
            asm!("xsetbv", in("ecx") 0, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nomem, nostack))
        };
    }

    /// Saves the segments of the vCPU that runs here; `kernel_mode` says which GS base is active.
    pub fn save_segments(s: &mut Segments, kernel_mode: bool) {
        // SAFETY: only reads selectors.
        unsafe {
            asm!("mov {0:x}, ds", out(reg) s.ds, options(nomem, nostack));
            asm!("mov {0:x}, es", out(reg) s.es, options(nomem, nostack));
            asm!("mov {0:x}, fs", out(reg) s.fs, options(nomem, nostack));
            asm!("mov {0:x}, gs", out(reg) s.gs, options(nomem, nostack));
        }
        s.fs_base = rdmsr(FS_BASE);
        let (active, shadow) = (rdmsr(GS_BASE), rdmsr(SHADOW_GS_BASE));
        (s.gs_base_kernel, s.gs_base_user) = if kernel_mode {
            (active, shadow)
        } else {
            (shadow, active)
        };
    }

    macro_rules! load_selector {
        ($name:ident, $register:literal) => {
            /// Loads a data segment register; false (and a null selector) if the descriptor does not allow it.
            pub fn $name(selector: u16) -> bool {
                let failed: u32;
                // SAFETY: a fault is fixed up to a null selector; the hypervisor does not use the segment.
                unsafe {
                    asm!(
                        "xor {f:e}, {f:e}",
                        "2:",
                        concat!("mov ", $register, ", {s:x}"),
                        "jmp 4f",
                        "3:",
                        "xor {s:e}, {s:e}",
                        "mov {f:e}, 1",
                        "jmp 2b",
                        "4:",
                        ".pushsection .ex_table, \"a\", @progbits",
                        ".balign 8",
                        ".quad 2b, 3b",
                        ".popsection",
                        s = inout(reg) selector => _,
                        f = out(reg) failed,
                        options(nomem, nostack)
                    );
                }
                failed == 0
            }
        };
    }
    load_selector!(load_ds_selector, "ds");
    load_selector!(load_es_selector, "es");
    load_selector!(load_fs_selector, "fs");
    load_selector!(load_gs_raw, "gs");

    /// Loads the GS selector for guest user mode while guest kernel's GS base stays active: the ABI's
    /// SEGBASE_GS_USER_SEL. False if the descriptor does not allow it.
    pub fn load_gs_selector(selector: u16, kernel_mode: bool) -> bool {
        if kernel_mode {
            let kernel = rdmsr(GS_BASE);
            let ok = load_gs_raw(selector);
            wrmsr(SHADOW_GS_BASE, rdmsr(GS_BASE));
            wrmsr(GS_BASE, kernel);
            ok
        } else {
            load_gs_raw(selector)
        }
    }

    /// Loads the segments of the vCPU that is about to run. False if a selector could not be loaded.
    pub fn load_segments(s: &Segments, kernel_mode: bool) -> bool {
        let mut ok = load_ds_selector(s.ds);
        ok &= load_es_selector(s.es);
        ok &= load_fs_selector(s.fs);
        ok &= load_gs_raw(s.gs);
        wrmsr(FS_BASE, s.fs_base);
        let (active, shadow) = if kernel_mode {
            (s.gs_base_kernel, s.gs_base_user)
        } else {
            (s.gs_base_user, s.gs_base_kernel)
        };
        wrmsr(GS_BASE, active);
        wrmsr(SHADOW_GS_BASE, shadow);
        ok
    }

    /// Sets the FS base (canonical).
    pub fn set_fs_base(base: u64) {
        wrmsr(FS_BASE, base);
    }

    /// Sets the active GS base (canonical).
    pub fn set_gs_base(base: u64) {
        wrmsr(GS_BASE, base);
    }

    /// Sets the inactive GS base (canonical).
    pub fn set_shadow_gs_base(base: u64) {
        wrmsr(SHADOW_GS_BASE, base);
    }

    /// Exchanges the guest's two GS bases: part of going between guest kernel and guest user mode.
    #[inline]
    pub fn swap_gs() {
        // SAFETY: the hypervisor does not use GS.
        unsafe { asm!("swapgs", options(nomem, nostack)) };
    }

    /// The address of the last page fault.
    #[inline]
    pub fn read_cr2() -> u64 {
        let value: u64;
        // SAFETY: only reads.
        unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack)) };
        value
    }

    /// Sets or clears CR0.TS.
    pub fn set_task_switched(set: bool) {
        // SAFETY: the hypervisor's own code uses no FPU but in `xsave`/`xrstor`, which clear TS first.
        unsafe {
            if set {
                let cr0: u64;
                asm!("mov {}, cr0", out(reg) cr0, options(nomem, nostack));
                asm!("mov cr0, {}", in(reg) cr0 | 8, options(nomem, nostack));
            } else {
                asm!("clts", options(nomem, nostack));
            }
        }
    }

    /// Writes back and invalidates the caches.
    pub fn write_back_caches() {
        // SAFETY: nothing is lost: modified lines go to memory first.
        unsafe { asm!("wbinvd", options(nostack)) };
    }

    /// Reads debug register `n` (0..=3, 6, 7; others read 0).
    pub fn read_debug(n: usize) -> u64 {
        let value: u64;
        // SAFETY: only reads.
        unsafe {
            match n {
                0 => asm!("mov {}, dr0", out(reg) value, options(nomem, nostack)),
                1 => asm!("mov {}, dr1", out(reg) value, options(nomem, nostack)),
                2 => asm!("mov {}, dr2", out(reg) value, options(nomem, nostack)),
                3 => asm!("mov {}, dr3", out(reg) value, options(nomem, nostack)),
                6 => asm!("mov {}, dr6", out(reg) value, options(nomem, nostack)),
                7 => asm!("mov {}, dr7", out(reg) value, options(nomem, nostack)),
                _ => value = 0,
            }
        }
        value
    }

    /// Writes debug register `n`; the value was checked: no breakpoints on hypervisor addresses, no reserved bits.
    pub fn write_debug(n: usize, value: u64) {
        // SAFETY: checked values cannot break into the hypervisor.
        unsafe {
            match n {
                0 => asm!("mov dr0, {}", in(reg) value, options(nomem, nostack)),
                1 => asm!("mov dr1, {}", in(reg) value, options(nomem, nostack)),
                2 => asm!("mov dr2, {}", in(reg) value, options(nomem, nostack)),
                3 => asm!("mov dr3, {}", in(reg) value, options(nomem, nostack)),
                6 => asm!("mov dr6, {}", in(reg) value, options(nomem, nostack)),
                7 => asm!("mov dr7, {}", in(reg) value, options(nomem, nostack)),
                _ => {}
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
#[allow(missing_docs)]
mod backend {
    //! The simulated CPU: remembers nothing, fails nothing.
    use super::Segments;

    pub fn xsave_size() -> usize {
        576
    }
    pub fn xcr0_supported() -> u64 {
        3
    }
    pub fn xsave(_: *mut u8, _: u64) {}
    pub fn xrstor(_: *mut u8, _: u64) {}
    pub fn set_xcr0(_: u64) {}
    pub fn save_segments(_: &mut Segments, _: bool) {}
    pub fn load_fs_selector(_: u16) -> bool {
        true
    }
    pub fn load_gs_selector(_: u16, _: bool) -> bool {
        true
    }
    pub fn load_segments(_: &Segments, _: bool) -> bool {
        true
    }
    pub fn set_fs_base(_: u64) {}
    pub fn set_gs_base(_: u64) {}
    pub fn set_shadow_gs_base(_: u64) {}
    pub fn swap_gs() {}
    pub fn read_cr2() -> u64 {
        0
    }
    pub fn set_task_switched(_: bool) {}
    pub fn write_back_caches() {}
    pub fn read_debug(_: usize) -> u64 {
        0
    }
    pub fn write_debug(_: usize, _: u64) {}
}
