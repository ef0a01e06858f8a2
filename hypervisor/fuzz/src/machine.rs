//! A small simulated machine with a dom0 and a guest, each on page tables of its own.

use std::sync::atomic::Ordering;

use arch::addr::{GuestVa, Mfn};
use hypercall_abi::Errno;
use hypercall_abi::xen::{MmuextOp, MmuextOpArg};
use hypervisor::domain::Context;
use hypervisor::fail::{Args, Fail, Return};
use hypervisor::host::host;
use hypervisor::mm::audit::Difference;
use hypervisor::mm::{self, PageType};
use hypervisor::simulated::{self, context};
use hypervisor::{grant_table, irq, preempt, pv, sched};

/// Frames of the machine; the first MiB is firmware's.
pub const FRAMES: u64 = 1024;
/// Where hypercall arguments lie in the guest's address space, and how many bytes.
pub const BUFFER: u64 = 0x10_0000;
/// See [`BUFFER`].
pub const BUFFER_SIZE: usize = 0x4000;
/// What a guest passes for itself (public `DOMID_SELF`).
pub const SELF: u64 = 0x7ff0;
/// Pages that each domain has besides its four page tables.
pub const DATA_PAGES: usize = 12;

/// The machine's domains.
pub struct Machine {
    /// dom0, then the guest.
    pub domains: Vec<Context>,
    /// Frames of both, tables first: what random calls name.
    pub pool: Vec<Mfn>,
    /// Each domain's first frame of grants.
    pub grants: Vec<Mfn>,
}

/// A machine that has just been switched on, for this thread.
pub fn new(vcpus: u32) -> Machine {
    simulated::switch_on(simulated::layout(FRAMES));
    arch::hosted::map_guest(BUFFER, BUFFER_SIZE);
    sched::cpu_up(None);
    let mut machine = Machine {
        domains: Vec::new(),
        pool: Vec::new(),
        grants: Vec::new(),
    };
    for id in 0..2 {
        let (context, pages) = domain(id, vcpus);
        let grants = grant_table::grant_frame(&context.domain, 0).expect("made by init");
        machine.grants.push(grants);
        machine.domains.push(context);
        machine.pool.extend(pages);
    }
    machine
}

fn domain(id: u16, vcpus: u32) -> (Context, Vec<Mfn>) {
    let domain = simulated::domain(id, vcpus, 256);
    grant_table::init(&domain, 4, 4, 2).expect("memory");
    let first = context(&domain, 0);
    let (tables, data) = simulated::address_space(&first, DATA_PAGES / 2);
    let unmapped = simulated::pages(&domain, DATA_PAGES - data.len());
    let mut op = MmuextOpArg {
        cmd: MmuextOp::NEW_BASEPTR,
        ..Default::default()
    };
    op.arg1.set_mfn(tables[0].get());
    hypervisor::guest::write(hypercall_abi::GuestHandle::new(BUFFER), 0, &op).expect("mapped");
    for (n, vcpu) in domain.vcpus().iter().enumerate() {
        finish(Args([BUFFER, 1, 0, SELF, 0, 0]), |args| {
            mm::do_mmuext_op(&context(&domain, n), args)
        })
        .expect("the first page tables");
        vcpu.initialised.store(true, Ordering::SeqCst);
        vcpu.down.store(false, Ordering::SeqCst);
    }
    (first, [tables, data, unmapped].concat())
}

/// Puts words into the guest's argument buffer.
pub fn put(offset: u64, words: &[u64]) -> u64 {
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    arch::guest::copy_to(GuestVa::new(BUFFER + offset), &bytes).expect("mapped");
    BUFFER + offset
}

/// Calls until it is done or has been continued very often: a guest may leave it at that, and it is no success.
pub fn finish(mut args: Args, call: impl Fn(Args) -> Return) -> Return {
    for _ in 0..1000 {
        match call(args) {
            Err(Fail::Continue(next)) => args = next,
            other => return other,
        }
    }
    Err(Fail::Errno(Errno::ERESTART))
}

impl Machine {
    /// Panics if a page has fewer references or uses of its type than its uses add up to, or is used as a type that it
    /// does not have. More are allowed: grant mappings for devices and event pages keep some that page tables do not
    /// show; [`Self::end`] finds those that nobody gives back.
    pub fn audit(&self, after: &str) {
        let wrong = |d: &Difference| {
            let ((references, held), (uses, typed)) = (d.references, d.uses);
            references < held || uses < typed || (references == held && uses == typed)
        };
        report(after, mm::audit::audit(&[]).into_iter().filter(wrong));
    }

    /// Takes everything from the domains, as their end does, and checks that all memory comes back.
    pub fn end(self) {
        for cx in &self.domains {
            cx.domain.dying.store(true, Ordering::SeqCst);
        }
        let budget = || preempt::Budget::with_units(64);
        for cx in &self.domains {
            while !grant_table::release_mappings(&cx.domain, &budget()) {}
            irq::teardown(&cx.domain);
            while !hypervisor::event_channel::destroy(&cx.domain, &budget()) {}
        }
        for cx in &self.domains {
            grant_table::destroy(&cx.domain);
            for vcpu in cx.domain.vcpus() {
                let mut state = vcpu.pv().state();
                pv::descriptor::drop_gdt(&mut state);
                pv::descriptor::drop_ldt(&cx.domain, &mut state);
                let tables = std::mem::take(&mut state.tables);
                drop(state);
                for l4 in tables.all() {
                    drop(mm::TypedRef::from_raw(l4));
                }
                sched::release_vcpu_info(vcpu);
            }
        }
        for _ in 0..2 {
            for cx in &self.domains {
                while !mm::relinquish(&cx.domain, &budget()) {}
            }
        }
        report("the end", mm::audit::audit(&[]).into_iter());
        for cx in &self.domains {
            assert_eq!(cx.domain.mem.tot_pages(), 0, "pages of d{}", cx.domain.id.0);
        }
    }
}

fn report(after: &str, differences: impl Iterator<Item = Difference>) {
    let text: Vec<_> = differences.map(|d| d.to_string()).collect();
    assert!(text.is_empty(), "after {after}:\n{}", text.join("\n"));
}

/// The type that a frame has now, and its count.
pub fn kind(mfn: Mfn) -> (PageType, u32) {
    host()
        .mm
        .frames
        .ram(mfn)
        .map_or((PageType::None, 0), |p| p.page_type())
}
