//! Host-side tests of the control interface: every shape and every refusal, as a guest would ask.

mod domctl;
mod interfaces;
mod life;
pub mod machine;
mod mca;
mod off;
mod platform;
mod pools;
mod privileges;
mod settings;
mod states;
mod sysctl;
mod version;
