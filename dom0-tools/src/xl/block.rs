//! `xl block-attach`, `block-list`, `block-detach`, `cd-insert` and `cd-eject`.

use serde_json::{Value, json};

use super::devices::{Detach, Failure, List, Listed, shown};
use crate::devices::vdev::VirtualDevice;
use crate::devices::{Device, DiskSpec, Kind, cdrom, disk};
use crate::xenstore::Client;

#[derive(Debug, clap::Args)]
pub(super) struct Attach {
    domain: String,
    /// The disk, in one word or several.
    #[arg(required = true)]
    disk: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Insert {
    domain: String,
    device: String,
    image: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Eject {
    domain: String,
    device: String,
}

pub(super) fn attach(arguments: &Attach, dry: bool) -> Result<String, Failure> {
    let words: Vec<&str> = arguments.disk.iter().map(String::as_str).collect();
    let spec = DiskSpec::parse_words(&words)?;
    let domid = super::devices::domain(&arguments.domain)?;
    if dry {
        let described = describe(&spec);
        return Ok(format!("disk: {}\n", shown(&described)));
    }
    disk::attach(&Client::open()?, domid, &spec)?;
    Ok(String::new())
}

/// The shape of libxl's own description, as far as it applies.
fn describe(spec: &DiskSpec) -> Value {
    json!({
        "pdev_path": spec.target,
        "vdev": spec.vdev.name(),
        "format": spec.format.name(),
        "script": spec.script,
        "removable": u8::from(spec.cdrom),
        "readwrite": u8::from(spec.access.writes()),
        "is_cdrom": u8::from(spec.cdrom),
        "direct_io_safe": spec.direct_io_safe,
        "discard_enable": spec.discards(),
        "trusted": spec.trusted,
    })
}

pub(super) fn list(arguments: &List) -> Result<String, Failure> {
    let head = line([
        "Vdev", "BE", "handle", "state", "evt-ch", "ring-ref", "BE-path",
    ]);
    // The others are shown all the same.
    let domain = |wanted: &str| {
        let found = super::devices::domain(wanted);
        Ok(found.inspect_err(|error| eprintln!("{error}")).ok())
    };
    super::devices::list(arguments, Kind::Vbd, head, domain, show)
}

fn show(listed: &Listed<'_>) -> Result<(String, Value), Failure> {
    let device = listed.device;
    let (state, channel) = (listed.front("state")?, listed.front("event-channel")?);
    let ring = listed.front("ring-ref")?;
    let (devid, backend_domid) = (device.devid, device.backend_domid);
    let line = line([
        devid.to_string(),
        backend_domid.to_string(),
        device.domid.to_string(),
        state.to_string(),
        channel.to_string(),
        ring.to_string(),
        device.backend(),
    ]);
    let value = json!({
        "domid": device.domid,
        "devid": devid,
        "vdev": listed.known("dev")?,
        "target": listed.known("params")?,
        "mode": listed.known("mode")?,
        "type": listed.known("type")?,
        "device_type": listed.known("device-type")?,
        "backend_domid": backend_domid,
        "backend": device.backend(),
        "state": state,
        "evtch": channel,
        "rref": ring,
    });
    Ok((line, value))
}

fn line(parts: [impl std::fmt::Display; 7]) -> String {
    let [vdev, backend, handle, state, channel, ring, path] = parts;
    format!("{vdev:<5} {backend:<3} {handle:<6} {state:<5} {channel:<6} {ring:<8} {path:<30}\n")
}

pub(super) fn detach(arguments: &Detach) -> Result<String, Failure> {
    let domid = super::devices::domain(&arguments.domain)?;
    let store = Client::open()?;
    let absent = || Failure::from(format!("Error: Device {} not connected.", arguments.device));
    let number = VirtualDevice::parse(&arguments.device)
        .map_err(|_| absent())?
        .number();
    let device = Device::find(&store, domid, Kind::Vbd, number)?.ok_or_else(absent)?;
    disk::detach(&store, &device, arguments.force)?;
    Ok(String::new())
}

pub(super) fn insert(arguments: &Insert) -> Result<String, Failure> {
    let domid = super::devices::domain(&arguments.domain)?;
    cdrom::insert(&Client::open()?, domid, &arguments.device, &arguments.image)?;
    Ok(String::new())
}

pub(super) fn eject(arguments: &Eject) -> Result<String, Failure> {
    let domid = super::devices::domain(&arguments.domain)?;
    cdrom::eject(&Client::open()?, domid, &arguments.device)?;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_xl() {
        let head = line([
            "Vdev", "BE", "handle", "state", "evt-ch", "ring-ref", "BE-path",
        ]);
        assert_eq!(
            head,
            "Vdev  BE  handle state evt-ch ring-ref BE-path                       \n"
        );
        let path = "/local/domain/0/backend/vbd/1/51712";
        let body = line(["51712", "0", "1", "4", "9", "8", path]);
        assert_eq!(
            body,
            format!("51712 0   1      4     9      8        {path}\n")
        );
    }

    #[test]
    fn a_dry_run_describes_the_disk() {
        let spec = DiskSpec::parse("file:/x.img,xvdb,w").unwrap();
        let described = describe(&spec);
        assert_eq!(described["vdev"], "xvdb");
        assert_eq!(described["readwrite"], 1);
    }
}
