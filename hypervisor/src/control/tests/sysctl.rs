use hypercall_abi::arch_x86::CpuidLeaf;
use hypercall_abi::domctl::{DomctlGetdomaininfo, Scheduler};
use hypercall_abi::sysctl::*;
use hypercall_abi::xen::DomId;
use hypercall_abi::{Errno, GuestHandle};

use super::machine::*;
use crate::control::do_sysctl;
use crate::domain::Context;
use crate::host::host;

fn request(cmd: SysctlCmd, set: impl FnOnce(&mut SysctlU)) -> Sysctl {
    let mut op = Sysctl {
        cmd,
        interface_version: InterfaceVersion::CANONICAL,
        ..Default::default()
    };
    set(&mut op.u);
    op
}

fn run(cx: &Context, op: &mut Sysctl) -> Result<u64, Errno> {
    call(do_sysctl, cx, op)
}

/// As dom0; the answer's union.
fn ask(m: &Machine, cmd: SysctlCmd, set: impl FnOnce(&mut SysctlU)) -> Result<SysctlU, Errno> {
    let mut op = request(cmd, set);
    run(&m.dom0, &mut op).map(|value| {
        assert_eq!(value, 0);
        op.u
    })
}

#[test]
fn only_dom0_with_the_right_version_gets_in() {
    let m = Machine::new();
    let mut op = request(SysctlCmd::SCHED_ID, |_| ());
    assert_eq!(run(&m.dom1, &mut op), Err(Errno::EPERM));
    assert_eq!(run(&m.dom0, &mut op), Ok(0));
    assert_eq!(op.u.sched_id().sched_id, Scheduler::CREDIT2);
    for version in [0, 0x12, 0x17, u32::MAX] {
        op.interface_version = InterfaceVersion(version);
        assert_eq!(run(&m.dom0, &mut op), Err(Errno::EACCES), "{version:#x}");
    }
    let args = crate::fail::Args([END - 8, 0, 0, 0, 0, 0]);
    assert_eq!(settled(do_sysctl(&m.dom0, args)), Err(Errno::EFAULT));
}

#[test]
fn what_is_not_offered_is_refused() {
    let m = Machine::new();
    for (cmd, errno) in [
        (SysctlCmd::TBUF_OP, Errno::ENOSYS),
        (SysctlCmd::PERFC_OP, Errno::ENOSYS),
        (SysctlCmd::LOCKPROF_OP, Errno::ENOSYS),
        (SysctlCmd::LIVEPATCH_OP, Errno::ENOSYS),
        (SysctlCmd::COVERAGE_OP, Errno::EOPNOTSUPP),
        (SysctlCmd::CPU_HOTPLUG, Errno::EOPNOTSUPP),
        (SysctlCmd::PAGE_OFFLINE_OP, Errno::EOPNOTSUPP),
        (SysctlCmd::PSR_CMT_OP, Errno::ENODEV),
        (SysctlCmd::PSR_ALLOC, Errno::ENODEV),
        (SysctlCmd(28), Errno::ENOSYS),
        (SysctlCmd(4711), Errno::ENOSYS),
    ] {
        assert_eq!(ask(&m, cmd, |_| ()).err(), Some(errno), "{cmd:?}");
    }
    let stat = |r#type, cpuid| {
        let op = SysctlGetPmstat {
            r#type,
            cpuid,
            ..Default::default()
        };
        ask(&m, SysctlCmd::GET_PMSTAT, |u| u.set_get_pmstat(op)).err()
    };
    assert_eq!(stat(PmStat::GET_MAX_PX.0, 0), Some(Errno::ENODEV));
    assert_eq!(stat(PmStat::GET_MAX_CX.0, 1), Some(Errno::ENODEV));
    assert_eq!(stat(PmStat::GET_MAX_CX.0, 2), Some(Errno::EINVAL));
    let power = SysctlPmOp {
        cmd: GET_CPUFREQ_PARA,
        ..Default::default()
    };
    let answer = ask(&m, SysctlCmd::PM_OP, |u| u.set_pm_op(power));
    assert_eq!(answer.err(), Some(Errno::ENODEV));
}

#[test]
fn host_is_described() {
    let m = Machine::new();
    let info = ask(&m, SysctlCmd::PHYSINFO, |u| u.0 = [u64::MAX; 16]).expect("answer");
    let info = info.physinfo();
    assert_eq!((info.nr_cpus, info.max_cpu_id), (2, 1));
    assert_eq!((info.nr_nodes, info.max_node_id), (1, 63));
    assert_eq!(info.total_pages, FRAMES - 256);
    assert_eq!(info.free_pages, FRAMES - 256 - 2);
    // The tools are not offered what no domain gets.
    host().mm.set_reserve(30);
    let less = ask(&m, SysctlCmd::PHYSINFO, |_| ()).expect("answer");
    assert_eq!(less.physinfo().free_pages, info.free_pages - 30);
    assert_eq!(info.max_mfn, FRAMES - 1);
    assert_eq!(
        (info.pad, info.scrub_pages, info.arch_capabilities),
        (0, 0, 0)
    );
    assert_ne!(info.capabilities & XEN_SYSCTL_PHYSCAP_PV, 0);
    assert_eq!(info.capabilities & XEN_SYSCTL_PHYSCAP_HVM, 0);
    assert!(info.threads_per_core >= 1 && info.cores_per_socket >= 1);
}

#[test]
fn free_memory_by_address() {
    let m = Machine::new();
    let free = |min_bitwidth, max_bitwidth, node| {
        let op = SysctlAvailheap {
            min_bitwidth,
            max_bitwidth,
            node,
            ..Default::default()
        };
        let answer = ask(&m, SysctlCmd::AVAILHEAP, |u| u.set_availheap(op));
        answer.expect("answer").availheap().avail_bytes >> 12
    };
    assert_eq!(free(0, 0, -1), FRAMES - 258);
    assert_eq!(free(0, 0, 0), FRAMES - 258);
    assert_eq!(free(0, 0, 1), 0);
    assert_eq!(free(0, 64, -1), FRAMES - 258);
    assert_eq!(free(33, 0, -1), 0);
    assert_eq!(free(u32::MAX, u32::MAX, i32::MIN), 0);
}

#[test]
fn cpus_are_listed() {
    let m = Machine::new();
    let topology = |num_cpus, array| {
        let op = SysctlCputopoinfo {
            num_cpus,
            cputopo: GuestHandle::new(array),
            ..Default::default()
        };
        ask(&m, SysctlCmd::CPUTOPOINFO, |u| u.set_cputopoinfo(op)).map(|u| u.cputopoinfo().num_cpus)
    };
    assert_eq!(topology(0, 0), Ok(2));
    assert_eq!(topology(1, ARRAY), Ok(1));
    assert_eq!(bytes(ARRAY + 12, 1), [DIRT]);
    assert_eq!(topology(9, ARRAY), Ok(2));
    assert_eq!(get::<SysctlCputopo>(ARRAY, 1).socket, 2);
    assert_eq!(topology(9, END), Err(Errno::EFAULT));
    let idle = |max_cpus, array| {
        let op = SysctlGetcpuinfo {
            max_cpus,
            info: GuestHandle::new(array),
            ..Default::default()
        };
        ask(&m, SysctlCmd::GETCPUINFO, |u| u.set_getcpuinfo(op)).map(|u| u.getcpuinfo().nr_cpus)
    };
    assert_eq!(idle(100, ARRAY), Ok(2));
    assert_eq!(idle(1, ARRAY), Ok(1));
    assert_eq!(idle(1, END), Err(Errno::EFAULT));
}

#[test]
fn nodes_and_devices() {
    let m = Machine::new();
    let numa = |num_nodes, meminfo, distance| {
        let op = SysctlNumainfo {
            num_nodes,
            meminfo: GuestHandle::new(meminfo),
            distance: GuestHandle::new(distance),
            ..Default::default()
        };
        ask(&m, SysctlCmd::NUMAINFO, |u| u.set_numainfo(op)).map(|u| u.numainfo().num_nodes)
    };
    assert_eq!(numa(0, 0, 0), Ok(1));
    assert_eq!(numa(8, ARRAY, ARRAY + 64), Ok(1));
    assert_eq!(get::<SysctlMeminfo>(ARRAY, 0).memfree, (FRAMES - 258) << 12);
    assert_eq!(get::<u32>(ARRAY + 64, 0), 10);
    assert_eq!(numa(8, ARRAY, END), Err(Errno::EFAULT));
    let pci = |num_devs, devs, nodes| {
        let op = SysctlPcitopoinfo {
            num_devs,
            devs: GuestHandle::new(devs),
            nodes: GuestHandle::new(nodes),
            ..Default::default()
        };
        ask(&m, SysctlCmd::PCITOPOINFO, |u| u.set_pcitopoinfo(op)).map(|u| u.pcitopoinfo().num_devs)
    };
    assert_eq!(pci(1, 0, ARRAY), Err(Errno::EINVAL));
    assert_eq!(pci(1, ARRAY, ARRAY + 64), Ok(1));
    assert_eq!(get::<u32>(ARRAY + 64, 0), XEN_INVALID_DEV);
    assert_eq!(pci(u32::MAX, ARRAY, ARRAY + 512), Ok(64));
}

#[test]
fn domains_are_listed() {
    let m = Machine::new();
    let list = |first, max_domains, buffer| {
        let op = SysctlGetdomaininfolist {
            first_domain: DomId(first),
            max_domains,
            buffer: GuestHandle::new(buffer),
            ..Default::default()
        };
        ask(&m, SysctlCmd::GETDOMAININFOLIST, |u| {
            u.set_getdomaininfolist(op)
        })
        .map(|u| u.getdomaininfolist().num_domains)
    };
    assert_eq!(list(0, 10, ARRAY), Ok(2));
    assert_eq!(get::<DomctlGetdomaininfo>(ARRAY, 0).max_vcpu_id, 1);
    assert_eq!(get::<DomctlGetdomaininfo>(ARRAY, 1).domain, DomId(1));
    assert_eq!(list(1, 10, ARRAY), Ok(1));
    assert_eq!(list(2, 10, ARRAY), Ok(0));
    assert_eq!(list(0, 0, 0), Ok(0));
    assert_eq!(list(0, 1, END), Err(Errno::EFAULT));
}

#[test]
fn features_and_policies() {
    let m = Machine::new();
    let features = |index: CpuFeaturesetIndex, nr_features, array| {
        let op = SysctlCpuFeatureset {
            index: index.0,
            nr_features,
            features: GuestHandle::new(array),
        };
        let mut op = request(SysctlCmd::GET_CPU_FEATURESET, |u| u.set_cpu_featureset(op));
        let result = run(&m.dom0, &mut op);
        (result, op.u.cpu_featureset().nr_features)
    };
    assert_eq!(features(CpuFeaturesetIndex::HOST, 0, 0), (Ok(0), 19));
    assert_eq!(features(CpuFeaturesetIndex::PV, 40, ARRAY), (Ok(0), 19));
    assert_eq!(
        features(CpuFeaturesetIndex::RAW, 2, ARRAY),
        (Err(Errno::ENOBUFS), 2)
    );
    assert_eq!(
        features(CpuFeaturesetIndex::HVM, 19, ARRAY).0,
        Err(Errno::EOPNOTSUPP)
    );
    assert_eq!(
        features(CpuFeaturesetIndex(6), 19, ARRAY).0,
        Err(Errno::EINVAL)
    );
    assert_eq!(
        features(CpuFeaturesetIndex::PV, 19, END).0,
        Err(Errno::EFAULT)
    );
    let policy = |op: SysctlCpuPolicy| {
        ask(&m, SysctlCmd::GET_CPU_POLICY, |u| u.set_cpu_policy(op)).map(|u| u.cpu_policy())
    };
    let sizes = policy(SysctlCpuPolicy::default()).expect("sizes");
    assert_eq!((sizes.nr_leaves, sizes.nr_msrs), (120, 2));
    let wanted = SysctlCpuPolicy {
        index: CpuPolicyIndex::PV_DEFAULT.0,
        nr_leaves: 120,
        nr_msrs: 2,
        leaves: GuestHandle::new(ARRAY),
        msrs: GuestHandle::new(ARRAY + 0x1000),
        ..Default::default()
    };
    let got = policy(wanted).expect("policy");
    assert!((3..=120).contains(&got.nr_leaves));
    assert_eq!(get::<CpuidLeaf>(ARRAY, 0).subleaf, u32::MAX);
    let with = |change: fn(&mut SysctlCpuPolicy)| {
        let mut op = wanted;
        change(&mut op);
        policy(op).err()
    };
    assert_eq!(with(|p| p.nr_leaves = 2), Some(Errno::ENOBUFS));
    assert_eq!(with(|p| p.nr_msrs = 1), Some(Errno::ENOBUFS));
    assert_eq!(with(|p| p._rsvd = 1), Some(Errno::EINVAL));
    assert_eq!(with(|p| p.index = 6), Some(Errno::EINVAL));
    assert_eq!(with(|p| p.index = 3), Some(Errno::EOPNOTSUPP));
    assert_eq!(
        with(|p| p.leaves = GuestHandle::new(END)),
        Some(Errno::EFAULT)
    );
    let caps = ask(&m, SysctlCmd::GET_CPU_LEVELLING_CAPS, |_| ()).expect("answer");
    assert_eq!(caps.cpu_levelling_caps().caps, 0);
}

#[test]
fn console_is_read_and_keys_are_pressed() {
    let m = Machine::new();
    let read = |count, buffer| {
        let op = SysctlReadconsole {
            count,
            buffer: GuestHandle::new(buffer),
            ..Default::default()
        };
        ask(&m, SysctlCmd::READCONSOLE, |u| u.set_readconsole(op)).map(|u| u.readconsole())
    };
    assert_eq!(read(0, 0).expect("answer").count, 0);
    let got = read(u32::MAX, ARRAY).expect("answer");
    assert!(got.count <= crate::console::ring::SIZE);
    let keys = |nr_keys, keys| {
        let op = SysctlDebugKeys {
            keys: GuestHandle::new(keys),
            nr_keys,
            ..Default::default()
        };
        ask(&m, SysctlCmd::DEBUG_KEYS, |u| u.set_debug_keys(op)).err()
    };
    put(ARRAY, 0, b"h");
    assert_eq!(keys(1, ARRAY), None);
    assert_eq!(keys(1, END), Some(Errno::EFAULT));
    assert_eq!(keys(1000, ARRAY), Some(Errno::E2BIG));
}
