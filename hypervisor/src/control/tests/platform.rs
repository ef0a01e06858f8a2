use hypercall_abi::platform::*;
use hypercall_abi::{Errno, GuestHandle};

use super::machine::*;
use crate::control::do_platform_op;
use crate::domain::Context;
use crate::time;

fn request(cmd: PlatformOp, set: impl FnOnce(&mut PlatformOpArgU)) -> PlatformOpArg {
    let mut op = PlatformOpArg {
        cmd,
        interface_version: XENPF_INTERFACE_VERSION,
        ..Default::default()
    };
    set(&mut op.u);
    op
}

fn run(cx: &Context, op: &mut PlatformOpArg) -> Result<u64, Errno> {
    call(do_platform_op, cx, op)
}

fn ask(m: &Machine, cmd: PlatformOp, set: impl FnOnce(&mut PlatformOpArgU)) -> Result<u64, Errno> {
    run(&m.dom0, &mut request(cmd, set))
}

#[test]
fn only_dom0_with_the_right_version_gets_in() {
    let m = Machine::new();
    let mut op = request(PlatformOp::GET_CPUINFO, |_| ());
    assert_eq!(run(&m.dom1, &mut op), Err(Errno::EPERM));
    assert_eq!(run(&m.dom0, &mut op), Ok(0));
    op.interface_version += 1;
    assert_eq!(run(&m.dom0, &mut op), Err(Errno::EACCES));
    assert_eq!(ask(&m, PlatformOp(64), |_| ()), Err(Errno::ENOSYS));
    let past_the_end = crate::fail::Args([END - 8, 0, 0, 0, 0, 0]);
    assert_eq!(
        settled(do_platform_op(&m.dom0, past_the_end)),
        Err(Errno::EFAULT)
    );
}

#[test]
fn wall_clock_is_set() {
    let m = Machine::new();
    let mut t = XenpfSettime64 {
        secs: 1_700_000_000,
        nsecs: 5,
        mbz: 0,
        system_time: 1_000_000_005,
    };
    assert_eq!(
        ask(&m, PlatformOp::SETTIME64, |u| u.set_settime64(t)),
        Ok(0)
    );
    let wall = time::wallclock();
    assert_eq!((wall.seconds, wall.nanos), (1_699_999_999, 0));
    t.mbz = 1;
    let refused = ask(&m, PlatformOp::SETTIME64, |u| u.set_settime64(t));
    assert_eq!(refused, Err(Errno::EINVAL));
    let old = XenpfSettime32 {
        secs: 1_600_000_000,
        nsecs: 0,
        system_time: 0,
    };
    assert_eq!(
        ask(&m, PlatformOp::SETTIME32, |u| u.set_settime32(old)),
        Ok(0)
    );
    assert_eq!(time::wallclock().seconds, 1_600_000_000);
}

#[test]
fn what_is_not_offered_is_refused() {
    let m = Machine::new();
    let refused = |cmd| ask(&m, cmd, |_| ()).expect_err("refused");
    assert_eq!(refused(PlatformOp::ADD_MEMTYPE), Errno::ENXIO);
    assert_eq!(refused(PlatformOp::DEL_MEMTYPE), Errno::ENXIO);
    assert_eq!(refused(PlatformOp::READ_MEMTYPE), Errno::EINVAL);
    assert_eq!(refused(PlatformOp::MICROCODE_UPDATE), Errno::EINVAL);
    assert_eq!(refused(PlatformOp::EFI_RUNTIME_CALL), Errno::ENOSYS);
    assert_eq!(refused(PlatformOp::CHANGE_FREQ), Errno::ENOSYS);
    assert_eq!(refused(PlatformOp::GETIDLETIME), Errno::ENOSYS);
    assert_eq!(refused(PlatformOp::CPU_HOTADD), Errno::EOPNOTSUPP);
    assert_eq!(refused(PlatformOp::MEM_HOTADD), Errno::EINVAL);
    assert_eq!(refused(PlatformOp::PLATFORM_QUIRK), Errno::EINVAL);
    let bad = XenpfDelMemtype { handle: 1, reg: 0 };
    let answer = ask(&m, PlatformOp::DEL_MEMTYPE, |u| u.set_del_memtype(bad));
    assert_eq!(answer, Err(Errno::EINVAL));
    // No ACPI on the simulated machine: no registers to write.
    assert_eq!(refused(PlatformOp::ENTER_ACPI_SLEEP), Errno::EPERM);
}

#[test]
fn firmware_left_nothing() {
    let m = Machine::new();
    for (kind, errno) in [
        (FirmwareInfoType::DISK_INFO, Errno::ESRCH),
        (FirmwareInfoType::DISK_MBR_SIGNATURE, Errno::ESRCH),
        (FirmwareInfoType::VBEDDC_INFO, Errno::ESRCH),
        (FirmwareInfoType::EFI_INFO, Errno::ENOSYS),
        (FirmwareInfoType::KBD_SHIFT_FLAGS, Errno::ESRCH),
        (FirmwareInfoType(6), Errno::EINVAL),
    ] {
        let info = XenpfFirmwareInfo {
            r#type: kind.0,
            ..Default::default()
        };
        let answer = ask(&m, PlatformOp::FIRMWARE_INFO, |u| u.set_firmware_info(info));
        assert_eq!(answer, Err(errno), "{kind:?}");
    }
}

#[test]
fn cpus_are_described() {
    let m = Machine::new();
    let describe = |xen_cpuid| {
        let info = XenpfPcpuinfo {
            xen_cpuid,
            ..Default::default()
        };
        let mut op = request(PlatformOp::GET_CPUINFO, |u| u.set_pcpu_info(info));
        assert_eq!(run(&m.dom0, &mut op), Ok(0));
        op.u.pcpu_info()
    };
    let second = describe(1);
    assert_eq!((second.flags, second.apic_id), (XEN_PCPU_FLAGS_ONLINE, 2));
    assert_eq!(second.max_present, 1);
    assert_eq!(describe(2).flags, XEN_PCPU_FLAGS_INVALID);
    assert_eq!(describe(u32::MAX).flags, XEN_PCPU_FLAGS_INVALID);
    let version = XenpfPcpuVersion {
        xen_cpuid: 9,
        family: 9,
        ..Default::default()
    };
    let mut op = request(PlatformOp::GET_CPU_VERSION, |u| u.set_pcpu_version(version));
    assert_eq!(run(&m.dom0, &mut op), Ok(0));
    assert_eq!(op.u.pcpu_version().family, 0);
}

#[test]
fn cpus_stay_as_they_are() {
    let m = Machine::new();
    let ask_cpu = |cmd, cpuid| ask(&m, cmd, |u| u.set_cpu_ol(XenpfCpuOl { cpuid }));
    assert_eq!(ask_cpu(PlatformOp::CPU_ONLINE, 1), Ok(0));
    assert_eq!(ask_cpu(PlatformOp::CPU_ONLINE, 2), Err(Errno::EINVAL));
    assert_eq!(ask_cpu(PlatformOp::CPU_OFFLINE, 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(ask_cpu(PlatformOp::CPU_OFFLINE, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(ask_cpu(PlatformOp::CPU_OFFLINE, 7), Err(Errno::EINVAL));
    for (kind, idle_nums, answer) in [
        (XEN_CORE_PARKING_SET, 0, Ok(0)),
        (XEN_CORE_PARKING_SET, 1, Err(Errno::EOPNOTSUPP)),
        (XEN_CORE_PARKING_GET, 4, Ok(0)),
        (3, 0, Err(Errno::EINVAL)),
    ] {
        let parking = XenpfCoreParking {
            r#type: kind,
            idle_nums,
        };
        let got = ask(&m, PlatformOp::CORE_PARKING, |u| {
            u.set_core_parking(parking)
        });
        assert_eq!(got, answer);
    }
}

fn pm_info(
    id: u32,
    kind: PmClass,
    set: impl FnOnce(&mut XenpfSetProcessorPminfoU),
) -> XenpfSetProcessorPminfo {
    let mut info = XenpfSetProcessorPminfo {
        id,
        r#type: kind.0,
        ..Default::default()
    };
    set(&mut info.u);
    info
}

#[test]
fn power_management_data_is_checked() {
    let m = Machine::new();
    let ask = |info| {
        ask(&m, PlatformOp::SET_PROCESSOR_PMINFO, |u| {
            u.set_set_pminfo(info)
        })
    };
    let cx = |id, count, states| {
        let power = ProcessorPower {
            count,
            states: GuestHandle::new(states),
            ..Default::default()
        };
        ask(pm_info(id, PmClass::CX, |u| u.set_power(power)))
    };
    assert_eq!(cx(2, 3, ARRAY), Ok(0));
    assert_eq!(cx(1, 3, ARRAY), Err(Errno::EINVAL), "no CPU of that id");
    assert_eq!(cx(2, 3, END), Err(Errno::EFAULT));
    assert_eq!(cx(2, u32::MAX, ARRAY), Err(Errno::EINVAL));
    let px = |change: fn(&mut ProcessorPerformance)| {
        let mut perf = ProcessorPerformance {
            flags: XEN_PX_PCT | XEN_PX_PSS | XEN_PX_PSD,
            state_count: 2,
            states: GuestHandle::new(ARRAY),
            shared_type: XEN_CPUPERF_SHARED_TYPE_ALL,
            ..Default::default()
        };
        change(&mut perf);
        ask(pm_info(0, PmClass::PX, |u| u.set_perf(perf)))
    };
    assert_eq!(px(|_| ()), Ok(0));
    assert_eq!(px(|p| p.state_count = 1), Err(Errno::EINVAL));
    assert_eq!(px(|p| p.state_count = 256), Err(Errno::EINVAL));
    assert_eq!(px(|p| p.control_register.space_id = 1), Err(Errno::EINVAL));
    assert_eq!(px(|p| p.shared_type = 0), Err(Errno::EINVAL));
    assert_eq!(px(|p| p.states = GuestHandle::new(END)), Err(Errno::EFAULT));
    let tx = ask(pm_info(0, PmClass::TX, |_| ()));
    assert_eq!(tx, Err(Errno::ENOSYS));
    assert_eq!(ask(pm_info(0, PmClass(9), |_| ())), Err(Errno::EINVAL));
    put(ARRAY, 0, &[1u32, 1, 0xffff]);
    let pdc = || {
        ask(pm_info(0, PmClass::PDC, |u| {
            u.set_pdc(GuestHandle::new(ARRAY))
        }))
    };
    assert_eq!(pdc(), Ok(0));
    assert_eq!(get::<[u32; 3]>(ARRAY, 0), [1, 1, 0xf000]);
    put(ARRAY, 0, &[2u32, 1, 0]);
    assert_eq!(pdc(), Err(Errno::EINVAL));
}

#[test]
fn resources_are_the_time_and_nothing_else() {
    let m = Machine::new();
    let run = |cpu, nr_entries, entries: &[XenpfResourceEntry]| {
        for (i, e) in (0..).zip(entries) {
            put(ARRAY, i, e);
        }
        let op = XenpfResourceOp {
            nr_entries,
            cpu,
            entries: GuestHandle::new(ARRAY),
        };
        ask(&m, PlatformOp::RESOURCE_OP, |u| u.set_resource_op(op))
    };
    let entry = |cmd, idx| {
        let mut e = XenpfResourceEntry {
            idx,
            ..Default::default()
        };
        e.u.set_cmd(cmd);
        e
    };
    let (read, write) = (ResourceOp::MSR_READ.0, ResourceOp::MSR_WRITE.0);
    assert_eq!(run(0, 0, &[]), Ok(0));
    assert_eq!(run(0, 4, &[]), Err(Errno::EINVAL));
    assert_eq!(
        run(0, 2, &[entry(read, 0x10), entry(read, 0xc000_0080)]),
        Ok(1)
    );
    let second: XenpfResourceEntry = get(ARRAY, 1);
    assert_eq!(second.u.ret(), -Errno::EPERM.0);
    assert_eq!(run(0, 1, &[entry(write, 0x10)]), Ok(0));
    assert_eq!(run(0, 1, &[entry(7, 0x10)]), Ok(0));
    assert_eq!(
        get::<XenpfResourceEntry>(ARRAY, 0).u.ret(),
        -Errno::EOPNOTSUPP.0
    );
    assert_eq!(run(5, 1, &[entry(read, 0x10)]), Err(Errno::ENODEV));
}

#[test]
fn symbols_end_at_once() {
    let m = Machine::new();
    let symbol = XenpfSymdata {
        namelen: 8,
        name: GuestHandle::new(ARRAY),
        ..Default::default()
    };
    let mut op = request(PlatformOp::GET_SYMBOL, |u| u.set_symdata(symbol));
    assert_eq!(run(&m.dom0, &mut op), Ok(0));
    assert_eq!(bytes(ARRAY, 2), [0, DIRT]);
    assert_eq!((op.u.symdata().namelen, op.u.symdata().symnum), (1, 0));
    let beyond = XenpfSymdata {
        symnum: 1,
        ..symbol
    };
    let refused = ask(&m, PlatformOp::GET_SYMBOL, |u| u.set_symdata(beyond));
    assert_eq!(refused, Err(Errno::ERANGE));
}
