//! The states through which frontend and backend meet (Xen `public/io/xenbus.h`), as the tools
//! watch and push them.

use std::time::{Duration, Instant};

use hypercall_abi::io::xenbus::XenbusState;

use super::error::Cause;
use super::layout::Device;
use crate::xenstore::{self, Client};

/// How long a backend may take to come or go, as libxl has it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Where a device's backend or frontend is.
///
/// # Errors
/// Those of xenstore; what is no number is no state.
pub fn state(store: &Client, directory: &str) -> Result<Option<XenbusState>, xenstore::Error> {
    let text = store.try_read_string(&format!("{directory}/state"))?;
    Ok(text.and_then(|text| Some(XenbusState::from(text.trim().parse::<u32>().ok()?))))
}

/// Waits until the backend has seen the device and is ready for it to be described.
///
/// # Errors
/// [`Cause::Backend`] if it gave up, [`Cause::Timeout`].
pub fn wait_for_backend(store: &Client, device: &Device) -> Result<(), Cause> {
    let ready = |state: Option<XenbusState>| {
        let passed = XenbusState::INITWAIT..=XenbusState::CONNECTED;
        state.is_some_and(|state| passed.contains(&state))
    };
    wait(store, device, "the backend", true, ready)
}

/// Waits until the backend is done with the device. What it complained of until then, and a guest
/// can have it complain of anything, does not matter any more.
///
/// # Errors
/// [`Cause::Timeout`].
pub fn wait_until_closed(store: &Client, device: &Device) -> Result<(), Cause> {
    let closed = |state: Option<_>| state.is_none_or(|state| state == XenbusState::CLOSED);
    wait(store, device, "closing", false, closed)
}

/// Waits for a state. `opening` says that a backend that closes has given up; one that is to
/// close does as it was told.
fn wait(
    store: &Client,
    device: &Device,
    what: &'static str,
    opening: bool,
    enough: impl Fn(Option<XenbusState>) -> bool,
) -> Result<(), Cause> {
    // Events of other watches stay with their owners.
    let store = store.another()?;
    let backend = device.backend();
    store.watch(&format!("{backend}/state"), "state")?;
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = state(&store, &backend)?;
        if enough(seen) {
            return Ok(());
        }
        let gave_up = opening && seen.is_some_and(|state| state >= XenbusState::CLOSING);
        if gave_up && let Some(words) = complaint(&store, device)? {
            return Err(Cause::Backend(words));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            if opening && let Some(words) = complaint(&store, device)? {
                return Err(Cause::Backend(words));
            }
            return Err(Cause::Timeout(what, describe(&store, device, seen)));
        }
        store.next_event(Some(left))?;
    }
}

fn describe(store: &Client, device: &Device, seen: Option<XenbusState>) -> String {
    let frontend = state(store, &device.frontend()).ok().flatten();
    let hint = match seen {
        Some(XenbusState::INITIALISING) => match device.backend_kind.as_str() {
            "vbd" => ": is the module xen-blkback loaded?",
            "vif" => ": is the module xen-netback loaded?",
            _ => "",
        },
        _ => "",
    };
    format!(
        "the backend is {}, the frontend {}{hint}",
        name(seen),
        name(frontend)
    )
}

fn name(state: Option<XenbusState>) -> &'static str {
    match state {
        None => "gone",
        Some(XenbusState::INITIALISING) => "initialising",
        Some(XenbusState::INITWAIT) => "waiting",
        Some(XenbusState::INITIALISED) => "initialised",
        Some(XenbusState::CONNECTED) => "connected",
        Some(XenbusState::CLOSING) => "closing",
        Some(XenbusState::CLOSED) => "closed",
        Some(_) => "in an unknown state",
    }
}

/// What the kernel's backend, or a hotplug script, wrote about its troubles. The guest has a part
/// in the words: no control characters of its are shown on a terminal.
///
/// # Errors
/// Those of xenstore.
pub fn complaint(store: &Client, device: &Device) -> Result<Option<String>, xenstore::Error> {
    let backend = device.backend();
    let kernels = format!("{}/error", device.troubles());
    for path in [format!("{backend}/hotplug-error"), kernels] {
        if let Some(words) = store
            .try_read_string(&path)?
            .filter(|words| !words.is_empty())
        {
            let shown = |letter: char| if letter.is_control() { '?' } else { letter };
            return Ok(Some(words.chars().map(shown).collect()));
        }
    }
    Ok(None)
}

/// Asks the backend to let the device go; by force, whatever the frontend does. `false`: there is no backend any more.
///
/// A backend notices by its frontend's node being gone that it is not to wait for it. The kernel's says that it has closed
/// only if it had been asked by then, and one that is asked later is not there any more to answer: both in one transaction.
///
/// # Errors
/// Those of xenstore.
pub fn ask_to_close(store: &Client, device: &Device, force: bool) -> Result<bool, xenstore::Error> {
    let backend = device.backend();
    store.transaction(|tx| {
        let path = format!("{backend}/state");
        let state = tx.try_read_string(&path)?;
        if let Some(state) = &state {
            tx.write(&format!("{backend}/online"), "0")?;
            if state.trim() != u32::from(XenbusState::CLOSED).to_string() {
                tx.write(&path, u32::from(XenbusState::CLOSING).to_string())?;
            }
        }
        if force {
            tx.rm_if_present(&device.frontend())?;
        }
        Ok(state.is_some())
    })
}
