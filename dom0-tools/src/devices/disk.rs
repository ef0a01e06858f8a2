//! Disks: from a specification to a connected backend, and back.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hypercall_abi::io::xenbus::XenbusState;
use rustix::fs::{major, minor};

use super::disk_spec::{Access, BackendType, DiskSpec, Format};
use super::error::{Cause, Error};
use super::layout::{Device, Entries, Kind};
use super::{domain_by_name, qdisk, script, sharing, xenbus};
use crate::sys::loopdev::{self, LoopDevice};
use crate::xenstore::{Client, Transaction};

/// Attaches a disk: when this returns, the backend has opened it.
///
/// # Errors
/// [`Error`]; then nothing of the disk is left.
pub fn attach(store: &Client, domid: u32, spec: &DiskSpec) -> Result<Device, Error> {
    let fail = |cause| Error::new(spec.vdev.name(), cause);
    let backend_domid = match &spec.backend {
        Some(name) => domain_by_name(store, name).map_err(fail)?,
        None => 0,
    };
    let (target, qdisk) = if backend_domid == 0 && spec.script.is_none() {
        resolve(spec).map_err(fail)?
    } else {
        let qdisk = spec.target.is_some() && !is_phy_format(spec);
        (spec.target.clone().map(PathBuf::from), qdisk)
    };
    let device = Device {
        kind: Kind::Vbd,
        backend_kind: if qdisk { "qdisk" } else { "vbd" }.to_owned(),
        domid,
        backend_domid,
        devid: spec.vdev.number(),
    };
    let _lock = super::lock().map_err(fail)?;
    if Device::find(store, domid, Kind::Vbd, device.devid)
        .map_err(|error| fail(error.into()))?
        .is_some()
    {
        return Err(fail(Cause::Exists));
    }
    let done = connect(store, &device, spec, target.as_deref());
    done.map_err(|cause| {
        // The first error is the one to report.
        let _ = remove(store, &device, true);
        fail(cause)
    })?;
    Ok(device)
}

fn is_phy_format(spec: &DiskSpec) -> bool {
    spec.backend_type != Some(BackendType::Qdisk)
        && (spec.format == Format::Raw || spec.script.is_some())
}

/// The path behind the target, and whether QEMU must serve it.
fn resolve(spec: &DiskSpec) -> Result<(Option<PathBuf>, bool), Cause> {
    let Some(target) = &spec.target else {
        return Ok((None, false));
    };
    let asked = Path::new(target);
    let path = if asked.is_absolute() || Path::new("/dev").join(asked).exists() {
        Path::new("/dev").join(asked)
    } else if asked.exists() || !is_phy_format(spec) {
        std::path::absolute(asked).map_err(|error| Cause::Target(asked.to_owned(), error))?
    } else {
        Path::new("/dev").join(asked)
    };
    let found = fs::metadata(&path);
    let metadata = match found {
        Ok(metadata) => metadata,
        // QEMU has targets of its own that are no files (`rbd:...`).
        Err(_) if !is_phy_format(spec) && target.contains(':') && !asked.is_absolute() => {
            return Ok((Some(asked.to_owned()), true));
        }
        Err(error) => return Err(Cause::Target(path, error)),
    };
    let kind = metadata.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        let error = io::Error::new(
            io::ErrorKind::InvalidInput,
            "neither a file nor a block device",
        );
        return Err(Cause::Target(path, error));
    }
    if kind.is_file() && metadata.len() == 0 {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "the image is empty");
        return Err(Cause::Target(path, error));
    }
    Ok((Some(path), !is_phy_format(spec)))
}

fn connect(
    store: &Client,
    device: &Device,
    spec: &DiskSpec,
    target: Option<&Path>,
) -> Result<(), Cause> {
    let local = device.backend_domid == 0;
    if local && let Some(target) = target.filter(|_| spec.script.is_none()) {
        sharing::check(store, target, spec.access, device.domid)?;
    }
    let (back, front) = entries(device, spec, target);
    if spec.target.is_none() {
        // A drive without a medium: PV guests know no such thing, so only the tools know of it.
        let record = |tx: &Transaction<'_>| device.write_record(tx, &back);
        return Ok(store.transaction(record)?);
    }
    store.transaction(|tx| device.write(tx, &back, &front, &Vec::new()))?;
    if device.backend_kind == "qdisk" {
        if local {
            qdisk::ensure(store, device.domid)?;
        }
        return Ok(());
    }
    xenbus::wait_for_backend(store, device)?;
    if !local {
        // Its own domain runs what is to be run.
        return Ok(());
    }
    match (&spec.script, target) {
        (Some(name), _) => {
            let path = script::path_of(name);
            script::run(store, device, &path, &["add"], &[])?;
            opened(store, device)
        }
        (None, Some(target)) => supply(store, device, spec.access, target),
        (None, None) => Ok(()),
    }
}

/// Gives the backend its block device, as Xen's `block` script does.
fn supply(store: &Client, device: &Device, access: Access, target: &Path) -> Result<(), Cause> {
    let broken = |error| Cause::Target(target.to_owned(), error);
    let metadata = fs::metadata(target).map_err(broken)?;
    let (path, number, looped) = if metadata.file_type().is_block_device() {
        let path = fs::canonicalize(target).map_err(broken)?;
        let number = (major(metadata.rdev()), minor(metadata.rdev()));
        (path, number, None)
    } else {
        let looped = LoopDevice::attach(target, !access.writes()).map_err(broken)?;
        let number = looped.number().map_err(broken)?;
        (looped.path().to_owned(), number, Some(looped))
    };
    let backend = device.backend();
    let (major, minor) = number;
    let path = path.to_string_lossy();
    store.transaction(|tx| -> Result<(), Cause> {
        if tx.try_read_string(&format!("{backend}/state"))?.is_none() {
            return Err(Cause::Backend(
                "the device was removed meanwhile".to_owned(),
            ));
        }
        if looped.is_some() {
            tx.write(&format!("{backend}/node"), path.as_bytes())?;
        }
        tx.write(&format!("{backend}/physical-device-path"), path.as_bytes())?;
        tx.write(
            &format!("{backend}/physical-device"),
            format!("{major:x}:{minor:x}"),
        )?;
        tx.write(&format!("{backend}/hotplug-status"), "connected")?;
        Ok(())
    })?;
    // The loop device is ours until the backend has it open too.
    opened(store, device)
}

/// Waits until the kernel's backend has opened the block device.
fn opened(store: &Client, device: &Device) -> Result<(), Cause> {
    let (domid, devid) = (device.domid, device.devid);
    let sign = format!("/sys/bus/xen-backend/devices/vbd-{domid}-{devid}/physical_device");
    let bus = Path::new("/sys/bus/xen-backend");
    let end = Instant::now() + xenbus::PATIENCE;
    let mut pause = Duration::from_millis(1);
    while !Path::new(&sign).exists() && bus.exists() {
        if let Some(words) = xenbus::complaint(store, device)? {
            return Err(Cause::Backend(words));
        }
        let state = xenbus::state(store, &device.backend())?;
        if state.is_none_or(|state| state >= XenbusState::CLOSING) {
            return Err(Cause::Backend("it closed the device".to_owned()));
        }
        if Instant::now() > end {
            let seen = "it has not opened the block device".to_owned();
            return Err(Cause::Timeout("the backend", seen));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    Ok(())
}

/// What backend and frontend find in xenstore.
fn entries(device: &Device, spec: &DiskSpec, target: Option<&Path>) -> (Entries, Entries) {
    let flag = |set: bool| if set { "1" } else { "0" }.to_owned();
    let path = target.map(|path| path.to_string_lossy().into_owned());
    let path = path.unwrap_or_default();
    let kind = if spec.cdrom { "cdrom" } else { "disk" }.to_owned();
    let initialising = u32::from(XenbusState::INITIALISING).to_string();
    let mut back = Entries::new();
    if device.backend_kind == "qdisk" {
        back.push(("params", format!("{}:{path}", spec.format.in_params())));
    } else {
        let script = spec.script.as_deref().unwrap_or("block");
        let script = script::path_of(script).to_string_lossy().into_owned();
        back.extend([("params", path), ("script", script)]);
    }
    let served = if device.backend_kind == "qdisk" {
        "qdisk"
    } else {
        "phy"
    };
    back.extend([
        ("frontend-id", device.domid.to_string()),
        ("online", flag(true)),
        ("removable", flag(spec.cdrom)),
        ("bootable", flag(true)),
        ("state", initialising.clone()),
        ("dev", spec.vdev.name().to_owned()),
        ("type", served.to_owned()),
        ("mode", spec.access.mode().to_owned()),
        ("device-type", kind.clone()),
    ]);
    if spec.direct_io_safe {
        back.push(("direct-io-safe", flag(true)));
    }
    back.extend([
        ("discard-enable", flag(spec.discards())),
        ("specification", "xen".to_owned()),
    ]);
    let front = vec![
        ("backend-id", device.backend_domid.to_string()),
        ("state", initialising),
        ("virtual-device", device.devid.to_string()),
        ("device-type", kind),
        ("trusted", flag(spec.trusted)),
        ("protocol", "x86_64-abi".to_owned()),
    ];
    (back, front)
}

/// Detaches a disk. Not `force`d, the guest is asked and may take its time, or keep it.
///
/// # Errors
/// [`Cause::Timeout`] if the guest keeps it, because it is in use there: it goes when the guest
/// lets it go, and a second call cleans up.
pub fn detach(store: &Client, device: &Device, force: bool) -> Result<(), Error> {
    let name = store.try_read_string(&format!("{}/dev", device.tools()));
    let name = name
        .ok()
        .flatten()
        .unwrap_or_else(|| device.devid.to_string());
    remove(store, device, force).map_err(|cause| Error::new(name, cause))
}

/// Takes a disk out, whatever state it is in.
pub(super) fn remove(store: &Client, device: &Device, force: bool) -> Result<(), Cause> {
    let backend = device.backend();
    let read = |name| store.try_read_string(&format!("{backend}/{name}"));
    let (node, params) = (read("node")?, read("params")?);
    let (own_script, connected) = (
        user_script(store, device)?,
        read("hotplug-status")?.is_some(),
    );
    super::close(store, device, force)?;
    if device.backend_domid == 0 && device.backend_kind == "vbd" {
        if let Some(path) = own_script.filter(|_| connected || params.is_some()) {
            // As with Xen's tools, a failure here does not bring the disk back.
            if let Err(error) = script::run(store, device, &path, &["remove"], &[]) {
                super::warn(&error.to_string());
            }
        } else if let (Some(node), Some(image)) = (node, params) {
            let_go(Path::new(&node), Path::new(&image));
        }
    }
    device.erase(store)?;
    Ok(())
}

/// The script of a disk, unless it is Xen's own for plain disks, whose work we do.
fn user_script(store: &Client, device: &Device) -> Result<Option<PathBuf>, Cause> {
    let script = store.try_read_string(&format!("{}/script", device.tools()))?;
    let own = Path::new(script::DIRECTORY).join("block");
    Ok(script.map(PathBuf::from).filter(|path| *path != own))
}

/// Takes a loop device down if it still has this image. Usually it went with its last user; stock
/// tools make them so that they stay.
fn let_go(node: &Path, image: &Path) {
    let Ok(metadata) = fs::metadata(image) else {
        return;
    };
    if loopdev::backing(node) == Some((metadata.dev(), metadata.ino())) {
        // The last user may have let it go this very moment.
        let _ = loopdev::detach(node);
    }
}
