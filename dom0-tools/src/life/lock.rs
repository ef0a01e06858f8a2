//! One at a time: what stock xl holds while it makes a domain, we hold, too.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};

use super::Error;
use crate::sys::log;

const PATH: &str = "/run/lock/xl";
/// Another create may take its time; a stuck one must not stop everything silently for ever.
const PATIENCE: Duration = Duration::from_secs(300);

/// Held until dropped, or until the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for it.
    ///
    /// # Errors
    /// That it cannot be had.
    pub fn take() -> Result<Self, Error> {
        let failed = |error: io::Error| Error::Other(format!("cannot lock {PATH}: {error}"));
        if let Some(folder) = Path::new(PATH).parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let open = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(PATH);
        let file = open.map_err(failed)?;
        let start = Instant::now();
        let mut told = false;
        loop {
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS)
                    if start.elapsed() < PATIENCE =>
                {
                    if !told && start.elapsed() > Duration::from_secs(2) {
                        log::complain(&format!(
                            "xl: waiting for another xl that makes a domain ({PATH})"
                        ));
                        told = true;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(errno) => {
                    return Err(failed(io::Error::from_raw_os_error(errno.raw_os_error())));
                }
            }
        }
    }
}
