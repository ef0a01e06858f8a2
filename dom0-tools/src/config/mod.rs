//! Domain configuration files: `xl.cfg`, and what is left of `xm`'s.
//!
//! [`syntax`] knows the language and no key, [`domain`] knows the keys and gives a checked
//! [`Domain`], [`cpus`] is the little language of processor lists.

pub mod cpus;
pub mod domain;
mod keys;
pub mod syntax;

use std::fmt;
use std::path::{Path, PathBuf};

pub use domain::{Action, Domain, Kind};

/// What is wrong in a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The file, or what stands for one.
    pub file: PathBuf,
    /// The line, from 1; 0 if it is about the whole.
    pub line: u32,
    /// The key, empty if it is about the language.
    pub key: String,
    /// What is wrong.
    pub cause: String,
    /// What to do, empty if that is plain.
    pub advice: String,
}

impl Error {
    /// About the whole of a file.
    pub fn whole(file: &Path, cause: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            key: String::new(),
            cause: cause.into(),
            advice: String::new(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line != 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.cause)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// For a fuzzer: whatever the bytes are, a configuration or an error comes out.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let path = Path::new("fuzz.cfg");
    if let Ok(file) = syntax::parse(path, &text) {
        let mut warnings = Vec::new();
        let _ = Domain::from_settings(&file, &mut warnings);
    }
}
