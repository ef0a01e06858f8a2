//! What tests and fuzzers have instead of a real machine, above `arch::hosted`: per thread a host with some RAM, domains that
//! need no toolstack, and pages to give them. What goes wrong here is a test's mistake, so it panics.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use arch::addr::Mfn;
use arch::frame::RawFrame;

use crate::domain::{Context, Domain, DomainId, Kind};
use crate::host::{Host, host, install};
use crate::mm::{self, AllocFlags, Layout, Memory, Pte};
use crate::pv::PvDomain;

/// What guests put in their upper page-table entries: present, writable, user.
pub const RWU: u64 = Pte::P | Pte::RW | Pte::US;

/// Memory of so many frames, of which all but the first MiB are RAM and free.
pub fn layout(frames: u64) -> Layout {
    fn table<T: Default>(entries: u64) -> &'static [T] {
        Box::leak((0..entries).map(|_| T::default()).collect())
    }
    let ram: Vec<_> = core::iter::once(0x100..frames).collect();
    Layout {
        frame_table: table(frames),
        m2p: table(frames),
        ram: ram.clone(),
        free: ram,
        // Present, so that tests can tell what is the hypervisor's.
        hypervisor_l4: [0x1063; 16],
        physical_bits: 40,
        ..Layout::default()
    }
}

/// Switches this thread's machine on: nothing but zeroed memory, no CPU in service, no guest memory mapped.
pub fn switch_on(layout: Layout) {
    arch::hosted::reset(layout.frame_table.len());
    install(Host::new(Memory::new(layout)));
}

/// Switches a machine on whose frames are no RAM that could be allocated.
pub fn switch_on_without_memory(frames: usize) {
    arch::hosted::reset(frames);
    install(Host::new(Memory::default()));
}

/// A PV domain in the list of domains, its vCPUs down; id 0 is privileged.
pub fn domain(id: u16, vcpus: u32, max_pages: u64) -> Arc<Domain> {
    let shared = host()
        .mm
        .alloc_shared_page(DomainId(id), true)
        .expect("memory");
    let domain = new_domain(id, vcpus, shared.frame());
    let _ = shared.into_raw();
    domain.mem.set_max_pages(max_pages);
    host().domains.insert(domain.clone()).expect("fresh");
    domain
}

/// The same where nothing can be allocated: its shared info lies in the frame of its id.
pub fn domain_without_memory(id: u16, vcpus: u32) -> Arc<Domain> {
    let domain = unlisted(id, vcpus);
    host().domains.insert(domain.clone()).expect("fresh");
    domain
}

/// One that nobody finds by its id.
pub fn unlisted(id: u16, vcpus: u32) -> Arc<Domain> {
    new_domain(id, vcpus, arch::hosted::frame(Mfn::new(id.into())))
}

fn new_domain(id: u16, vcpus: u32, shared_info: RawFrame) -> Arc<Domain> {
    let kind = Kind::Pv(PvDomain::default());
    let domain = Domain::new(DomainId(id), kind, id == 0, shared_info);
    domain.create_vcpus(vcpus).expect("fresh");
    domain
}

/// Who calls, when this vCPU of the domain does.
pub fn context(domain: &Arc<Domain>, vcpu: usize) -> Context {
    Context {
        vcpu: domain.vcpus()[vcpu].clone(),
        domain: domain.clone(),
    }
}

/// Gives a domain pages, one at a time.
pub fn pages(domain: &Arc<Domain>, count: usize) -> Vec<Mfn> {
    let page = || {
        host()
            .mm
            .alloc_domain_pages(domain, 0, AllocFlags::default())
    };
    (0..count).map(|_| page().expect("memory")).collect()
}

/// Writes an entry as a guest may while the page is no table.
pub fn poke(domain: &Domain, table: Mfn, index: usize, entry: Pte) {
    let page = mm::get_page(table, domain.id).expect("own page");
    page.frame().write_u64(index * 8, entry.0);
}

/// Four pages of tables to be (L4 to L1), each with the next in entry 0, and data pages in the last one's entries.
pub fn address_space(cx: &Context, data: usize) -> (Vec<Mfn>, Vec<Mfn>) {
    let tables = pages(&cx.domain, 4);
    let data = pages(&cx.domain, data);
    for pair in tables.windows(2) {
        poke(&cx.domain, pair[0], 0, Pte::new(pair[1], RWU));
    }
    for (i, &mfn) in data.iter().enumerate() {
        poke(&cx.domain, tables[3], i, Pte::new(mfn, RWU));
    }
    (tables, data)
}
