//! The table of system tests.

use crate::{BASE, Case, Route, System};

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
];
