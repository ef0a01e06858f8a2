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
    /// The address of the hypervisor's own per-CPU structure ([`Slots`]); 0 before its first use.
    pub user: usize,
    /// What TSC_AUX holds, plus one; 0: not known.
    tsc_aux: u64,
    /// What SPEC_CTRL holds, plus one; 0: not known.
    spec_ctrl: u64,
    reserved: [u64; 27],
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
            UnsafeCell::new(CpuInfo { this: 0, cpu: 0, apic_id: 0, user: 0, tsc_aux: 0, spec_ctrl: 0, reserved: [0; 27], entry: crate::entry::EntryBlock::new() })
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

#[cfg(target_os = "none")]
#[inline]
fn user() -> usize {
    // SAFETY: as in `cpu_id`.
    unsafe { (*info()).user }
}

#[cfg(target_os = "none")]
fn set_user(value: usize) {
    // SAFETY: as in `cpu_id`.
    unsafe { (*info()).user = value }
}

/// Loads TSC_AUX, which belongs to the guest that runs, unless it holds the value already. A processor without the
/// register (neither RDTSCP nor RDPID) ignores it.
#[inline]
pub fn set_tsc_aux(value: u32) {
    const TSC_AUX: u32 = 0xc000_0103;
    let mark = u64::from(value) + 1;
    // SAFETY: as in `cpu_id`; the register is for RDTSCP and RDPID to show, and changes nothing else.
    unsafe {
        if (*info()).tsc_aux != mark {
            (*info()).tsc_aux = mark;
            let _ = crate::cpu::msr::try_write(TSC_AUX, value.into());
        }
    }
}

/// Loads SPEC_CTRL, which exists, unless it holds the value already.
#[inline]
pub(crate) fn set_spec_ctrl(value: u64) {
    // SAFETY: as in `cpu_id`.
    unsafe {
        if (*info()).spec_ctrl != value + 1 {
            (*info()).spec_ctrl = value + 1;
            crate::cpu::speculation::write_control(value);
        }
    }
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

/// One value per CPU, each reached by its own CPU through [`CpuInfo::user`] (a load), and by the others no further than
/// its [`shared_on`] parts.
///
/// [`shared_on`]: Slots::shared_on
#[derive(Debug)]
pub struct Slots<T: 'static> {
    #[cfg_attr(not(target_os = "none"), allow(dead_code))]
    all: [crate::sync::Once<T>; MAX_CPUS],
}

// SAFETY: `get` gives a CPU its own value only, and interrupts are off, so no two references to a value are used at once;
// `shared_on` gives out only parts that are `Sync` themselves.
unsafe impl<T> Sync for Slots<T> {}

impl<T> Slots<T> {
    /// No values.
    ///
    /// # Safety
    /// It is the program's only `Slots`, in a static: the pointer in [`CpuInfo`] has room, and a type, for one.
    #[must_use]
    pub const unsafe fn new() -> Self {
        Self {
            all: [const { crate::sync::Once::new() }; MAX_CPUS],
        }
    }

    /// Makes CPU `cpu`'s value, if there is none; before that CPU runs guests.
    ///
    /// # Panics
    /// If there is no such CPU (a hypervisor bug).
    pub fn install(&'static self, cpu: usize, make: impl FnOnce() -> T) {
        self.all[cpu].call_once(make);
    }

    /// A part of CPU `cpu`'s value that any CPU may use, if the value is there. The selector must do nothing but name
    /// the field.
    #[must_use]
    pub fn shared_on<U: Sync>(
        &'static self,
        cpu: usize,
        field: fn(&T) -> &U,
    ) -> Option<&'static U> {
        self.all.get(cpu)?.get().map(field)
    }

    /// This CPU's value.
    ///
    /// # Panics
    /// Before [`Self::install`] (a hypervisor bug).
    #[cfg(target_os = "none")]
    #[inline]
    #[must_use]
    pub fn get(&'static self) -> &'static T {
        match user() {
            0 => self.first(),
            // SAFETY: `first`, the only one to store an address there, stored that of this CPU's value, which is never
            // dropped; that it is a `T` is `new`'s condition.
            address => unsafe { &*core::ptr::with_exposed_provenance(address) },
        }
    }

    #[cfg(target_os = "none")]
    #[cold]
    fn first(&'static self) -> &'static T {
        let value = self.all[cpu_id()].get().expect("per-CPU value");
        set_user(core::ptr::from_ref(value).expose_provenance());
        value
    }
}
