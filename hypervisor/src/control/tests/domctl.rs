use core::sync::atomic::Ordering;

use hypercall_abi::arch_x86::*;
use hypercall_abi::domctl::*;
use hypercall_abi::xen::{DomId, Virq, XenctlBitmap};
use hypercall_abi::{Errno, GuestHandle};

use super::machine::*;
use crate::control::do_domctl;
use crate::domain::Context;
use crate::host::host;
use crate::mm::AllocFlags;

fn request(cmd: DomctlCmd, domain: u16, set: impl FnOnce(&mut DomctlU)) -> Domctl {
    let mut op = Domctl {
        cmd,
        interface_version: InterfaceVersion::CANONICAL,
        domain: DomId(domain),
        ..Default::default()
    };
    set(&mut op.u);
    op
}

fn run(cx: &Context, op: &mut Domctl) -> Result<u64, Errno> {
    call(do_domctl, cx, op)
}

/// As dom0; the answer's union.
fn ask(
    m: &Machine,
    cmd: DomctlCmd,
    domain: u16,
    set: impl FnOnce(&mut DomctlU),
) -> Result<DomctlU, Errno> {
    let mut op = request(cmd, domain, set);
    run(&m.dom0, &mut op).map(|value| {
        assert_eq!(value, 0);
        op.u
    })
}

fn map(at: u64, nr_bits: u32) -> XenctlBitmap {
    XenctlBitmap {
        bitmap: GuestHandle::new(at),
        nr_bits,
        ..Default::default()
    }
}

#[test]
fn only_dom0_with_the_right_version_gets_in() {
    let m = Machine::new();
    let mut op = request(DomctlCmd::GETDOMAININFO, 0, |_| ());
    assert_eq!(run(&m.dom1, &mut op), Err(Errno::EPERM));
    assert_eq!(run(&m.dom0, &mut op), Ok(0));
    for version in [0, 0x11, 0x19, u32::MAX] {
        op.interface_version = InterfaceVersion(version);
        assert_eq!(run(&m.dom0, &mut op), Err(Errno::EACCES), "{version:#x}");
    }
    let args = crate::fail::Args([END - 8, 0, 0, 0, 0, 0]);
    assert_eq!(settled(do_domctl(&m.dom0, args)), Err(Errno::EFAULT));
}

#[test]
fn unknown_domains_and_commands() {
    let m = Machine::new();
    for id in [2, 0x7ff0, 0x7ff1, 0xffff] {
        assert_eq!(
            ask(&m, DomctlCmd::MAX_MEM, id, |_| ()).err(),
            Some(Errno::ESRCH)
        );
    }
    for (cmd, errno) in [
        (DomctlCmd::SHADOW_OP, Errno::EOPNOTSUPP),
        (DomctlCmd::ASSIGN_DEVICE, Errno::EOPNOTSUPP),
        (DomctlCmd::GETHVMCONTEXT, Errno::EOPNOTSUPP),
        (DomctlCmd::PSR_ALLOC, Errno::ENODEV),
        (DomctlCmd::GDBSX_GUESTMEMIO, Errno::EINVAL),
        (DomctlCmd::GDBSX_PAUSEVCPU, Errno::EBUSY),
        (DomctlCmd::GDBSX_UNPAUSEVCPU, Errno::EBUSY),
        (DomctlCmd::DEBUG_OP, Errno::EINVAL),
        (DomctlCmd::MEM_SHARING_OP, Errno::ENOSYS),
        (DomctlCmd(4711), Errno::ENOSYS),
    ] {
        assert_eq!(ask(&m, cmd, 1, |_| ()).err(), Some(errno), "{cmd:?}");
    }
}

/// Whatever the tools say, it is answered: no panic, and nothing but an errno to who may not ask at all.
#[test]
fn xsa_31_any_command_with_any_arguments_is_answered() {
    let m = Machine::new();
    for cmd in 0..100 {
        for fill in [0, 1, 0x7f, 0x80, 0xff] {
            for domain in [0, 1, 7, 0x7ff0, 0xffff] {
                let mut op = request(DomctlCmd(cmd), domain, |_| ());
                zerocopy::IntoBytes::as_mut_bytes(&mut op.u).fill(fill);
                assert_eq!(run(&m.dom1, &mut op), Err(Errno::EPERM), "{cmd}");
                put(ARG, 0, &op);
                // Long work may ask to go on; it is let down here.
                let args = crate::fail::Args([ARG, 0, 0, 0, 0, 0]);
                let crash = matches!(do_domctl(&m.dom0, args), Err(crate::fail::Fail::Crash(_)));
                assert!(!crash, "{cmd} {fill:#x}");
            }
        }
    }
    assert!(m.dom0.domain.shutdown.lock().is_none());
}

#[test]
fn a_domain_cannot_stop_itself() {
    let m = Machine::new();
    for cmd in [
        DomctlCmd::PAUSEDOMAIN,
        DomctlCmd::MAX_VCPUS,
        DomctlCmd::RESUMEDOMAIN,
        DomctlCmd::DESTROYDOMAIN,
        DomctlCmd::SETVCPUCONTEXT,
        DomctlCmd::SETDEBUGGING,
        DomctlCmd::SOFT_RESET,
        DomctlCmd::SHADOW_OP,
        DomctlCmd::GETTSCINFO,
    ] {
        assert_eq!(
            ask(&m, cmd, 0, |_| ()).err(),
            Some(Errno::EINVAL),
            "{cmd:?}"
        );
    }
    assert_eq!(m.dom0.domain.pause_count.load(Ordering::Relaxed), 0);
}

#[test]
fn domains_are_described() {
    let m = Machine::new();
    m.dom0.vcpu.down.store(false, Ordering::Release);
    m.dom0.domain.control.lock().handle = [3; 16];
    let info = |id| ask(&m, DomctlCmd::GETDOMAININFO, id, |u| u.0 = [u64::MAX; 16]);
    let dom0 = info(0).expect("dom0").getdomaininfo();
    assert_eq!((dom0.nr_online_vcpus, dom0.max_vcpu_id), (1, 1));
    assert_eq!((dom0.handle, dom0.cpupool), ([3; 16], 0));
    assert_eq!(dom0.max_pages, 512);
    assert_eq!(
        dom0.shared_info_frame,
        m.dom0.domain.shared_info.mfn().get()
    );
    assert_eq!((dom0.pad1, dom0.pad2, dom0.ssidref), (0, [0; 7], 0));
    assert_eq!(dom0.flags & XEN_DOMINF_BLOCKED, 0);
    let dom1 = info(1).expect("dom1").getdomaininfo();
    assert_eq!(dom1.nr_online_vcpus, 0);
    assert_eq!(dom1.flags & (XEN_DOMINF_BLOCKED | XEN_DOMINF_RUNNING), 0);
    *m.dom1.domain.shutdown.lock() = Some(3);
    let crashed = info(1).expect("dom1").getdomaininfo().flags;
    assert_ne!(crashed & XEN_DOMINF_SHUTDOWN, 0);
    assert_eq!(
        crashed >> XEN_DOMINF_SHUTDOWNSHIFT & XEN_DOMINF_SHUTDOWNMASK,
        3
    );
    assert_eq!(info(2).err(), Some(Errno::ESRCH));
    assert_eq!(info(0x7ff0).err(), Some(Errno::EINVAL));
    // The first domain from an id up.
    host().domains.remove(crate::domain::DomainId(0));
    let mut op = request(DomctlCmd::GETDOMAININFO, 0, |_| ());
    assert_eq!(run(&m.dom0, &mut op), Ok(0));
    assert_eq!(op.domain, DomId(1));
}

#[test]
fn pauses_are_counted() {
    let m = Machine::new();
    let pause = || ask(&m, DomctlCmd::PAUSEDOMAIN, 1, |_| ()).err();
    let unpause = || ask(&m, DomctlCmd::UNPAUSEDOMAIN, 1, |_| ()).err();
    assert_eq!(unpause(), Some(Errno::EINVAL));
    assert_eq!((pause(), pause()), (None, None));
    let info = ask(&m, DomctlCmd::GETDOMAININFO, 1, |_| ()).expect("info");
    assert_ne!(info.getdomaininfo().flags & XEN_DOMINF_PAUSED, 0);
    assert_eq!(m.dom1.domain.pause_count.load(Ordering::Relaxed), 2);
    assert_eq!((unpause(), unpause()), (None, None));
    assert_eq!(unpause(), Some(Errno::EINVAL));
    assert_eq!(m.dom1.domain.pause_count.load(Ordering::Relaxed), 0);
    for _ in 0..255 {
        assert_eq!(pause(), None);
    }
    assert_eq!(pause(), Some(Errno::EOVERFLOW));
}

#[test]
fn small_settings() {
    let m = Machine::new();
    let mem = DomctlMaxMem { max_memkb: 4096 };
    assert!(ask(&m, DomctlCmd::MAX_MEM, 1, |u| u.set_max_mem(mem)).is_ok());
    assert_eq!(m.dom1.domain.mem.max_pages(), 1024);
    let mem = DomctlMaxMem {
        max_memkb: u64::MAX,
    };
    assert!(ask(&m, DomctlCmd::MAX_MEM, 1, |u| u.set_max_mem(mem)).is_ok());
    assert_eq!(m.dom1.domain.mem.max_pages(), 0xffff_fffe);
    let handle = DomctlSetdomainhandle { handle: [9; 16] };
    assert!(
        ask(&m, DomctlCmd::SETDOMAINHANDLE, 0, |u| u
            .set_setdomainhandle(handle))
        .is_ok()
    );
    assert_eq!(m.dom0.domain.control.lock().handle, [9; 16]);
    let offset = DomctlSettimeoffset {
        time_offset_seconds: -60,
    };
    assert!(
        ask(&m, DomctlCmd::SETTIMEOFFSET, 1, |u| u
            .set_settimeoffset(offset))
        .is_ok()
    );
    assert_eq!(m.dom1.domain.control.lock().time_offset_seconds, -60);
    let vcpus = |max| {
        ask(&m, DomctlCmd::MAX_VCPUS, 1, |u| {
            u.set_max_vcpus(DomctlMaxVcpus { max })
        })
        .err()
    };
    assert_eq!(vcpus(1), None);
    assert_eq!(vcpus(2), Some(Errno::EINVAL));
    let virq = |virq: u32| {
        ask(&m, DomctlCmd::SET_VIRQ_HANDLER, 1, |u| {
            u.set_set_virq_handler(DomctlSetVirqHandler { virq })
        })
        .err()
    };
    assert_eq!(virq(Virq::DOM_EXC.0), None);
    assert_eq!(virq(Virq::TIMER.0), Some(Errno::EINVAL));
    assert_eq!(virq(u32::MAX), Some(Errno::EINVAL));
    let size = ask(&m, DomctlCmd::GET_ADDRESS_SIZE, 1, |_| ()).expect("size");
    assert_eq!(size.address_size().size, 64);
}

#[test]
fn vcpus_are_described() {
    let m = Machine::new();
    m.dom0.vcpu.down.store(false, Ordering::Release);
    let info = |domain, vcpu| {
        let op = DomctlGetvcpuinfo {
            vcpu,
            ..Default::default()
        };
        ask(&m, DomctlCmd::GETVCPUINFO, domain, |u| {
            u.set_getvcpuinfo(op)
        })
        .map(|u| u.getvcpuinfo())
    };
    assert_eq!(info(0, 0).expect("vcpu").online, 1);
    assert_eq!(info(0, 1).expect("vcpu").online, 0);
    assert_eq!(info(0, 2).err(), Some(Errno::EINVAL));
    assert_eq!(info(1, u32::MAX).err(), Some(Errno::EINVAL));
}

#[test]
fn affinity_is_read_and_changed() {
    let m = Machine::new();
    let affinity = |cmd, vcpu, flags, hard, soft| {
        let op = DomctlVcpuaffinity {
            vcpu,
            flags,
            cpumap_hard: hard,
            cpumap_soft: soft,
        };
        ask(&m, cmd, 1, |u| u.set_vcpuaffinity(op)).err()
    };
    let (hard, soft) = (map(ARRAY, 16), map(ARRAY + 16, 16));
    let both = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
    let (read, write) = (DomctlCmd::GETVCPUAFFINITY, DomctlCmd::SETVCPUAFFINITY);
    assert_eq!(affinity(read, 0, both, hard, soft), None);
    assert_eq!(bytes(ARRAY, 3), [3, 0, DIRT]);
    assert_eq!(bytes(ARRAY + 16, 3), [3, 0, DIRT]);
    assert_eq!(affinity(read, 1, both, hard, soft), Some(Errno::EINVAL));
    assert_eq!(affinity(read, 0, 0, hard, soft), Some(Errno::EINVAL));
    assert_eq!(
        affinity(read, 0, both, map(0, 16), soft),
        Some(Errno::EINVAL)
    );
    assert_eq!(
        affinity(read, 0, both, map(END, 16), soft),
        Some(Errno::EFAULT)
    );
    assert_eq!(
        affinity(read, 0, both, map(ARRAY, u32::MAX), soft),
        Some(Errno::EINVAL)
    );
    // CPU 1, and others that are not there: what is in force comes back.
    put(ARRAY, 0, &[0xfeu8, 0xff]);
    put(ARRAY + 16, 0, &[1u8, 0]);
    assert_eq!(affinity(write, 0, both, hard, soft), None);
    assert_eq!(bytes(ARRAY, 3), [2, 0, DIRT]);
    assert_eq!(bytes(ARRAY + 16, 2), [0, 0]);
    let info = m.dom1.vcpu.sched.info(0);
    assert!(info.hard.contains(1) && !info.hard.contains(0));
    assert!(info.soft.contains(0) && !info.soft.contains(1));
    // No CPU in service left: neither changes.
    put(ARRAY, 0, &[0xf0u8, 0]);
    put(ARRAY + 16, 0, &[2u8, 0]);
    let force = both | XEN_VCPUAFFINITY_FORCE;
    assert_eq!(affinity(write, 0, force, hard, soft), Some(Errno::EINVAL));
    assert!(m.dom1.vcpu.sched.info(0).soft.contains(0));
    // Bits beyond the caller's number do not count.
    put(ARRAY, 0, &[0xf2u8]);
    assert_eq!(
        affinity(write, 0, XEN_VCPUAFFINITY_HARD, map(ARRAY, 1), soft),
        Some(Errno::EINVAL)
    );
}

#[test]
fn node_affinity_is_all_nodes() {
    let m = Machine::new();
    let nodes = |cmd, nodemap| {
        ask(&m, cmd, 1, |u| {
            u.set_nodeaffinity(DomctlNodeaffinity { nodemap })
        })
        .err()
    };
    assert_eq!(nodes(DomctlCmd::GETNODEAFFINITY, map(ARRAY, 64)), None);
    assert_eq!(bytes(ARRAY, 9), [1, 0, 0, 0, 0, 0, 0, 0, DIRT]);
    assert_eq!(nodes(DomctlCmd::SETNODEAFFINITY, map(ARRAY, 64)), None);
    put(ARRAY, 0, &2u64);
    assert_eq!(
        nodes(DomctlCmd::SETNODEAFFINITY, map(ARRAY, 64)),
        Some(Errno::EINVAL)
    );
}

#[test]
fn weight_and_cap() {
    let m = Machine::new();
    let adjust = |sched_id, cmd, weight, cap| {
        let mut op = DomctlSchedulerOp {
            sched_id,
            cmd,
            ..Default::default()
        };
        op.u.set_credit2(DomctlSchedCredit2 { weight, cap });
        ask(&m, DomctlCmd::SCHEDULER_OP, 1, |u| u.set_scheduler_op(op)).map(|u| {
            let got = u.scheduler_op().u.credit2();
            (got.weight, got.cap)
        })
    };
    let (put, get) = (DomctlSchedOp::PUTINFO, DomctlSchedOp::GETINFO);
    let credit2 = Scheduler::CREDIT2;
    assert_eq!(adjust(credit2, get, 0, 0), Ok((256, 0)));
    assert_eq!(adjust(credit2, put, 512, 50), Ok((512, 50)));
    assert_eq!(adjust(credit2, put, 0, 0), Ok((0, 0)));
    assert_eq!(
        adjust(credit2, get, 0, 0),
        Ok((512, 0)),
        "weight 0 leaves it"
    );
    assert_eq!(adjust(credit2, put, 1, 101), Err(Errno::EINVAL));
    assert_eq!(adjust(credit2, get, 0, 0), Ok((512, 0)));
    assert_eq!(adjust(Scheduler::CREDIT, get, 0, 0), Err(Errno::EINVAL));
    assert_eq!(
        adjust(credit2, DomctlSchedOp::GETVCPUINFO, 0, 0),
        Err(Errno::EINVAL)
    );
}

#[test]
fn registers_come_back_as_they_were_given() {
    let m = Machine::new();
    let context = |domain, vcpu, at| {
        let op = DomctlVcpucontext {
            vcpu,
            ctxt: GuestHandle::new(at),
            ..Default::default()
        };
        ask(&m, DomctlCmd::GETVCPUCONTEXT, domain, |u| {
            u.set_vcpucontext(op)
        })
        .err()
    };
    assert_eq!(
        context(0, 0, ARRAY),
        Some(Errno::EINVAL),
        "the caller itself"
    );
    assert_eq!(
        context(0, 1, ARRAY),
        Some(Errno::ENODATA),
        "never initialised"
    );
    assert_eq!(context(1, 1, ARRAY), Some(Errno::EINVAL));
    let vcpu = &m.dom1.vcpu;
    vcpu.initialised.store(true, Ordering::Release);
    {
        let mut state = vcpu.pv().state();
        state.frame.rip = 0x1234;
        state.frame.rax = 7;
        state.iopl = 1;
        state.event_callback.rip = 0x5000;
        state.gdt_entries = 1;
        state.gdt[0] = arch::addr::Mfn::new(0x77);
        state.traps[14].rip = 0x6000;
        state.traps[14].dpl = 3;
    }
    assert_eq!(context(1, 0, ARRAY), None);
    let got: VcpuGuestContext = get(ARRAY, 0);
    assert_eq!((got.user_regs.rip, got.user_regs.rax), (0x1234, 7));
    assert_eq!(got.user_regs.rflags >> 12 & 3, 1);
    assert_eq!(got.event_callback_eip, 0x5000);
    assert_eq!(
        (got.gdt_ents, got.gdt_frames[0], got.gdt_frames[1]),
        (1, 0x77, 0)
    );
    let page_fault = got.trap_ctxt[14];
    assert_eq!((page_fault.vector, page_fault.flags), (14, 3));
    assert_eq!(got.flags & u64::from(VGCF_ONLINE), 0, "it is down");
    assert_ne!(got.flags & u64::from(VGCF_IN_KERNEL), 0);
    assert_eq!(vcpu.pause_count.load(Ordering::Relaxed), 0);
    assert_eq!(context(1, 0, END), Some(Errno::EFAULT));
}

#[test]
fn tsc_aux_is_carried_along() {
    const TSC_AUX: u32 = 0xc000_0103;
    haswell();
    let m = Machine::new();
    let msrs = |cmd, msr_count| {
        let op = DomctlVcpuMsrs {
            vcpu: 0,
            msr_count,
            msrs: GuestHandle::new(ARRAY),
        };
        let mut domctl = Domctl {
            cmd,
            interface_version: InterfaceVersion::CANONICAL,
            domain: DomId(1),
            ..Default::default()
        };
        domctl.u.set_vcpu_msrs(op);
        let result = call(do_domctl, &m.dom0, &mut domctl).map(|_| ());
        (result, domctl.u.vcpu_msrs().msr_count)
    };
    let set = |index, reserved, value| {
        let entry = DomctlVcpuMsr {
            index,
            reserved,
            value,
        };
        put(ARRAY, 0, &entry);
        msrs(DomctlCmd::SET_VCPU_MSRS, 1)
    };
    let get = |room| msrs(DomctlCmd::GET_VCPU_MSRS, room);
    assert_eq!(get(3), (Ok(()), 0));
    for (index, reserved, value) in [(TSC_AUX, 1, 5), (TSC_AUX, 0, 1 << 32), (0xc000_0080, 0, 5)] {
        assert_eq!(set(index, reserved, value), (Err(Errno::EINVAL), 0));
    }
    assert_eq!(msrs(DomctlCmd::SET_VCPU_MSRS, 8), (Err(Errno::EINVAL), 8));
    assert_eq!(set(TSC_AUX, 0, 0x1003), (Ok(()), 1));
    assert_eq!(m.dom1.vcpu.pv().state().tsc_aux, 0x1003);
    put(ARRAY, 0, &DomctlVcpuMsr::default());
    assert_eq!(get(0), (Err(Errno::ENOBUFS), 1));
    assert_eq!(get(1), (Ok(()), 1));
    let got: DomctlVcpuMsr = super::machine::get(ARRAY, 0);
    assert_eq!((got.index, got.value), (TSC_AUX, 0x1003));
    assert_eq!(m.dom1.vcpu.pause_count.load(Ordering::Relaxed), 0);
}

#[test]
fn msrs_and_policy() {
    let m = Machine::new();
    let msrs = |domain, vcpu, at| {
        let op = DomctlVcpuMsrs {
            vcpu,
            msr_count: 3,
            msrs: GuestHandle::new(at),
        };
        ask(&m, DomctlCmd::GET_VCPU_MSRS, domain, |u| {
            u.set_vcpu_msrs(op)
        })
        .map(|u| u.vcpu_msrs().msr_count)
    };
    assert_eq!(msrs(1, 0, 0), Ok(7));
    assert_eq!(msrs(1, 0, ARRAY), Ok(0));
    assert_eq!(msrs(1, 1, 0), Err(Errno::ESRCH));
    assert_eq!(msrs(0, 0, 0), Err(Errno::EINVAL));
    let policy = |nr_leaves, leaves| {
        let op = DomctlCpuPolicy {
            nr_leaves,
            leaves: GuestHandle::new(leaves),
            ..Default::default()
        };
        ask(&m, DomctlCmd::GET_CPU_POLICY, 1, |u| u.set_cpu_policy(op))
            .map(|u| u.cpu_policy().nr_leaves)
    };
    assert_eq!(policy(0, 0), Ok(120));
    assert!(policy(120, ARRAY).is_ok());
    assert_eq!(policy(1, ARRAY), Err(Errno::ENOBUFS));
}

#[test]
fn rights_are_given_by_those_who_have_them() {
    let m = Machine::new();
    let memory = |first_mfn, nr_mfns| {
        let op = DomctlIomemPermission {
            first_mfn,
            nr_mfns,
            allow_access: 1,
            ..Default::default()
        };
        ask(&m, DomctlCmd::IOMEM_PERMISSION, 1, |u| {
            u.set_iomem_permission(op)
        })
        .err()
    };
    assert_eq!(memory(0xfe000, 16), None);
    assert!(
        m.dom1
            .domain
            .mem
            .may_map_device(&m.dom1.domain, arch::addr::Mfn::new(0xfe00f))
    );
    assert_eq!(memory(0xfe000, 0), Some(Errno::EINVAL));
    assert_eq!(memory(u64::MAX, 2), Some(Errno::EINVAL));
    let ports = |first_port, nr_ports, allow_access| {
        let op = DomctlIoportPermission {
            first_port,
            nr_ports,
            allow_access,
            ..Default::default()
        };
        ask(&m, DomctlCmd::IOPORT_PERMISSION, 1, |u| {
            u.set_ioport_permission(op)
        })
        .err()
    };
    assert_eq!(ports(0x3f8, 8, 1), Some(Errno::EPERM), "dom0 has it not");
    m.dom0.domain.irqs.permit_ports(0x2f8, 0x3ff, true);
    assert_eq!(ports(0x3f8, 8, 1), None);
    assert!(m.dom1.domain.irqs.ports_permitted(0x3f8, 8));
    assert_eq!(ports(0x3f8, 8, 0), None);
    assert!(!m.dom1.domain.irqs.ports_permitted(0x3f8, 1));
    assert_eq!(ports(0x3ff, 2, 1), Some(Errno::EPERM));
    assert_eq!(ports(0, 0, 1), Some(Errno::EINVAL));
    assert_eq!(ports(0xffff, 2, 1), Some(Errno::EINVAL));
    assert_eq!(ports(u32::MAX, 2, 1), Some(Errno::EINVAL));
    let irq = DomctlIrqPermission {
        pirq: 9999,
        ..Default::default()
    };
    let answer = ask(&m, DomctlCmd::IRQ_PERMISSION, 1, |u| {
        u.set_irq_permission(irq)
    });
    assert_eq!(answer.err(), Some(Errno::EINVAL));
}

#[test]
fn frames_have_types() {
    let m = Machine::new();
    let own = host()
        .mm
        .alloc_domain_pages(&m.dom1.domain, 0, AllocFlags::default())
        .expect("memory");
    let types = |num, at| {
        let op = DomctlGetpageframeinfo3 {
            num,
            array: GuestHandle::new(at),
        };
        ask(&m, DomctlCmd::GETPAGEFRAMEINFO3, 1, |u| {
            u.set_getpageframeinfo3(op)
        })
        .err()
    };
    put(ARRAY, 0, &[own.get(), 3, u64::MAX]);
    assert_eq!(types(3, ARRAY), None);
    let xtab = u64::from(XEN_DOMCTL_PFINFO_XTAB);
    assert_eq!(get::<[u64; 3]>(ARRAY, 0), [0, xtab, xtab]);
    assert_eq!(types(1025, ARRAY), Some(Errno::E2BIG));
    assert_eq!(types(1, END), Some(Errno::EFAULT));
    let page = |gmfn| {
        ask(&m, DomctlCmd::HYPERCALL_INIT, 1, |u| {
            u.set_hypercall_init(DomctlHypercallInit { gmfn })
        })
        .err()
    };
    assert_eq!(page(own.get()), None);
    assert_ne!(arch::hosted::frame(own).read_u64(0), 0);
    assert_eq!(page(3), Some(Errno::EINVAL));
    assert_eq!(page(u64::MAX), Some(Errno::EINVAL));
}
