#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dom0_tools::console::ring::fuzz(data));
