//! Where things are: the repository, what is built, what is downloaded.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the repository")
}

/// Everything that the chores build: `target/oxen`.
pub fn output() -> PathBuf {
    root().join("target/oxen")
}

/// What outlives a clean build: downloads and probe results. As in `./x`.
pub fn cache() -> PathBuf {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("OXEN_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("oxen")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".cache/oxen")))
        .unwrap_or_else(|| output().join("cache"))
}

/// A short name for contents (FNV-1a, 64 bits); tells cached files apart, protects nothing.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
