//! The fuzz targets' entry points with fixed seeds and a bounded number of rounds, so that every test run exercises them.
//! `FUZZ_ROUNDS` asks for more.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::boot::{BASE, PROTOCOLS};

fn rounds() -> u64 {
    let asked = std::env::var("FUZZ_ROUNDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(2000)
}

/// Pseudo-random bytes (xorshift).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Information that each protocol's parser takes, to be damaged.
fn sound(protocol: usize) -> Vec<u8> {
    let at = BASE as u32;
    match protocol {
        0 => {
            // Memory sizes, command line, one module, a map of one entry, all behind the structure.
            let mut info = words(&[0x4d, 640, 0x1_0000, 0, at + 160, 1, at + 128]);
            info.resize(44, 0);
            info.extend(words(&[24, at + 180]));
            info.resize(128, 0);
            info.extend(words(&[0x10_0000, 0x20_0000, at + 160, 0]));
            info.resize(160, 0);
            info.extend(b"oxen dom0_mem=512M\0\0");
            info.extend(words(&[20, 0x10_0000, 0, 0x100_0000, 0, 1]));
            info
        }
        1 => {
            let map = words(&[6, 40, 24, 0, 0x10_0000, 0, 0x100_0000, 0, 1, 0]);
            let module = words(&[3, 20, 0x10_0000, 0x20_0000, 0x0000_6161, 0]);
            let line = [words(&[1, 13]), b"oxen\0\0\0\0".to_vec()].concat();
            let body = [map, module, line, words(&[0, 8])].concat();
            [words(&[8 + body.len() as u32, 0]), body].concat()
        }
        _ => {
            let mut info = words(&[0x336e_c578, 1, 0, 1, at + 64, 0, at + 160, 0, 0, 0]);
            info.extend(words(&[at + 96, 0, 1, 0]));
            info.resize(64, 0);
            info.extend(words(&[0x10_0000, 0, 0x10_0000, 0, at + 160, 0, 0, 0]));
            info.extend(words(&[0x10_0000, 0, 0x100_0000, 0, 1, 0]));
            info.resize(160, 0);
            info.extend(b"oxen\0");
            info
        }
    }
}

#[test]
fn damaged_boot_information_is_taken_or_refused() {
    for seed in 0..rounds() {
        let protocol = (seed % PROTOCOLS.len() as u64) as usize;
        let mut memory = sound(protocol);
        let damage = noise(seed, 16);
        for pair in damage.chunks_exact(2).take(usize::from(damage[0] % 8)) {
            let at = usize::from(pair[0]) % memory.len();
            memory[at] = pair[1];
        }
        memory.extend(noise(seed, 64));
        fuzz::boot::run(&[&[protocol as u8], &memory[..]].concat());
    }
}

#[test]
fn random_tables_are_parsed_or_left_out() {
    let mut taken = 0;
    for seed in 0..rounds() / 4 {
        taken += u64::from(fuzz::acpi::run(&noise(seed, 1024)));
    }
    // With right checksums most trees hold up, or the parsers behind would not be reached.
    assert!(taken > 0 || rounds() < 4);
}
