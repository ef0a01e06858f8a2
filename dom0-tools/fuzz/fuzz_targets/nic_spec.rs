#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dom0_tools::devices::nic_spec::fuzz(data));
