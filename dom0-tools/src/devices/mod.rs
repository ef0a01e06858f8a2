//! The devices of guests: disks and network interfaces, what is said of them in configurations,
//! and their way through xenstore to the kernel's backends.
//!
//! What a device holds (a loop device, a port in a bridge, packet filters, a QEMU process) can be
//! found from xenstore alone, so that any of the tools, stock ones included, can release it.

pub mod cdrom;
pub mod disk;
pub mod disk_spec;
mod error;
mod firewall;
mod layout;
mod link;
pub mod mac;
pub mod nic;
pub mod nic_spec;
pub mod qdisk;
mod script;
mod sharing;
pub mod vdev;
mod xenbus;

use std::fs::{self, File};
use std::path::Path;

pub use disk_spec::{DiskSpec, SpecError};
pub use error::{Cause, Error};
pub use layout::{Device, Kind};
pub use mac::Mac;
pub use nic_spec::NicSpec;

use crate::sys::log;
use crate::xenstore::Client;

/// Held while a device is checked against others and entered, so that two cannot slip in at once.
const LOCK: &str = "/run/xen/oxen-block.lock";

/// What was attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// In the order of the specifications: disks, then interfaces.
    pub devices: Vec<Device>,
}

/// Attaches all devices of a domain that is being built.
///
/// # Errors
/// The first that fails; then none is attached.
pub fn attach_all(
    store: &mut Client,
    domid: u32,
    disks: &[DiskSpec],
    nics: &[NicSpec],
) -> Result<Attached, Error> {
    let mut attached = Attached::default();
    let done = (|| {
        for spec in disks {
            attached.devices.push(disk::attach(store, domid, spec)?);
        }
        for spec in nics {
            attached.devices.push(nic::attach(store, domid, spec)?);
        }
        Ok(())
    })();
    match done {
        Ok(()) => Ok(attached),
        Err(error) => {
            for device in attached.devices.iter().rev() {
                // The first error is the one to report.
                let _ = remove(store, device);
            }
            let _ = qdisk::end(store, domid);
            Err(error)
        }
    }
}

/// Releases all devices of a domain that ends, whoever attached them and whatever state they are
/// in. Goes on behind errors.
///
/// # Errors
/// The first of them.
pub fn release_all(store: &mut Client, domid: u32) -> Result<(), Error> {
    let mut outcome = Ok(());
    let mut devices = Vec::new();
    for kind in [Kind::Vbd, Kind::Vif] {
        match Device::list(store, domid, kind) {
            Ok(found) => devices.extend(found),
            Err(error) => outcome = outcome.and(Err(Error::new(kind.name(), error))),
        }
    }
    // With QEMU gone its disks are closed, as far as the guest is concerned.
    if let Err(cause) = qdisk::end(store, domid) {
        outcome = outcome.and(Err(Error::new("QEMU", cause)));
    }
    // All backends are asked first: they close side by side.
    for device in &devices {
        if let Err(error) = ask_to_close(store, device, true) {
            outcome = outcome.and(Err(Error::new(device.kind.name(), error)));
        }
    }
    for device in &devices {
        outcome = outcome.and(remove(store, device));
    }
    outcome
}

fn remove(store: &Client, device: &Device) -> Result<(), Error> {
    match device.kind {
        Kind::Vbd => disk::detach(store, device, true),
        Kind::Vif => nic::detach(store, device, true),
    }
}

/// `false`: there is nobody to wait for.
fn ask_to_close(store: &Client, device: &Device, force: bool) -> Result<bool, Cause> {
    let asked = xenbus::ask_to_close(store, device, force)?;
    let served_by_qemu = device.backend_domid == 0 && device.backend_kind == "qdisk";
    Ok(asked && !(served_by_qemu && qdisk::running(store, device.domid)?.is_none()))
}

/// Has the backend let the device go. Forced, this does not depend on the guest, and a backend that
/// does not answer is left to itself.
fn close(store: &Client, device: &Device, force: bool) -> Result<(), Cause> {
    if !ask_to_close(store, device, force)? {
        return Ok(());
    }
    match xenbus::wait_until_closed(store, device) {
        Err(Cause::Timeout(..)) if force => Ok(()),
        other => other,
    }
}

/// Waits until nobody else attaches a device.
fn lock() -> Result<File, Cause> {
    let path = Path::new(LOCK);
    let broken = |error| Cause::Target(path.to_owned(), error);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(broken)?;
    }
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(broken)?;
    file.lock().map_err(broken)?;
    Ok(file)
}

/// Tells whoever started the tool, if there is still somebody.
fn warn(message: &str) {
    log::complain(&format!("warning: {message}"));
}

/// The number of a domain given by name or number.
///
/// # Errors
/// [`Cause::Unknown`] if there is none.
fn domain_by_name(store: &Client, name: &str) -> Result<u32, Cause> {
    let unknown = || Cause::Unknown("domain", name.to_owned());
    if let Ok(domid) = name.parse() {
        return Ok(domid);
    }
    for domid in store.try_list("/local/domain")? {
        let found = store.try_read_string(&format!("/local/domain/{domid}/name"))?;
        if found.as_deref() == Some(name) {
            return domid.parse().map_err(|_| unknown());
        }
    }
    Err(unknown())
}
