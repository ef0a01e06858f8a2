//! xenstored: the daemon that keeps the tree of names through which domains find each other.
//!
//! The store itself ([`server`] and what it is made of) does no input or output: it takes
//! messages and queues answers, and asks a [`platform`] about domains and rings. So all of it
//! runs in tests and fuzzers. [`daemon`] is the loop around it; `crate::sys` has the devices.
//!
//! | file | what |
//! |---|---|
//! | `path`, `perms`, `quota` | names, who may what, limits |
//! | `tree`, `children`, `node` | the persistent tree |
//! | `transaction` | what a transaction saw and did |
//! | `watch` | who hears of which part |
//! | `domain`, `connection` | what a domain is charged, what a client is owed |
//! | `server`, `requests`, `commit`, `events`, `domains`, `control` | the requests |
//! | `ring` | the ring protocol over any memory |
//! | `state` | saving and restoring it all (live update, restart) |
//! | `daemon`, `options`, `log` | the program |

pub mod children;
mod commit;
pub mod connection;
pub mod control;
pub mod daemon;
pub mod domain;
mod domains;
mod events;
pub mod node;
pub mod options;
pub mod path;
pub mod perms;
mod pinned;
pub mod platform;
pub mod quota;
mod requests;
pub mod ring;
pub mod rings;
pub mod server;
pub mod simulated;
pub mod state;
pub mod transaction;
pub mod tree;
pub mod turns;
pub mod watch;
pub mod xen;

#[cfg(test)]
mod tests;

pub use connection::ConnId;
pub use platform::{DomainState, Platform};
pub use server::{Config, Server};
