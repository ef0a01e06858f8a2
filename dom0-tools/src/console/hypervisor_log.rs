//! The hypervisor's own console, kept in a log.

use std::io;

use super::log::Log;
use crate::hypercall::{self, Interface};

/// The log and how far the hypervisor's ring was read.
#[derive(Debug)]
pub struct HypervisorLog {
    /// The file.
    pub log: Log,
    index: u32,
}

impl HypervisorLog {
    /// A log that begins with what the ring holds.
    pub fn new(log: Log) -> Self {
        Self { log, index: 0 }
    }

    /// Appends what is new in the ring.
    pub fn catch_up(&mut self, xen: &Interface) -> Result<(), hypercall::Error> {
        loop {
            let (bytes, index) = xen.read_console(self.index, false)?;
            self.index = index;
            if bytes.is_empty() {
                return Ok(());
            }
            let written: io::Result<()> = self.log.write(&bytes);
            if let Err(error) = written {
                super::daemon::warn(&format!("the hypervisor's log: {error}"));
                return Ok(());
            }
        }
    }
}
