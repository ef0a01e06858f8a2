#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| arch_fuzz::boot::run(data));
