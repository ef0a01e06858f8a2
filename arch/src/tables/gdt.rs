//! The GDT window and the descriptors in its page 14 (public arch-x86/xen-x86_64.h: FLAT_* selectors; layout of
//! descriptors: Intel SDM 3A, 3.4.5 and 8.2.3).

use super::area::TSS;
use crate::addr::Mfn;
use crate::frame::RawFrame;
#[cfg(target_os = "none")]
use {
    super::area::LDT_WINDOW,
    crate::addr::PAGE_SIZE,
    crate::paging::Flags,
    crate::percpu::{area_base, cpu_id},
    core::sync::atomic::{AtomicU8, Ordering},
};

/// Pages of the window that are the guest's.
#[cfg(target_os = "none")]
const GUEST_PAGES: usize = 14;
/// Pages of the LDT window.
const LDT_PAGES: usize = 16;
/// First selector of page 14.
const OWN_FIRST: u64 = 0xe000;
const TSS_SELECTOR: u16 = 0xe040;
#[cfg(target_os = "none")]
const LDT_SELECTOR: u16 = 0xe050;

/// A segment descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor(pub u64);

impl Descriptor {
    const CODE64_RING0: Self = Self(0x00af_9b00_0000_ffff);
    const DATA_RING0: Self = Self(0x00cf_9300_0000_ffff);
    const CODE32_RING3: Self = Self(0x00cf_fb00_0000_ffff);
    const DATA_RING3: Self = Self(0x00cf_f300_0000_ffff);
    const CODE64_RING3: Self = Self(0x00af_fb00_0000_ffff);

    /// The two halves of a system descriptor: `kind` 2 is an LDT, 9 an available TSS. `limit` in bytes, inclusive.
    #[must_use]
    pub const fn system(kind: u8, base: u64, limit: u32) -> [Self; 2] {
        let low = (limit & 0xffff) as u64
            | (base & 0xff_ffff) << 16
            | (kind as u64) << 40
            | 1 << 47
            | ((limit >> 16 & 0xf) as u64) << 48
            | (base >> 24 & 0xff) << 56;
        [Self(low), Self(base >> 32)]
    }
}

/// Writes Oxen's own descriptors for the area at `base`.
pub(super) fn fill(page: Mfn, base: u64) {
    // SAFETY: a fresh frame of the CPU's area, not loaded yet.
    let page = unsafe { RawFrame::new(page) };
    let put = |selector: u64, descriptor: Descriptor| {
        page.write_u64((selector & !7) as usize - OWN_FIRST as usize, descriptor.0);
    };
    put(0xe008, Descriptor::CODE64_RING0);
    put(0xe010, Descriptor::DATA_RING0);
    put(0xe023, Descriptor::CODE32_RING3);
    put(0xe02b, Descriptor::DATA_RING3);
    put(0xe033, Descriptor::CODE64_RING3);
    let [low, high] = Descriptor::system(9, base + TSS, 103);
    put(TSS_SELECTOR.into(), low);
    put(u64::from(TSS_SELECTOR) + 8, high);
}

/// Loads GDTR, the segment registers and the task register.
#[cfg(target_os = "none")]
pub(super) fn load(cpu: usize) {
    #[repr(C, packed)]
    struct Pointer {
        limit: u16,
        base: u64,
    }
    // Fifteen pages are live: the guest's and Oxen's own.
    let pointer = Pointer {
        limit: (15 * PAGE_SIZE - 1) as u16,
        base: area_base(cpu),
    };
    // SAFETY: the window is mapped, its page 14 holds the selectors loaded here, and none of the guest's pages is
    // needed by the hypervisor. The TSS was not loaded before (its descriptor is fresh).
    unsafe {
        core::arch::asm!(
            "lgdt [{pointer}]",
            "push 0xe008",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2:",
            "mov {scratch:e}, 0xe010",
            "mov ss, {scratch:e}",
            "xor {scratch:e}, {scratch:e}",
            "mov ds, {scratch:e}",
            "mov es, {scratch:e}",
            "mov fs, {scratch:e}",
            "mov gs, {scratch:e}",
            "lldt {scratch:x}",
            "mov {scratch:e}, 0xe040",
            "ltr {scratch:x}",
            pointer = in(reg) &pointer,
            scratch = out(reg) _,
        );
    }
}

/// Window pages of each CPU that show something: what a switch to a guest with fewer must clear.
#[cfg(target_os = "none")]
static SHOWN: [[AtomicU8; 2]; crate::percpu::MAX_CPUS] =
    [const { [const { AtomicU8::new(0) }; 2] }; crate::percpu::MAX_CPUS];

/// Replaces a window entry of this CPU, and forgets the old translation if it was another.
#[cfg(target_os = "none")]
#[inline]
fn replace(cpu: usize, offset: u64, entry: u64) {
    let table = super::area::window_table(cpu);
    let va = area_base(cpu) + offset;
    let slot = (va >> 12 & 511) as usize * 8;
    let old = table.read_u64(slot);
    if old != entry {
        table.write_u64(slot, entry);
        if old & 1 != 0 {
            crate::tlb::invalidate_page(va);
        }
    }
}

/// How many pages must be looked at to show `count` of them, given what was shown before.
#[cfg(target_os = "none")]
fn pages_to_touch(cpu: usize, window: usize, count: usize) -> usize {
    let before = SHOWN[cpu][window].swap(count as u8, Ordering::Relaxed);
    count.max(usize::from(before))
}

/// Shows the guest's GDT frames in this CPU's window; entries beyond them are null descriptors. The caller holds a
/// descriptor-page reference on each frame for as long as it is shown, on any CPU.
pub fn set_gdt_window(frames: &[Mfn]) {
    #[cfg(target_os = "none")]
    {
        let cpu = cpu_id();
        let frames = &frames[..frames.len().min(GUEST_PAGES)];
        for page in 0..pages_to_touch(cpu, 0, frames.len()) {
            let entry = match frames.get(page) {
                // The processor sets accessed bits, so writable.
                Some(mfn) => mfn.addr().get() | (Flags::DATA | Flags::GLOBAL).bits(),
                None => super::area::null_gdt_entry(),
            };
            replace(cpu, page as u64 * PAGE_SIZE, entry);
        }
    }
    #[cfg(not(target_os = "none"))]
    let _ = frames;
}

/// Shows the guest's LDT frames (`Mfn::INVALID`: not there yet, touching it faults) in this CPU's window and loads
/// LDTR for `entries` descriptors; 0 loads a null LDT. The caller holds descriptor-page references as for the GDT.
pub fn set_ldt_window(frames: &[Mfn], entries: u32) {
    let entries = entries.min(8192);
    #[cfg(target_os = "none")]
    {
        let cpu = cpu_id();
        let base = area_base(cpu) + LDT_WINDOW;
        for page in 0..pages_to_touch(cpu, 1, (entries as usize).div_ceil(512)) {
            let shown = entries as usize > page * 512;
            let mfn = frames
                .get(page)
                .copied()
                .filter(|&m| shown && m != Mfn::INVALID);
            replace(
                cpu,
                LDT_WINDOW + page as u64 * PAGE_SIZE,
                mfn.map_or(0, ldt_entry),
            );
        }
        let selector = if entries == 0 { 0 } else { LDT_SELECTOR };
        if entries != 0 {
            let [low, high] = Descriptor::system(2, base, entries * 8 - 1);
            let slot = (area_base(cpu) + u64::from(LDT_SELECTOR)) as *mut u64;
            // SAFETY: two entries of page 14 of this CPU's window, which only this CPU writes.
            unsafe {
                slot.write_volatile(low.0);
                slot.add(1).write_volatile(high.0);
            }
        }
        // SAFETY: null, or the descriptor written above.
        unsafe {
            core::arch::asm!("lldt {:x}", in(reg) selector, options(nostack, preserves_flags))
        };
    }
    #[cfg(not(target_os = "none"))]
    let _ = (frames, entries);
}

/// Shows one more LDT frame in this CPU's window.
///
/// # Panics
/// If `page` is 16 or more (a hypervisor bug).
pub fn map_ldt_page(page: usize, mfn: Mfn) {
    assert!(page < LDT_PAGES);
    #[cfg(target_os = "none")]
    replace(
        cpu_id(),
        LDT_WINDOW + page as u64 * PAGE_SIZE,
        ldt_entry(mfn),
    );
    #[cfg(not(target_os = "none"))]
    let _ = mfn;
}

#[cfg(target_os = "none")]
fn ldt_entry(mfn: Mfn) -> u64 {
    mfn.addr().get() | (Flags::DATA | Flags::GLOBAL).bits()
}
