//! The life of domains: made from a configuration, found, asked to stop, watched over, ended.
//!
//! What is written to xenstore and to [`userdata`]'s files is what libxl of Xen 4.17 writes, so
//! that stock tools can handle our domains and we theirs.

pub mod create;
pub mod destroy;
pub mod dump;
pub mod find;
pub mod json;
pub mod lock;
pub mod memory;
mod p2m;
pub mod store;
pub mod supervise;
pub mod userdata;
pub mod wait;

use std::fmt;

use hypercall_abi::xen::DomId;

use crate::hypercall::Interface;
use crate::xenstore::Client;
use crate::{builder, config, devices, hypercall, xenstore};

/// What all of it needs: the hypervisor and xenstore.
#[derive(Debug)]
pub struct Tools {
    /// The way to the hypervisor.
    pub xen: Interface,
    /// The way to xenstore.
    pub store: Client,
}

impl Tools {
    /// Opens both.
    ///
    /// # Errors
    /// Which of them is not there.
    pub fn open() -> Result<Self, Error> {
        Ok(Self {
            xen: Interface::open()?,
            store: Client::open()?,
        })
    }
}

/// What went wrong with a domain; its text is one line.
#[derive(Debug)]
pub enum Error {
    /// In its configuration.
    Config(config::Error),
    /// When it was built.
    Build(builder::Error),
    /// The hypervisor refused.
    Xen(hypercall::Error),
    /// xenstore did not do what was asked.
    Store(xenstore::Error),
    /// With one of its devices.
    Device(devices::Error),
    /// Another domain has the name: the name, and which.
    NameInUse(String, DomId),
    /// A domain has the UUID already.
    UuidInUse(config::domain::Uuid, DomId),
    /// There is no such domain.
    NoDomain(String),
    /// Somebody pressed Ctrl-C; nothing is left.
    Interrupted,
    /// Anything else.
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Build(error) => error.fmt(f),
            Self::Xen(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Device(error) => error.fmt(f),
            Self::NameInUse(name, domain) => write!(
                f,
                "a domain named \"{name}\" exists already, with ID {}",
                domain.0
            ),
            Self::UuidInUse(uuid, domain) => {
                write!(f, "domain {} has the UUID {uuid} already", domain.0)
            }
            Self::NoDomain(name) => write!(f, "there is no domain \"{name}\""),
            Self::Interrupted => write!(f, "interrupted; nothing of the domain is left"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

macro_rules! from {
    ($($from:ty => $variant:ident,)*) => {$(
        impl From<$from> for Error {
            fn from(error: $from) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

from! {
    config::Error => Config,
    builder::Error => Build,
    hypercall::Error => Xen,
    xenstore::Error => Store,
    devices::Error => Device,
    String => Other,
}
