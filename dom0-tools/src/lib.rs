//! The toolstack of dom0. It meets the hypervisor only through `hypercall-abi`.

pub mod builder;
pub mod config;
pub mod console;
pub mod devices;
pub mod hypercall;
pub mod life;
pub mod sys;
pub mod xenstore;
pub mod xenstored;
pub mod xl;
