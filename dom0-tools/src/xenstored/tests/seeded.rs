//! The fuzzers' entry points with bytes from fixed seeds.

use crate::xenstored::simulated::{Store, fuzz_protocol, fuzz_ring, fuzz_state};

fn bytes(seed: u64) -> Vec<u8> {
    // Numbers alone hardly ever make a path: texts are mixed in.
    const TEXTS: [&[u8]; 10] = [
        b"/local/domain/1/data\0",
        b"data/a/b\0",
        b"/\0",
        b"@releaseDomain\0token\0",
        b"n1\0b2\0",
        b"T\0",
        b"1\0",
        b"\x00",
        b"/tool\0",
        b"data\0",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = Vec::new();
    while bytes.len() < 3000 {
        let text = TEXTS[next() as usize % TEXTS.len()];
        if next() % 2 == 0 {
            bytes.push(next() as u8);
            bytes.push(1 + text.len() as u8);
            bytes.push(next() as u8 & 3);
            bytes.extend_from_slice(text);
        } else {
            bytes.extend_from_slice(&next().to_ne_bytes());
        }
    }
    bytes
}

#[test]
fn protocol() {
    for seed in 0..150 {
        fuzz_protocol(&bytes(seed));
    }
}

#[test]
fn ring() {
    for seed in 0..150 {
        fuzz_ring(&bytes(seed));
    }
}

#[test]
fn state() {
    let mut store = Store::new();
    let guest = store.domain(1);
    let _ = store.begin(guest);
    let saved = store.save();
    // The entry point adds the header itself.
    let saved = saved.get(16..).unwrap_or_default();
    for seed in 0..150 {
        let bytes = bytes(seed);
        fuzz_state(&bytes);
        let mut broken = saved.to_vec();
        for pair in bytes.chunks_exact(2).take(seed as usize % 8) {
            let at = (usize::from(pair[0]) * 7 + seed as usize) % broken.len();
            broken[at] = pair[1];
        }
        fuzz_state(&broken);
    }
}
