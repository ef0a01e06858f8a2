//! xenstore: the tree of names and values through which the domains of a machine find each other.
//!
//! [`wire`] is the protocol (Xen `public/io/xs_wire.h`, `docs/misc/xenstore.txt`), shared by client
//! and server; [`client`] is what the tools ask with. The server is `crate::xenstored`.

pub mod client;
pub mod wire;

pub use client::{Client, Error, Event, Transaction};
pub use wire::{Access, Perm};
