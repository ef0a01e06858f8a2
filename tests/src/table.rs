//! The table of system tests.

use crate::{Action, BASE, Case, Device, End, Initramfs, Input, Kernel, Route, System, When};

/// One of each.
const ALL_DEVICES: &[Device] = &[
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

/// What the scenario `console` asks of the harness: to the hypervisor, a debug key, back to dom0.
const DEBUG_KEY: &[Action] = &[
    Action {
        after: "@@ press Ctrl-A three times",
        input: Input::Serial("\x01\x01\x01"),
    },
    Action {
        after: "erial input",
        input: Input::Serial("h"),
    },
    Action {
        after: "pressed -> ",
        input: Input::Serial("\x01\x01\x01done\n"),
    },
];

/// What a person types into the consoles of the scenario `first-guest`; the last key of each leaves it.
const TYPE_TO_THE_GUEST: &[Action] = &[
    Action {
        after: "This is a guest",
        input: Input::Serial("echo answer $((6 * 7)) from $(cat /sys/hypervisor/type)\n"),
    },
    Action {
        after: "answer 42 from xen",
        input: Input::Serial("\x1d"),
    },
    Action {
        after: "here is its console again",
        input: Input::Serial(
            "until [ -b /dev/xvdb ]; do sleep 1; done; echo from-the-guest >/dev/xvdb; sync; echo written $((2 * 2))\n",
        ),
    },
    Action {
        after: "written 4",
        input: Input::Serial(
            "cd /sys/devices/system/cpu/cpu1; until grep -q 1 online; do echo 1 >online; sleep 1; done; echo vcpus $(nproc)\n",
        ),
    },
    Action {
        after: "vcpus 2",
        input: Input::Serial("\x1d"),
    },
];

const DIRECT: Case = BASE;
const ISO: Case = Case {
    route: Route::Bios,
    ..DIRECT
};
const REFUSAL: Case = Case {
    end: End::Refusal,
    forbid: &["@@ "],
    ..DIRECT
};
const XEN_ON_REQUEST: Case = Case {
    system: System::Xen,
    when: When::OnRequest,
    cpus: 2,
    initramfs: Initramfs::Full,
    ..BASE
};

/// A host with guests made by stock tools; dom0 has the half of the memory.
const GUESTS: Case = Case {
    when: When::OnRequest,
    cpus: 2,
    memory: 2048,
    initramfs: Initramfs::Guests,
    scenario: "guest",
    ..BASE
};
// Xen 4.17 leaves vector registers to be switched when they are used on AMD's processors. Under emulation programs of dom0
// lost theirs now and then, and died or read wrong bytes.
const XEN_GUESTS: Case = Case {
    system: System::Xen,
    hypervisor_args: "spec-ctrl=eager-fpu",
    ..GUESTS
};

/// With one CPU: where the host has fewer free than Xen believes to have, who waits for a lock in Xen waits for one who does
/// not run, and a scenario took two and a half times the CPU time.
const XEN_TOOLS: Case = Case {
    cpus: 1,
    ..XEN_GUESTS
};
/// The same machine for tools on Oxen.
const TOOLS: Case = Case { cpus: 1, ..GUESTS };

/// Whose tools, and what they are put through.
const OURS: &str = "oxen.tools=ours oxen.cycles=100 oxen.parts=guest+guest-cycles+guest-devices";
const OURS_MORE: &str =
    "oxen.tools=ours oxen.parts=guest-daemons+guest-attach+guest-crash+guest-refusals+guest-smp";
// What the hypervisor below has no part in is not put through twice.
const OURS_MORE_ON_XEN: &str = "oxen.tools=ours oxen.parts=guest-attach+guest-crash+guest-smp";
const OUR_DAEMONS: &str = "oxen.xenstored=ours oxen.xenconsoled=ours oxen.cycles=3 \
     oxen.parts=guest-daemons+guest-cycles+guest-devices+guest+guest-disks";
const OUR_XL: &str = "oxen.xl=ours oxen.cycles=20 \
     oxen.parts=guest+guest-grub+guest-disks+guest-devices+guest-cycles";

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
        when: When::Always,
        scenario: "tools",
        ..XEN_ON_REQUEST
    },
    // The scenarios' own proof.
    Case {
        name: "xen-devices",
        scenario: "devices",
        devices: ALL_DEVICES,
        actions: PRESS_A_KEY,
        ..XEN_ON_REQUEST
    },
    Case {
        name: "xen-stress",
        scenario: "stress",
        ..XEN_ON_REQUEST
    },
    Case {
        name: "xen-console",
        scenario: "console",
        actions: DEBUG_KEY,
        initramfs: Initramfs::Small,
        ..XEN_ON_REQUEST
    },
    // Every way to boot, and every number of CPUs.
    Case {
        name: "oxen-direct-1",
        expect: &["@@ cpus 1", "@@ hypervisor xen 4.17"],
        ..DIRECT
    },
    Case {
        name: "oxen-direct-2",
        cpus: 2,
        expect: &["@@ cpus 2"],
        ..DIRECT
    },
    Case {
        name: "oxen-direct-4",
        cpus: 4,
        expect: &["@@ cpus 4"],
        ..DIRECT
    },
    Case {
        name: "oxen-bios-iso-1",
        expect: &["@@ cpus 1"],
        ..ISO
    },
    Case {
        name: "oxen-bios-iso-2",
        cpus: 2,
        expect: &["@@ cpus 2"],
        ..ISO
    },
    Case {
        name: "oxen-bios-iso-4",
        cpus: 4,
        expect: &["@@ cpus 4"],
        ..ISO
    },
    Case {
        name: "oxen-efi-iso",
        route: Route::Efi,
        cpus: 2,
        expect: &["@@ cpus 2"],
        ..ISO
    },
    Case {
        name: "oxen-menu-lst",
        route: Route::MenuLst,
        cpus: 2,
        expect: &["@@ cpus 2"],
        ..ISO
    },
    Case {
        name: "oxen-pvh",
        route: Route::Pvh,
        cpus: 2,
        expect: &["started by \"PVH\"", "@@ cpus 2"],
        ..DIRECT
    },
    // The stock kernel as the only module: it starts, misses its userspace and is a crashed dom0.
    Case {
        name: "oxen-pvh-qemu",
        route: Route::PvhQemu,
        hypervisor_args: "reboot=triple -- console=hvc0 panic=1 marker=of-dom0",
        expect: &[
            "started by \"PVH\"",
            "ommand line: console=hvc0 panic=1 marker=of-dom0",
            "Unable to mount root fs",
            "dom0 crashed",
            "rebooting in 5 seconds by a triple fault",
        ],
        // dom0's crash is not the hypervisor's own.
        forbid: &["Oxen panicked", "FATAL TRAP"],
        end: End::Crash,
        ..DIRECT
    },
    // Everything that the emulator has: FSGSBASE, SMAP, LA57 ... And the other way out to guests, which is only taken by
    // processors that want their buffers cleared.
    Case {
        name: "oxen-cpu-max",
        cpus: 2,
        cpu_model: Some("max"),
        hypervisor_args: "mwait-idle=1 spec-ctrl=md-clear",
        expect: &[
            "@@ cpus 2",
            "idle CPUs wait by MWAIT",
            "VERW on exit to guests",
        ],
        ..DIRECT
    },
    // An old processor: no SMEP, SMAP, x2APIC, XSAVE.
    Case {
        name: "oxen-cpu-old",
        cpu_model: Some("core2duo,-monitor"),
        expect: &["@@ cpus 1", "@@ 32-bit system calls by sysenter"],
        ..DIRECT
    },
    Case {
        name: "oxen-dom0-vcpus",
        cpus: 2,
        hypervisor_args: "dom0_max_vcpus=1 dom0_vcpus_pin frobnicate=1",
        expect: &["@@ cpus 1", "unknown option \"frobnicate=1\" ignored"],
        ..DIRECT
    },
    // Options of the machine, on one with two memory nodes.
    Case {
        name: "oxen-options",
        cpus: 4,
        hypervisor_args: "maxcpus=2 mem=896M conring_size=48k console_to_ring console_timestamps=boot loglvl=all \
             watchdog watchdog_timeout=120 cpuidle=0 bootscrub=1 clocksource=acpi tsc=unstable nmi=fatal \
             iommu=off frobnicate=1 nmi=loud",
        devices: &[Device::TwoNodes],
        scenario: "options",
        expect: &[
            "option \"iommu=off\" has no effect here",
            "unknown option \"frobnicate=1\" ignored",
            "option \"nmi=loud\" is malformed; ignored",
            "MiB from 0x38000000 on are not used",
            "watchdog: CPUs watch each other, 120 s",
            "@@ cpus 2",
        ],
        ..DIRECT
    },
    // What dom0 is for.
    Case {
        name: "oxen-tools",
        cpus: 2,
        initramfs: Initramfs::Full,
        scenario: "tools",
        ..DIRECT
    },
    Case {
        name: "oxen-devices",
        cpus: 2,
        initramfs: Initramfs::Full,
        scenario: "devices",
        devices: ALL_DEVICES,
        actions: PRESS_A_KEY,
        ..DIRECT
    },
    Case {
        name: "oxen-stress",
        cpus: 2,
        initramfs: Initramfs::Full,
        scenario: "stress",
        ..DIRECT
    },
    // A minute for each class.
    Case {
        name: "oxen-long-stress",
        when: When::OnRequest,
        cpus: 2,
        initramfs: Initramfs::Full,
        scenario: "stress",
        kernel_args: "oxen.seconds=60",
        ..DIRECT
    },
    // Our own tools give the answers of the stock ones, on either hypervisor.
    Case {
        name: "oxen-own-tools",
        cpus: 2,
        initramfs: Initramfs::Full,
        scenario: "own-tools",
        ..DIRECT
    },
    Case {
        name: "xen-own-tools",
        when: When::Always,
        scenario: "own-tools",
        ..XEN_ON_REQUEST
    },
    Case {
        name: "oxen-console",
        cpus: 2,
        scenario: "console",
        actions: DEBUG_KEY,
        ..DIRECT
    },
    // Our store daemon under stock clients; the first row is the scenario's own proof.
    Case {
        name: "xen-xenstored-stock",
        scenario: "xenstored",
        kernel_args: "oxen.xenstored=stock",
        ..XEN_ON_REQUEST
    },
    Case {
        name: "xen-xenstored",
        scenario: "xenstored",
        ..XEN_ON_REQUEST
    },
    Case {
        name: "oxen-xenstored",
        when: When::Always,
        cpus: 2,
        initramfs: Initramfs::Full,
        scenario: "xenstored",
        ..DIRECT
    },
    // What a person does first, with our tools alone.
    Case {
        name: "xen-first-guest",
        when: When::OnRequest,
        initramfs: Initramfs::Own,
        scenario: "first-guest",
        actions: TYPE_TO_THE_GUEST,
        expect: &["its console was left again"],
        ..XEN_GUESTS
    },
    // Long: early, so that others go on beside it.
    Case {
        name: "oxen-guest-deaths",
        when: When::Always,
        scenario: "guest-deaths",
        ..GUESTS
    },
    Case {
        name: "oxen-first-guest",
        when: When::Always,
        initramfs: Initramfs::Own,
        scenario: "first-guest",
        actions: TYPE_TO_THE_GUEST,
        expect: &["its console was left again"],
        ..GUESTS
    },
    // Guests, by stock tools: first where the scenarios are proven, then here.
    Case {
        name: "xen-guest-life",
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guest-smp",
        scenario: "guest-smp",
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guest-tsc",
        scenario: "guest-tsc",
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guest-many",
        scenario: "guest-many",
        memory: 3072,
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guest-lives",
        scenario: "guest-lives",
        hypervisor_args: "guest_loglvl=none",
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guest-deaths",
        scenario: "guest-deaths",
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guest-fuzz",
        scenario: "guest-fuzz",
        hypervisor_args: "guest_loglvl=none",
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guest-xsa",
        scenario: "guest-xsa",
        hypervisor_args: "guest_loglvl=none",
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guests",
        scenario: "guests",
        memory: 3072,
        hypervisor_args: "guest_loglvl=none",
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guest-devices",
        scenario: "guest-devices",
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guest-life-xenstored",
        kernel_args: "oxen.xenstored=ours",
        ..XEN_GUESTS
    },
    // What our own xl attaches, and our xenconsoled, under guests that stock xl made.
    Case {
        name: "xen-guest-attach",
        scenario: "guest-attach",
        kernel_args: "oxen.xenconsoled=ours",
        ..XEN_GUESTS
    },
    Case {
        name: "oxen-guest-attach",
        scenario: "guest-attach",
        kernel_args: "oxen.xenconsoled=ours",
        ..GUESTS
    },
    // A guest's life, and what is changed while it runs.
    Case {
        name: "oxen-guest-life",
        when: When::Always,
        scenario: "guests",
        kernel_args: "oxen.parts=guest+guest-smp",
        ..GUESTS
    },
    Case {
        name: "oxen-guest-smp",
        scenario: "guest-smp",
        ..GUESTS
    },
    Case {
        name: "oxen-guest-tsc",
        scenario: "guest-tsc",
        ..GUESTS
    },
    // Eight at once, 200 lives, 100 deaths further up: nothing may be left of any of them.
    Case {
        name: "oxen-guest-many",
        when: When::Always,
        scenario: "guest-many",
        memory: 3072,
        ..GUESTS
    },
    Case {
        name: "oxen-guest-lives",
        when: When::Always,
        scenario: "guest-lives",
        hypervisor_args: "guest_loglvl=none",
        ..GUESTS
    },
    Case {
        name: "oxen-guest-fuzz",
        when: When::Always,
        scenario: "guest-fuzz",
        hypervisor_args: "guest_loglvl=none",
        ..GUESTS
    },
    // An hour of it.
    Case {
        name: "oxen-long-fuzz",
        scenario: "guest-fuzz",
        hypervisor_args: "guest_loglvl=none",
        kernel_args: "oxen.seconds=3600",
        ..GUESTS
    },
    Case {
        name: "oxen-guest-xsa",
        when: When::Always,
        scenario: "guest-xsa",
        hypervisor_args: "guest_loglvl=none",
        ..GUESTS
    },
    Case {
        name: "oxen-guests",
        scenario: "guests",
        memory: 3072,
        hypervisor_args: "guest_loglvl=none",
        ..GUESTS
    },
    Case {
        name: "oxen-guest-devices",
        when: When::Always,
        scenario: "guest-devices",
        ..GUESTS
    },
    // GRUB for PV guests starts the kernel on the guest's disk.
    Case {
        name: "xen-guest-grub",
        scenario: "guest-grub",
        ..XEN_GUESTS
    },
    Case {
        name: "oxen-guest-grub",
        when: When::Always,
        scenario: "guest-grub",
        ..TOOLS
    },
    // Disks that are not raw, and other managers than xl.
    Case {
        name: "xen-guest-disks",
        scenario: "guest-disks",
        initramfs: Initramfs::Managers,
        ..XEN_GUESTS
    },
    Case {
        name: "oxen-guest-disks",
        when: When::Always,
        scenario: "guest-disks",
        initramfs: Initramfs::Managers,
        ..TOOLS
    },
    Case {
        name: "xen-guest-libvirt",
        scenario: "guest-libvirt",
        initramfs: Initramfs::Managers,
        ..XEN_GUESTS
    },
    Case {
        name: "oxen-guest-libvirt",
        when: When::Always,
        scenario: "guest-libvirt",
        initramfs: Initramfs::Managers,
        ..TOOLS
    },
    // Debian's normal kernel as the guests'.
    Case {
        name: "xen-guest-kernel-1",
        scenario: "guest-kernel",
        cpus: 1,
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guest-kernel-2",
        scenario: "guest-kernel",
        ..XEN_GUESTS
    },
    Case {
        name: "xen-guest-kernel-4",
        scenario: "guest-kernel",
        cpus: 4,
        ..XEN_GUESTS
    },
    Case {
        name: "oxen-guest-kernel-1",
        when: When::Always,
        scenario: "guest-kernel",
        cpus: 1,
        ..GUESTS
    },
    Case {
        name: "oxen-guest-kernel-2",
        when: When::Always,
        scenario: "guest-kernel",
        ..GUESTS
    },
    Case {
        name: "oxen-guest-kernel-4",
        when: When::Always,
        scenario: "guest-kernel",
        cpus: 4,
        ..GUESTS
    },
    // The same life by our xl, over stock daemons.
    Case {
        name: "xen-xl-life",
        kernel_args: "oxen.xl=ours",
        ..XEN_GUESTS
    },
    Case {
        name: "oxen-xl-life",
        kernel_args: "oxen.xl=ours",
        ..GUESTS
    },
    // Beside stock xl, what bad input gets, nothing left over.
    Case {
        name: "xen-xl",
        scenario: "guest-xl",
        ..XEN_GUESTS
    },
    Case {
        name: "oxen-xl",
        when: When::Always,
        scenario: "guest-xl",
        ..TOOLS
    },
    // The same scenarios by our tools alone, on either hypervisor; the longest first.
    Case {
        name: "xen-ours-more",
        when: When::Always,
        scenario: "guests",
        kernel_args: OURS_MORE_ON_XEN,
        ..XEN_TOOLS
    },
    Case {
        name: "oxen-ours-more",
        when: When::Always,
        scenario: "guests",
        kernel_args: OURS_MORE,
        ..TOOLS
    },
    Case {
        name: "xen-ours",
        when: When::Always,
        scenario: "guests",
        kernel_args: OURS,
        ..XEN_TOOLS
    },
    Case {
        name: "oxen-ours",
        when: When::Always,
        scenario: "guests",
        kernel_args: OURS,
        ..TOOLS
    },
    // Stock xl over our daemons, our xl over stock daemons.
    Case {
        name: "xen-mixed-daemons",
        scenario: "guests",
        initramfs: Initramfs::Managers,
        kernel_args: OUR_DAEMONS,
        ..XEN_TOOLS
    },
    Case {
        name: "xen-mixed-xl",
        scenario: "guests",
        initramfs: Initramfs::Managers,
        kernel_args: OUR_XL,
        ..XEN_TOOLS
    },
    Case {
        name: "oxen-mixed-daemons",
        when: When::Always,
        scenario: "guests",
        initramfs: Initramfs::Managers,
        kernel_args: OUR_DAEMONS,
        ..TOOLS
    },
    Case {
        name: "oxen-mixed-xl",
        when: When::Always,
        scenario: "guests",
        initramfs: Initramfs::Managers,
        kernel_args: OUR_XL,
        ..TOOLS
    },
    // With two CPUs, one for a pool of its own.
    Case {
        name: "xen-ours-commands",
        when: When::Always,
        scenario: "guest-commands",
        kernel_args: "oxen.tools=ours",
        ..XEN_GUESTS
    },
    Case {
        name: "oxen-ours-commands",
        when: When::Always,
        scenario: "guest-commands",
        kernel_args: "oxen.tools=ours",
        ..GUESTS
    },
    Case {
        name: "xen-ours-disks",
        when: When::Always,
        scenario: "guest-disks",
        initramfs: Initramfs::Managers,
        kernel_args: "oxen.tools=ours",
        ..XEN_TOOLS
    },
    Case {
        name: "oxen-ours-disks",
        when: When::Always,
        scenario: "guest-disks",
        initramfs: Initramfs::Managers,
        kernel_args: "oxen.tools=ours",
        ..GUESTS
    },
    // What bad input gets.
    Case {
        name: "oxen-no-kernel",
        kernel: Kernel::Missing,
        expect: &["passed no dom0 kernel"],
        ..REFUSAL
    },
    Case {
        name: "oxen-truncated-kernel",
        kernel: Kernel::Truncated,
        expect: &["kernel image is truncated: "],
        ..REFUSAL
    },
    Case {
        name: "oxen-text-for-kernel",
        kernel: Kernel::Text,
        expect: &["the first module is not a kernel: "],
        ..REFUSAL
    },
];
