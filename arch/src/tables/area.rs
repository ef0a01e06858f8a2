//! A CPU's area: windows, stacks between guard pages, SYSCALL stub, TSS.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use super::gdt;
use crate::addr::{Mfn, PAGE_SIZE};
use crate::frame::RawFrame;
use crate::paging::{self, Flags, FrameSource, MapError};
use crate::percpu::{CPU_INFO_SIZE, MAX_CPUS, area_base, info_address};

/// Why a CPU's area could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AreaError {
    /// CPU numbers go up to [`MAX_CPUS`].
    TooManyCpus,
    /// No memory, or no tables.
    Map(MapError),
}

impl From<MapError> for AreaError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

impl fmt::Display for AreaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyCpus => write!(f, "more than {MAX_CPUS} CPUs"),
            Self::Map(error) => error.fmt(f),
        }
    }
}

/// Offsets in the area.
#[cfg(target_os = "none")]
pub(super) const LDT_WINDOW: u64 = 0x1_0000;
const STACKS: u64 = 0x2_0000;
const SYSCALL_STUB: u64 = 0x3_0000;
pub(super) const TSS: u64 = 0x3_1000;

/// Bytes of one of the two SYSCALL stubs: from 64-bit mode, and from compatibility mode after it.
const STUB_SIZE: usize = 32;

/// Pages of the stack region: NMI, #MC, #DF, #DB, and the main stack.
const STACK_PAGES: [u64; 11] = [1, 3, 5, 7, 9, 10, 11, 12, 13, 14, 15];

/// The frame of each CPU's own descriptors (GDT page 14); 0: no area.
static OWN_GDT: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// The L1 table that holds each CPU's windows.
static WINDOW_TABLE: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// The one frame of null descriptors behind the unused pages of all GDT windows.
static NULL_GDT: AtomicU64 = AtomicU64::new(0);

pub(super) fn exists(cpu: usize) -> bool {
    cfg!(not(target_os = "none"))
        || OWN_GDT
            .get(cpu)
            .is_some_and(|m| m.load(Ordering::Acquire) != 0)
}

/// The L1 table with this CPU's window entries, which only that CPU writes once its area is made.
#[cfg(target_os = "none")]
#[inline]
pub(super) fn window_table(cpu: usize) -> RawFrame {
    // SAFETY: set by `create_area` to one of the hypervisor's own tables, which are never freed.
    unsafe { RawFrame::new(Mfn(WINDOW_TABLE[cpu].load(Ordering::Relaxed))) }
}

/// The entry that shows null descriptors.
#[cfg(target_os = "none")]
pub(super) fn null_gdt_entry() -> u64 {
    Mfn(NULL_GDT.load(Ordering::Relaxed)).addr().get() | (Flags::CONSTANTS | Flags::GLOBAL).bits()
}

fn fresh(source: &mut dyn FrameSource) -> Result<Mfn, AreaError> {
    source.frame().ok_or(AreaError::Map(MapError::OutOfMemory))
}

/// Makes the area of a CPU, before that CPU is started. `apic_id` is kept in its `CpuInfo`.
///
/// # Errors
/// See [`AreaError`]; making an area twice is [`MapError::Occupied`].
pub fn create_area(
    cpu: usize,
    apic_id: u32,
    source: &mut dyn FrameSource,
) -> Result<(), AreaError> {
    let own = OWN_GDT.get(cpu).ok_or(AreaError::TooManyCpus)?;
    let base = area_base(cpu);
    let place = |offset: u64, mfn: Mfn, flags: Flags, source: &mut dyn FrameSource| {
        // SAFETY: the area is this CPU's alone, and the frames are fresh ones for it (the null page is constant).
        unsafe { paging::map_physical(base + offset, mfn.addr(), PAGE_SIZE, flags, source) }
    };

    if NULL_GDT.load(Ordering::Relaxed) == 0 {
        NULL_GDT.store(fresh(source)?.get(), Ordering::Relaxed);
    }
    let null = Mfn(NULL_GDT.load(Ordering::Relaxed));
    for page in 0..14 {
        place(page * PAGE_SIZE, null, Flags::CONSTANTS, source)?;
    }
    let descriptors = fresh(source)?;
    gdt::fill(descriptors, base);
    place(14 * PAGE_SIZE, descriptors, Flags::DATA, source)?;

    let mut last = descriptors;
    for page in STACK_PAGES {
        last = fresh(source)?;
        place(STACKS + page * PAGE_SIZE, last, Flags::DATA, source)?;
    }
    // The last stack page ends in the CpuInfo block.
    // SAFETY: a fresh frame, not used by its CPU yet.
    let block = unsafe { RawFrame::new(last) };
    let offset = PAGE_SIZE as usize - CPU_INFO_SIZE;
    let info = info_address(cpu);
    block.write_u64(
        offset + core::mem::offset_of!(crate::percpu::CpuInfo, this),
        info,
    );
    block.write_u32(
        offset + core::mem::offset_of!(crate::percpu::CpuInfo, cpu),
        cpu as u32,
    );
    block.write_u32(
        offset + core::mem::offset_of!(crate::percpu::CpuInfo, apic_id),
        apic_id,
    );

    let stubs = fresh(source)?;
    // SAFETY: a fresh frame, not executed yet.
    let stub = |at, code: [u8; STUB_SIZE]| unsafe { RawFrame::new(stubs) }.write(at, &code);
    #[cfg(target_os = "none")]
    let (long, compat) = (
        crate::entry::syscall_entry_address(),
        crate::entry::syscall32_entry_address(),
    );
    #[cfg(not(target_os = "none"))]
    let (long, compat) = (0, 0);
    stub(0, syscall_stub(0, long));
    stub(STUB_SIZE, syscall_stub(STUB_SIZE as u64, compat));
    place(SYSCALL_STUB, stubs, Flags::CODE, source)?;

    let tss = fresh(source)?;
    // SAFETY: a fresh frame, not loaded yet.
    fill_tss(unsafe { RawFrame::new(tss) }, base);
    place(TSS, tss, Flags::DATA, source)?;

    WINDOW_TABLE[cpu].store(paging::l1_table(base)?.get(), Ordering::Relaxed);
    own.store(descriptors.get(), Ordering::Release);
    Ok(())
}

/// The 64-bit TSS (Intel SDM 3A, 8.7): RSP0 at 4, IST1 at 36, I/O map base at 102.
fn fill_tss(frame: RawFrame, base: u64) {
    let mut image = [0u8; 104];
    let mut put =
        |offset: usize, value: u64| image[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    put(4, base + STACKS + 0x1_0000 - CPU_INFO_SIZE as u64);
    // Each IST stack is one page of the stack region: its top is the page's end.
    for (n, page) in [1, 3, 5, 7].into_iter().enumerate() {
        put(36 + n * 8, base + STACKS + (page + 1) * PAGE_SIZE);
    }
    // Beyond the limit: every I/O instruction that IOPL does not allow faults.
    image[102..104].copy_from_slice(&104u16.to_le_bytes());
    frame.write(0, &image);
}

/// Parks RSP in `CpuInfo.entry.saved_rsp`, loads the main stack and jumps to the common entry, using no register.
/// The stubs' page follows the stack region, so both are at fixed distances from RIP. `at` is the stub's offset in the page.
fn syscall_stub(at: u64, target: u64) -> [u8; STUB_SIZE] {
    const PARK: u64 = STACKS + 0x1_0000 - CPU_INFO_SIZE as u64
        + (core::mem::offset_of!(crate::percpu::CpuInfo, entry)
            + core::mem::offset_of!(crate::entry::EntryBlock, saved_rsp)) as u64;
    const TOP: u64 = STACKS + 0x1_0000 - CPU_INFO_SIZE as u64;
    let relative =
        |to: u64, next: u64| (to.wrapping_sub(SYSCALL_STUB + at + next) as u32).to_le_bytes();
    let mut code = [0xcc; STUB_SIZE];
    // mov [rip + PARK], rsp
    code[0..3].copy_from_slice(&[0x48, 0x89, 0x25]);
    code[3..7].copy_from_slice(&relative(PARK, 7));
    // lea rsp, [rip + TOP]
    code[7..10].copy_from_slice(&[0x48, 0x8d, 0x25]);
    code[10..14].copy_from_slice(&relative(TOP, 14));
    // jmp [rip + 4], the address at 24
    code[14..16].copy_from_slice(&[0xff, 0x25]);
    code[16..20].copy_from_slice(&4u32.to_le_bytes());
    code[24..32].copy_from_slice(&target.to_le_bytes());
    code
}

/// Points SYSCALL at this CPU's stubs, and SYSENTER (which loads RSP itself) at its entry.
#[cfg(target_os = "none")]
pub(super) fn load_syscall(cpu: usize) {
    use crate::cpu::msr;
    use crate::entry::{
        SYSCALL_FLAG_MASK,
        selector::{self, STAR},
    };
    // SAFETY: the stubs are mapped executable and lead to the entry code with the selectors of our own GDT, as SYSENTER's
    // code segment and the stack segment after it are; its RSP is the top of this CPU's main stack.
    unsafe {
        msr::write(0xc000_0081, STAR);
        msr::write(0xc000_0082, area_base(cpu) + SYSCALL_STUB);
        msr::write(
            0xc000_0083,
            area_base(cpu) + SYSCALL_STUB + STUB_SIZE as u64,
        );
        msr::write(0xc000_0084, SYSCALL_FLAG_MASK);
        // IA32_SYSENTER_CS, _ESP, _EIP. In long mode AMD's processors raise #UD instead of using them.
        let top = area_base(cpu) + STACKS + 0x1_0000 - CPU_INFO_SIZE as u64;
        let _ = msr::try_write(0x174, selector::HYPERVISOR_CS);
        let _ = msr::try_write(0x175, top);
        let _ = msr::try_write(0x176, crate::entry::sysenter_entry_address());
    }
}
