//! Starting the other CPUs (Intel SDM 3A, 9.4; AMD APM 2, 16.5).
//!
//! One trampoline page below 1 MiB serves them one after the other: real mode, the early page tables of the image,
//! long mode, then the final tables and the CPU's own stack.
#![allow(unsafe_code)]

#[cfg(target_os = "none")]
mod trampoline;

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::addr::Mfn;
use crate::boot::EarlyMemory;
use crate::percpu::MAX_CPUS;

/// Why a CPU was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// No free page below 1 MiB for the real-mode code.
    NoLowMemory,
    /// The CPU's number is too high, or its area was not made.
    NoArea,
    /// The CPU did not answer.
    Silent {
        /// Its APIC id.
        apic_id: u32,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLowMemory => {
                f.write_str("no free memory below 1 MiB to start further CPUs with")
            }
            Self::NoArea => write!(
                f,
                "the CPU has no area, or its number is not below {MAX_CPUS}"
            ),
            Self::Silent { apic_id } => write!(f, "the CPU with APIC id {apic_id} does not answer"),
        }
    }
}

static STARTED: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];
/// Physical address of the trampoline page; 0 before [`prepare`].
static TRAMPOLINE: AtomicU64 = AtomicU64::new(0);

/// Whether a CPU has reached the hypervisor.
#[must_use]
pub fn started(cpu: usize) -> bool {
    STARTED.get(cpu).is_some_and(|s| s.load(Ordering::Acquire))
}

/// How many CPUs have reached the hypervisor, the boot CPU included.
#[must_use]
pub fn started_count() -> u32 {
    1 + STARTED.iter().filter(|s| s.load(Ordering::Acquire)).count() as u32
}

/// Takes the page below 1 MiB that starting needs; before the page allocator gets the memory.
///
/// # Errors
/// [`StartError::NoLowMemory`]; the boot CPU can go on alone.
pub fn prepare(memory: &mut EarlyMemory) -> Result<(), StartError> {
    let page: Mfn = memory.take_low().ok_or(StartError::NoLowMemory)?;
    TRAMPOLINE.store(page.addr().get(), Ordering::Release);
    Ok(())
}

/// Starts CPU `cpu` (its area was made with the same APIC id), and waits until it is in `oxen_ap_boot`. APIC and clock
/// must be set up; one caller at a time.
///
/// # Errors
/// See [`StartError`].
pub fn start(cpu: usize, apic_id: u32) -> Result<(), StartError> {
    let page = TRAMPOLINE.load(Ordering::Acquire);
    if page == 0 {
        return Err(StartError::NoLowMemory);
    }
    if cpu >= MAX_CPUS || !crate::tables::has_area(cpu) {
        return Err(StartError::NoArea);
    }
    #[cfg(target_os = "none")]
    trampoline::write(page, cpu);
    crate::apic::send_init(apic_id);
    crate::clock::delay(10_000_000);
    // Twice, as the manuals have it; the second is ignored by a CPU that runs.
    for patience in [1_000u64, 1_000_000] {
        crate::apic::send_startup(apic_id, (page >> 12) as u8);
        #[cfg(not(target_os = "none"))]
        STARTED[cpu].store(true, Ordering::Release);
        // In steps of 100 us.
        for _ in 0..patience / 100 {
            if started(cpu) {
                return Ok(());
            }
            crate::clock::delay(100_000);
            crate::tlb::service_pending();
        }
    }
    Err(StartError::Silent { apic_id })
}

/// All CPUs that will ever be started are: the early tables (everything writable and executable) lose their mappings.
pub fn finish() {
    TRAMPOLINE.store(0, Ordering::Release);
    #[cfg(target_os = "none")]
    trampoline::clear_early_tables();
}

#[cfg(target_os = "none")]
unsafe extern "C" {
    /// The hypervisor's entry for further CPUs, defined by [`crate::entry_points!`].
    safe fn oxen_ap_boot(cpu: usize) -> !;
}

/// First Rust code of a further CPU, on its own main stack and the final tables.
#[cfg(target_os = "none")]
extern "C" fn ap_entry(cpu: usize) -> ! {
    crate::cpu::control::init();
    crate::tables::load(cpu);
    STARTED[cpu].store(true, Ordering::Release);
    oxen_ap_boot(cpu)
}
