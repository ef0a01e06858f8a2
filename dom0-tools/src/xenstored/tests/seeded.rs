//! The fuzzers' entry points with bytes from fixed seeds.

use crate::xenstored::simulated::{fuzz_protocol, fuzz_ring};

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
