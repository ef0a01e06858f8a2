#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    arch_fuzz::acpi::run(data);
});
