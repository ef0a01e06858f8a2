//! Why a device could not be attached or detached.

use std::path::PathBuf;
use std::{fmt, io};

use crate::xenstore;

/// What went wrong with a device.
#[derive(Debug)]
pub struct Error {
    /// Which device, as people call it: `xvda`, `vif 0`.
    pub device: String,
    /// What the matter is.
    pub cause: Cause,
}

/// The matter with a device.
#[derive(Debug)]
pub enum Cause {
    /// xenstore did not do what was asked.
    Store(xenstore::Error),
    /// The image, block device, program or kernel object does not do.
    Target(PathBuf, io::Error),
    /// Somebody has the image or block device already: what, and who has it.
    InUse(PathBuf, String),
    /// The guest has a device of this number.
    Exists,
    /// The guest has no such device.
    Missing,
    /// The domain, backend domain or bridge named does not exist.
    Unknown(&'static str, String),
    /// The backend did not get to where it should within the time; where it was last.
    Timeout(&'static str, String),
    /// The backend gave up and said why.
    Backend(String),
    /// A hotplug script failed, and what it says.
    Script(PathBuf, String),
    /// The network did not do what was asked.
    Network(String, io::Error),
    /// This cannot be done.
    Unsupported(String),
}

impl Error {
    /// An error of this device.
    pub fn new(device: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self {
            device: device.into(),
            cause: cause.into(),
        }
    }
}

impl From<xenstore::Error> for Cause {
    fn from(error: xenstore::Error) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.device, self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Target(path, error) => write!(f, "{}: {error}", path.display()),
            Self::InUse(path, by) => write!(
                f,
                "{} is in use by {by} (mode w! would share it nevertheless)",
                path.display()
            ),
            Self::Exists => write!(f, "the domain has a device of this number already"),
            Self::Missing => write!(f, "the domain has no such device"),
            Self::Unknown(what, name) => write!(f, "there is no {what} `{name}'"),
            Self::Timeout(what, seen) => write!(f, "{what} takes too long; {seen}"),
            Self::Backend(words) => write!(f, "the backend says: {words}"),
            Self::Script(path, words) => write!(f, "{} failed: {words}", path.display()),
            Self::Network(what, error) => write!(f, "{what}: {error}"),
            Self::Unsupported(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}
