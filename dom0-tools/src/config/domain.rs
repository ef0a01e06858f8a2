//! What a configuration says about a domain, checked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::cpus::Cpus;
use super::keys::{self, Key};
use super::syntax::{Setting, Settings, Value};
use super::{Error, syntax};
use crate::devices::{DiskSpec, NicSpec};

/// What `memory` is if nobody says: in MiB, as xl has it.
const MEMORY: u64 = 32;
/// The most memory of a guest, in MiB: what page tables of a PV guest can ever map.
const MOST_MEMORY: u64 = 16 << 20;
/// vCPUs of a PV guest in Xen's ABI.
const MOST_VCPUS: u64 = 8192;
/// The longest name: what fits a line of `xl list`, xenstore and file names.
const LONGEST_NAME: usize = 255;

/// How a guest is virtualised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Paravirtualised.
    #[default]
    Pv,
    /// Hardware-assisted with a paravirtual start.
    Pvh,
    /// Fully virtualised.
    Hvm,
}

impl Kind {
    /// As in xenstore and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pv => "pv",
            Self::Pvh => "pvh",
            Self::Hvm => "hvm",
        }
    }
}

/// How a domain sees the time-stamp counter (`XEN_CPUID_TSC_MODE_*` in Xen's `arch-x86/cpuid.h`). `native_paravirt`, which
/// hypervisors refuse by now, is unknown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TscMode {
    /// The processor's where that is safe, else emulated.
    #[default]
    Default,
    /// Emulated.
    AlwaysEmulate,
    /// The processor's.
    Native,
}

impl TscMode {
    const ALL: [Self; 3] = [Self::Default, Self::AlwaysEmulate, Self::Native];

    /// As in configurations and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::AlwaysEmulate => "always_emulate",
            Self::Native => "native",
        }
    }

    /// As the hypervisor counts them; also what configurations of old have.
    pub fn number(self) -> u32 {
        match self {
            Self::Default => 0,
            Self::AlwaysEmulate => 1,
            Self::Native => 2,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == text || mode.number().to_string() == text)
    }
}

/// What becomes of a domain that stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It ends.
    Destroy,
    /// It is created again.
    Restart,
    /// It stays under another name, and is created again.
    RenameRestart,
    /// It stays.
    Preserve,
    /// Its memory is written to a file, then it ends.
    CoredumpDestroy,
    /// Its memory is written to a file, then it is created again.
    CoredumpRestart,
    /// It starts over in place.
    SoftReset,
}

impl Action {
    const ALL: [Self; 7] = [
        Self::Destroy,
        Self::Restart,
        Self::RenameRestart,
        Self::Preserve,
        Self::CoredumpDestroy,
        Self::CoredumpRestart,
        Self::SoftReset,
    ];

    /// As in configurations; JSON has an underscore instead.
    pub fn name(self) -> &'static str {
        match self {
            Self::Destroy => "destroy",
            Self::Restart => "restart",
            Self::RenameRestart => "rename-restart",
            Self::Preserve => "preserve",
            Self::CoredumpDestroy => "coredump-destroy",
            Self::CoredumpRestart => "coredump-restart",
            Self::SoftReset => "soft-reset",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == text)
    }
}

/// A domain's UUID, printed as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if [4, 6, 8, 10].contains(&index) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl Uuid {
    /// From 32 hexadecimal digits, with or without dashes.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        let mut bytes = [0; 16];
        if digits.len() != 32 || text.len() > 36 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// A random one, of version 4.
    ///
    /// # Errors
    /// If the kernel has no random numbers.
    pub fn random() -> std::io::Result<Self> {
        use std::io::Read as _;
        let mut bytes = [0; 16];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Ok(Self(bytes))
    }
}

/// A domain as configured.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Its name, unique.
    pub name: String,
    /// Its identity, if configured.
    pub uuid: Option<Uuid>,
    /// How it is virtualised.
    pub kind: Kind,
    /// Memory at the start, in KiB.
    pub memory: u64,
    /// Up to how much it may grow, in KiB.
    pub max_memory: u64,
    /// vCPUs at the start.
    pub vcpus: u32,
    /// Up to how many there may be.
    pub max_vcpus: u32,
    /// The kernel's file.
    pub kernel: PathBuf,
    /// The ramdisk's file.
    pub ramdisk: Option<PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
    /// Its disks.
    pub disks: Vec<DiskSpec>,
    /// Its network interfaces.
    pub nics: Vec<NicSpec>,
    /// After a power-off.
    pub on_poweroff: Action,
    /// After a reboot.
    pub on_reboot: Action,
    /// After a crash.
    pub on_crash: Action,
    /// After its watchdog.
    pub on_watchdog: Action,
    /// After a soft reset.
    pub on_soft_reset: Action,
    /// Hard affinity: one list for all vCPUs, or one each.
    pub cpus: Vec<String>,
    /// Soft affinity, likewise.
    pub cpus_soft: Vec<String>,
    /// Share of processor time.
    pub weight: Option<u16>,
    /// The most processor time, in percent of one.
    pub cap: Option<u16>,
    /// Name or number of its cpupool.
    pub pool: Option<String>,
    /// Frames of its grant table.
    pub max_grant_frames: Option<u32>,
    /// Frames of its table of mapped grants.
    pub max_maptrack_frames: Option<u32>,
    /// Version of its grant table, 1 or 2.
    pub max_grant_version: Option<u32>,
    /// Event channels.
    pub event_channels: u32,
    /// By how many seconds its clock differs from UTC.
    pub time_offset: i64,
    /// Whether its clock shows local time.
    pub local_time: bool,
    /// How it sees the time-stamp counter.
    pub tsc_mode: TscMode,
}

/// Reads a domain's configuration, with overrides behind it. Warnings are pushed.
///
/// # Errors
/// The first thing that is wrong.
pub fn read(path: &Path, overrides: &[String], warnings: &mut Vec<Error>) -> Result<Domain, Error> {
    let text = std::fs::read(path);
    let text = text.map_err(|error| Error::whole(path, format!("cannot read it: {error}")))?;
    let text = String::from_utf8(text)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    from_text(path, &text, overrides, warnings)
}

/// As [`read`], for a text that is at hand.
///
/// # Errors
/// As there.
pub fn from_text(
    path: &Path,
    text: &str,
    overrides: &[String],
    warnings: &mut Vec<Error>,
) -> Result<Domain, Error> {
    let settings = syntax::parse_with(path, text, overrides)?;
    Domain::from_settings(&settings, warnings)
}

/// The settings by key, asked for one by one.
struct Keys<'a>(&'a Settings);

impl Keys<'_> {
    fn error(&self, key: &str, cause: impl Into<String>, advice: impl Into<String>) -> Error {
        let setting = self.0.all.get(key);
        let overridden = setting.is_some_and(|setting| setting.line == 0);
        let file = match overridden {
            true => Path::new("command line"),
            false => &self.0.file,
        };
        Error {
            file: file.to_owned(),
            line: setting.map_or(0, |setting| setting.line),
            key: key.to_owned(),
            cause: cause.into(),
            advice: advice.into(),
        }
    }

    fn text(&self, key: &str) -> Result<Option<String>, Error> {
        match self.0.all.get(key).map(|setting| &setting.value) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(Value::List(_)) => Err(self.error(key, "a list where one value should be", "")),
        }
    }

    fn filled(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(self.text(key)?.filter(|text| !text.is_empty()))
    }

    /// Strings; a string alone is a list of one.
    fn texts(&self, key: &str) -> Result<Vec<String>, Error> {
        match self.0.all.get(key).map(|setting| &setting.value) {
            None => Ok(Vec::new()),
            Some(Value::Text(text)) => Ok(vec![text.clone()]),
            Some(Value::List(values)) => {
                let text = |value: &Value| match value {
                    Value::Text(text) => Ok(text.clone()),
                    Value::List(_) => Err(self.error(key, "a list within the list", "")),
                };
                values.iter().map(text).collect()
            }
        }
    }

    fn number(&self, key: &str, least: i64, most: u64) -> Result<Option<i64>, Error> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let trimmed = text.trim();
        let parsed = match trimmed.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => trimmed.parse::<i64>().ok(),
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let fits = |number: &i64| (least..=most).contains(number);
        match parsed {
            Some(number) if fits(&number) => Ok(Some(number)),
            Some(number) => Err(self.error(
                key,
                format!("{number} is out of range"),
                format!("it goes from {least} to {most}"),
            )),
            None => Err(self.error(key, format!("\"{text}\" is no number"), "")),
        }
    }

    fn small(&self, key: &str, least: u32, most: u32) -> Result<Option<u32>, Error> {
        let number = self.number(key, i64::from(least), u64::from(most))?;
        Ok(number.and_then(|number| u32::try_from(number).ok()))
    }

    /// A word out of a few; `what` it is, in the error.
    fn word<T>(
        &self,
        key: &str,
        what: &str,
        parse: fn(&str) -> Option<T>,
        known: &[&str],
    ) -> Result<Option<T>, Error> {
        let Some(text) = self.filled(key)? else {
            return Ok(None);
        };
        let unknown = || {
            self.error(
                key,
                format!("\"{text}\" is no {what}"),
                format!("known: {}", known.join(", ")),
            )
        };
        parse(&text).map(Some).ok_or_else(unknown)
    }

    fn tsc_mode(&self) -> Result<TscMode, Error> {
        let known = TscMode::ALL.map(TscMode::name);
        let mode = self.word("tsc_mode", "such mode", TscMode::parse, &known)?;
        Ok(mode.unwrap_or_default())
    }

    fn action(&self, key: &str, default: Action) -> Result<Action, Error> {
        let known = Action::ALL.map(Action::name);
        let action = self.word(key, "action", Action::parse, &known)?;
        Ok(action.unwrap_or(default))
    }
}

impl Domain {
    /// From settings. Warnings are pushed.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_settings(settings: &Settings, warnings: &mut Vec<Error>) -> Result<Self, Error> {
        let keys = Keys(settings);
        warn(&keys, warnings)?;
        let whole = |cause: &str, advice: &str| Error {
            advice: advice.to_owned(),
            ..Error::whole(&settings.file, cause)
        };
        let Some(name) = keys.filled("name")? else {
            return Err(whole("it gives the domain no name", "add name = \"...\""));
        };
        check_name(&name).map_err(|cause| keys.error("name", cause, ""))?;
        let uuid = match keys.filled("uuid")? {
            None => None,
            Some(text) => {
                let uuid = Uuid::parse(&text);
                let wrong = || keys.error("uuid", format!("\"{text}\" is no UUID"), "");
                Some(uuid.ok_or_else(wrong)?)
            }
        };
        let memory = keys.number("memory", 1, MOST_MEMORY)?;
        let max_memory = keys.number("maxmem", 1, MOST_MEMORY)?;
        let memory = memory.or(max_memory).map_or(MEMORY, i64::unsigned_abs);
        let max_memory = max_memory.map_or(memory, i64::unsigned_abs);
        if max_memory < memory {
            let cause = format!("{max_memory} MiB are less than memory, {memory} MiB");
            return Err(keys.error("maxmem", cause, ""));
        }
        let most = u32::try_from(MOST_VCPUS).unwrap_or(u32::MAX);
        let vcpus = keys.small("vcpus", 1, most)?;
        let max_vcpus = keys.small("maxvcpus", 1, most)?;
        let vcpus = vcpus.or(max_vcpus).unwrap_or(1);
        let max_vcpus = max_vcpus.unwrap_or(vcpus);
        if max_vcpus < vcpus {
            let cause = format!("{max_vcpus} are fewer than vcpus, {vcpus}");
            return Err(keys.error("maxvcpus", cause, ""));
        }
        let Some(kernel) = keys.filled("kernel")? else {
            return Err(whole(
                "it names no kernel",
                "add kernel = \"/boot/vmlinuz-...\", or that of PV GRUB to boot from its disk",
            ));
        };
        Ok(Self {
            kind: kind(&keys)?,
            memory: memory * 1024,
            max_memory: max_memory * 1024,
            vcpus,
            max_vcpus,
            kernel: kernel.into(),
            ramdisk: keys.filled("ramdisk")?.map(Into::into),
            command_line: command_line(&keys, warnings)?,
            disks: disks(&keys)?,
            nics: nics(&keys)?,
            on_poweroff: keys.action("on_poweroff", Action::Destroy)?,
            on_reboot: keys.action("on_reboot", Action::Restart)?,
            on_crash: keys.action("on_crash", Action::Destroy)?,
            on_watchdog: keys.action("on_watchdog", Action::Destroy)?,
            on_soft_reset: keys.action("on_soft_reset", Action::SoftReset)?,
            cpus: affinity(&keys, "cpus")?,
            cpus_soft: affinity(&keys, "cpus_soft")?,
            weight: keys
                .small("cpu_weight", 1, 65535)?
                .and_then(|weight| weight.try_into().ok()),
            cap: keys
                .small("cap", 0, 65535)?
                .and_then(|cap| cap.try_into().ok()),
            pool: keys.filled("pool")?,
            max_grant_frames: keys.small("max_grant_frames", 1, i32::MAX as u32)?,
            max_maptrack_frames: keys.small("max_maptrack_frames", 0, i32::MAX as u32)?,
            max_grant_version: keys.small("max_grant_version", 1, 2)?,
            event_channels: keys
                .small("max_event_channels", 1, i32::MAX as u32)?
                .unwrap_or(1023),
            time_offset: keys
                .number("rtc_timeoffset", i64::from(i32::MIN), i32::MAX as u64)?
                .unwrap_or(0),
            local_time: keys.small("localtime", 0, 1)?.unwrap_or(0) == 1,
            tsc_mode: keys.tsc_mode()?,
            name,
            uuid,
        })
    }
}

/// Tells of keys that nobody knows or that have no effect yet.
fn warn(keys: &Keys<'_>, warnings: &mut Vec<Error>) -> Result<(), Error> {
    let by_place: BTreeMap<_, _> = keys
        .0
        .all
        .iter()
        .map(|(key, Setting { line, order, .. })| ((*line, *order), key))
        .collect();
    for key in by_place.values() {
        let empty = match &keys.0.all[*key].value {
            Value::Text(text) => text.is_empty() || text == "0",
            Value::List(list) => list.is_empty(),
        };
        match keys::find(key) {
            Some(Key::Works | Key::Idle) => {}
            Some(Key::Missing | Key::Ignored) if empty => {}
            Some(Key::Ignored) => warnings.push(keys.error(key, "no effect yet, ignored", "")),
            Some(Key::Missing) if *key == "bootloader" => {
                return Err(keys.error(
                    key,
                    "boot loaders that run in dom0 are not supported",
                    "name the guest's kernel= and ramdisk=, or PV GRUB as kernel=",
                ));
            }
            Some(Key::Missing) => {
                return Err(keys.error(key, "not supported yet", "remove it or leave it empty"));
            }
            None => {
                let advice = keys::like(key).map(|known| format!("is {known} meant?"));
                warnings.push(keys.error(key, "unknown key, ignored", advice.unwrap_or_default()));
            }
        }
    }
    Ok(())
}

/// Whether a domain can bear that name: it is in paths of xenstore and of log files.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a name must not be empty".into());
    }
    if name.len() > LONGEST_NAME {
        return Err(format!("a name has at most {LONGEST_NAME} characters"));
    }
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("\"{name}\" looks like a domain number"));
    }
    if name == "." || name == ".." || name.contains(['/', '\0', '\n']) {
        return Err(format!(
            "\"{}\" has characters that a name cannot have",
            name.escape_debug()
        ));
    }
    if name == "Domain-0" {
        return Err("Domain-0 is dom0's own name".into());
    }
    Ok(())
}

fn kind(keys: &Keys<'_>) -> Result<Kind, Error> {
    let (key, text) = match keys.filled("type")? {
        Some(text) => ("type", text),
        None => match keys.filled("builder")? {
            Some(text) => ("builder", text),
            None => return Ok(Kind::Pv),
        },
    };
    match text.as_str() {
        "pv" | "generic" | "linux" => Ok(Kind::Pv),
        "pvh" => Ok(Kind::Pvh),
        "hvm" => Ok(Kind::Hvm),
        _ => Err(keys.error(
            key,
            format!("\"{text}\" is no kind of guest"),
            "known: pv, pvh, hvm",
        )),
    }
}

fn command_line(keys: &Keys<'_>, warnings: &mut Vec<Error>) -> Result<String, Error> {
    let root = keys.filled("root")?;
    let extra = keys.filled("extra")?;
    if let Some(line) = keys.text("cmdline")? {
        for (key, set) in [("root", root.is_some()), ("extra", extra.is_some())] {
            if set {
                warnings.push(keys.error(key, "ignored: cmdline is given, too", ""));
            }
        }
        return Ok(line);
    }
    let root = root.map(|root| format!("root={root}"));
    let parts: Vec<String> = root.into_iter().chain(extra).collect();
    Ok(parts.join(" "))
}

fn disks(keys: &Keys<'_>) -> Result<Vec<DiskSpec>, Error> {
    let mut disks: Vec<DiskSpec> = Vec::new();
    for spec in keys.texts("disk")?.iter().filter(|spec| !spec.is_empty()) {
        let parsed =
            DiskSpec::parse(spec).map_err(|error| keys.error("disk", error.to_string(), ""))?;
        if disks
            .iter()
            .any(|disk| disk.vdev.number() == parsed.vdev.number())
        {
            let cause = format!("{} is there twice", parsed.vdev.name());
            return Err(keys.error("disk", cause, "give each disk a name of its own"));
        }
        disks.push(parsed);
    }
    Ok(disks)
}

fn nics(keys: &Keys<'_>) -> Result<Vec<NicSpec>, Error> {
    let mut nics = Vec::new();
    for spec in keys.texts("vif")? {
        let parsed =
            NicSpec::parse(&spec).map_err(|error| keys.error("vif", error.to_string(), ""))?;
        nics.push(parsed);
    }
    // xm's: so many, described or not.
    let wanted = keys.small("nics", 0, 64)?.unwrap_or(0) as usize;
    while nics.len() < wanted {
        let parsed =
            NicSpec::parse("").map_err(|error| keys.error("nics", error.to_string(), ""))?;
        nics.push(parsed);
    }
    Ok(nics)
}

fn affinity(keys: &Keys<'_>, key: &str) -> Result<Vec<String>, Error> {
    let lists: Vec<String> = match keys.0.all.get(key).map(|setting| &setting.value) {
        Some(Value::Text(text)) if text.is_empty() => Vec::new(),
        _ => keys.texts(key)?,
    };
    for list in &lists {
        Cpus::parse(list, 1).map_err(|cause| keys.error(key, cause, ""))?;
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Domain, Vec<Error>), String> {
        let mut warnings = Vec::new();
        from_text(Path::new("t.cfg"), text, &[], &mut warnings)
            .map(|domain| (domain, warnings))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_least_that_is_a_domain() {
        let (domain, warnings) = parse("name='a'\nkernel='/k'").unwrap();
        assert!(warnings.is_empty());
        assert_eq!((domain.memory, domain.max_memory), (32 * 1024, 32 * 1024));
        assert_eq!((domain.vcpus, domain.max_vcpus), (1, 1));
        assert_eq!(domain.on_reboot, Action::Restart);
        assert_eq!(domain.command_line, "");
        assert_eq!(domain.kind, Kind::Pv);
    }

    #[test]
    fn modes_of_the_time_stamp_counter() {
        let mode = |line: &str| {
            parse(&format!("name='a'\nkernel='/k'\n{line}")).map(|(domain, _)| domain.tsc_mode)
        };
        assert_eq!(mode(""), Ok(TscMode::Default));
        assert_eq!(
            mode("tsc_mode='always_emulate'"),
            Ok(TscMode::AlwaysEmulate)
        );
        assert_eq!(mode("tsc_mode=2"), Ok(TscMode::Native));
        for unknown in ["emulated", "native_paravirt", "3"] {
            let error = mode(&format!("tsc_mode='{unknown}'")).unwrap_err();
            let cause = format!("t.cfg:3: tsc_mode: \"{unknown}\" is no such mode");
            assert!(error.starts_with(&cause), "{error}");
        }
    }

    #[test]
    fn spellings_of_xm_are_understood() {
        let (domain, warnings) = parse(
            "builder='generic'\nname=\"a\"\nkernel='/k'\nmemory=\"256\"\nmaxmem=512\nvcpus='2'\n\
             maxvcpus=4\nroot='/dev/xvda1 ro'\nextra='quiet'\ndisk=['file:/x.img,xvda,w','phy:vg/lv,xvdb,r']\n\
             nics=1\nvnc=1\nboot='c'\non_crash='preserve'",
        )
        .unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!((domain.memory, domain.max_memory), (256 * 1024, 512 * 1024));
        assert_eq!((domain.vcpus, domain.max_vcpus), (2, 4));
        assert_eq!(domain.command_line, "root=/dev/xvda1 ro quiet");
        assert_eq!((domain.disks.len(), domain.nics.len()), (2, 1));
        assert_eq!(domain.on_crash, Action::Preserve);
        assert_eq!(
            parse("builder='hvm'\nname='a'\nkernel='k'").unwrap().0.kind,
            Kind::Hvm
        );
    }

    #[test]
    fn errors_say_where_what_and_what_to_do() {
        let error = |text: &str| parse(text).unwrap_err();
        assert_eq!(
            error("kernel='/k'"),
            "t.cfg: it gives the domain no name; add name = \"...\""
        );
        assert!(error("name='a'").starts_with("t.cfg: it names no kernel; add kernel"));
        let base = "name='a'\nkernel='/k'\n";
        let after = |line: &str| error(&format!("{base}{line}"));
        assert_eq!(
            after("memory='lots'"),
            "t.cfg:3: memory: \"lots\" is no number"
        );
        assert_eq!(
            after("memory=0"),
            "t.cfg:3: memory: 0 is out of range; it goes from 1 to 16777216"
        );
        assert_eq!(
            after("memory=512\nmaxmem=256"),
            "t.cfg:4: maxmem: 256 MiB are less than memory, 512 MiB"
        );
        assert!(
            after("on_reboot='explode'").starts_with(
                "t.cfg:3: on_reboot: \"explode\" is no action; known: destroy, restart"
            )
        );
        assert!(after("bootloader='pygrub'").contains("or PV GRUB as kernel="));
        assert!(after("disk=['phy:/a,xvda,w','phy:/b,xvda,w']").contains("xvda is there twice"));
        assert!(after("uuid='x'").contains("is no UUID"));
        assert!(error("name='7'\nkernel='k'").contains("looks like a domain number"));
        assert!(error("name='a/b'\nkernel='k'").contains("cannot have"));
        assert!(after("pci=['0:1.0']").contains("not supported yet"));
        assert!(after("memory=['1']").contains("a list where one value should be"));
    }

    #[test]
    fn unknown_keys_are_told_and_no_more() {
        let (_, warnings) = parse("name='a'\nmemroy=5\nkernel='/k'\nzzz=1\npci=[]").unwrap();
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            [
                "t.cfg:2: memroy: unknown key, ignored; is memory meant?",
                "t.cfg:4: zzz: unknown key, ignored"
            ]
        );
    }

    #[test]
    fn uuids() {
        let text = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(Uuid::parse(text).unwrap().to_string(), text);
        assert_eq!(Uuid::parse("é".repeat(16).as_str()), None);
        assert!(Uuid::parse(&text.replace('-', "")).is_some());
    }

    proptest::proptest! {
        #[test]
        fn no_values_upset_it(
            key in "(name|kernel|memory|vcpus|cpus|disk|vif|uuid|on_crash|type)",
            value in "('[^'\\\\]{0,20}'|[0-9]{1,20}|\\['[^'\\\\]{0,20}'\\])"
        ) {
            let text = format!("name='a'\nkernel='k'\n{key}={value}\n");
            crate::config::fuzz(text.as_bytes());
        }
    }
}
