//! The hypervisor's command line (Xen docs/misc/xen-command-line). What cannot be understood is said once, in one
//! line, and does not stop the boot.

pub mod amount;
mod names;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use arch::console::serial::{SerialConfig, parse_option};
use bitflags::bitflags;
use hypercall_abi::domctl::Scheduler;

use crate::speculation;
pub use amount::{Amount, Dom0Memory};
use names::{IS_SET, KNOWN};

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
    /// Port 0xcf9: a reset.
    Pci,
    /// Port 0xcf9: a power cycle.
    Power,
}

/// `console_timestamps=`: what stands before a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Timestamps {
    /// Nothing.
    None = 0,
    /// Date and time of day, UTC.
    Date,
    /// The same with milliseconds.
    DateMs,
    /// Seconds and microseconds since boot.
    Boot,
    /// The time-stamp counter.
    Raw,
}

/// `bootscrub=`: what happens to RAM in which an earlier system may have left something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrub {
    /// Nothing: guests may see it.
    Never,
    /// It is cleared before a guest gets it, and by CPUs that have nothing else to do.
    Idle,
    /// It is cleared before dom0 starts.
    AtBoot,
}

/// `nmi=`: what a parity or I/O error reported by NMI does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OnNmi {
    /// Nothing.
    Ignore = 0,
    /// It is reported.
    Report,
    /// The machine stops.
    Fatal,
}

/// `clocksource=`: the counter of known rate.
pub use arch::clock::ReferenceKind;

/// `tsc=`: what the time-stamp counter is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tsc {
    /// What the processor says and comparisons show.
    Probe,
    /// Nothing: `unstable`, `skewed`.
    Distrust,
    /// The same on all CPUs of all packages, whatever comparisons show: `stable:socket`.
    Trust,
}

/// All options that have an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The text they came from, without the image's own path.
    pub text: String,
    /// What follows `--`: further arguments of dom0's kernel.
    pub dom0_args: String,
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
    /// Firmware may skip its memory tests when restarting.
    pub warm_reboot: bool,
    /// CPUs to use; `None` is all.
    pub max_cpus: Option<u32>,
    /// Use x2APIC mode where there is.
    pub x2apic: bool,
    /// The control character that, three times, switches input; `None` switches never.
    pub switch_char: Option<u8>,
    /// Input goes to the hypervisor first.
    pub input_to_hypervisor: bool,
    /// Memory above this physical address, in bytes, is not used.
    pub memory_limit: Option<u64>,
    /// So many bytes of memory are used, the lowest.
    pub available_limit: Option<u64>,
    /// What happens to the memory's former contents.
    pub scrub: Scrub,
    /// Firmware's description of memory nodes counts.
    pub numa: bool,
    /// Bytes that `xl dmesg` can show.
    pub ring_size: Option<u64>,
    /// dom0's console output goes to that ring, too.
    pub console_to_ring: bool,
    /// Stop the machine when a CPU does not come back for some seconds.
    pub watchdog: Option<u32>,
    /// Idle CPUs may do more than halt.
    pub cpuidle: bool,
    /// MWAIT in place of HLT; `None` where it pays.
    pub mwait_idle: Option<bool>,
    /// Deepest C-state.
    pub max_cstate: u32,
    /// The counter of known rate.
    pub clocksource: Option<ReferenceKind>,
    /// Trust in the time-stamp counter.
    pub tsc: Tsc,
    /// What errors reported by NMI do.
    pub nmi: OnNmi,
    /// All threads of a core are used.
    pub smt: bool,
    /// Leave the screen to the hypervisor even when dom0 runs (`vga=keep`).
    pub keep_screen: bool,
    /// Show the dom0 builder's layout.
    pub verbose_dom0: bool,
    /// SMEP may be used.
    pub smep: bool,
    /// SMAP may be used.
    pub smap: bool,
    /// PCIDs may be used (`pcid=`): for domains without XPTI, which all are.
    pub pcid: bool,
    /// INVPCID may be used.
    pub invpcid: bool,
    /// What may be done about speculative execution (`spec-ctrl=`).
    pub speculation: speculation::Wishes,
    /// What pool 0's scheduler is called: credit2 or credit.
    pub scheduler: Scheduler,
    /// Times before messages.
    pub timestamps: Timestamps,
    /// What could not be understood or has no effect, one line each.
    pub notes: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            text: String::new(),
            dom0_args: String::new(),
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
            warm_reboot: false,
            max_cpus: None,
            x2apic: true,
            switch_char: Some(control('a')),
            input_to_hypervisor: false,
            memory_limit: None,
            available_limit: None,
            scrub: Scrub::Idle,
            numa: true,
            ring_size: None,
            console_to_ring: false,
            watchdog: None,
            cpuidle: true,
            mwait_idle: None,
            max_cstate: u32::MAX,
            clocksource: None,
            tsc: Tsc::Probe,
            nmi: OnNmi::Report,
            smt: true,
            keep_screen: false,
            verbose_dom0: false,
            smep: true,
            smap: true,
            pcid: true,
            invpcid: true,
            speculation: speculation::Wishes::default(),
            scheduler: Scheduler::CREDIT2,
            timestamps: Timestamps::None,
            notes: Vec::new(),
        }
    }
}

const fn control(letter: char) -> u8 {
    letter as u8 & 0x1f
}

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

/// A size in bytes with an optional unit, above 0.
fn size(text: &str) -> Option<u64> {
    let (bytes, rest) = amount::size(text)?;
    (bytes > 0 && rest.is_empty()).then_some(bytes)
}

/// Decimal, or hexadecimal behind `0x`.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A CPU that did not come back for so long is stuck, unless `watchdog_timeout=` says otherwise.
const WATCHDOG_SECONDS: u32 = 5;

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
    /// that starts with a slash or with `(` is taken for it. Words behind `--` are dom0's kernel's.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let text = match text.split_once(char::is_whitespace) {
            Some((path, rest)) if path.starts_with(['/', '(']) => rest.trim_start(),
            None if text.starts_with(['/', '(']) => "",
            _ => text,
        };
        let (text, dom0_args) = match text.split_once(" -- ") {
            Some((text, dom0_args)) => (text.trim_end(), dom0_args.trim()),
            None => (text, ""),
        };
        let mut options = Self {
            text: text.into(),
            dom0_args: dom0_args.into(),
            ..Self::default()
        };
        for word in text.split_whitespace() {
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
            "conswitch" => self.set_switch(text),
            "mem" => put(&mut self.memory_limit, size(text).map(Some)),
            "availmem" => put(&mut self.available_limit, size(text).map(Some)),
            "conring_size" => put(&mut self.ring_size, size(text).map(Some)),
            "console_to_ring" => put(&mut self.console_to_ring, flag),
            "bootscrub" => put(
                &mut self.scrub,
                match (text, flag) {
                    ("idle", _) => Some(Scrub::Idle),
                    (_, Some(true)) => Some(Scrub::AtBoot),
                    (_, Some(false)) => Some(Scrub::Never),
                    _ => None,
                },
            ),
            "numa" if text.starts_with("fake=") => {
                self.without_effect(&format!("numa={text}"));
                true
            }
            "numa" => put(
                &mut self.numa,
                if text == "noacpi" { Some(false) } else { flag },
            ),
            // Unknown NMIs, which "force" is about, are looked at anyhow.
            "watchdog" => {
                let seconds = self.watchdog.unwrap_or(WATCHDOG_SECONDS);
                let on = if text == "force" { Some(true) } else { flag };
                put(&mut self.watchdog, on.map(|on| on.then_some(seconds)))
            }
            "watchdog_timeout" => put(
                &mut self.watchdog,
                number(text).map(|seconds| (seconds > 0).then_some(seconds)),
            ),
            "mwait-idle" => put(&mut self.mwait_idle, flag.map(Some)),
            "max_cstate" => {
                let (deepest, sub) = text.split_once(',').unwrap_or((text, "0"));
                number(sub).is_some() && put(&mut self.max_cstate, number(deepest))
            }
            "clocksource" => put(
                &mut self.clocksource,
                match text {
                    "hpet" => Some(Some(ReferenceKind::Hpet)),
                    "acpi" => Some(Some(ReferenceKind::PmTimer)),
                    "pit" => Some(Some(ReferenceKind::Pit)),
                    "tsc" => Some(None),
                    _ => None,
                },
            ),
            "tsc" => put(
                &mut self.tsc,
                match text {
                    "unstable" | "skewed" => Some(Tsc::Distrust),
                    "stable:socket" => Some(Tsc::Trust),
                    _ => None,
                },
            ),
            "nmi" => put(
                &mut self.nmi,
                match text {
                    "ignore" => Some(OnNmi::Ignore),
                    "dom0" => Some(OnNmi::Report),
                    "fatal" => Some(OnNmi::Fatal),
                    _ => None,
                },
            ),
            "smt" => put(&mut self.smt, flag),
            "cpuidle" => put(&mut self.cpuidle, flag),
            "vga" => self.set_vga(text),
            "smep" => put(
                &mut self.smep,
                if text == "hvm" { Some(false) } else { flag },
            ),
            "smap" => put(
                &mut self.smap,
                if text == "hvm" { Some(false) } else { flag },
            ),
            "pcid" => put(
                &mut self.pcid,
                match text {
                    "xpti" => Some(false),
                    "noxpti" => Some(true),
                    _ => flag,
                },
            ),
            "invpcid" => put(&mut self.invpcid, flag),
            "spec-ctrl" => self.set_speculation(value.unwrap_or("yes")),
            "console_timestamps" => put(
                &mut self.timestamps,
                match (text, flag) {
                    ("none", _) | (_, Some(false)) => Some(Timestamps::None),
                    ("date", _) | (_, Some(true)) => Some(Timestamps::Date),
                    ("datems", _) => Some(Timestamps::DateMs),
                    ("boot", _) => Some(Timestamps::Boot),
                    ("raw", _) => Some(Timestamps::Raw),
                    _ => None,
                },
            ),
            _ => false,
        }
    }

    fn set_speculation(&mut self, text: &str) -> bool {
        for item in text.split(',') {
            match self.speculation.set(item, boolean) {
                speculation::Item::Done => {}
                speculation::Item::WithoutEffect => {
                    self.without_effect(&format!("spec-ctrl={item}"));
                }
                speculation::Item::Malformed => return false,
            }
        }
        true
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

    /// Words in any order; of each the first letter counts, as in Xen.
    fn set_reboot(&mut self, text: &str) -> bool {
        let mut understood = true;
        for word in text.split(',') {
            match word.as_bytes().first() {
                Some(b'n') => self.no_reboot = true,
                Some(b'w') => self.warm_reboot = true,
                Some(b'c') => self.warm_reboot = false,
                Some(b'a') => self.reboot = RebootMethod::Acpi,
                Some(b'k') => self.reboot = RebootMethod::Keyboard,
                Some(b't') => self.reboot = RebootMethod::TripleFault,
                Some(b'p') => self.reboot = RebootMethod::Pci,
                Some(b'P') => self.reboot = RebootMethod::Power,
                // No runtime services are called, and no Xen is below.
                Some(b'e' | b'x') => self.without_effect(&format!("reboot={word}")),
                _ => understood = false,
            }
        }
        understood
    }

    /// Modes are the boot loader's choice; what counts is who has the screen when dom0 runs.
    fn set_vga(&mut self, text: &str) -> bool {
        for word in text.split(',') {
            match word {
                "keep" => self.keep_screen = true,
                "current" | "text-80x25" => {}
                _ if ["text-", "gfx-", "mode-", "ask"]
                    .iter()
                    .any(|w| word.starts_with(w)) =>
                {
                    self.without_effect(&format!("vga={word}"));
                }
                _ => return false,
            }
        }
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

#[cfg(test)]
mod tests;
