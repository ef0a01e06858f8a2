//! The fuzz targets' entry points with fixed seeds and a bounded number of rounds, so that every test run exercises them.
//! `FUZZ_ROUNDS` asks for more.

#[path = "../fuzz/src/lib.rs"]
#[allow(
    dead_code,
    reason = "shared with the fuzz targets, which use other parts"
)]
mod fuzz;

use fuzz::input::noise;

fn rounds(usual: u64) -> u64 {
    let asked = std::env::var("FUZZ_ROUNDS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(usual)
}

#[test]
fn random_hypercalls_keep_the_books() {
    for seed in 0..rounds(60) {
        fuzz::hypercalls::run(&noise(seed, 8192));
    }
}

#[test]
fn random_instructions_are_emulated_or_refused() {
    for seed in 0..rounds(150) {
        fuzz::instructions::run(&noise(seed, 4096));
    }
}

#[test]
fn random_images_are_refused() {
    // Heads by which an image is recognised, with noise behind.
    let mut bzimage = vec![0u8; 0x260];
    bzimage[0x1f1] = 1;
    bzimage[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    bzimage[0x202..0x206].copy_from_slice(b"HdrS");
    bzimage[0x206..0x208].copy_from_slice(&[0x0f, 0x02]);
    bzimage[0x24c] = 0xff;
    let heads: [&[u8]; 9] = [
        b"",
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"\x02\x21\x4c\x18",
        b"BZh9",
        b"\x5d\0\0\x80\0",
        &bzimage,
    ];
    for seed in 0..rounds(60) {
        for head in heads {
            fuzz::images::run(&[head, &noise(seed, 600)].concat());
        }
    }
}
