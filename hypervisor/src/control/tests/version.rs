use hypercall_abi::Errno;
use hypercall_abi::features::*;
use hypercall_abi::version::*;
use hypercall_abi::xen::VmAssistType;

use super::machine::*;
use crate::control::{do_xen_version, set_command_line};
use crate::domain::Context;
use crate::fail::Args;

fn ask(cx: &Context, cmd: XenVer, arg: u64) -> Result<u64, Errno> {
    settled(do_xen_version(cx, Args([cmd.0.into(), arg, 0, 0, 0, 0])))
}

fn text(len: usize) -> String {
    let bytes = bytes(ARG, len);
    let end = bytes.iter().position(|&b| b == 0).expect("terminated");
    assert!(bytes[end..].iter().all(|&b| b == 0), "{bytes:x?}");
    assert_eq!(
        super::machine::bytes(ARG + len as u64, 1),
        [DIRT],
        "one too many"
    );
    String::from_utf8(bytes[..end].into()).expect("text")
}

#[test]
fn version_is_4_17() {
    let m = Machine::new();
    assert_eq!(ask(&m.dom1, XenVer::VERSION, 0), Ok(4 << 16 | 17));
    assert_eq!(ask(&m.dom1, XenVer::PAGESIZE, 0), Ok(4096));
    assert_eq!(ask(&m.dom1, XenVer::PAGESIZE, ARG), Err(Errno::EINVAL));
    assert_eq!(ask(&m.dom1, XenVer(11), ARG), Err(Errno::ENOSYS));
}

#[test]
fn xsa_122_texts_carry_nothing_behind_them() {
    let m = Machine::new();
    for (cmd, len, expected) in [
        (XenVer::EXTRAVERSION, 16, "oxen"),
        (XenVer::CAPABILITIES, 1024, "xen-3.0-x86_64 "),
        (XenVer::CHANGESET, 64, ""),
    ] {
        fill(ARG, 0x1000);
        assert_eq!(ask(&m.dom1, cmd, ARG), Ok(0));
        assert!(text(len).contains(expected), "{cmd:?}");
    }
    fill(ARG, 0x1000);
    assert_eq!(ask(&m.dom1, XenVer::COMPILE_INFO, ARG), Ok(0));
    for (at, len) in [(0, 64), (64, 16), (80, 32), (112, 32)] {
        let field = bytes(ARG + at, len);
        let end = field.iter().position(|&b| b == 0).expect("terminated");
        assert!(field[end..].iter().all(|&b| b == 0));
    }
    assert_eq!(bytes(ARG + 144, 1), [DIRT]);
}

#[test]
fn bad_addresses_are_refused() {
    let m = Machine::new();
    for cmd in (1..=9).map(XenVer) {
        if cmd != XenVer::PAGESIZE {
            assert_eq!(ask(&m.dom0, cmd, END - 4), Err(Errno::EFAULT), "{cmd:?}");
        }
    }
    assert_eq!(ask(&m.dom0, XenVer::BUILD_ID, END), Err(Errno::EFAULT));
}

#[test]
fn features_are_those_of_a_pv_guest() {
    let m = Machine::new();
    let features = |cx: &Context| {
        put(ARG, 0, &FeatureInfo::default());
        assert_eq!(ask(cx, XenVer::GET_FEATURES, ARG), Ok(0));
        get::<FeatureInfo>(ARG, 0).submap
    };
    // Bits 5, 6, 7, 13, 17.
    assert_eq!(features(&m.dom1), 0x0002_20e0);
    assert_eq!(features(&m.dom0), 0x0002_20e0 | 1 << XENFEAT_DOM0);
    let assists = &m.dom1.domain.pv().vm_assist;
    assists.store(
        1 << VmAssistType::PAE_EXTENDED_CR3.0,
        core::sync::atomic::Ordering::Relaxed,
    );
    assert_eq!(features(&m.dom1), 0x0002_20f0);
    let second = FeatureInfo {
        submap_idx: 1,
        submap: 0,
    };
    put(ARG, 0, &second);
    assert_eq!(ask(&m.dom0, XenVer::GET_FEATURES, ARG), Err(Errno::EINVAL));
}

#[test]
fn address_space_and_handle() {
    let m = Machine::new();
    assert_eq!(ask(&m.dom1, XenVer::PLATFORM_PARAMETERS, ARG), Ok(0));
    assert_eq!(get::<u64>(ARG, 0), 0xffff_8000_0000_0000);
    m.dom1.domain.control.lock().handle = [7; 16];
    assert_eq!(ask(&m.dom1, XenVer::GUEST_HANDLE, ARG), Ok(0));
    assert_eq!(bytes(ARG, 16), [7; 16]);
}

#[test]
fn command_line_and_build_id_are_for_the_privileged() {
    let m = Machine::new();
    set_command_line("dom0_mem=512M");
    assert_eq!(ask(&m.dom0, XenVer::COMMANDLINE, ARG), Ok(0));
    assert_eq!(text(1024), "dom0_mem=512M");
    fill(ARG, 0x1000);
    assert_eq!(ask(&m.dom1, XenVer::COMMANDLINE, ARG), Ok(0));
    assert_eq!(text(9), "<denied>");
    assert_eq!(ask(&m.dom1, XenVer::BUILD_ID, 0), Err(Errno::EPERM));
    assert_eq!(ask(&m.dom0, XenVer::BUILD_ID, 0), Err(Errno::ENODATA));
    put(ARG, 0, &0u32);
    assert_eq!(ask(&m.dom0, XenVer::BUILD_ID, ARG), Err(Errno::EINVAL));
}
