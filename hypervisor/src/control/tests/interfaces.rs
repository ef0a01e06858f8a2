//! The calls of `xl list` and `xl create` in every interface version, byte for byte: what the tools of each release put
//! into guest memory and expect back, written out by offsets and not with our structures.

use core::sync::atomic::Ordering;

use hypercall_abi::domctl::DomctlCmd;
use hypercall_abi::sysctl::SysctlCmd;
use hypercall_abi::xen::Hypercall;
use hypercall_abi::{Errno, versions};

use super::machine::*;
use crate::fail::Args;
use crate::hypercall::dispatch;

/// domctl versions with the length of getdomaininfo, and where creation has its fields: grant options, CPU pool, machine.
const DOMCTL: [(u32, usize); 7] = [
    (0x12, 104),
    (0x13, 104),
    (0x14, 112),
    (0x15, 112),
    (0x16, 112),
    (0x17, 112),
    (0x18, 112),
];

/// A request: header and argument in dirty memory.
fn begin(cmd: u32, version: u32, domain: Option<u16>, argument: &[u8]) {
    fill(ARG, 256);
    put(ARG, 0, &[cmd, version]);
    let mut at = ARG + 8;
    if let Some(domain) = domain {
        put(at, 0, &domain);
        at += 8;
    }
    for (i, byte) in (0..).zip(argument) {
        put(at, i, byte);
    }
}

fn ask(m: &Machine, hypercall: Hypercall) -> Result<u64, Errno> {
    let args = Args([ARG, 0, 0, 0, 0, 0]);
    settled(dispatch(&m.dom0, hypercall.0.into(), args))
}

fn u32_at(at: u64) -> u32 {
    u32::from_le_bytes(bytes(at, 4).try_into().expect("four"))
}

fn u64_at(at: u64) -> u64 {
    u64::from_le_bytes(bytes(at, 8).try_into().expect("eight"))
}

/// A domain's state at `at`, in the layout whose length is given.
fn check_info(m: &Machine, at: u64, len: usize) {
    let domain = &m.dom1.domain;
    assert_eq!(bytes(at, 2), [1, 0]);
    assert_eq!(bytes(at + 2, 2), [0, 0], "padding");
    assert_eq!(u64_at(at + 8), domain.mem.tot_pages());
    assert_eq!(u64_at(at + 16), 512, "the limit");
    assert_eq!(u64_at(at + 48), domain.shared_info.mfn().get());
    assert_eq!(u32_at(at + 64), 0, "vCPUs online");
    assert_eq!(u32_at(at + 68), 0, "highest vCPU");
    assert_eq!(bytes(at + 76, 16), [7; 16], "handle");
    assert_eq!(u32_at(at + 92), 0, "pool");
    match len {
        104 => assert_eq!(bytes(at + 96, 8), [0; 8], "machine"),
        _ => {
            assert_eq!(bytes(at + 97, 7), [0; 7], "padding");
            assert_eq!(bytes(at + 104, 8), [0; 8], "machine");
        }
    }
}

#[test]
fn every_version_lists_domains() {
    let m = Machine::new();
    m.dom1.domain.control.lock().handle = [7; 16];
    for (version, len) in DOMCTL {
        begin(DomctlCmd::GETDOMAININFO.0, version, Some(1), &[]);
        assert_eq!(ask(&m, Hypercall::DOMCTL), Ok(0), "{version:#x}");
        check_info(&m, ARG + 16, len);
    }
    // sysctl's list has the structure of the domctl that its release speaks.
    for (version, len) in [(0x13, 104), (0x14, 112), (0x15, 112), (0x16, 112)] {
        fill(ARRAY, 512);
        // first_domain, max_domains, the array.
        let mut list = [0; 24];
        list[4] = 8;
        list[8..16].copy_from_slice(&ARRAY.to_le_bytes());
        begin(SysctlCmd::GETDOMAININFOLIST.0, version, None, &list);
        assert_eq!(ask(&m, Hypercall::SYSCTL), Ok(0), "{version:#x}");
        assert_eq!(u32_at(ARG + 8 + 16), 2, "{version:#x}");
        assert_eq!(bytes(ARRAY, 2), [0, 0]);
        check_info(&m, ARRAY + len as u64, len);
        assert_eq!(bytes(ARRAY + 2 * len as u64, 1), [DIRT], "{version:#x}");
    }
}

#[test]
fn every_version_describes_the_host() {
    let m = Machine::new();
    for (version, pages_at) in [(0x13, 32), (0x14, 32), (0x15, 40), (0x16, 40)] {
        begin(SysctlCmd::PHYSINFO.0, version, None, &[]);
        assert_eq!(ask(&m, Hypercall::SYSCTL), Ok(0), "{version:#x}");
        let at = ARG + 8;
        assert_eq!(u32_at(at + 8), 2, "CPUs");
        assert_eq!(u32_at(at + 12), 1, "highest CPU");
        let capabilities = u32_at(at + 28);
        assert_ne!(capabilities & 2, 0, "PV");
        // Bits that the release has no name for stay clear.
        assert_eq!(capabilities >> 8 != 0, version > 0x13, "{version:#x}");
        if pages_at == 40 {
            assert_eq!(bytes(at + 32, 8), [0; 8]);
        }
        assert_eq!(u64_at(at + pages_at), FRAMES - 256, "{version:#x}");
        assert_eq!(u64_at(at + pages_at + 32), FRAMES - 1, "{version:#x}");
    }
}

/// `xen_domctl_createdomain` as each release lays it out: 2 vCPUs, 1023 ports, 64 and 1024 frames of grants.
fn creation(version: u32) -> Vec<u8> {
    let mut out = vec![0; 20];
    let mut put = |value: u32| out.extend(value.to_le_bytes());
    put(0); // flags
    put(0); // iommu_opts
    put(2); // max_vcpus
    put(1023); // max_evtchn_port
    put(64); // max_grant_frames
    put(1024); // max_maptrack_frames
    if version >= 0x14 {
        put(1); // grant_opts: version 1
    }
    if version >= 0x17 {
        put(0); // altp2m: none
    }
    if version >= 0x13 {
        put(0); // vmtrace_size
    }
    if version >= 0x15 {
        put(0); // cpupool_id
    }
    put(0); // emulation_flags
    if version >= 0x13 {
        put(1); // misc_flags: relaxed MSRs
    }
    out
}

#[test]
fn every_version_s_creation_means_the_same() {
    for (version, _) in DOMCTL {
        let layouts = versions::domctl(hypercall_abi::domctl::InterfaceVersion(version));
        let layouts = layouts.expect("spoken");
        let mut u = hypercall_abi::domctl::DomctlU::default();
        let bytes = creation(version);
        zerocopy::IntoBytes::as_mut_bytes(&mut u)[..bytes.len()].copy_from_slice(&bytes);
        let asked = layouts.request(DomctlCmd::CREATEDOMAIN, &u);
        let Ok(versions::Request::Ask(canonical)) = asked else {
            panic!("{version:#x}: {asked:?}");
        };
        let c = canonical.createdomain();
        assert_eq!((c.max_vcpus, c.max_evtchn_port), (2, 1023), "{version:#x}");
        assert_eq!((c.max_grant_frames, c.max_maptrack_frames), (64, 1024));
        let grants = if version >= 0x14 { 1 } else { 2 };
        assert_eq!(
            c.grant_opts, grants,
            "{version:#x}: what 4.14 and 4.15 meant"
        );
        assert_eq!((c.vmtrace_size, c.cpupool_id), (0, 0));
        assert_eq!(c.arch.emulation_flags, 0);
        assert_eq!(
            c.arch.misc_flags,
            u32::from(version >= 0x13),
            "{version:#x}"
        );
        // The tools find their request as they wrote it.
        let reply = layouts.reply(DomctlCmd::CREATEDOMAIN, &canonical, &u);
        assert_eq!(reply, u);
        // Flags that a release had no name for are refused as it would.
        for flag in [1 << 31, 1 << 9] {
            let mut odd = u;
            zerocopy::IntoBytes::as_mut_bytes(&mut odd)[20..24]
                .copy_from_slice(&u32::to_le_bytes(flag));
            let answer = layouts.request(DomctlCmd::CREATEDOMAIN, &odd);
            if !(0x14..=0x16).contains(&version) {
                assert_eq!(answer, Err(Errno::EINVAL), "{version:#x} {flag:#x}");
            }
        }
        // Alternate maps in some mode; none, but room for one of them.
        for altp2m in [1u32, 1 << 16] {
            let mut odd = u;
            zerocopy::IntoBytes::as_mut_bytes(&mut odd)[48..52]
                .copy_from_slice(&altp2m.to_le_bytes());
            let answer = layouts.request(DomctlCmd::CREATEDOMAIN, &odd);
            if version >= 0x17 {
                assert_eq!(answer, Err(Errno::EINVAL), "{version:#x} {altp2m:#x}");
            }
        }
    }
}

#[test]
fn interrupts_in_one_byte_are_understood() {
    let m = Machine::new();
    for version in [0x12, 0x13] {
        // Pirq 255 of the bytes {255, 1}; what lies behind them is not part of it.
        begin(DomctlCmd::IRQ_PERMISSION.0, version, Some(1), &[255, 1]);
        let answer = ask(&m, Hypercall::DOMCTL);
        assert!(matches!(answer, Err(Errno::EPERM | Errno::EINVAL)));
    }
    let layouts = versions::domctl(hypercall_abi::domctl::InterfaceVersion(0x12));
    let mut u = hypercall_abi::domctl::DomctlU([u64::MAX; 16]);
    zerocopy::IntoBytes::as_mut_bytes(&mut u)[..2].copy_from_slice(&[9, 1]);
    let asked = layouts
        .expect("spoken")
        .request(DomctlCmd::IRQ_PERMISSION, &u);
    let Ok(versions::Request::Ask(asked)) = asked else {
        panic!("{asked:?}");
    };
    let asked = asked.irq_permission();
    assert_eq!((asked.pirq, asked.allow_access, asked.pad), (9, 1, [0; 3]));
}

#[test]
fn commands_are_those_of_the_version() {
    let m = Machine::new();
    let answer = |cmd: u32, version| {
        begin(cmd, version, Some(1), &[0; 128]);
        ask(&m, Hypercall::DOMCTL)
    };
    // Kept by 4.14 for its tools, gone since.
    assert_eq!(answer(58, 0x12), Ok(0));
    begin(58, 0x12, Some(9), &[]);
    assert_eq!(ask(&m, Hypercall::DOMCTL), Err(Errno::ESRCH));
    for version in 0x13..=0x18 {
        assert_eq!(answer(58, version), Err(Errno::ENOSYS), "{version:#x}");
    }
    let (trace, pool) = (
        DomctlCmd::VMTRACE_OP.0,
        DomctlCmd::GET_PAGING_MEMPOOL_SIZE.0,
    );
    assert_eq!(answer(trace, 0x12), Err(Errno::ENOSYS));
    assert_eq!(answer(trace, 0x13), Err(Errno::EOPNOTSUPP));
    assert_eq!(answer(pool, 0x14), Err(Errno::ENOSYS));
    assert_eq!(answer(pool, 0x15), Err(Errno::EOPNOTSUPP));
    // 4.20's and 4.21's additions.
    for cmd in [87, 88, 89] {
        for version in 0x12..=0x18 {
            assert_eq!(
                answer(cmd, version),
                Err(Errno::ENOSYS),
                "{cmd} {version:#x}"
            );
        }
    }
}

#[test]
fn small_requests_work_in_every_version() {
    let m = Machine::new();
    for (version, _) in DOMCTL {
        // max_mem in KiB, then a pause and its end: what every create does.
        begin(
            DomctlCmd::MAX_MEM.0,
            version,
            Some(1),
            &4096u64.to_le_bytes(),
        );
        assert_eq!(ask(&m, Hypercall::DOMCTL), Ok(0));
        assert_eq!(m.dom1.domain.mem.max_pages(), 1024);
        m.dom1.domain.mem.set_max_pages(512);
        begin(DomctlCmd::PAUSEDOMAIN.0, version, Some(1), &[]);
        assert_eq!(ask(&m, Hypercall::DOMCTL), Ok(0));
        assert_eq!(m.dom1.domain.pause_count.load(Ordering::SeqCst), 1);
        begin(DomctlCmd::UNPAUSEDOMAIN.0, version, Some(1), &[]);
        assert_eq!(ask(&m, Hypercall::DOMCTL), Ok(0));
        assert_eq!(m.dom1.domain.pause_count.load(Ordering::SeqCst), 0);
        // getvcpuinfo: the vCPU's number goes in, its state comes out.
        begin(DomctlCmd::GETVCPUINFO.0, version, Some(1), &[0; 4]);
        assert_eq!(ask(&m, Hypercall::DOMCTL), Ok(0));
        assert_eq!(bytes(ARG + 16 + 4, 4), [0, 0, 0, 0]);
    }
}
