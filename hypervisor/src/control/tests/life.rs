//! How domains are made, filled, stopped and torn down: every refusal, and that nothing is left behind.

use std::sync::Arc;

use arch::addr::Mfn;
use core::sync::atomic::Ordering;
use hypercall_abi::arch_x86::*;
use hypercall_abi::domctl::*;
use hypercall_abi::event_channel::{
    EvtchnAllocUnbound, EvtchnBindInterdomain, EvtchnBindVirq, EvtchnOp,
};
use hypercall_abi::sched::{SchedOp, SchedRemoteShutdown, SchedShutdown, Shutdown};
use hypercall_abi::xen::{DomId, MmuUpdate, MmuextOp, MmuextOpArg, Virq};
use hypercall_abi::{Errno, GuestHandle};

use super::machine::*;
use crate::audit::holdings::Holdings;
use crate::control::do_domctl;
use crate::domain::vcpu::VcpuInfoSlot;
use crate::domain::{Context, Domain, DomainId, destroy};
use crate::event_channel::{self, do_event_channel_op};
use crate::fail::{Args, Fail};
use crate::grant_table;
use crate::host::host;
use crate::mm::{self, AllocFlags, PageType};
use crate::preempt::Budget;
use crate::sched::do_sched_op;
use crate::time::{self, VcpuTimer};

/// What `xl create` asks for a PV guest.
fn plain() -> DomctlCreatedomain {
    DomctlCreatedomain {
        handle: [7; 16],
        max_vcpus: 2,
        max_evtchn_port: 1023,
        max_grant_frames: -1,
        max_maptrack_frames: -1,
        grant_opts: 2,
        ..Default::default()
    }
}

/// As `cx`, until it is done; the structure as it comes back.
fn domctl(
    cx: &Context,
    cmd: DomctlCmd,
    domain: u16,
    set: impl FnOnce(&mut DomctlU),
) -> Result<Domctl, Errno> {
    let mut op = Domctl {
        cmd,
        interface_version: InterfaceVersion::CANONICAL,
        domain: DomId(domain),
        ..Default::default()
    };
    set(&mut op.u);
    put(ARG, 0, &op);
    for _ in 0..10_000 {
        match do_domctl(cx, Args([ARG, 0, 0, 0, 0, 0])) {
            Err(Fail::Continue(args)) => assert_eq!(args.0[0], ARG),
            result => return settled(result).map(|_| get(ARG, 0)),
        }
    }
    panic!("no progress");
}

fn create_as(m: &Machine, wanted: u16, config: &DomctlCreatedomain) -> Result<u16, Errno> {
    domctl(&m.dom0, DomctlCmd::CREATEDOMAIN, wanted, |u| {
        u.set_createdomain(*config);
    })
    .map(|op| op.domain.0)
}

fn create(m: &Machine) -> Arc<Domain> {
    let id = create_as(m, 0, &plain()).expect("a plain domain");
    let domain = host().domains.get(DomainId(id)).expect("listed");
    domain.mem.set_max_pages(256);
    domain
}

fn destroyed(m: &Machine, domain: &Domain) -> Result<(), Errno> {
    domctl(&m.dom0, DomctlCmd::DESTROYDOMAIN, domain.id.0, |_| ()).map(|_| ())
}

fn page(domain: &Domain) -> Mfn {
    host()
        .mm
        .alloc_domain_pages(domain, 0, AllocFlags::default())
        .expect("memory")
}

fn poke(domain: &Domain, table: Mfn, index: usize, entry: u64) {
    let page = mm::get_page(table, domain.id).expect("own");
    page.frame().write_u64(index * 8, entry);
}

/// A four-level address space with one data page; the L4 and the page.
fn address_space(domain: &Domain) -> (Mfn, Mfn) {
    let tables: Vec<Mfn> = (0..5).map(|_| page(domain)).collect();
    for pair in tables.windows(2) {
        poke(domain, pair[0], 0, pair[1].addr().get() | 7);
    }
    (tables[0], tables[4])
}

fn pin(m: &Machine, domain: &Domain, cmd: MmuextOp, mfn: Mfn) -> Result<u64, Errno> {
    let mut op = MmuextOpArg {
        cmd,
        ..Default::default()
    };
    op.arg1.set_mfn(mfn.get());
    put(ARG, 0, &op);
    settled(mm::do_mmuext_op(
        &m.dom0,
        Args([ARG, 1, 0, domain.id.0.into(), 0, 0]),
    ))
}

fn context_image(l4: Mfn) -> Box<VcpuGuestContext> {
    let mut image = Box::<VcpuGuestContext>::default();
    image.flags = u64::from(VGCF_IN_KERNEL | VGCF_ONLINE);
    image.user_regs.rip = 0xffff_ffff_8100_0000;
    image.user_regs.cs = FLAT_KERNEL_CS;
    image.user_regs.ss = FLAT_KERNEL_SS;
    image.ctrlreg[3] = l4.addr().get();
    image
}

fn set_context(m: &Machine, domain: &Domain, image: &VcpuGuestContext) -> Result<(), Errno> {
    put(ARRAY, 0, image);
    domctl(&m.dom0, DomctlCmd::SETVCPUCONTEXT, domain.id.0, |u| {
        u.set_vcpucontext(DomctlVcpucontext {
            vcpu: 0,
            ctxt: GuestHandle::new(ARRAY),
            ..Default::default()
        });
    })
    .map(|_| ())
}

fn info(m: &Machine, id: u16) -> DomctlGetdomaininfo {
    let op = domctl(&m.dom0, DomctlCmd::GETDOMAININFO, id, |_| ()).expect("there");
    op.u.getdomaininfo()
}

fn shutdown_code(info: &DomctlGetdomaininfo) -> Option<u32> {
    (info.flags & XEN_DOMINF_SHUTDOWN != 0)
        .then_some(info.flags >> XEN_DOMINF_SHUTDOWNSHIFT & XEN_DOMINF_SHUTDOWNMASK)
}

#[test]
fn a_domain_begins_paused_and_empty() {
    let m = Machine::new();
    let domain = create(&m);
    assert_eq!(domain.id, DomainId(2), "the first id that is free");
    let seen = info(&m, 2);
    assert_eq!(seen.handle, [7; 16]);
    assert_eq!((seen.tot_pages, seen.max_vcpu_id), (0, 1));
    assert_ne!(seen.flags & XEN_DOMINF_PAUSED, 0);
    assert!(!domain.privileged);
    assert_eq!(domain.grants.frames(), (1, 64));
    // Not begun, so there is nothing to read.
    let read = domctl(&m.dom0, DomctlCmd::GETVCPUCONTEXT, 2, |u| {
        u.set_vcpucontext(DomctlVcpucontext {
            ctxt: GuestHandle::new(ARRAY),
            ..Default::default()
        });
    });
    assert_eq!(read.err(), Some(Errno::ENODATA));
    // Exactly what creation settled.
    let vcpus = |max| {
        domctl(&m.dom0, DomctlCmd::MAX_VCPUS, 2, |u| {
            u.set_max_vcpus(DomctlMaxVcpus { max });
        })
        .err()
    };
    assert_eq!(vcpus(1), Some(Errno::EINVAL));
    assert_eq!(vcpus(3), Some(Errno::EINVAL));
    assert_eq!(vcpus(2), None);
    // Unpaused once too often.
    let unpause = || domctl(&m.dom0, DomctlCmd::UNPAUSEDOMAIN, 2, |_| ()).err();
    assert_eq!(unpause(), None);
    assert_eq!(unpause(), Some(Errno::EINVAL));
}

#[test]
fn only_dom0_makes_and_ends_domains() {
    let m = Machine::new();
    let create = |cx| {
        domctl(cx, DomctlCmd::CREATEDOMAIN, 0, |u| {
            u.set_createdomain(plain())
        })
    };
    assert_eq!(create(&m.dom1).err(), Some(Errno::EPERM));
    let destroy = |cx, id| domctl(cx, DomctlCmd::DESTROYDOMAIN, id, |_| ()).err();
    assert_eq!(destroy(&m.dom1, 1), Some(Errno::EPERM));
    assert_eq!(destroy(&m.dom1, 0), Some(Errno::EPERM));
    assert_eq!(destroy(&m.dom0, 0), Some(Errno::EINVAL));
    assert_eq!(destroy(&m.dom0, 2), Some(Errno::ESRCH));
}

#[test]
fn a_configuration_that_cannot_be_had_is_refused() {
    let m = Machine::new();
    let refused = |change: &dyn Fn(&mut DomctlCreatedomain)| {
        let free = host().mm.free_pages();
        let mut config = plain();
        change(&mut config);
        let result = create_as(&m, 0, &config);
        assert!(result.is_ok() || host().mm.free_pages() == free, "a leak");
        result.err()
    };
    let flags = [
        XEN_DOMCTL_CDF_HVM,
        XEN_DOMCTL_CDF_HVM | XEN_DOMCTL_CDF_HAP,
        XEN_DOMCTL_CDF_HAP,
        XEN_DOMCTL_CDF_S3_INTEGRITY,
        XEN_DOMCTL_CDF_IOMMU,
        XEN_DOMCTL_CDF_NESTED_VIRT,
        XEN_DOMCTL_CDF_VPMU,
        1 << 8,
        1 << 31,
    ];
    for bits in flags {
        assert_eq!(
            refused(&|c| c.flags = bits),
            Some(Errno::EINVAL),
            "{bits:#x}"
        );
    }
    assert_eq!(refused(&|c| c.iommu_opts = 1), Some(Errno::EINVAL));
    assert_eq!(refused(&|c| c.max_vcpus = 0), Some(Errno::EINVAL));
    assert_eq!(refused(&|c| c.max_vcpus = 8193), Some(Errno::EINVAL));
    // Of this machine's memory.
    assert_eq!(refused(&|c| c.max_vcpus = 8192), Some(Errno::ENOMEM));
    assert_eq!(refused(&|c| c.max_grant_frames = 0), Some(Errno::EINVAL));
    assert_eq!(refused(&|c| c.max_grant_frames = 65), Some(Errno::EINVAL));
    assert_eq!(
        refused(&|c| c.max_maptrack_frames = 1025),
        Some(Errno::EINVAL)
    );
    for opts in [0, 3, 0x10, 0x12] {
        assert_eq!(refused(&|c| c.grant_opts = opts), Some(Errno::EINVAL));
    }
    assert_eq!(refused(&|c| c.vmtrace_size = 4096), Some(Errno::EINVAL));
    assert_eq!(refused(&|c| c.cpupool_id = 1), Some(Errno::ESRCH));
    assert_eq!(
        refused(&|c| c.arch.emulation_flags = 1),
        Some(Errno::EINVAL)
    );
    assert_eq!(refused(&|c| c.arch.misc_flags = 2), Some(Errno::EINVAL));
    assert_eq!(refused(&|c| c.flags = XEN_DOMCTL_CDF_OOS_OFF), None);
}

#[test]
fn ids_are_those_wanted_or_the_next_free_ones() {
    let m = Machine::new();
    assert_eq!(create_as(&m, 1, &plain()), Err(Errno::EEXIST));
    assert_eq!(create_as(&m, 100, &plain()), Ok(100));
    assert_eq!(create_as(&m, 100, &plain()), Err(Errno::EEXIST));
    assert_eq!(create_as(&m, 0, &plain()), Ok(2));
    // A reserved id is none, so one is chosen.
    assert_eq!(create_as(&m, 0x7ff1, &plain()), Ok(3));
    let third = host().domains.get(DomainId(3)).expect("made");
    destroyed(&m, &third).expect("gone");
    assert_eq!(create_as(&m, 0, &plain()), Ok(4), "not the one just freed");
}

#[test]
fn nothing_is_left_of_a_domain() {
    let m = Machine::new();
    let before = Holdings::now();
    for round in 0..3 {
        let domain = create(&m);
        let (l4, data) = address_space(&domain);
        assert_eq!(pin(&m, &domain, MmuextOp::PIN_L4_TABLE, l4), Ok(0));
        let gdt = page(&domain);
        let mut image = context_image(l4);
        image.gdt_frames[0] = gdt.get();
        image.gdt_ents = 512;
        set_context(&m, &domain, &image).expect("acceptable");
        assert!(domain.vcpus()[0].initialised.load(Ordering::Acquire));
        host().mm.claim(&domain, 200).expect("free");
        grant_table::grant_frame(&domain, 3).expect("within its limit");
        event_channel::alloc_for_hypervisor(&domain, 0, DomainId::DOM0).expect("a port");
        time::vcpu_timer::set(&domain.vcpus()[0], VcpuTimer::Singleshot, 1 << 60);
        let meanwhile = Holdings::now();
        let more = Holdings {
            domains: before.domains + 1,
            vcpus: before.vcpus + 2,
            pages: before.pages + domain.mem.tot_pages(),
            claimed: before.claimed + 200 - domain.mem.tot_pages(),
            ports: before.ports + 1,
            grant_frames: before.grant_frames + 4,
            timers: before.timers + 1,
            free: meanwhile.free,
            ..before
        };
        assert_eq!(meanwhile, more);
        assert!(meanwhile.free < before.free);
        if round == 2 {
            // With a budget of one unit: every stop there is (xsa_410_teardown_is_preemptible below counts them).
            while !destroy::destroy(&domain, &Budget::with_units(1)) {}
        }
        let again = destroyed(&m, &domain);
        assert_eq!(
            again,
            if round == 2 {
                Err(Errno::ESRCH)
            } else {
                Ok(())
            }
        );
        assert_eq!(
            domctl(&m.dom0, DomctlCmd::PAUSEDOMAIN, domain.id.0, |_| ()).err(),
            Some(Errno::ESRCH)
        );
        assert_eq!(domain.mem.tot_pages(), 0);
        assert!(mm::get_page(data, domain.id).is_err());
        drop(domain);
        assert_eq!(Holdings::now(), before, "round {round}");
    }
}

#[test]
fn debug_registers_are_checked_against_the_cr4_that_comes_with_them() {
    /// CR4.DE, and an I/O breakpoint, which needs it.
    const DE: u64 = 8;
    const IO: u64 = 2 << 16 | 1;
    let m = Machine::new();
    for (cr4, kept) in [(DE, IO), (0, 0)] {
        let domain = create(&m);
        let (l4, _) = address_space(&domain);
        let mut image = context_image(l4);
        image.ctrlreg[4] = cr4;
        image.debugreg[7] = IO;
        set_context(&m, &domain, &image).expect("a context");
        assert_eq!(domain.vcpus()[0].pv().state().debug[7] & IO, kept);
    }
}

/// As in Xen: refused too late for the domain to live on.
#[test]
fn a_soft_reset_ends_a_pv_domain() {
    let m = Machine::new();
    let config = DomctlCreatedomain {
        max_evtchn_port: 4095,
        ..plain()
    };
    let id = create_as(&m, 0, &config).expect("a plain domain");
    let domain = host().domains.get(DomainId(id)).expect("listed");
    domain.mem.set_max_pages(16);
    let reset = || domctl(&m.dom0, DomctlCmd::SOFT_RESET, domain.id.0, |_| ()).err();
    let ports: Vec<u32> = (0..2000)
        .map(|_| {
            let op = EvtchnAllocUnbound {
                dom: DomId(domain.id.0),
                remote_dom: DomId(0),
                port: 0,
            };
            put(ARG, 0, &op);
            let args = Args([EvtchnOp::ALLOC_UNBOUND.0.into(), ARG, 0, 0, 0, 0]);
            settled(do_event_channel_op(&m.dom0, args)).expect("a port");
            get::<EvtchnAllocUnbound>(ARG, 0).port
        })
        .collect();
    let bound = || {
        let bound = |p: &&u32| event_channel::can_notify(&domain, **p).is_ok();
        ports.iter().filter(bound).count()
    };
    assert_eq!((reset(), bound()), (Some(Errno::EINVAL), 2000), "it runs");
    crate::sched::domain_shutdown(&domain, Shutdown::SOFT_RESET);
    let unpause = || domctl(&m.dom0, DomctlCmd::UNPAUSEDOMAIN, domain.id.0, |_| ());
    unpause().expect("paused at creation");
    assert_eq!((reset(), bound()), (Some(Errno::EINVAL), 2000), "not held");
    domctl(&m.dom0, DomctlCmd::PAUSEDOMAIN, domain.id.0, |_| ()).expect("pauses");
    let area = VcpuInfoSlot {
        offset: 640,
        ..domain.vcpus()[0].info.get().expect("the shared one")
    };
    domain.vcpus()[0].info.set(Some(area));
    *domain.vcpus()[0].info_page.lock() = Some(
        mm::get_page_and_type(page(&domain), &domain, PageType::Writable)
            .expect("own")
            .into_raw(),
    );
    assert_eq!((reset(), bound()), (Some(Errno::EINVAL), 0));
    let slot = domain.vcpus()[0].info.get().expect("the shared one");
    assert_eq!(slot.offset, 0);
    // Why it shut down is told as before.
    let shutdown = shutdown_code(&info(&m, domain.id.0));
    assert_eq!(shutdown, Some(Shutdown::SOFT_RESET.0));
    destroyed(&m, &domain).expect("nothing is left");
}

#[test]
fn device_models_are_for_hvm_domains() {
    let m = Machine::new();
    let target = |target| {
        let op = DomctlSetTarget {
            target: DomId(target),
        };
        domctl(&m.dom0, DomctlCmd::SET_TARGET, 1, |u| u.set_set_target(op)).err()
    };
    assert_eq!(target(77), Some(Errno::ESRCH));
    assert_eq!(target(1), Some(Errno::EINVAL));
    assert_eq!(target(0), Some(Errno::EOPNOTSUPP));
}

#[test]
fn xsa_410_teardown_is_preemptible() {
    let m = Machine::new();
    let domain = create(&m);
    for _ in 0..100 {
        page(&domain);
    }
    let mut stops = 0;
    while !destroy::destroy(&domain, &Budget::with_units(10)) {
        stops += 1;
    }
    assert!(stops >= 10, "{stops}");
}

#[test]
fn nothing_new_is_given_to_a_dying_domain() {
    let m = Machine::new();
    let domain = create(&m);
    let (l4, _) = address_space(&domain);
    // Stopped in the middle.
    assert!(!destroy::destroy(&domain, &Budget::with_units(1)));
    assert!(domain.is_dying());
    // XSA-77, -492: long work holds no lock while it waits to go on. The tools hear of it when all that can be given back was.
    assert_eq!(info(&m, domain.id.0).flags & XEN_DOMINF_DYING, 0);
    let more = host()
        .mm
        .alloc_domain_pages(&domain, 0, AllocFlags::default());
    assert_eq!(more.err(), Some(Errno::EINVAL));
    assert_eq!(host().mm.claim(&domain, 100).err(), Some(Errno::EINVAL));
    assert_eq!(
        grant_table::grant_frame(&domain, 5).err(),
        Some(Errno::EINVAL)
    );
    assert_eq!(
        set_context(&m, &domain, &context_image(l4)),
        Err(Errno::EINVAL)
    );
    destroyed(&m, &domain).expect("goes on where it stopped");
}

/// A page that another domain maps outlives its owner's teardown; so do the owner's name and its claim to the id.
#[test]
fn xsa_242_a_mapped_page_keeps_the_dead_domain_and_its_id() {
    let m = Machine::new();
    let domain = create(&m);
    let id = domain.id;
    let foreign = page(&domain);
    // dom0's own tables, with a free entry.
    let (l4, data) = address_space(&m.dom0.domain);
    assert_eq!(pin_self(&m, l4), Ok(0));
    let l1 = {
        let mut table = l4;
        for _ in 0..3 {
            let held = mm::get_page(table, DomainId::DOM0).expect("own");
            table = Mfn::new(held.frame().read_u64(0) >> 12 & 0xff_ffff_ffff);
        }
        table
    };
    let map = |entry: u64, of: u16| {
        put(
            ARG,
            0,
            &MmuUpdate {
                ptr: l1.addr().get() + 8,
                val: entry,
            },
        );
        settled(mm::do_mmu_update(
            &m.dom0,
            Args([ARG, 1, 0, of.into(), 0, 0]),
        ))
    };
    // Not as its own, not as a third party's, not as the owner's once it is gone.
    let entry = foreign.addr().get() | 7;
    assert!(map(entry, 0x7ff0).is_err());
    assert!(map(entry, 1).is_err());
    assert_eq!(map(entry, id.0), Ok(0));
    let free = host().mm.free_pages();
    destroyed(&m, &domain).expect("torn down");
    let zombie = info(&m, id.0);
    assert_eq!(zombie.domain.0, id.0, "still there");
    assert_eq!(zombie.tot_pages, 1);
    assert_ne!(zombie.flags & XEN_DOMINF_DYING, 0);
    assert_eq!(create_as(&m, id.0, &plain()), Err(Errno::EEXIST));
    assert!(host().mm.free_pages() > free);
    // The last mapping goes, and with it the domain.
    assert_eq!(map(0, 0x7ff0), Ok(0));
    assert_eq!(host().domains.get(id).err(), Some(Errno::ESRCH));
    assert_eq!(create_as(&m, id.0, &plain()), Ok(id.0));
    let _ = data;
}

fn pin_self(m: &Machine, mfn: Mfn) -> Result<u64, Errno> {
    let mut op = MmuextOpArg {
        cmd: MmuextOp::PIN_L4_TABLE,
        ..Default::default()
    };
    op.arg1.set_mfn(mfn.get());
    put(ARG, 0, &op);
    settled(mm::do_mmuext_op(&m.dom0, Args([ARG, 1, 0, 0x7ff0, 0, 0])))
}

/// A shared page that somebody still maps does not become the next domain's of that id.
#[test]
fn pages_of_a_dead_domain_are_not_the_next_ones_of_its_id() {
    let m = Machine::new();
    let domain = create(&m);
    let id = domain.id;
    let shared = mm::get_page(domain.shared_info.mfn(), id).expect("there");
    let frame = grant_table::grant_frame(&domain, 0).expect("there");
    let granted = mm::get_page(frame, id).expect("there");
    destroyed(&m, &domain).expect("gone");
    drop(domain);
    assert_eq!(create_as(&m, id.0, &plain()), Ok(id.0));
    assert!(mm::get_page(shared.mfn(), id).is_err());
    assert!(mm::get_page(granted.mfn(), id).is_err());
}

#[test]
fn contexts_that_a_guest_may_not_have() {
    let m = Machine::new();
    let domain = create(&m);
    let (l4, data) = address_space(&domain);
    assert_eq!(pin(&m, &domain, MmuextOp::PIN_L4_TABLE, l4), Ok(0));
    let refused = |change: &dyn Fn(&mut VcpuGuestContext)| {
        let mut image = context_image(l4);
        change(&mut image);
        set_context(&m, &domain, &image).err()
    };
    let hypervisor = 0xffff_8300_0000_0000;
    let odd = 0x8000_0000_0000_0000u64;
    let bad: &[&dyn Fn(&mut VcpuGuestContext)] = &[
        &|c| c.user_regs.rip = hypervisor,
        &|c| c.user_regs.rip = odd,
        &|c| c.user_regs.rsp = odd,
        &|c| c.kernel_sp = odd,
        &|c| c.fs_base = odd,
        &|c| c.gs_base_kernel = odd,
        &|c| c.gs_base_user = odd,
        &|c| c.event_callback_eip = hypervisor,
        &|c| c.failsafe_callback_eip = hypervisor,
        &|c| c.syscall_callback_eip = odd,
        &|c| c.trap_ctxt[255].address = odd,
        &|c| c.ldt_ents = 8193,
        &|c| c.ldt_base = 8,
        &|c| {
            c.ldt_ents = 1;
            c.ldt_base = hypervisor;
        },
        &|c| c.gdt_ents = 14 * 512 + 1,
        &|c| c.gdt_ents = u64::MAX,
        // A frame that is a page table, one that is nobody's.
        &|c| {
            c.gdt_ents = 1;
            c.gdt_frames[0] = l4.get();
        },
        &|c| c.ctrlreg[3] = data.addr().get(),
        &|c| c.ctrlreg[3] = u64::MAX,
        &|c| c.ctrlreg[1] = data.addr().get() + 0x1000_0000,
        // Guest user mode without tables of its own.
        &|c| c.flags = 0,
        &|c| c.vm_assist = 1 << 40,
    ];
    for (i, change) in bad.iter().enumerate() {
        assert_eq!(refused(*change), Some(Errno::EINVAL), "number {i}");
        assert!(!domain.vcpus()[0].initialised.load(Ordering::Acquire));
    }
    let far = domctl(&m.dom0, DomctlCmd::SETVCPUCONTEXT, domain.id.0, |u| {
        u.set_vcpucontext(DomctlVcpucontext {
            vcpu: 2,
            ctxt: GuestHandle::new(ARRAY),
            ..Default::default()
        });
    });
    assert_eq!(far.err(), Some(Errno::EINVAL));
    let nowhere = domctl(&m.dom0, DomctlCmd::SETVCPUCONTEXT, domain.id.0, |u| {
        u.set_vcpucontext(DomctlVcpucontext {
            ctxt: GuestHandle::new(0x4000_0000),
            ..Default::default()
        });
    });
    assert_eq!(nowhere.err(), Some(Errno::EFAULT));
    assert_eq!(
        domctl(&m.dom0, DomctlCmd::SETVCPUCONTEXT, 0, |_| ()).err(),
        Some(Errno::EINVAL),
        "not the caller's own domain"
    );
    // Good once, and then again with other registers, but not with other tables.
    let references = |mfn| {
        mm::get_page(mfn, domain.id)
            .expect("own")
            .info()
            .references()
    };
    let before = references(l4);
    assert_eq!(refused(&|_| ()), None);
    assert_eq!(refused(&|c| c.user_regs.rax = 1), None);
    assert_eq!(references(l4), before + 1, "one for the vCPU");
    let (other, _) = address_space(&domain);
    assert_eq!(
        refused(&|c| c.ctrlreg[3] = other.addr().get()),
        Some(Errno::EOPNOTSUPP)
    );
    assert_eq!(refused(&|c| c.gdt_ents = 1), Some(Errno::EOPNOTSUPP));
    assert_eq!(refused(&|c| c.ldt_ents = 1), Some(Errno::EOPNOTSUPP));
}

#[test]
fn floating_point_state_that_would_fault_is_made_harmless() {
    let m = Machine::new();
    let domain = create(&m);
    let (l4, _) = address_space(&domain);
    let mut image = context_image(l4);
    image.flags |= u64::from(VGCF_I387_VALID);
    image.fpu_ctxt.x = [0xff; 512];
    set_context(&m, &domain, &image).expect("acceptable");
    let fxsave = domain.vcpus()[0].pv().state().xstate.legacy();
    assert_eq!(fxsave[26..28], [0, 0], "MXCSR's reserved bits");
    // Without the flag: what a reset leaves.
    image.flags &= !u64::from(VGCF_I387_VALID);
    set_context(&m, &domain, &image).expect("acceptable");
    let fxsave = domain.vcpus()[0].pv().state().xstate.legacy();
    assert_eq!((fxsave[0], fxsave[1], fxsave[25]), (0x7f, 0x03, 0x1f));
}

#[test]
fn extended_state_is_checked() {
    let m = Machine::new();
    let domain = create(&m);
    let id = domain.id.0;
    let ask = |cmd, op: DomctlVcpuextstate| {
        domctl(&m.dom0, cmd, id, |u| u.set_vcpuextstate(op)).map(|op| op.u.vcpuextstate())
    };
    let size = ask(DomctlCmd::GETVCPUEXTSTATE, Default::default()).expect("a size");
    assert_eq!((size.size, size.xfeature_mask), (16 + 576, 3));
    let full = DomctlVcpuextstate {
        buffer: GuestHandle::new(ARRAY),
        ..size
    };
    ask(DomctlCmd::GETVCPUEXTSTATE, full).expect("the state");
    assert_eq!((get::<u64>(ARRAY, 0), get::<u64>(ARRAY, 1)), (1, 3));
    assert_eq!(ask(DomctlCmd::SETVCPUEXTSTATE, full).err(), None);

    let cut = |size| DomctlVcpuextstate { size, ..full };
    let put_word = |index, value: u64| {
        let before: u64 = get(ARRAY, index);
        put(ARRAY, index, &value);
        let result = ask(DomctlCmd::SETVCPUEXTSTATE, full).err();
        put(ARRAY, index, &before);
        result
    };
    for size in [0, 15, 16 + 575, 16 + 577, u64::MAX] {
        let result = ask(DomctlCmd::SETVCPUEXTSTATE, cut(size));
        assert_eq!(result.err(), Some(Errno::EINVAL), "{size}");
    }
    // XCR0 without x87, beyond the mask; a mask beyond the processor's.
    assert_eq!(put_word(0, 2), Some(Errno::EINVAL));
    assert_eq!(put_word(0, 7), Some(Errno::EINVAL));
    assert_eq!(put_word(1, 7), Some(Errno::EINVAL));
    // XSTATE_BV, XCOMP_BV, reserved words of the XSAVE header.
    assert_eq!(put_word(2 + 64, 4), Some(Errno::EINVAL));
    assert_eq!(put_word(2 + 65, 1 << 63), Some(Errno::EOPNOTSUPP));
    assert_eq!(put_word(2 + 66, 1), Some(Errno::EINVAL));
    let missing = DomctlVcpuextstate { vcpu: 2, ..full };
    for cmd in [DomctlCmd::SETVCPUEXTSTATE, DomctlCmd::GETVCPUEXTSTATE] {
        assert_eq!(ask(cmd, missing).err(), Some(Errno::ESRCH));
    }
    let other_mask = DomctlVcpuextstate {
        xfeature_mask: 7,
        ..full
    };
    let result = ask(DomctlCmd::GETVCPUEXTSTATE, other_mask);
    assert_eq!(result.err(), Some(Errno::EINVAL));
}

#[test]
fn extended_contexts_are_checked() {
    let m = Machine::new();
    let domain = create(&m);
    let set = |op: DomctlExtVcpucontext, id| {
        domctl(&m.dom0, DomctlCmd::SET_EXT_VCPUCONTEXT, id, |u| {
            u.set_ext_vcpucontext(op);
        })
        .err()
    };
    let good = DomctlExtVcpucontext {
        size: 64,
        syscall32_callback_eip: 0x1000,
        sysenter_callback_eip: 0x2000,
        sysenter_disables_events: 1,
        ..Default::default()
    };
    let id = domain.id.0;
    assert_eq!(set(good, 0), Some(Errno::ESRCH), "not the caller's own");
    assert_eq!(
        set(DomctlExtVcpucontext { vcpu: 2, ..good }, id),
        Some(Errno::ESRCH)
    );
    assert_eq!(
        set(DomctlExtVcpucontext { size: 31, ..good }, id),
        Some(Errno::EINVAL)
    );
    let bad = DomctlExtVcpucontext {
        sysenter_callback_eip: 0xffff_8000_0000_0000,
        ..good
    };
    assert_eq!(set(bad, id), Some(Errno::EINVAL));
    assert_eq!(set(good, id), None);
    let back = domctl(&m.dom0, DomctlCmd::GET_EXT_VCPUCONTEXT, id, |_| ()).expect("there");
    let back = back.u.ext_vcpucontext();
    assert_eq!(
        (back.syscall32_callback_eip, back.sysenter_callback_eip),
        (0x1000, 0x2000)
    );
    assert_eq!(back.sysenter_disables_events, 1);
}

#[test]
fn only_64_bit_guests() {
    let m = Machine::new();
    let domain = create(&m);
    let size = |size| {
        domctl(&m.dom0, DomctlCmd::SET_ADDRESS_SIZE, domain.id.0, |u| {
            u.set_address_size(DomctlAddressSize { size });
        })
        .err()
    };
    assert_eq!(size(64), None);
    assert_eq!(size(32), Some(Errno::EOPNOTSUPP));
    assert_eq!(size(16), Some(Errno::EINVAL));
}

/// Whether dom0 was told of a domain's end since it looked last.
fn told(m: &Machine) -> bool {
    let shared = m.dom0.domain.shared_info;
    // evtchn_pending: the first word behind the vcpu_info array.
    let at = 32 * 64;
    let word = shared.read_u64(at);
    shared.write_u64(at, 0);
    word != 0
}

fn listen(m: &Machine) {
    let bind = EvtchnBindVirq {
        virq: Virq::DOM_EXC,
        ..Default::default()
    };
    put(ARG, 0, &bind);
    let args = Args([EvtchnOp::BIND_VIRQ.0.into(), ARG, 0, 0, 0, 0]);
    settled(do_event_channel_op(&m.dom0, args)).expect("free");
}

#[test]
fn dom0_hears_of_ends() {
    let m = Machine::new();
    listen(&m);
    let domain = create(&m);
    let id = domain.id.0;
    let mut request = SchedRemoteShutdown {
        domain_id: DomId(id),
        reason: Shutdown::REBOOT,
        ..Default::default()
    };
    put(ARG, 0, &request);
    let remote = |cx| {
        let args = Args([SchedOp::REMOTE_SHUTDOWN.0.into(), ARG, 0, 0, 0, 0]);
        settled(do_sched_op(cx, args))
    };
    assert_eq!(remote(&m.dom1), Err(Errno::EPERM));
    assert_eq!(shutdown_code(&info(&m, id)), None);
    put(ARG, 0, &request);
    assert_eq!(remote(&m.dom0), Ok(0));
    assert!(told(&m));
    assert_eq!(shutdown_code(&info(&m, id)), Some(Shutdown::REBOOT.0));
    // The first reason stays.
    request.reason = Shutdown::CRASH;
    put(ARG, 0, &request);
    assert_eq!(remote(&m.dom0), Ok(0));
    assert!(!told(&m));
    assert_eq!(shutdown_code(&info(&m, id)), Some(Shutdown::REBOOT.0));
    domctl(&m.dom0, DomctlCmd::RESUMEDOMAIN, id, |_| ()).expect("resumed");
    assert_eq!(shutdown_code(&info(&m, id)), None);
    assert_eq!(
        domain.pause_count.load(Ordering::Relaxed),
        1,
        "the tools' own"
    );
    destroyed(&m, &domain).expect("gone");
    assert!(told(&m));
}

#[test]
fn a_suspension_is_told_through_its_port() {
    let m = Machine::new();
    listen(&m);
    let domain = create(&m);
    let subscribe = |port| {
        domctl(&m.dom0, DomctlCmd::SUBSCRIBE, domain.id.0, |u| {
            u.set_subscribe(DomctlSubscribe { port });
        })
        .err()
    };
    assert_eq!(subscribe(1), Some(Errno::EINVAL));
    assert_eq!(subscribe(u32::MAX), Some(Errno::EINVAL));
    // The guest offers a port, dom0 binds to it.
    let guest = context(&domain, 0);
    let mut offer = hypercall_abi::event_channel::EvtchnAllocUnbound {
        dom: DomId::SELF,
        remote_dom: DomId(0),
        ..Default::default()
    };
    put(ARG, 0, &offer);
    let args = |op: EvtchnOp| Args([op.0.into(), ARG, 0, 0, 0, 0]);
    settled(do_event_channel_op(&guest, args(EvtchnOp::ALLOC_UNBOUND))).expect("free");
    offer = get(ARG, 0);
    let bind = EvtchnBindInterdomain {
        remote_dom: DomId(domain.id.0),
        remote_port: offer.port,
        ..Default::default()
    };
    put(ARG, 0, &bind);
    settled(do_event_channel_op(
        &m.dom0,
        args(EvtchnOp::BIND_INTERDOMAIN),
    ))
    .expect("offered");
    let near: EvtchnBindInterdomain = get(ARG, 0);
    assert_eq!(subscribe(offer.port), None);
    let _ = told(&m);
    put(
        ARG,
        0,
        &SchedShutdown {
            reason: Shutdown::SUSPEND,
        },
    );
    let args = Args([SchedOp::SHUTDOWN.0.into(), ARG, 0, 0, 0, 0]);
    settled(do_sched_op(&guest, args)).expect("its right");
    assert_eq!(
        event_channel::poll(&m.dom0.domain, near.local_port),
        Ok(true)
    );
    let virq = m.dom0.domain.shared_info.read_u64(32 * 64);
    assert_eq!(virq, 1 << near.local_port, "nothing else");
}
