//! TLB flushes, here and on other CPUs, and the clock that orders them.
//!
//! A shootdown is synchronous: when [`flush_mask`] returns, every CPU of the set has flushed. Interrupts are off in
//! the hypervisor, so a CPU that waits (for this or for a lock) serves others' requests meanwhile
//! ([`service_pending`]); one that runs a guest or sleeps takes the interrupt.
//!
//! The clock ticks with every full flush. A page that loses a type is stamped with it; before the page takes another
//! type, only the CPUs that have not flushed since the stamp need to ([`flush_stale`]). Loading other page tables does
//! not count as one, whatever it forgets.
//!
//! What a flush takes on a CPU that keeps translations of both modes of a guest is decided in [`contexts`].
#![allow(unsafe_code)]

pub mod contexts;

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::addr::Mfn;
use crate::percpu::{MAX_CPUS, cpu_id};
use contexts::{Space, Step, Tagging};

/// A set of CPUs by number, lowest first.
pub type CpuWords = [u64; MAX_CPUS / 64];

/// All CPUs.
pub const ALL_CPUS: CpuWords = [u64::MAX; MAX_CPUS / 64];

/// What other CPUs see of a CPU.
#[repr(align(128))]
struct State {
    online: AtomicBool,
    apic_id: AtomicU32,
    /// Clock at the start of the last full flush.
    flushed: AtomicU64,
    /// Requests made so far; each requester takes the next number.
    requested: AtomicU64,
    /// The last request that was served.
    served: AtomicU64,
    /// What is asked: one address, 0 for none, or [`EVERYTHING`]. Set before `requested` grows.
    what: AtomicU64,
    /// Caches are to be written back as well. Set before `requested` grows.
    write_back: AtomicBool,
}

/// No address: the last byte of the address space is never a page's first.
const EVERYTHING: u64 = u64::MAX;

static STATES: [State; MAX_CPUS] = [const {
    State {
        online: AtomicBool::new(false),
        apic_id: AtomicU32::new(0),
        flushed: AtomicU64::new(0),
        requested: AtomicU64::new(0),
        served: AtomicU64::new(0),
        what: AtomicU64::new(0),
        write_back: AtomicBool::new(false),
    }
}; MAX_CPUS];

/// Ticks with every full flush, and starts late enough that a zero stamp is old.
static CLOCK: AtomicU64 = AtomicU64::new(1);

/// The clock now, as pages are stamped with it (it wraps; see [`needs_flush`]).
#[inline]
#[must_use]
pub fn clock() -> u32 {
    CLOCK.load(Ordering::SeqCst) as u32
}

/// Whether a CPU whose last full flush began at `flushed` may hold translations from before `stamp`.
///
/// Only stamps are cut to 32 bits. One that is older than 2^32 ticks looks younger than it is, and costs a flush that
/// nobody needed; no flush is ever missed.
#[must_use]
pub const fn needs_flush(now: u64, flushed: u64, stamp: u32) -> bool {
    let page_age = (now as u32).wrapping_sub(stamp) as u64;
    now.saturating_sub(flushed) >= page_age
}

/// What this machine's CPUs use of PCIDs: bit 0 PCIDs, bit 1 INVPCID.
static TAGGING: AtomicU8 = AtomicU8::new(0);

/// Decides once for all CPUs what is used of what the processor has; on the boot CPU, before its CR4 is set.
pub fn configure(tagging: Tagging) {
    let bits = u8::from(tagging.pcid) | u8::from(tagging.invpcid) << 1;
    TAGGING.store(bits, Ordering::Relaxed);
}

/// What was decided.
#[inline]
#[must_use]
pub fn tagging() -> Tagging {
    let bits = TAGGING.load(Ordering::Relaxed);
    Tagging {
        pcid: bits & 1 != 0,
        invpcid: bits & 2 != 0,
    }
}

/// What [`enter`] takes to go to a table of the running vCPU's.
#[inline]
#[must_use]
pub fn entry_value(space: Space, root: Mfn) -> u64 {
    tagging().enter(space, root.addr().get())
}

/// Goes to the other address space of the vCPU that runs here.
///
/// # Safety
/// `value` is from [`entry_value`], of a table that was given to the last [`load_tables`], or whose space was flushed
/// ([`flush_unused`]) when it took the place of one of those. The table's hypervisor slots are in place, and stay so while
/// it is loaded.
#[inline]
pub unsafe fn enter(value: u64) {
    backend::load_cr3(value);
}

/// Loads a vCPU's tables (kernel's and user's), those of one of its modes to be used now. Nothing of the tables before
/// can be used any more.
///
/// # Safety
/// The tables' hypervisor slots are in place, and stay so until others are loaded.
#[inline]
pub unsafe fn load_tables(kernel: Option<Mfn>, user: Option<Mfn>, now: Space) {
    let roots = [kernel, user].map(|root| root.map(|mfn| mfn.addr().get()));
    tagging().replace(roots, now, crate::paging::idle_cr3(), backend::perform);
}

/// Loads the idle tables. Nothing of a guest's can be used any more.
pub fn leave_tables() {
    tagging().replace(
        [None; 2],
        Space::Kernel,
        crate::paging::idle_cr3(),
        backend::perform,
    );
}

/// Forgets, on this CPU, what is kept of an address space of the running vCPU's that is not in use now. Does nothing
/// where nothing is kept.
#[inline]
pub fn flush_unused(space: Space) {
    let tagging = tagging();
    if tagging.pcid {
        tagging.flush_space(
            crate::cpu::control::read_cr3(),
            crate::paging::idle_cr3(),
            space,
            backend::perform,
        );
    }
}

/// A full flush is about to be done: take this first ...
#[inline]
fn begin_full_flush() -> u64 {
    CLOCK.fetch_add(1, Ordering::SeqCst) + 1
}

/// ... and report it when it is done.
#[inline]
fn end_full_flush(begun: u64) {
    STATES[cpu_id()].flushed.store(begun, Ordering::SeqCst);
}

/// Makes a CPU a target of shootdowns, on that CPU, once it can take interrupts.
pub fn set_online(apic_id: u32) {
    let state = &STATES[cpu_id()];
    state.apic_id.store(apic_id, Ordering::SeqCst);
    state.online.store(true, Ordering::SeqCst);
    // What changed before it was a target.
    flush_everything();
}

/// Takes this CPU out again; it holds no guest's translations any more and loads none.
pub fn set_offline() {
    STATES[cpu_id()].online.store(false, Ordering::SeqCst);
    service_pending();
}

/// The set of CPUs that are up.
#[must_use]
pub fn online() -> CpuWords {
    let mut words = [0; MAX_CPUS / 64];
    for (cpu, state) in STATES.iter().enumerate() {
        if state.online.load(Ordering::SeqCst) {
            words[cpu / 64] |= 1 << (cpu % 64);
        }
    }
    words
}

/// The APIC id of a CPU that is up.
#[must_use]
pub fn apic_id(cpu: usize) -> Option<u32> {
    let state = STATES.get(cpu)?;
    state
        .online
        .load(Ordering::SeqCst)
        .then(|| state.apic_id.load(Ordering::SeqCst))
}

/// Flushes this CPU: one canonical address, or all that guests mapped; in the kernel's and the user's address space.
#[inline]
pub fn flush_local(va: Option<u64>) {
    let (tagging, idle) = (tagging(), crate::paging::idle_cr3());
    match va {
        Some(va) if !tagging.pcid => invalidate_page(va),
        Some(va) => {
            let cr3 = crate::cpu::control::read_cr3();
            tagging.flush_page(cr3, idle, va, backend::perform);
        }
        None => {
            let begun = begin_full_flush();
            let cr3 = crate::cpu::control::read_cr3();
            tagging.flush_guests(cr3, idle, backend::perform);
            end_full_flush(begun);
        }
    }
}

/// Flushes this CPU, the hypervisor's own (global) translations included.
pub fn flush_everything() {
    let begun = begin_full_flush();
    backend::perform(Step::Everything);
    end_full_flush(begun);
}

/// Flushes the CPUs of a set, those that are up: one address, or all that guests mapped. They have done so on return.
pub fn flush_mask(cpus: CpuWords, va: Option<u64>) {
    let me = cpu_id();
    let mut tickets = [0u64; MAX_CPUS / 64];
    let what = va.unwrap_or(EVERYTHING);
    for_each(cpus, |cpu| {
        let state = &STATES[cpu];
        if cpu == me || !state.online.load(Ordering::SeqCst) {
            return;
        }
        // Two different wishes that meet become a full flush.
        if let Err(other) = state
            .what
            .compare_exchange(0, what, Ordering::SeqCst, Ordering::SeqCst)
            && other != what
        {
            state.what.store(EVERYTHING, Ordering::SeqCst);
        }
        state.requested.fetch_add(1, Ordering::SeqCst);
        tickets[cpu / 64] |= 1 << (cpu % 64);
        backend::kick(state.apic_id.load(Ordering::SeqCst));
    });
    if cpus[me / 64] >> (me % 64) & 1 != 0 {
        flush_local(va);
    }
    for_each(tickets, |cpu| {
        let state = &STATES[cpu];
        // At least the request made above; others' later ones may be included, which costs little.
        let ticket = state.requested.load(Ordering::SeqCst);
        while state.served.load(Ordering::SeqCst) < ticket && state.online.load(Ordering::SeqCst) {
            core::hint::spin_loop();
            service_pending();
        }
    });
}

/// Writes back and empties the caches: this CPU's, or all CPUs'.
pub fn write_back_caches(everyone: bool) {
    if everyone {
        for (cpu, state) in STATES.iter().enumerate() {
            if cpu != cpu_id() && state.online.load(Ordering::SeqCst) {
                state.write_back.store(true, Ordering::SeqCst);
            }
        }
        // Whoever has the flag set when its request is served writes back; an address of no guest is flushed with it.
        let mut others = ALL_CPUS;
        others[cpu_id() / 64] &= !(1 << (cpu_id() % 64));
        flush_mask(others, Some(crate::paging::IMAGE_BASE));
    }
    backend::write_back();
}

/// Flushes the CPUs of a set (`None`: all) that have not flushed since `stamp`.
pub fn flush_stale(cpus: Option<CpuWords>, stamp: u32) {
    let now = CLOCK.load(Ordering::SeqCst);
    let mut stale = [0; MAX_CPUS / 64];
    let mut any = false;
    for_each(cpus.unwrap_or(ALL_CPUS), |cpu| {
        let state = &STATES[cpu];
        if (state.online.load(Ordering::SeqCst) || cpu == cpu_id())
            && needs_flush(now, state.flushed.load(Ordering::SeqCst), stamp)
        {
            stale[cpu / 64] |= 1 << (cpu % 64);
            any = true;
        }
    });
    if any {
        flush_mask(stale, None);
    }
}

/// Serves shootdowns that other CPUs asked of this one. Called by whoever spins, and by the handler of the
/// shootdown vector.
#[inline]
pub fn service_pending() {
    let state = &STATES[cpu_id()];
    let request = state.requested.load(Ordering::SeqCst);
    if request != state.served.load(Ordering::Relaxed) {
        serve(state, request);
    }
}

#[cold]
fn serve(state: &State, request: u64) {
    // A wish set after `request` was read is fulfilled early, and its own number is acknowledged the next time.
    match state.what.swap(0, Ordering::SeqCst) {
        0 => {}
        EVERYTHING => flush_local(None),
        va => flush_local(Some(va)),
    }
    if state.write_back.swap(false, Ordering::SeqCst) {
        backend::write_back();
    }
    state.served.store(request, Ordering::SeqCst);
}

fn for_each(cpus: CpuWords, mut f: impl FnMut(usize)) {
    for (n, mut word) in cpus.into_iter().enumerate() {
        while word != 0 {
            f(n * 64 + word.trailing_zeros() as usize);
            word &= word - 1;
        }
    }
}

/// Forgets what this CPU knows of one of the hypervisor's addresses.
#[inline]
pub fn invalidate_page(va: u64) {
    backend::perform(Step::Page(va));
}

#[cfg(target_os = "none")]
mod backend {
    use core::arch::asm;

    use super::contexts::{Space, Step};
    use crate::cpu::control::{self, Cr4};

    /// The value's table has the hypervisor's slots: it is the idle one, what is loaded, or one of those whose givers
    /// promised so.
    #[inline]
    pub fn load_cr3(value: u64) {
        // SAFETY: the hypervisor's mappings are the same in every such table.
        unsafe { asm!("mov cr3, {}", in(reg) value, options(nostack, preserves_flags)) };
    }

    #[inline]
    pub fn perform(step: Step) {
        match step {
            Step::Load(value) => load_cr3(value),
            Step::Page(va) => {
                // SAFETY: forgetting a translation is always allowed.
                unsafe { asm!("invlpg [{}]", in(reg) va, options(nostack, preserves_flags)) };
            }
            Step::PageUnder(space, va) => invpcid(0, space, va),
            Step::Under(space) => invpcid(1, space, 0),
            Step::All => invpcid(3, Space::Kernel, 0),
            Step::Everything => everything(),
        }
    }

    #[cold]
    fn everything() {
        if super::tagging().invpcid {
            return invpcid(2, Space::Kernel, 0);
        }
        let cr4 = control::read_cr4().bits();
        // SAFETY: CR4 ends as it was; changing PGE flushes everything.
        unsafe {
            asm!("mov cr4, {off}", "mov cr4, {on}", off = in(reg) cr4 & !Cr4::PGE.bits(), on = in(reg) cr4,
                options(nostack, preserves_flags));
        }
    }

    /// `va` is canonical, or the instruction faults (XSA-279).
    fn invpcid(kind: u64, space: Space, va: u64) {
        let descriptor = [space as u64, va];
        // SAFETY: forgetting translations is always allowed; whoever asks knows that the instruction is there.
        unsafe {
            asm!("invpcid {}, [{}]", in(reg) kind, in(reg) &descriptor, options(nostack, preserves_flags))
        };
    }

    pub fn write_back() {
        // SAFETY: slow, and nothing else.
        unsafe { asm!("wbinvd", options(nostack, preserves_flags)) };
    }

    pub fn kick(apic_id: u32) {
        crate::apic::send_ipi(apic_id, crate::apic::vectors::TLB_SHOOTDOWN);
    }
}

#[cfg(not(target_os = "none"))]
mod backend {
    use std::cell::Cell;

    use super::contexts::Step;

    std::thread_local! {
        static FLUSHES: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }

    pub fn perform(step: Step) {
        let (full, pages) = FLUSHES.get();
        match step {
            Step::Page(_) => FLUSHES.set((full, pages + 1)),
            _ => FLUSHES.set((full + 1, pages)),
        }
    }
    pub fn load_cr3(_value: u64) {}
    pub fn write_back() {}
    pub fn kick(_apic_id: u32) {}

    /// How many full flushes and single-page flushes this (simulated) CPU has done.
    #[must_use]
    pub fn flush_counts() -> (u64, u64) {
        FLUSHES.get()
    }
}
#[cfg(not(target_os = "none"))]
pub use backend::flush_counts;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_flushed_after_the_stamp_is_spared() {
        let stamp = 100;
        assert!(!needs_flush(200, 101, stamp));
        assert!(!needs_flush(101, 101, stamp));
        // A flush that began with the stamped tick may have run before the stamp was taken.
        assert!(needs_flush(200, 100, stamp));
        assert!(needs_flush(200, 0, stamp));
        assert!(needs_flush(100, 100, stamp));
    }

    #[test]
    fn stamps_wrap_without_missing_a_flush() {
        const TURN: u64 = 1 << 32;
        // Stamped just before the wrap, flushed just after.
        assert!(!needs_flush(TURN + 5, TURN + 1, u32::MAX));
        assert!(needs_flush(TURN + 5, TURN - 2, u32::MAX));
        // Exhaustively around the wrap: spared only if the flush really began after the stamp.
        for now in TURN - 4..TURN + 4 {
            for stamped in TURN - 8..=now {
                for flushed in TURN - 8..=now {
                    assert_eq!(
                        needs_flush(now, flushed, stamped as u32),
                        flushed <= stamped,
                        "{now} {flushed} {stamped}"
                    );
                }
            }
        }
        // A stamp a whole turn old looks young: a flush too many, never one too few.
        for flushed in [0, 5, TURN, TURN + 7] {
            if flushed <= 6 {
                assert!(needs_flush(TURN + 7, flushed, 6));
            }
        }
        // A CPU that has not flushed for more than a turn is never spared.
        assert!(needs_flush(3 * TURN + 9, 9, 1));
    }

    #[test]
    fn local_flush_counts_and_advances_the_clock() {
        let (full, pages) = flush_counts();
        let stamp = clock();
        flush_stale(None, stamp);
        let after = flush_counts().0;
        assert_eq!(after, full + 1);
        flush_stale(None, stamp);
        assert_eq!(flush_counts().0, after);
        flush_mask(ALL_CPUS, Some(0x1000));
        assert_eq!(flush_counts().1, pages + 1);
    }
}
