//! The table of system tests.

use crate::{Action, BASE, Case, Device, Initramfs, Input, Route, System};

/// One of each.
pub const ALL_DEVICES: &[Device] = &[
    Device::AhciDisk,
    Device::VirtioDisk,
    Device::NvmeDisk,
    Device::E1000,
    Device::VirtioNet,
    Device::UsbKeyboard,
];

/// What the scenario `devices` asks of the harness.
const PRESS_A_KEY: &[Action] = &[Action {
    after: "@@ press a key",
    input: Input::Monitor("sendkey a"),
}];

/// All system tests, in the order in which they run.
pub const TABLE: &[Case] = &[
    // The harness's own proof: the same userspace where nothing of ours is below it.
    Case {
        name: "linux-direct",
        system: System::Linux,
        cpus: 2,
        expect: &["@@ cpus 2"],
        ..BASE
    },
    Case {
        name: "xen-bios-iso",
        system: System::Xen,
        route: Route::Bios,
        cpus: 2,
        expect: &["@@ cpus 2", "@@ hypervisor xen 4.17"],
        ..BASE
    },
    Case {
        name: "xen-tools",
        system: System::Xen,
        cpus: 2,
        initramfs: Initramfs::Full,
        scenario: "tools",
        ..BASE
    },
];

/// Scenarios proven on stock Xen: not part of every test run, because they say nothing about Oxen.
/// `./x test --oracle` adds them.
pub const ORACLE: &[Case] = &[
    Case {
        name: "xen-devices",
        system: System::Xen,
        cpus: 2,
        initramfs: Initramfs::Full,
        scenario: "devices",
        devices: ALL_DEVICES,
        actions: PRESS_A_KEY,
        ..BASE
    },
    Case {
        name: "xen-stress",
        system: System::Xen,
        cpus: 2,
        initramfs: Initramfs::Full,
        scenario: "stress",
        ..BASE
    },
];
