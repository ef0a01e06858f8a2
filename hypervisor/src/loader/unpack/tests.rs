//! Against the real tools' output, and against damage.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

/// Text, zeroes, call-rich "code" and noise, so that every kind of symbol occurs.
fn sample(size: usize) -> Vec<u8> {
    let mut seed = 0x1234_5678_9abc_def1u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut out = Vec::with_capacity(size);
    while out.len() < size {
        match random() % 5 {
            0 => out.extend(
                b"the quick brown fox jumps over the lazy dog. ".repeat(random() as usize % 9),
            ),
            1 => out.resize(out.len() + random() as usize % 3000, 0),
            2 => {
                for _ in 0..random() % 300 {
                    out.push(if random() % 2 == 0 { 0xe8 } else { 0xe9 });
                    out.extend(((random() % 0x4000) as i32 - 0x2000).to_le_bytes());
                    out.extend([0x48, 0x89, 0xe5, random() as u8]);
                }
            }
            3 => out.extend((0..random() % 500).map(|_| random() as u8)),
            _ => {
                let from = random() as usize % (out.len() + 1);
                let len = (random() as usize % 400).min(out.len() - from);
                out.extend_from_within(from..from + len);
            }
        }
    }
    out.truncate(size);
    out
}

/// What a tool makes of `data`; `None` where it is not installed.
fn tool(command: &[&str], data: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().expect("piped");
    let data = data.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&data));
    let output = child.wait_with_output().expect("tool runs");
    writer.join().expect("thread").expect("tool reads");
    assert!(output.status.success(), "{command:?}");
    Some(output.stdout)
}

const TOOLS: &[(&[&str], Compression)] = &[
    (&["gzip", "-9n"], Compression::Gzip),
    (
        &["xz", "--check=crc32", "--x86", "--lzma2=dict=32MiB"],
        Compression::Xz,
    ),
    (&["xz", "-0", "--check=crc64"], Compression::Xz),
    (
        &[
            "xz",
            "--block-size=65536",
            "--check=sha256",
            "--lzma2=lc=1,lp=2,pb=1",
        ],
        Compression::Xz,
    ),
    (&["xz", "-9e", "--format=lzma"], Compression::Lzma),
    (&["bzip2", "-9"], Compression::Bzip2),
    (&["bzip2", "-1"], Compression::Bzip2),
    (&["lz4", "-l", "-9"], Compression::Lz4),
    (&["lzop", "-9"], Compression::Lzo),
    (&["lzop", "-1", "-F"], Compression::Lzo),
    (&["zstd", "-19"], Compression::Zstd),
    (&["zstd", "--ultra", "-22", "--no-check"], Compression::Zstd),
];

#[test]
fn every_tool_s_output_unpacks() {
    let data = sample(3 << 20);
    let mut seen = 0;
    for (command, compression) in TOOLS {
        let Some(packed) = tool(command, &data) else {
            eprintln!("{command:?}: not installed, skipped");
            continue;
        };
        seen += 1;
        assert_eq!(
            Compression::detect(&packed),
            Some(*compression),
            "{command:?}"
        );
        if let Some(size) = compression.size(&packed) {
            assert_eq!(size, data.len() as u64, "{command:?}");
        }
        let mut out = vec![0xa5; data.len()];
        assert_eq!(
            compression.decode(&packed, &mut out),
            Ok(data.len()),
            "{command:?}"
        );
        assert!(out == data, "{command:?}");
        // One byte too little room is an error, more room is fine.
        let mut short = vec![0; data.len() - 1];
        assert!(
            compression.decode(&packed, &mut short).is_err() || *compression == Compression::Lzma,
            "{command:?}"
        );
        let mut long = vec![0; data.len() + 100];
        assert_eq!(
            compression.decode(&packed, &mut long),
            Ok(data.len()),
            "{command:?}"
        );
    }
    assert!(seen >= 3, "gzip, xz and bzip2 belong to every Debian");
}

#[test]
fn tiny_inputs_unpack() {
    for data in [
        &b""[..],
        b"a",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        b"abcabcabcabcabcabcabcabc",
    ] {
        for (command, compression) in TOOLS {
            let Some(packed) = tool(command, data) else {
                continue;
            };
            let mut out = vec![0; data.len()];
            assert_eq!(
                compression.decode(&packed, &mut out),
                Ok(data.len()),
                "{command:?} {data:?}"
            );
            assert_eq!(out, data, "{command:?}");
        }
    }
}

/// Damage anywhere ends in an error or in some output, never in a panic or without end.
#[test]
fn damage_never_panics() {
    let data = sample(40_000);
    for (command, compression) in TOOLS {
        let Some(packed) = tool(command, &data) else {
            continue;
        };
        let mut out = vec![0; data.len()];
        for cut in (0..packed.len()).step_by(packed.len() / 60 + 1) {
            let got = compression.decode(&packed[..cut], &mut out);
            // Formats with an end mark must notice.
            assert!(
                got.is_err()
                    || out[..got.unwrap_or(0)] == data[..got.unwrap_or(0)]
                    || *compression == Compression::Lzma,
                "{command:?} cut at {cut}"
            );
        }
        let mut seed = 99u64;
        for _ in 0..150 {
            let mut bad = packed.clone();
            for _ in 0..1 + seed % 3 {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 33) as usize % bad.len();
                bad[at] ^= (seed >> 20) as u8 | 1;
            }
            let _ = compression.decode(&bad, &mut out);
        }
    }
}

#[test]
fn noise_is_no_compression() {
    assert_eq!(Compression::detect(b""), None);
    assert_eq!(Compression::detect(&[0x1f]), None);
    assert_eq!(Compression::detect(b"MZ\x90\0"), None);
}
