//! What the fuzzer feeds to the parsers of the boot loader's and the firmware's claims. The same functions run with fixed
//! seeds in `cargo test` (`arch/tests/fuzz.rs`).

pub mod acpi;
pub mod boot;
