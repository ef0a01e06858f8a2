#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dom0_tools::devices::disk_spec::fuzz(data));
