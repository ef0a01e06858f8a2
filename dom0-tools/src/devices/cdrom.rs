//! CD drives of PV guests. Their frontends know disks only, not drives: a medium that is changed is
//! a disk that goes and another that comes, and an empty drive is known to the tools alone.

use super::disk;
use super::disk_spec::{DiskSpec, Format};
use super::error::{Cause, Error};
use super::layout::{Device, Kind};
use super::vdev::VirtualDevice;
use crate::xenstore::Client;

/// Puts a medium in a drive in place of what is there.
///
/// # Errors
/// [`Cause::Missing`] without such a drive; if the new medium does not do, the drive is empty.
pub fn insert(store: &Client, domid: u32, vdev: &str, image: &str) -> Result<(), Error> {
    let spec = format!("vdev={vdev},cdrom,target={image}");
    change(store, domid, vdev, &spec)
}

/// Empties a drive.
///
/// # Errors
/// [`Cause::Missing`] without such a drive; [`Cause::Timeout`] if the guest uses the medium.
pub fn eject(store: &Client, domid: u32, vdev: &str) -> Result<(), Error> {
    change(store, domid, vdev, &format!("vdev={vdev},cdrom"))
}

fn change(store: &Client, domid: u32, vdev: &str, spec: &str) -> Result<(), Error> {
    let fail = |cause| Error::new(vdev, cause);
    let words = |error: &dyn std::error::Error| Cause::Unsupported(error.to_string());
    let number = VirtualDevice::parse(vdev)
        .map_err(|error| fail(words(&error)))?
        .number();
    let spec = DiskSpec::parse(spec).map_err(|error| fail(words(&error)))?;
    let device = Device::find(store, domid, Kind::Vbd, number)
        .map_err(|error| fail(error.into()))?
        .ok_or_else(|| fail(Cause::Missing))?;
    let kind = store.try_read_string(&format!("{}/device-type", device.tools()));
    if kind.map_err(|error| fail(error.into()))?.as_deref() != Some("cdrom") {
        let words = "it is a disk, not a CD drive".to_owned();
        return Err(fail(Cause::Unsupported(words)));
    }
    disk::detach(store, &device, false)?;
    let Err(error) = disk::attach(store, domid, &spec) else {
        return Ok(());
    };
    if spec.format != Format::Empty {
        // The drive itself stays.
        let empty = DiskSpec {
            target: None,
            format: Format::Empty,
            ..spec
        };
        let _ = disk::attach(store, domid, &empty);
    }
    Err(error)
}
