//! Whole-system tests: which machine boots what, and what must then be seen.
//!
//! This crate is only the table and its vocabulary; `xtask` builds the parts, starts QEMU and
//! judges. The scenarios that run inside dom0 are the scripts in `tests/dom0/scenarios`.

mod table;

pub use table::TABLE;

/// What is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// The stock kernel on the bare (virtual) machine.
    Linux,
    /// The stock kernel as dom0 of Debian's Xen 4.17: the oracle.
    Xen,
    /// The stock kernel as dom0 of Oxen.
    Oxen,
}

/// The way from power-on to the first instruction of what is booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// SeaBIOS, GRUB 2 from an ISO, `multiboot2`.
    Bios,
    /// OVMF, GRUB 2's EFI program from the same ISO, `multiboot2`.
    Efi,
    /// SeaBIOS, GRUB 2's `legacy_configfile` with a `menu.lst`: multiboot1.
    MenuLst,
    /// QEMU's own loader (`-kernel`, `-initrd`): multiboot1, no GRUB, fastest.
    Direct,
    /// QEMU's own loader starts a page that passes on what it was told through the image's PVH note.
    Pvh,
    /// QEMU's own PVH loader: the image has no multiboot1 header. It passes one module and no memory of two.
    PvhQemu,
}

/// How much dom0's userspace holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initramfs {
    /// Our tools and none of Xen's, drivers, and what guests are made of: what a person meets first.
    Own,
    /// A shell, our tools, the most important stock tools.
    Small,
    /// All stock tools, device drivers, stress-ng.
    Full,
    /// All stock tools, backends, hotplug scripts, and what guests are made of.
    Guests,
    /// The same with Debian's QEMU as a backend of disks, and libvirt: twice as large.
    Managers,
}

/// One boot and what it must show.
#[derive(Clone, Debug)]
pub struct Case {
    /// Short and unique; `./x test NAME` runs the cases whose names begin with it.
    pub name: &'static str,
    /// Whether it is part of every test run.
    pub when: When,
    /// What is booted.
    pub system: System,
    /// How it gets there.
    pub route: Route,
    /// Number of CPUs of the machine.
    pub cpus: u32,
    /// Memory of the machine in MiB.
    pub memory: u32,
    /// CPU model when emulated; `None` for the usual one.
    pub cpu_model: Option<&'static str>,
    /// Further arguments of the hypervisor.
    pub hypervisor_args: &'static str,
    /// Further arguments of the kernel.
    pub kernel_args: &'static str,
    /// The kernel that the boot loader passes.
    pub kernel: Kernel,
    /// Userspace.
    pub initramfs: Initramfs,
    /// A script of `tests/dom0/scenarios`, without `.sh`. It must reach its end and fail nowhere.
    pub scenario: &'static str,
    /// What must be on the serial console, beyond what every scenario must show.
    pub expect: &'static [&'static str],
    /// What must not be there, beyond what no boot may show.
    pub forbid: &'static [&'static str],
    /// Devices of the machine.
    pub devices: &'static [Device],
    /// What the harness does while the machine runs.
    pub actions: &'static [Action],
    /// How the boot ends.
    pub end: End,
}

/// When a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In every `./x test`.
    Always,
    /// Only when named: `./x test NAME`. What says nothing about Oxen, takes long or cannot pass yet.
    OnRequest,
}

/// What the boot loader passes as dom0's kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Debian's, unmodified.
    Stock,
    /// No module at all.
    Missing,
    /// The first half of Debian's.
    Truncated,
    /// A file that is no kernel.
    Text,
}

/// How a boot must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The scenario completes and the machine powers itself off.
    PowerOff,
    /// The machine halts or resets after the expected lines; there is no dom0 to report.
    Refusal,
    /// dom0 crashes, or the hypervisor does: the expected lines appear, complaints are no failure.
    Crash,
}

/// Something done to the machine from outside when a text has appeared on its console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// The text.
    pub after: &'static str,
    /// What is done.
    pub input: Input,
}

/// See [`Action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A command of QEMU's monitor, e.g. `sendkey a`.
    Monitor(&'static str),
    /// Characters on the serial console.
    Serial(&'static str),
}

/// A device that scenarios use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// A disk at the AHCI controller.
    AhciDisk,
    /// A virtio-blk disk.
    VirtioDisk,
    /// An NVMe disk.
    NvmeDisk,
    /// An Intel 82540EM network card.
    E1000,
    /// A virtio-net card.
    VirtioNet,
    /// An xHCI controller with a keyboard.
    UsbKeyboard,
    /// Two memory nodes of half a GiB and two CPUs each, 21 apart: for machines of that size.
    TwoNodes,
}

/// What most cases have in common.
pub const BASE: Case = Case {
    name: "",
    when: When::Always,
    system: System::Oxen,
    route: Route::Direct,
    cpus: 1,
    memory: 1024,
    cpu_model: None,
    hypervisor_args: "",
    kernel_args: "",
    kernel: Kernel::Stock,
    initramfs: Initramfs::Small,
    scenario: "boot",
    expect: &[],
    forbid: &[],
    devices: &[],
    actions: &[],
    end: End::PowerOff,
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn names_are_unique_and_scenarios_exist() {
        let mut names = BTreeSet::new();
        for case in TABLE {
            assert!(names.insert(case.name), "{} occurs twice", case.name);
            let script = format!("dom0/scenarios/{}.sh", case.scenario);
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&script);
            assert!(path.exists(), "{}: no {script}", case.name);
        }
    }

    #[test]
    fn direct_boots_have_no_comma_in_kernel_arguments() {
        // QEMU separates modules with commas.
        for case in TABLE
            .iter()
            .filter(|case| matches!(case.route, Route::Direct | Route::Pvh))
        {
            assert!(!case.kernel_args.contains(','), "{}", case.name);
        }
    }
}
