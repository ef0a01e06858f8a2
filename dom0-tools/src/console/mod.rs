//! Consoles of guests: the daemon that serves them and `xl console` that shows them.
//!
//! A guest writes into a page that it shares ([`ring`]); the daemon keeps a log of it and passes it
//! on to whoever looks: stock tools through a pseudo terminal named in xenstore, our own through a
//! socket, which any number of viewers may share.

pub mod client;
pub mod daemon;
mod escape;
mod guest;
mod hypervisor_log;
pub mod keys;
mod log;
pub mod ring;
mod terminal;
mod viewers;

/// Where viewers connect. Root's alone, as the terminals are.
pub const SOCKET: &str = "/run/xen/oxen-console.sock";
