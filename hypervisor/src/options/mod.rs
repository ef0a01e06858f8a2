//! The hypervisor's command line (Xen docs/misc/xen-command-line). What cannot be understood is said once, in one
//! line, and does not stop the boot.

pub mod amount;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use arch::console::serial::{SerialConfig, parse_option};
use bitflags::bitflags;
use hypercall_abi::domctl::Scheduler;

pub use amount::{Amount, Dom0Memory};

bitflags! {
    /// Where the hypervisor's messages go (`console=`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Consoles: u8 {
        /// First serial port.
        const COM1 = 1 << 0;
        /// Second serial port.
        const COM2 = 1 << 1;
        /// The screen, text or graphics.
        const VGA = 1 << 2;
    }
}

/// How important a message is; lower is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is.
    None = 0,
    /// Errors.
    Error = 1,
    /// Warnings.
    Warning = 2,
    /// Information.
    Info = 3,
    /// Everything.
    Debug = 4,
}

/// `loglvl=` and `guest_loglvl=`: up to `always` is printed, up to `limited` at a bounded rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Printed whatever the rate.
    pub always: Level,
    /// Printed unless there is too much.
    pub limited: Level,
}

/// `reboot=`: how to restart the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebootMethod {
    /// Whatever the firmware tables say, then the others.
    Default,
    /// The ACPI reset register.
    Acpi,
    /// The keyboard controller.
    Keyboard,
    /// A triple fault.
    TripleFault,
    /// Port 0xcf9.
    Pci,
    /// EFI's ResetSystem.
    Efi,
    /// Not at all (`reboot=no`).
    Never,
}

/// All options that have an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The text they came from, without the image's own path.
    pub text: String,
    /// Memory of dom0.
    pub dom0_mem: Dom0Memory,
    /// Least and most vCPUs of dom0; as many as CPUs between them.
    pub dom0_max_vcpus: (u32, u32),
    /// Each vCPU of dom0 stays on the CPU of its number.
    pub dom0_vcpus_pin: bool,
    /// Message sinks.
    pub console: Consoles,
    /// Sinks that `console=` named.
    named: Consoles,
    /// Serial ports that were configured, or that `console=` names: those keep the firmware's speed.
    pub serial: [Option<SerialConfig>; 2],
    /// Messages of the hypervisor.
    pub log_level: Threshold,
    /// Messages that guests cause.
    pub guest_log_level: Threshold,
    /// Stay halted after a crash.
    pub no_reboot: bool,
    /// How to restart.
    pub reboot: RebootMethod,
    /// CPUs to use; `None` is all.
    pub max_cpus: Option<u32>,
    /// Use x2APIC mode where there is.
    pub x2apic: bool,
    /// Write each message out before going on.
    pub sync_console: bool,
    /// The control character that, three times, switches input; `None` switches never.
    pub switch_char: Option<u8>,
    /// Input goes to the hypervisor first.
    pub input_to_hypervisor: bool,
    /// Memory above this physical address, in bytes, is not used.
    pub memory_limit: Option<u64>,
    /// NMI watchdog.
    pub watchdog: bool,
    /// Deep idle states.
    pub cpuidle: bool,
    /// Leave the screen to the hypervisor even when dom0 runs (`vga=keep`).
    pub keep_screen: bool,
    /// Show the dom0 builder's layout.
    pub verbose_dom0: bool,
    /// PCIDs may be used.
    pub pcid: bool,
    /// SMEP may be used.
    pub smep: bool,
    /// SMAP may be used.
    pub smap: bool,
    /// What pool 0's scheduler is called: credit2 or credit.
    pub scheduler: Scheduler,
    /// Times before messages.
    pub timestamps: bool,
    /// What could not be understood or has no effect, one line each.
    pub notes: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            text: String::new(),
            dom0_mem: Dom0Memory::default(),
            dom0_max_vcpus: (0, u32::MAX),
            dom0_vcpus_pin: false,
            console: Consoles::COM1 | Consoles::VGA,
            named: Consoles::empty(),
            serial: [None, None],
            // Xen prints what it gives no level, which is about what `info` is here.
            log_level: Threshold {
                always: Level::Info,
                limited: Level::Info,
            },
            guest_log_level: Threshold {
                always: Level::None,
                limited: Level::Warning,
            },
            no_reboot: false,
            reboot: RebootMethod::Default,
            max_cpus: None,
            x2apic: true,
            sync_console: false,
            switch_char: Some(control('a')),
            input_to_hypervisor: false,
            memory_limit: None,
            watchdog: false,
            cpuidle: true,
            keep_screen: false,
            verbose_dom0: false,
            pcid: true,
            smep: true,
            smap: true,
            scheduler: Scheduler::CREDIT2,
            timestamps: false,
            notes: Vec::new(),
        }
    }
}

const fn control(letter: char) -> u8 {
    letter as u8 & 0x1f
}

/// Names that Xen 4.17 knows and that have nothing to act on here.
const KNOWN: &[&str] = &[
    "acpi",
    "acpi_apic_instance",
    "acpi_pstate_strict",
    "acpi_skip_timer_override",
    "acpi_sleep",
    "allow_unsafe",
    "altp2m",
    "apic",
    "apic_verbosity",
    "apicv",
    "arat",
    "argo",
    "asid",
    "async-show-all",
    "ats",
    "availmem",
    "badpage",
    "bootscrub",
    "bootscrub_chunk",
    "cet",
    "clocksource",
    "cmci-threshold",
    "cmos-rtc-probe",
    "conring_size",
    "console_to_ring",
    "core_parking",
    "cpu_type",
    "cpufreq",
    "cpuid",
    "cpuid_mask_cpu",
    "cpuid_mask_ecx",
    "cpuid_mask_edx",
    "cpuid_mask_ext_ecx",
    "cpuid_mask_ext_edx",
    "cpuid_mask_l7s0_eax",
    "cpuid_mask_l7s0_ebx",
    "cpuid_mask_thermal_ecx",
    "cpuid_mask_xsave_eax",
    "cpuinfo",
    "crash-debug-debugkey",
    "crash-debug-hwdom",
    "crash-debug-kexeccmd",
    "crash-debug-panic",
    "crash-debug-watchdog",
    "crashinfo_maxaddr",
    "crashkernel",
    "credit2_balance_over",
    "credit2_balance_under",
    "credit2_cap_period_ms",
    "credit2_load_precision_shift",
    "credit2_load_window_shift",
    "credit2_runqueue",
    "dbgp",
    "debug_stack_lines",
    "debugtrace",
    "dit",
    "dma_bits",
    "dom0-cpuid",
    "dom0-iommu",
    "dom0_ioports_disable",
    "dom0_nodes",
    "e820-mtrr-clip",
    "e820-verbose",
    "edd",
    "edid",
    "efi",
    "ept",
    "extra_guest_irqs",
    "flask",
    "font",
    "force-ept",
    "gdb",
    "global-pages",
    "gnttab",
    "gnttab_max_frames",
    "gnttab_max_maptrack_frames",
    "hap",
    "hap_1gb",
    "hap_2mb",
    "hardware_dom",
    "hest_disable",
    "highmem-start",
    "hmp-unsafe",
    "hpet",
    "hpetbroadcast",
    "hvm_debug",
    "hvm_fep",
    "hvm_port80",
    "idle_latency_factor",
    "invpcid",
    "ioapic_ack",
    "iommu",
    "iommu_dev_iotlb_timeout",
    "iommu_inclusive_mapping",
    "irq-max-guests",
    "irq_ratelimit",
    "irq_vector_map",
    "lapic",
    "lapic_timer_c2_ok",
    "ler",
    "low_crashinfo",
    "low_mem_virq_limit",
    "max_cstate",
    "max_gsi_irqs",
    "mce",
    "mce_fb",
    "mce_verbosity",
    "memop-max-order",
    "mmcfg",
    "mmio-relax",
    "msi",
    "mtrr.show",
    "mwait-idle",
    "nmi",
    "noapic",
    "noirqbalance",
    "nolapic",
    "nr_irqs",
    "numa",
    "pci",
    "pci-passthrough",
    "pci-phantom",
    "pku",
    "placeholder",
    "ple_gap",
    "ple_window",
    "preferred-cstates",
    "psr",
    "pv",
    "pv-l1tf",
    "pv-linear-pt",
    "pv-shim",
    "rcu-idle-timer-period-ms",
    "real-mode",
    "rmrr",
    "ro-hpet",
    "sched-gran",
    "sched_credit2_max_cpus_runqueue",
    "sched_credit2_migrate_resist",
    "sched_credit_tslice_ms",
    "sched_ratelimit_us",
    "sched_smt_power_savings",
    "scrub-domheap",
    "serial_tx_buffer",
    "shim_mem",
    "smt",
    "snb_igd_quirk",
    "spec-ctrl",
    "tboot",
    "tbuf_size",
    "tdt",
    "tevt_mask",
    "tickle_one_idle_cpu",
    "timer_slop",
    "tsc",
    "tsx",
    "ucode",
    "unrestricted_guest",
    "vcpu_migration_delay",
    "vesa-ram",
    "viridian-spinlock-retry-count",
    "viridian-version",
    "vm-notify-window",
    "vpid",
    "vpmu",
    "watchdog_timeout",
    "x2apic-mode",
    "x2apic_phys",
    "xenheap_megabytes",
    "xpti",
    "xsave",
    "xsm",
];

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "yes" | "on" | "true" | "enable" => Some(true),
        "0" | "no" | "off" | "false" | "disable" => Some(false),
        _ => None,
    }
}

fn level(text: &str) -> Option<Level> {
    match text {
        "none" => Some(Level::None),
        "error" => Some(Level::Error),
        "warning" => Some(Level::Warning),
        "info" => Some(Level::Info),
        "debug" | "all" => Some(Level::Debug),
        _ => None,
    }
}

/// `sched=`: the names that one engine serves.
fn scheduler(text: &str) -> Option<Scheduler> {
    match text {
        "credit2" => Some(Scheduler::CREDIT2),
        "credit" => Some(Scheduler::CREDIT),
        _ => None,
    }
}

fn threshold(text: &str) -> Option<Threshold> {
    let (always, limited) = text.split_once('/').unwrap_or((text, text));
    let (always, limited) = (level(always)?, level(limited)?);
    Some(Threshold {
        always,
        limited: limited.max(always),
    })
}

fn vcpu_range(text: &str) -> Option<(u32, u32)> {
    let (min, max) = match text.split_once('-') {
        None => {
            let n: u32 = text.parse().ok()?;
            (n, n)
        }
        Some(("", max)) => (0, max.parse().ok()?),
        Some((min, "")) => (min.parse().ok()?, u32::MAX),
        Some((min, max)) => (min.parse().ok()?, max.parse().ok()?),
    };
    (min <= max && max > 0).then_some((min, max))
}

impl Options {
    /// Parses the command line as the boot loader passed it. Some loaders put the image's path first: a first word
    /// that starts with a slash or with `(` is taken for it. Words behind `--` are not the hypervisor's.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let text = match text.split_once(char::is_whitespace) {
            Some((path, rest)) if path.starts_with(['/', '(']) => rest.trim_start(),
            None if text.starts_with(['/', '(']) => "",
            _ => text,
        };
        let mut options = Self {
            text: text.into(),
            ..Self::default()
        };
        for word in text.split_whitespace().take_while(|&w| w != "--") {
            options.word(word);
        }
        for (index, port) in [Consoles::COM1, Consoles::COM2].into_iter().enumerate() {
            if options.named.contains(port) && options.serial[index].is_none() {
                options.serial[index] = Some(SerialConfig::pc(index));
            }
        }
        options
    }

    fn word(&mut self, word: &str) {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        if self.set(name, value) {
            return;
        }
        // `no-foo` and `nofoo` mean `foo=no`.
        if let Some(positive) = name.strip_prefix("no-").or(name.strip_prefix("no")) {
            match value {
                None if self.set(positive, Some("no")) => return,
                _ if KNOWN.contains(&positive) => return self.without_effect(word),
                _ => {}
            }
        }
        if KNOWN.contains(&name) {
            // What a default install passes deserves no line.
            if !matches!(name, "placeholder" | "cpufreq") {
                self.without_effect(word);
            }
        } else if !IS_SET.contains(&name) {
            self.notes
                .push(format!("unknown option \"{word}\" ignored"));
        } else {
            self.notes
                .push(format!("option \"{word}\" is malformed; ignored"));
        }
    }

    fn without_effect(&mut self, word: &str) {
        self.notes
            .push(format!("option \"{word}\" has no effect here"));
    }

    /// Handles an option. False if it is not known or its value is malformed.
    fn set(&mut self, name: &str, value: Option<&str>) -> bool {
        fn put<T>(slot: &mut T, value: Option<T>) -> bool {
            match value {
                Some(value) => {
                    *slot = value;
                    true
                }
                None => false,
            }
        }
        // A boolean option's bare name means yes.
        let flag = boolean(value.unwrap_or("yes"));
        let text = value.unwrap_or("");
        match name {
            "dom0_mem" => put(&mut self.dom0_mem, Dom0Memory::parse(text)),
            "dom0_max_vcpus" => put(&mut self.dom0_max_vcpus, vcpu_range(text)),
            "dom0_vcpus_pin" => put(&mut self.dom0_vcpus_pin, flag),
            "dom0" => self.set_dom0(text),
            "console" => self.set_console(text),
            "com1" => self.set_serial(0, text),
            "com2" => self.set_serial(1, text),
            "loglvl" => put(&mut self.log_level, threshold(text)),
            "guest_loglvl" => put(&mut self.guest_log_level, threshold(text)),
            "noreboot" => put(&mut self.no_reboot, flag),
            "reboot" => self.set_reboot(text),
            "sched" => put(&mut self.scheduler, scheduler(text)),
            "maxcpus" => put(
                &mut self.max_cpus,
                text.parse().ok().filter(|&n| n > 0).map(Some),
            ),
            "smp" => put(
                &mut self.max_cpus,
                flag.map(|on| if on { None } else { Some(1) }),
            ),
            "x2apic" => put(&mut self.x2apic, flag),
            "sync_console" => put(&mut self.sync_console, flag),
            "conswitch" => self.set_switch(text),
            "mem" => put(
                &mut self.memory_limit,
                amount::size(text)
                    .filter(|(n, rest)| *n > 0 && rest.is_empty())
                    .map(|(n, _)| Some(n)),
            ),
            // "force" is the same as yes here.
            "watchdog" => put(
                &mut self.watchdog,
                if text == "force" { Some(true) } else { flag },
            ),
            "cpuidle" => put(&mut self.cpuidle, flag),
            "vga" => {
                self.keep_screen |= text.split(',').any(|w| w == "keep");
                true
            }
            "pcid" => put(
                &mut self.pcid,
                if matches!(text, "xpti" | "noxpti") {
                    Some(true)
                } else {
                    flag
                },
            ),
            "smep" => put(
                &mut self.smep,
                if text == "hvm" { Some(false) } else { flag },
            ),
            "smap" => put(
                &mut self.smap,
                if text == "hvm" { Some(false) } else { flag },
            ),
            "console_timestamps" => put(
                &mut self.timestamps,
                match text {
                    "none" => Some(false),
                    "date" | "datems" | "boot" | "raw" => Some(true),
                    _ => flag,
                },
            ),
            _ => false,
        }
    }

    fn set_dom0(&mut self, text: &str) -> bool {
        for word in text.split(',') {
            match word {
                "pv" => {}
                "verbose" | "verbose=yes" | "verbose=1" | "verbose=true" => {
                    self.verbose_dom0 = true
                }
                "no-verbose" | "verbose=no" | "verbose=0" => self.verbose_dom0 = false,
                "pvh" => self
                    .notes
                    .push("dom0=pvh is not available; dom0 is started as PV".into()),
                _ if word.contains("shadow")
                    || word.contains("cpuid-faulting")
                    || word.contains("msr-relaxed") =>
                {
                    self.without_effect(word);
                }
                _ => return false,
            }
        }
        true
    }

    fn set_console(&mut self, text: &str) -> bool {
        let mut consoles = Consoles::empty();
        for word in text.split(',') {
            // "com1H" and "com1L" select a half of a shared line.
            match word.trim_end_matches(['H', 'L']) {
                "com1" => consoles |= Consoles::COM1,
                "com2" => consoles |= Consoles::COM2,
                "vga" => consoles |= Consoles::VGA,
                "none" => {}
                "xen" | "pv" | "dbgp" | "ehci" | "xhci" => {
                    self.without_effect(&format!("console={word}"))
                }
                _ => return false,
            }
        }
        self.console = consoles;
        self.named = consoles;
        true
    }

    fn set_serial(&mut self, index: usize, text: &str) -> bool {
        match parse_option(index, text) {
            Ok(config) => {
                self.serial[index] = Some(config);
                true
            }
            Err(error) => {
                self.notes
                    .push(format!("com{}={text}: {error}; ignored", index + 1));
                true
            }
        }
    }

    fn set_reboot(&mut self, text: &str) -> bool {
        // "w" and "c" ask for a warm or cold start, before the method.
        let method = text.trim_start_matches(['w', 'c', ',']);
        self.reboot = match method {
            "no" | "n" => RebootMethod::Never,
            "a" | "acpi" => RebootMethod::Acpi,
            "k" | "kbd" => RebootMethod::Keyboard,
            "t" | "triple" => RebootMethod::TripleFault,
            "p" | "pci" | "P" | "Power" => RebootMethod::Pci,
            "e" | "efi" => RebootMethod::Efi,
            "" | "x" | "xen" | "arm" | "old" => RebootMethod::Default,
            _ if boolean(method) == Some(false) => RebootMethod::Never,
            _ => return false,
        };
        true
    }

    fn set_switch(&mut self, text: &str) -> bool {
        let mut chars = text.chars();
        let Some(first) = chars.next() else {
            return false;
        };
        self.input_to_hypervisor = chars.next() == Some('x');
        self.switch_char = first.is_ascii_lowercase().then(|| control(first));
        first.is_ascii_lowercase() || first == 'x'
    }
}

/// Names that [`Options::set`] handles, to tell a malformed value from an unknown name.
const IS_SET: &[&str] = &[
    "dom0_mem",
    "dom0_max_vcpus",
    "dom0_vcpus_pin",
    "dom0",
    "console",
    "com1",
    "com2",
    "loglvl",
    "guest_loglvl",
    "noreboot",
    "reboot",
    "sched",
    "maxcpus",
    "smp",
    "x2apic",
    "sync_console",
    "conswitch",
    "mem",
    "watchdog",
    "cpuidle",
    "vga",
    "pcid",
    "smep",
    "smap",
    "console_timestamps",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_line_is_understood_without_notes() {
        let o = Options::parse(
            "placeholder dom0_mem=512M,max:1G dom0_max_vcpus=2-4 dom0_vcpus_pin console=com1,vga com1=115200,8n1 \
             loglvl=all guest_loglvl=warning/all noreboot cpufreq=xen sched=credit2 -- not=ours",
        );
        assert_eq!(o.notes, Vec::<String>::new());
        assert_eq!(o.dom0_max_vcpus, (2, 4));
        assert!(o.dom0_vcpus_pin && o.no_reboot);
        assert_eq!(o.console, Consoles::COM1 | Consoles::VGA);
        assert_eq!(o.serial[0].as_ref().and_then(|s| s.baud), Some(115_200));
        assert_eq!(
            o.log_level,
            Threshold {
                always: Level::Debug,
                limited: Level::Debug
            }
        );
        assert_eq!(
            o.guest_log_level,
            Threshold {
                always: Level::Warning,
                limited: Level::Debug
            }
        );
    }

    #[test]
    fn a_loader_s_path_is_not_an_option() {
        assert_eq!(Options::parse("/boot/oxen.gz noreboot").text, "noreboot");
        assert_eq!(Options::parse("(cd)/boot/oxen.gz").text, "");
        assert!(Options::parse("/boot/oxen.gz").notes.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_once() {
        let notes = |text| Options::parse(text).notes;
        assert_eq!(
            notes("dom0_mem=lots"),
            ["option \"dom0_mem=lots\" is malformed; ignored"]
        );
        assert_eq!(
            notes("frobnicate=1"),
            ["unknown option \"frobnicate=1\" ignored"]
        );
        assert_eq!(notes("nofrob"), ["unknown option \"nofrob\" ignored"]);
        assert_eq!(
            notes("iommu=off"),
            ["option \"iommu=off\" has no effect here"]
        );
        assert_eq!(notes("no-xpti"), ["option \"no-xpti\" has no effect here"]);
        assert_eq!(
            notes("console=com7"),
            ["option \"console=com7\" is malformed; ignored"]
        );
        assert_eq!(notes("com1=fast").len(), 1);
        assert_eq!(notes("dom0_max_vcpus=4-2").len(), 1);
        assert_eq!(notes("maxcpus=0").len(), 1);
        assert_eq!(notes("mem=0").len(), 1);
        assert_eq!(notes("sync_console=perhaps").len(), 1);
    }

    #[test]
    fn negations_and_switches() {
        let o = Options::parse(
            "nosmp no-x2apic nocpuidle smep=0 smap=hvm watchdog=force reboot=w,a conswitch=bx mem=4G",
        );
        assert_eq!(o.max_cpus, Some(1));
        assert!(!o.x2apic && !o.cpuidle && !o.smep && !o.smap && o.watchdog);
        assert_eq!(o.reboot, RebootMethod::Acpi);
        assert_eq!((o.switch_char, o.input_to_hypervisor), (Some(2), true));
        assert_eq!(o.memory_limit, Some(4 << 30));
        assert!(o.notes.is_empty(), "{:?}", o.notes);
        assert_eq!(Options::parse("console=none").console, Consoles::empty());
        assert_eq!(Options::parse("").serial, [None, None]);
        let pc = Some(SerialConfig::pc(1));
        assert_eq!(Options::parse("console=com2,vga").serial, [None, pc]);
        assert_eq!(Options::parse("dom0_max_vcpus=-3").dom0_max_vcpus, (0, 3));
        assert_eq!(Options::parse("reboot=no").reboot, RebootMethod::Never);
        assert_eq!(
            Options::parse("conswitch=x").switch_char,
            Some(control('x'))
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[a-z0-9=,:%+/. -]{0,80}") {
            let _ = Options::parse(&text);
        }
    }
}
