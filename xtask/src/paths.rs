//! Where things are: the repository, what is built, what is downloaded.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the repository")
}

/// Everything that the chores build: `target/oxen`.
#[allow(dead_code, reason = "used by the chores to come")]
pub fn output() -> PathBuf {
    root().join("target/oxen")
}
