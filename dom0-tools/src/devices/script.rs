//! Hotplug scripts of the user's: programs that make a block device of a target, or put a network
//! interface where it belongs. The interface is that of Xen's own (`docs/misc/block-scripts.txt`,
//! `libxl_linux.c`'s arguments and environment): what they know they find in xenstore, what they
//! have done they write there.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::error::Cause;
use super::layout::Device;
use super::xenbus;
use crate::xenstore::Client;

/// Where scripts are that are named without a path.
pub const DIRECTORY: &str = "/etc/xen/scripts";

/// How long a script may take, as libxl has it.
const PATIENCE: Duration = Duration::from_secs(40);

/// The path of a script: names are looked for where Xen has them.
#[must_use]
pub fn path_of(script: &str) -> PathBuf {
    if script.contains('/') {
        PathBuf::from(script)
    } else {
        Path::new(DIRECTORY).join(script)
    }
}

/// Runs a script for a device with these arguments and more environment.
///
/// # Errors
/// [`Cause::Script`] with the script's own words if it wrote any.
pub fn run(
    store: &Client,
    device: &Device,
    script: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<(), Cause> {
    let target = |error| Cause::Target(script.to_owned(), error);
    // Whatever a script says goes where our own errors go.
    let output = OpenOptions::new()
        .write(true)
        .open("/proc/self/fd/2")
        .map_or_else(|_| Stdio::null(), Stdio::from);
    let mut child = Command::new(script)
        .args(arguments)
        .env("script", script)
        .env("XENBUS_TYPE", device.kind.name())
        .env("XENBUS_PATH", device.backend_in_domain())
        .env("XENBUS_BASE_PATH", "backend")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(output)
        .spawn()
        .map_err(target)?;
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(target)? {
            Some(status) => break status,
            None if Instant::now() > end => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(target(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the script does not end",
                )));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    if status.success() {
        return Ok(());
    }
    let words = xenbus::complaint(store, device)?;
    let words = words.unwrap_or_else(|| format!("it ended with {status}"));
    Err(Cause::Script(script.to_owned(), words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_where_xen_has_them() {
        assert_eq!(
            path_of("block-mine"),
            Path::new("/etc/xen/scripts/block-mine")
        );
        assert_eq!(path_of("/usr/local/x"), Path::new("/usr/local/x"));
        assert_eq!(path_of("./x"), Path::new("./x"));
    }
}
