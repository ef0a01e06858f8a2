//! What the tools settle about a domain besides its memory and vCPUs.

use core::sync::atomic::Ordering;

use hypercall_abi::arch_x86::CpuidLeaf;
use hypercall_abi::domctl::*;
use hypercall_abi::memory::{Vmemrange, VnumaTopologyInfo, XenMem};
use hypercall_abi::xen::{DomId, Hypercall};
use hypercall_abi::{Errno, GuestHandle};

use super::machine::*;
use crate::control::do_domctl;
use crate::fail::Args;
use crate::host::host;
use crate::hypercall::dispatch;
use crate::mm::AllocFlags;

fn ask(
    m: &Machine,
    cmd: DomctlCmd,
    domain: u16,
    set: impl FnOnce(&mut DomctlU),
) -> Result<DomctlU, Errno> {
    let mut op = Domctl {
        cmd,
        interface_version: InterfaceVersion::CANONICAL,
        domain: DomId(domain),
        ..Default::default()
    };
    set(&mut op.u);
    call(do_domctl, &m.dom0, &mut op).map(|_| op.u)
}

#[test]
fn time_stamp_counter() {
    let m = Machine::new();
    let set = |domain, tsc_mode, gtsc_khz| {
        let op = DomctlTscInfo {
            tsc_mode,
            gtsc_khz,
            incarnation: 3,
            ..Default::default()
        };
        ask(&m, DomctlCmd::SETTSCINFO, domain, |u| u.set_tsc_info(op)).err()
    };
    let get = |domain| ask(&m, DomctlCmd::GETTSCINFO, domain, |_| ()).map(|u| u.tsc_info());
    let khz = (arch::clock::tsc_hz() / 1000) as u32;
    assert_eq!(set(1, 0, 0), None);
    let now = get(1).expect("answer");
    assert_eq!(
        (now.tsc_mode, now.gtsc_khz, now.incarnation, now.pad),
        (0, khz, 4, 0)
    );
    assert!(!m.dom1.domain.tsc.emulated());
    assert_eq!(set(1, 0, khz), None);
    assert_eq!(set(1, 2, 77), None);
    let never = get(1).expect("answer");
    assert_eq!((never.gtsc_khz, never.elapsed_nsec), (0, 0));
    for mode in [3, u32::MAX] {
        assert_eq!(set(1, mode, 0), Some(Errno::EINVAL), "{mode}");
    }
    assert!(!m.dom1.domain.tsc.emulated());
    // What is not this host's rate, or shall never be the processor's, is emulated.
    for (mode, rate) in [(0, khz + 1), (1, 0), (1, khz)] {
        assert_eq!(set(1, mode, rate), None);
        assert!(m.dom1.domain.tsc.emulated());
        let told = get(1).expect("answer");
        let rate = if rate == 0 { khz } else { rate };
        assert_eq!((told.tsc_mode, told.gtsc_khz), (mode, rate));
        let leaf = m.dom1.domain.tsc.leaf(0);
        assert_eq!((leaf.eax & 1, leaf.ebx, leaf.ecx), (1, mode, rate));
    }
    assert_eq!(m.dom1.domain.pause_count.load(Ordering::Relaxed), 0);
    assert_eq!(set(0, 0, 0), Some(Errno::EINVAL), "the caller itself");
    assert_eq!(get(0).err(), Some(Errno::EINVAL));
}

#[test]
fn virtual_nodes() {
    let m = Machine::new();
    let topology = DomctlVnuma {
        nr_vnodes: 2,
        nr_vmemranges: 2,
        nr_vcpus: 1,
        vdistance: GuestHandle::new(ARRAY),
        vcpu_to_vnode: GuestHandle::new(ARRAY + 0x100),
        vnode_to_pnode: GuestHandle::new(ARRAY + 0x200),
        vmemrange: GuestHandle::new(ARRAY + 0x300),
        ..Default::default()
    };
    put(ARRAY, 0, &[10u32, 20, 20, 10]);
    put(ARRAY + 0x100, 0, &1u32);
    put(ARRAY + 0x200, 0, &[0u32, 0]);
    let range = |start, flags| Vmemrange {
        start,
        end: start + 0x1000,
        flags,
        nid: 1,
    };
    put(ARRAY + 0x300, 0, &range(0, 0));
    put(ARRAY + 0x300, 1, &range(0x1000, 0));
    let set = |op| ask(&m, DomctlCmd::SETVNUMAINFO, 1, |u| u.set_vnuma(op)).err();
    let read = |domid, nodes| {
        let request = VnumaTopologyInfo {
            domid: DomId(domid),
            nr_vnodes: nodes,
            nr_vcpus: 8,
            nr_vmemranges: 8,
            ..Default::default()
        };
        let mut request = request;
        request.vdistance.set_h(GuestHandle::new(ARRAY + 0x800));
        request.vcpu_to_vnode.set_h(GuestHandle::new(ARRAY + 0x900));
        request.vmemrange.set_h(GuestHandle::new(ARRAY + 0xa00));
        put(ARG, 0, &request);
        let args = Args([XenMem::GET_VNUMAINFO.0.into(), ARG, 0, 0, 0, 0]);
        let result = settled(dispatch(&m.dom1, Hypercall::MEMORY_OP.0.into(), args));
        let request: VnumaTopologyInfo = get(ARG, 0);
        result
            .map(|_| request.nr_vnodes)
            .map_err(|e| (e, request.nr_vnodes))
    };
    assert_eq!(read(DomId::SELF.0, 8), Err((Errno::EOPNOTSUPP, 8)));
    assert_eq!(set(topology), None);
    assert_eq!(read(DomId::SELF.0, 1), Err((Errno::ENOBUFS, 2)));
    assert_eq!(read(1, 8), Ok(2));
    assert_eq!(get::<[u32; 4]>(ARRAY + 0x800, 0), [10, 20, 20, 10]);
    assert_eq!(get::<u32>(ARRAY + 0x900, 0), 1);
    assert_eq!(get::<Vmemrange>(ARRAY + 0xa00, 1).start, 0x1000);
    assert_eq!(read(0, 8), Err((Errno::EPERM, 8)), "not the caller's");
    let with = |change: fn(&mut DomctlVnuma)| {
        let mut op = topology;
        change(&mut op);
        set(op)
    };
    assert_eq!(with(|t| t.nr_vcpus = 2), Some(Errno::EINVAL));
    assert_eq!(with(|t| t.pad = 1), Some(Errno::EINVAL));
    assert_eq!(with(|t| t.nr_vnodes = 0), Some(Errno::EINVAL));
    assert_eq!(with(|t| t.nr_vnodes = 33), Some(Errno::E2BIG));
    assert_eq!(with(|t| t.nr_vnodes = u32::MAX), Some(Errno::E2BIG));
    assert_eq!(with(|t| t.nr_vmemranges = u32::MAX), Some(Errno::E2BIG));
    assert_eq!(
        with(|t| t.vdistance = GuestHandle::new(END)),
        Some(Errno::EFAULT)
    );
    put(ARRAY + 0x300, 1, &range(0x1000, 1));
    assert_eq!(set(topology), Some(Errno::EINVAL));
    put(ARRAY + 0x300, 1, &range(0x1000, 0));
    put(ARRAY + 0x200, 1, &64u32);
    assert_eq!(set(topology), Some(Errno::E2BIG));
    put(ARRAY + 0x200, 1, &0u32);
    put(ARRAY + 0x100, 0, &2u32);
    assert_eq!(set(topology), Some(Errno::E2BIG));
}

#[test]
fn cpu_policy_is_set_before_the_first_run() {
    haswell();
    let m = Machine::new();
    let policy = |nr_leaves, nr_msrs| DomctlCpuPolicy {
        nr_leaves,
        nr_msrs,
        leaves: GuestHandle::new(ARRAY),
        msrs: GuestHandle::new(ARRAY + 0x1000),
        ..Default::default()
    };
    let read = || {
        ask(&m, DomctlCmd::GET_CPU_POLICY, 1, |u| {
            u.set_cpu_policy(policy(120, 2))
        })
        .expect("policy")
        .cpu_policy()
        .nr_leaves
    };
    let set = |domain, leaves, msrs| {
        let mut op = Domctl {
            cmd: DomctlCmd::SET_CPU_POLICY,
            interface_version: InterfaceVersion::CANONICAL,
            domain: DomId(domain),
            ..Default::default()
        };
        op.u.set_cpu_policy(policy(leaves, msrs));
        let result = call(do_domctl, &m.dom0, &mut op);
        let answer = op.u.cpu_policy();
        result.map_err(|e| (e, answer.err_leaf, answer.err_subleaf, answer.err_msr))
    };
    // What is read may be written.
    let count = read();
    assert_eq!(set(1, count, 2), Ok(0));
    assert_eq!(read(), count);
    // Less than that is what the domain then sees.
    let leaves: Vec<CpuidLeaf> = (0..count).map(|i| get(ARRAY, i.into())).collect();
    let (i, mut one) = (0..)
        .zip(&leaves)
        .find(|(_, l)| l.leaf == 1)
        .map(|(i, l)| (i, *l))
        .expect("leaf 1");
    one.c &= !1;
    put(ARRAY, i, &one);
    assert_eq!(set(1, count, 0), Ok(0));
    let own = m.dom1.domain.cpu_policy.read();
    let seen = own.as_ref().expect("set").answer(1, 0, false, 5);
    assert_eq!(seen.ecx & 1, 0);
    assert_eq!(seen.ebx >> 24, 10, "the APIC id is the vCPU's");
    drop(own);
    // Refusals name what is at fault.
    put(
        ARRAY,
        0,
        &CpuidLeaf {
            leaf: 0x99,
            ..Default::default()
        },
    );
    assert_eq!(set(1, 1, 0), Err((Errno::ERANGE, 0x99, 0, u32::MAX)));
    assert_eq!(set(1, 121, 0).map_err(|e| e.0), Err(Errno::E2BIG));
    assert_eq!(set(1, 0, 3).map_err(|e| e.0), Err(Errno::E2BIG));
    assert_eq!(
        set(0, 0, 0).map_err(|e| e.0),
        Err(Errno::EINVAL),
        "the caller itself"
    );
    // After it ran it keeps what it has.
    let cx = context(&m.dom1.domain, 0);
    cx.vcpu.down.store(false, Ordering::SeqCst);
    let _ = host().sched.reevaluate(&cx, 0);
    assert!(host().sched.pick_next(0, 0).next.is_some());
    cx.vcpu.down.store(true, Ordering::SeqCst);
    let _ = host().sched.pick_next(0, 1000);
    assert_eq!(set(1, 0, 0).map_err(|e| e.0), Err(Errno::EEXIST));
}

#[test]
fn triggers() {
    let m = Machine::new();
    let send = |vcpu, trigger: SendTrigger| {
        let op = DomctlSendtrigger {
            trigger: trigger.0,
            vcpu,
        };
        ask(&m, DomctlCmd::SENDTRIGGER, 1, |u| u.set_sendtrigger(op)).err()
    };
    assert_eq!(send(0, SendTrigger::NMI), None);
    assert!(m.dom1.vcpu.pv().nmi_deliverable());
    assert_eq!(send(1, SendTrigger::NMI), Some(Errno::ESRCH));
    assert_eq!(send(0, SendTrigger::POWER), Some(Errno::EINVAL));
    assert_eq!(send(0, SendTrigger::SLEEP), Some(Errno::EINVAL));
    assert_eq!(send(0, SendTrigger::INIT), Some(Errno::ENOSYS));
    assert_eq!(send(0, SendTrigger(77)), Some(Errno::ENOSYS));
}

#[test]
fn a_debugger_stops_vcpus_of_a_paused_domain() {
    let m = Machine::new();
    let one = |cmd, vcpu| {
        ask(&m, cmd, 1, |u| {
            u.set_gdbsx_pauseunp_vcpu(DomctlGdbsxPauseunpVcpu { vcpu })
        })
        .err()
    };
    let (pause, unpause) = (DomctlCmd::GDBSX_PAUSEVCPU, DomctlCmd::GDBSX_UNPAUSEVCPU);
    let status = || {
        ask(&m, DomctlCmd::GDBSX_DOMSTATUS, 1, |_| ())
            .expect("status")
            .gdbsx_domstatus()
    };
    assert_eq!((status().paused, status().vcpu_id), (0, u32::MAX));
    assert_eq!(one(pause, 0), Some(Errno::EBUSY));
    assert!(ask(&m, DomctlCmd::PAUSEDOMAIN, 1, |_| ()).is_ok());
    assert_eq!(status().paused, 1);
    assert_eq!(one(unpause, 0), Some(Errno::EINVAL));
    assert_eq!(one(pause, 0), None);
    assert_eq!(m.dom1.vcpu.pause_count.load(Ordering::SeqCst), 1);
    assert_eq!(one(pause, 1), Some(Errno::EINVAL));
    assert_eq!(one(unpause, 0), None);
    assert_eq!(m.dom1.vcpu.pause_count.load(Ordering::SeqCst), 0);
    for _ in 0..255 {
        assert_eq!(one(pause, 0), None);
    }
    assert_eq!(one(pause, 0), Some(Errno::EOVERFLOW));
    let attach = |enable| {
        ask(&m, DomctlCmd::SETDEBUGGING, 1, |u| {
            u.set_setdebugging(DomctlSetdebugging { enable })
        })
        .expect("set");
        let info = ask(&m, DomctlCmd::GETDOMAININFO, 1, |_| ()).expect("info");
        info.getdomaininfo().flags & XEN_DOMINF_DEBUGGED != 0
    };
    assert!(attach(1));
    assert!(!attach(0));
}

#[test]
fn a_debugger_copies_what_is_mapped_and_no_more() {
    let m = Machine::new();
    let frame = || {
        host()
            .mm
            .alloc_domain_pages(&m.dom1.domain, 0, AllocFlags::default())
            .expect("memory")
    };
    let (l4, l3, l2, l1, data) = (frame(), frame(), frame(), frame(), frame());
    let entry = |table, index: usize, to: arch::addr::Mfn| {
        arch::hosted::frame(table).write_u64(index * 8, to.get() << 12 | 7);
    };
    entry(l4, 0, l3);
    entry(l3, 0, l2);
    entry(l2, 0, l1);
    entry(l1, 5, data);
    // Somebody else's frame behind the next address.
    let theirs = host()
        .mm
        .alloc_domain_pages(&m.dom0.domain, 0, AllocFlags::default())
        .expect("memory");
    entry(l1, 6, theirs);
    arch::hosted::frame(data).write(0xff0, b"0123456789abcdef");
    m.dom1.vcpu.pv().state().tables.set_kernel(Some(l4));
    let copy = |gva, len, gwr| {
        let op = DomctlGdbsxMemio {
            gva,
            uva: ARRAY,
            len,
            gwr,
            ..Default::default()
        };
        ask(&m, DomctlCmd::GDBSX_GUESTMEMIO, 1, |u| {
            u.set_gdbsx_guest_memio(op)
        })
        .map(|u| u.gdbsx_guest_memio().remain)
    };
    assert_eq!(copy(0x5ff0, 32, 0), Ok(16), "the next page is not its own");
    assert_eq!(bytes(ARRAY, 17)[..16], *b"0123456789abcdef");
    assert_eq!(bytes(ARRAY + 16, 1), [DIRT]);
    put(ARRAY, 0, b"ZZ");
    assert_eq!(copy(0x5000, 2, 1), Ok(0));
    assert_eq!(arch::hosted::frame(data).read_u8(1), b'Z');
    assert_eq!(copy(0x6000, 2, 1), Ok(2));
    assert_eq!(copy(0x7000, 2, 0), Ok(2));
    assert_eq!(copy(0xffff_8000_0000_0000, 2, 0), Ok(2));
    assert_eq!(copy(u64::MAX, 2, 0), Ok(2));
    // The upper tables were only ever looked at.
    m.dom1.vcpu.pv().state().tables.set_kernel(None);
}

#[test]
fn device_memory_of_the_hypervisor_is_nobody_s_to_give() {
    let m = Machine::new();
    let map = |first_gfn, first_mfn, nr_mfns| {
        let op = DomctlMemoryMapping {
            first_gfn,
            first_mfn,
            nr_mfns,
            add_mapping: 1,
            ..Default::default()
        };
        ask(&m, DomctlCmd::MEMORY_MAPPING, 1, |u| {
            u.set_memory_mapping(op)
        })
        .err()
    };
    assert_eq!(map(0, 0xfe000, 16), None);
    assert_eq!(map(0, 0xfe000, 0), Some(Errno::EINVAL));
    assert_eq!(map(u64::MAX, 0xfe000, 2), Some(Errno::EINVAL));
    assert_eq!(map(0, u64::MAX, 2), Some(Errno::EINVAL));
    assert_eq!(
        map(0, 1 << 28, 1),
        Some(Errno::EINVAL),
        "40 bits of address"
    );
    let ioport = ask(&m, DomctlCmd::IOPORT_MAPPING, 1, |_| ()).err();
    assert_eq!(ioport, Some(Errno::EOPNOTSUPP));
}
