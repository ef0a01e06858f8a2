//! What a configuration says of a disk: `xl-disk-configuration(5)` of Xen 4.17 and the spellings
//! of `xm` before it. Pure text work: whether the target exists is asked when it is attached.

use std::fmt;

use super::vdev::{self, VirtualDevice};

/// How the bytes of the image make up the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As they are.
    Raw,
    /// QEMU's first copy-on-write format.
    Qcow,
    /// QEMU's copy-on-write format.
    Qcow2,
    /// Microsoft's virtual hard disk.
    Vhd,
    /// QEMU's enhanced disk.
    Qed,
    /// A drive with no medium in it.
    Empty,
}

impl Format {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" | "raw" => Self::Raw,
            "qcow" => Self::Qcow,
            "qcow2" => Self::Qcow2,
            "vhd" => Self::Vhd,
            "qed" => Self::Qed,
            "empty" => Self::Empty,
            _ => return None,
        })
    }

    /// The word for it in a backend's `params`.
    #[must_use]
    pub fn in_params(self) -> &'static str {
        match self {
            Self::Raw | Self::Empty => "aio",
            Self::Qcow => "qcow",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Qed => "qed",
        }
    }

    /// The word for it in a specification.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Empty => "empty",
            other => other.in_params(),
        }
    }
}

/// What the guest may do with the disk, and which other users that allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `r`: others may read too.
    ReadOnly,
    /// `w`: nobody else may have it.
    ReadWrite,
    /// `w!`: whoever else has it, the guests agree among themselves.
    Shared,
}

impl Access {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "r" | "ro" => Self::ReadOnly,
            "" | "w" | "rw" => Self::ReadWrite,
            "w!" | "rw!" => Self::Shared,
            _ => return None,
        })
    }

    /// Whether the guest may write.
    #[must_use]
    pub fn writes(self) -> bool {
        self != Self::ReadOnly
    }

    /// The word for it in a backend's `mode`.
    #[must_use]
    pub fn mode(self) -> &'static str {
        match self {
            Self::ReadOnly => "r",
            Self::ReadWrite => "w",
            Self::Shared => "w!",
        }
    }
}

/// Who serves the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendType {
    /// The kernel's blkback, over a block device or a loop device.
    Phy,
    /// A QEMU process.
    Qdisk,
}

/// A disk as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskSpec {
    /// Image or block device; none in an empty drive.
    pub target: Option<String>,
    /// How to read the image.
    pub format: Format,
    /// What the guest calls it.
    pub vdev: VirtualDevice,
    /// What the guest may do with it.
    pub access: Access,
    /// A CD drive: read-only, the medium can be changed.
    pub cdrom: bool,
    /// Name or number of the backend's domain, if not dom0.
    pub backend: Option<String>,
    /// Who must serve it, if that is given.
    pub backend_type: Option<BackendType>,
    /// A program of the user's that makes a block device of the target.
    pub script: Option<String>,
    /// Do not avoid direct I/O in QEMU.
    pub direct_io_safe: bool,
    /// Tell the guest that it may discard blocks; default: if it may write.
    pub discard: Option<bool>,
    /// Whether the guest should trust the backend.
    pub trusted: bool,
}

/// What is wrong with a specification: the rule, the part that breaks it and the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    pub(super) what: String,
    pub(super) spec: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in `{}'", self.what, self.spec)
    }
}

impl std::error::Error for SpecError {}

/// Spellings of old that say nothing today.
const IGNORED_PREFIXES: [&str; 7] = ["tapdisk", "tap2", "tap", "aio", "ioemu", "file", "phy"];
/// Formats written in front of the target.
const FORMAT_PREFIXES: [&str; 4] = ["raw", "qcow2", "qcow", "vhd"];
/// Scripts written in front of the target.
const SCRIPT_PREFIXES: [&str; 4] = ["iscsi", "nbd", "enbd", "drbd"];

impl DiskSpec {
    /// Reads a specification.
    ///
    /// # Errors
    /// [`SpecError`] names the part at fault.
    pub fn parse(spec: &str) -> Result<Self, SpecError> {
        Self::parse_words(&[spec])
    }

    /// Reads a specification spread over several words, each of them going on where the last one
    /// ended, as `xl block-attach` takes it: `file:/x.img xvdb w`.
    ///
    /// # Errors
    /// [`SpecError`] names the part at fault.
    pub fn parse_words(words: &[&str]) -> Result<Self, SpecError> {
        let mut draft = Draft::default();
        let finish = words
            .iter()
            .try_for_each(|word| draft.take(word))
            .and_then(|()| draft.finish());
        finish.map_err(|what| SpecError {
            what,
            spec: words.join(" "),
        })
    }

    /// Whether the backend should offer discard.
    #[must_use]
    pub fn discards(&self) -> bool {
        self.discard.unwrap_or(self.access.writes())
    }
}

/// A specification half read.
#[derive(Debug, Default)]
struct Draft {
    target: Option<String>,
    format: Option<Format>,
    vdev: Option<String>,
    access: Option<Access>,
    cdrom: bool,
    backend: Option<String>,
    backend_type: Option<BackendType>,
    script: Option<String>,
    direct_io_safe: bool,
    discard: Option<bool>,
    trusted: Option<bool>,
    /// An old prefix was there: then no format stands between target and device.
    old_style: bool,
}

impl Draft {
    fn take(&mut self, word: &str) -> Result<(), String> {
        let mut rest = word.trim_start();
        while !rest.is_empty() {
            if let Some(target) = rest.strip_prefix("target=") {
                // The rest of it all, commas and blanks included.
                return self.set_target(target);
            }
            if let Some(after) = self.prefix(rest)? {
                rest = after;
                continue;
            }
            let (part, after) = rest.split_once(',').unwrap_or((rest, ""));
            self.part(part.trim_end())?;
            rest = after.trim_start();
        }
        Ok(())
    }

    /// Takes an old prefix off, if there is one.
    fn prefix<'a>(&mut self, rest: &'a str) -> Result<Option<&'a str>, String> {
        let Some((prefix, after)) = rest.split_once(':') else {
            return Ok(None);
        };
        let mut characters = prefix.chars();
        let is_word = characters.next().is_some_and(|c| c.is_ascii_lowercase())
            && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !is_word {
            return Ok(None);
        }
        if IGNORED_PREFIXES.contains(&prefix) {
        } else if FORMAT_PREFIXES.contains(&prefix) {
            self.set_format(prefix)?;
        } else if SCRIPT_PREFIXES.contains(&prefix) {
            set("script", &mut self.script, format!("block-{prefix}"))?;
        } else if after.starts_with(|c: char| !c.is_ascii_alphanumeric() && c != ',') {
            return Err(format!("unknown prefix `{prefix}:'"));
        } else {
            return Ok(None);
        }
        self.old_style = true;
        Ok(Some(after))
    }

    fn part(&mut self, part: &str) -> Result<(), String> {
        match part {
            "cdrom" => self.cdrom = true,
            "direct-io-safe" => self.direct_io_safe = true,
            "discard" => self.discard = Some(true),
            "no-discard" => self.discard = Some(false),
            "trusted" => self.trusted = Some(true),
            "untrusted" => self.trusted = Some(false),
            "no-colo" => {}
            "colo" => return Err(unsupported("colo")),
            _ => match part.split_once('=') {
                Some((key, value)) => return self.named(key, value),
                None => return self.positional(part),
            },
        }
        Ok(())
    }

    fn named(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "format" => self.set_format(value)?,
            "vdev" => set("vdev", &mut self.vdev, value.to_owned())?,
            "access" => self.set_access(value)?,
            "devtype" => self.set_type(value)?,
            "backend" => set("backend", &mut self.backend, value.to_owned())?,
            "script" => set("script", &mut self.script, value.to_owned())?,
            "backendtype" => {
                let kind = match value {
                    "phy" => BackendType::Phy,
                    "qdisk" => BackendType::Qdisk,
                    "tap" => return Err(unsupported("backendtype=tap (blktap)")),
                    "standalone" => return Err(unsupported("backendtype=standalone (virtio)")),
                    _ => return Err(format!("unknown backendtype `{value}': phy or qdisk")),
                };
                if self.backend_type.is_some_and(|already| already != kind) {
                    return Err("backendtype given twice".to_owned());
                }
                self.backend_type = Some(kind);
            }
            "specification" => match value {
                "xen" => {}
                "virtio" => return Err(unsupported("specification=virtio")),
                _ => return Err(format!("unknown specification `{value}': xen")),
            },
            "colo-host" | "colo-port" | "colo-export" | "active-disk" | "hidden-disk" => {
                return Err(unsupported(key));
            }
            _ => return Err(format!("unknown parameter `{key}'")),
        }
        Ok(())
    }

    fn positional(&mut self, part: &str) -> Result<(), String> {
        if self.target.is_none() {
            return self.set_target(part);
        }
        let empty_target = self.target.as_deref() == Some("");
        if !self.old_style && self.format.is_none() {
            if empty_target && self.vdev.is_none() && part.contains(':') {
                // `,hdc:cdrom,r`: the empty drive of old.
                self.set_vdev(part)?;
                self.format = Some(Format::Empty);
                return Ok(());
            }
            return self.set_format(part);
        }
        if self.vdev.is_none() {
            return self.set_vdev(part);
        }
        if self.access.is_none() {
            return self.set_access(part);
        }
        // Positions may be empty: `/x.iso,,hdc,,cdrom`.
        if part.is_empty() {
            return Ok(());
        }
        Err(format!("one part too many: `{part}'"))
    }

    fn set_target(&mut self, target: &str) -> Result<(), String> {
        set("target", &mut self.target, target.to_owned())
    }

    fn set_format(&mut self, text: &str) -> Result<(), String> {
        let Some(format) = Format::parse(text) else {
            let hint = if vdev::number_of(text).is_some() {
                " (it is a device name: between target and device comes the format, which may be \
                 empty)"
            } else {
                ": raw, qcow, qcow2, vhd or qed"
            };
            return Err(format!("unknown format `{text}'{hint}"));
        };
        if self.format.is_some_and(|already| already != format) {
            return Err(format!("format given twice, now `{text}'"));
        }
        self.format = Some(format);
        Ok(())
    }

    fn set_access(&mut self, text: &str) -> Result<(), String> {
        let Some(access) = Access::parse(text) else {
            return Err(format!("unknown access `{text}': r, w or w!"));
        };
        if self.access.is_some_and(|already| already != access) {
            return Err(format!("access given twice, now `{text}'"));
        }
        self.access = Some(access);
        Ok(())
    }

    fn set_type(&mut self, text: &str) -> Result<(), String> {
        self.cdrom = match text {
            "cdrom" => true,
            "disk" => false,
            _ => return Err(format!("unknown device type `{text}': cdrom or disk")),
        };
        Ok(())
    }

    /// A device, perhaps with its type behind a colon.
    fn set_vdev(&mut self, text: &str) -> Result<(), String> {
        let name = match text.rsplit_once(':') {
            Some((name, kind)) => {
                self.set_type(kind)?;
                name
            }
            None => text,
        };
        set("vdev", &mut self.vdev, name.to_owned())
    }

    fn finish(self) -> Result<DiskSpec, String> {
        let vdev = self
            .vdev
            .filter(|vdev| !vdev.is_empty())
            .ok_or("no virtual device (as xvda) given")?;
        let vdev = VirtualDevice::parse(&vdev).map_err(|unknown| unknown.to_string())?;
        let target = self.target.filter(|target| !target.is_empty());
        let mut format = self.format.unwrap_or(Format::Raw);
        if target.is_none() {
            if !self.cdrom {
                return Err(
                    "no image or block device given, and only a cdrom can do without".to_owned(),
                );
            }
            format = Format::Empty;
        } else if format == Format::Empty {
            return Err("an empty drive was asked for, and an image given".to_owned());
        }
        let default = if self.cdrom {
            Access::ReadOnly
        } else {
            Access::ReadWrite
        };
        // A CD is never written, whatever the access says.
        let access = self.access.filter(|_| !self.cdrom).unwrap_or(default);
        if self.script.is_some() && self.backend_type == Some(BackendType::Qdisk) {
            return Err(
                "script= makes a block device, which backendtype=qdisk cannot take".to_owned(),
            );
        }
        if self.backend_type == Some(BackendType::Phy)
            && !matches!(format, Format::Raw | Format::Empty)
        {
            return Err(format!(
                "backendtype=phy reads raw images only, not {}",
                format.name()
            ));
        }
        Ok(DiskSpec {
            target,
            format,
            vdev,
            access,
            cdrom: self.cdrom,
            backend: self.backend.filter(|name| !name.is_empty()),
            backend_type: self.backend_type,
            script: self.script.filter(|name| !name.is_empty()),
            direct_io_safe: self.direct_io_safe,
            discard: self.discard,
            trusted: self.trusted.unwrap_or(true),
        })
    }
}

fn unsupported(what: &str) -> String {
    format!("{what} is not supported")
}

/// Sets what may be set once; an empty value counts as not set.
fn set(name: &str, place: &mut Option<String>, value: String) -> Result<(), String> {
    if place.as_ref().is_some_and(|already| !already.is_empty()) {
        return Err(format!("{name} given twice, now `{value}'"));
    }
    *place = Some(value);
    Ok(())
}

/// For fuzzers: reads any bytes; must only ever answer.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<&str> = text.split('\n').collect();
    if let Ok(spec) = DiskSpec::parse_words(&words) {
        assert_eq!(spec.target.is_none(), spec.format == Format::Empty);
        assert!(spec.vdev.number() <= i32::MAX as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(spec: &str) -> DiskSpec {
        DiskSpec::parse(spec).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refuse(spec: &str) -> String {
        DiskSpec::parse(spec).expect_err(spec).to_string()
    }

    #[test]
    fn the_manuals_equal_spellings_are_equal() {
        let disk = parse("/dev/vg/guest-volume,,hda");
        assert_eq!(disk.target.as_deref(), Some("/dev/vg/guest-volume"));
        assert_eq!((disk.format, disk.vdev.number()), (Format::Raw, 768));
        assert_eq!(disk.access, Access::ReadWrite);
        for same in [
            "/dev/vg/guest-volume,raw,hda,rw",
            "format=raw, vdev=hda, access=rw, target=/dev/vg/guest-volume",
            "raw:/dev/vg/guest-volume,hda,w",
        ] {
            assert_eq!(parse(same), disk, "{same}");
        }
        let cd = parse("/root/image.iso,,hdc,cdrom");
        assert!(cd.cdrom);
        assert_eq!(cd.access, Access::ReadOnly);
        for same in [
            "/root/image.iso,,hdc,,cdrom",
            "/root/image.iso,raw,hdc,devtype=cdrom",
            "format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/image.iso",
            "raw:/root/image.iso,hdc:cdrom,ro",
        ] {
            assert_eq!(parse(same), cd, "{same}");
        }
    }

    #[test]
    fn old_spellings_are_read() {
        let disk = parse("file:/x.img,xvda,w");
        assert_eq!(disk.target.as_deref(), Some("/x.img"));
        assert_eq!((disk.format, disk.access), (Format::Raw, Access::ReadWrite));
        let disk = parse("phy:vg/lv,xvda1,r");
        assert_eq!(disk.target.as_deref(), Some("vg/lv"));
        assert_eq!((disk.vdev.number(), disk.access), (51713, Access::ReadOnly));
        assert_eq!(parse("tap:aio:/x.img,xvda,w"), parse("file:/x.img,xvda,w"));
        assert_eq!(parse("tap:tapdisk:qcow2:/x,xvda,w").format, Format::Qcow2);
        assert_eq!(parse("/y.img,qcow2,hdb,rw").format, Format::Qcow2);
        assert_eq!(parse("phy:/dev/sda,sda,w!").access, Access::Shared);
        assert_eq!(
            parse("drbd:resource,xvda,w").script.as_deref(),
            Some("block-drbd")
        );
        let cd = parse(",hdc:cdrom,r");
        assert_eq!(
            (cd.format, cd.cdrom, cd.target),
            (Format::Empty, true, None)
        );
        assert_eq!(parse("file:/x.iso,hdc:cdrom,r").format, Format::Raw);
    }

    #[test]
    fn every_parameter_has_its_place() {
        let disk = parse(
            "vdev=xvdb,script=block-mine,direct-io-safe,no-discard,untrusted,backend=storage,\
             access=r,target=a,b = c ",
        );
        assert_eq!(disk.target.as_deref(), Some("a,b = c "));
        assert_eq!(disk.script.as_deref(), Some("block-mine"));
        assert_eq!(disk.backend.as_deref(), Some("storage"));
        assert!(disk.direct_io_safe && !disk.trusted && !disk.discards());
        assert_eq!(
            parse("/x,,xvda,backendtype=qdisk").backend_type,
            Some(BackendType::Qdisk)
        );
        let words = DiskSpec::parse_words(&["phy:/dev/vg/x", "xvdb", "r"]).unwrap();
        assert_eq!(words, parse("phy:/dev/vg/x,xvdb,r"));
        assert!(parse(",,hdc,cdrom").target.is_none());
        assert!(parse("vdev=hdc,devtype=cdrom").target.is_none());
    }

    #[test]
    fn refusals_name_the_part_at_fault() {
        for (spec, words) in [
            ("/x,xvda,w", "unknown format `xvda' (it is a device name"),
            ("/x,bochs,xvda", "unknown format `bochs'"),
            ("/x,,xvda,wr", "unknown access `wr'"),
            ("/x,,vda", "`vda' is no virtual device"),
            ("/x", "no virtual device"),
            ("", "no virtual device"),
            ("vdev=xvda", "no image or block device"),
            ("/x,,xvda,w,more", "one part too many: `more'"),
            ("/x,,xvda,target=/y", "target given twice, now `/y'"),
            ("/x,,xvda,vdev=xvdb", "vdev given twice"),
            ("raw:/x,xvda,format=qcow2", "format given twice"),
            ("nfs:/x,xvda,w", "unknown prefix `nfs:'"),
            ("/x,,xvda,colour=red", "unknown parameter `colour'"),
            ("/x,,xvda:floppy", "unknown device type `floppy'"),
            ("/x,,xvda,devtype=tape", "unknown device type `tape'"),
            (
                "/x,qcow2,xvda,backendtype=phy",
                "raw images only, not qcow2",
            ),
            ("/x,,xvda,script=s,backendtype=qdisk", "cannot take"),
            ("/x,empty,hdc,cdrom", "an image given"),
            ("/x,,xvda,specification=virtio", "not supported"),
            ("/x,,xvda,colo", "colo is not supported"),
        ] {
            let message = refuse(spec);
            assert!(message.contains(words), "{spec}: {message}");
            assert!(message.ends_with(&format!("in `{spec}'")), "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            fuzz(&data);
        }

        #[test]
        fn parts_in_any_order_are_the_same(order in Just(["vdev=xvdb", "format=qcow2", "access=r", "backend=2", "untrusted"]).prop_shuffle()) {
            let spec = format!("{},target=/a,b", order.join(", "));
            prop_assert_eq!(parse(&spec), parse("vdev=xvdb,format=qcow2,access=r,backend=2,untrusted,target=/a,b"));
        }

        #[test]
        fn syntax_like_text_is_answered(text in "[a-z:,=/ !]{0,40}") {
            fuzz(text.as_bytes());
        }
    }
}
