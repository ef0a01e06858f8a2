//! What a CPU finds from its stack pointer alone: the [`CpuInfo`] at the end of every stack region.
#![allow(unsafe_code)]

/// Bytes of a CPU's stack region, and its alignment.
pub const STACK_REGION: usize = 0x1_0000;
/// Bytes of the block at the end of the stack region.
pub const CPU_INFO_SIZE: usize = 512;
/// Most CPUs.
pub const MAX_CPUS: usize = 256;

/// Virtual address of a CPU's area.
#[must_use]
pub const fn area_base(cpu: usize) -> u64 {
    0xffff_8200_0000_0000 + cpu as u64 * 0x10_0000
}

/// Virtual address of a CPU's [`CpuInfo`], which is also the top of its main stack.
#[must_use]
pub const fn info_address(cpu: usize) -> u64 {
    area_base(cpu) + 0x3_0000 - CPU_INFO_SIZE as u64
}

/// The block at the end of a CPU's stack region; entry code knows these offsets.
#[repr(C, align(64))]
pub struct CpuInfo {
    /// This block's own address.
    pub this: usize,
    /// CPU number, dense from 0 (0 is the boot CPU).
    pub cpu: u32,
    /// The local APIC's id.
    pub apic_id: u32,
    /// For the hypervisor: the address of its own per-CPU structure.
    pub user: usize,
    reserved: [u64; 29],
    /// For the entry code (`entry::EntryBlock`).
    pub entry: crate::entry::EntryBlock,
}

const _: () = assert!(size_of::<CpuInfo>() == CPU_INFO_SIZE);
const _: () = assert!(core::mem::offset_of!(CpuInfo, entry) == 256);

/// This CPU's block.
#[cfg(target_os = "none")]
#[inline]
#[must_use]
pub fn info() -> *mut CpuInfo {
    let sp: usize;
    // SAFETY: only reads the stack pointer.
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags))
    };
    ((sp | (STACK_REGION - 1)) + 1 - CPU_INFO_SIZE) as *mut CpuInfo
}

#[cfg(not(target_os = "none"))]
mod hosted {
    use super::CpuInfo;
    use core::cell::UnsafeCell;

    thread_local! {
        static INFO: UnsafeCell<CpuInfo> = const {
            UnsafeCell::new(CpuInfo { this: 0, cpu: 0, apic_id: 0, user: 0, reserved: [0; 29], entry: crate::entry::EntryBlock::new() })
        };
    }

    /// This thread's block.
    #[must_use]
    pub fn info() -> *mut CpuInfo {
        INFO.with(UnsafeCell::get)
    }
}
#[cfg(not(target_os = "none"))]
pub use hosted::info;

/// This CPU's number, dense from 0.
#[inline]
#[must_use]
pub fn cpu_id() -> usize {
    // SAFETY: every stack region ends in an initialised block before Rust runs on it; only its own CPU writes it.
    unsafe { (*info()).cpu as usize }
}

/// The address that the hypervisor stored for this CPU with [`set_user`]; 0 before.
#[inline]
#[must_use]
pub fn user() -> usize {
    // SAFETY: as in `cpu_id`.
    unsafe { (*info()).user }
}

/// Stores an address for this CPU.
pub fn set_user(value: usize) {
    // SAFETY: as in `cpu_id`.
    unsafe { (*info()).user = value }
}

/// Fills the boot stack's block, so that the functions above work from the first moment.
#[cfg(target_os = "none")]
pub(crate) fn init_boot_cpu() {
    let block = info();
    // SAFETY: the block lies in this CPU's stack region, above the stack in use, and belongs to this CPU.
    unsafe {
        (*block).this = block as usize;
        (*block).cpu = 0;
    }
}

/// A value that belongs to one CPU and is reached by that CPU only; the others see no more than its [`shared`] parts.
///
/// [`shared`]: Local::shared
#[derive(Debug)]
pub struct Local<T> {
    cpu: usize,
    value: T,
}

// SAFETY: `get` checks that the caller runs on the owning CPU, and interrupts are off, so no two references to the
// value are used at once; `shared` gives out only parts that are `Sync` themselves.
unsafe impl<T> Sync for Local<T> {}
// SAFETY: as above; the value is built on one CPU before the owner runs.
unsafe impl<T> Send for Local<T> {}

impl<T> Local<T> {
    /// Binds a value to a CPU.
    pub const fn new(cpu: usize, value: T) -> Self {
        Self { cpu, value }
    }

    /// The value, for its own CPU.
    ///
    /// # Panics
    /// On any other CPU (a hypervisor bug).
    #[inline]
    #[must_use]
    pub fn get(&self) -> &T {
        assert!(
            cpu_id() == self.cpu,
            "CPU {} reached into the block of CPU {}",
            cpu_id(),
            self.cpu
        );
        &self.value
    }

    /// A part that any CPU may use. The selector must do nothing but name the field.
    #[inline]
    #[must_use]
    pub fn shared<U: Sync>(&self, field: fn(&T) -> &U) -> &U {
        field(&self.value)
    }
}
