//! What the fuzzer feeds, and what must hold whatever it feeds. Each module's `run` takes one input; the same functions
//! run with fixed seeds in `cargo test` (`hypervisor/tests/fuzz.rs`).

pub mod hypercalls;
pub mod images;
pub mod input;
pub mod instructions;
pub mod machine;
