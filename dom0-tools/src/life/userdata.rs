//! Files about a domain, where libxl keeps them: the configuration as text (for restarts) and as
//! JSON (for stock tools).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use hypercall_abi::xen::DomId;

use crate::config::domain::Uuid;
use crate::sys::file;

const FOLDER: &str = "/var/lib/xen";
/// The configuration as `xl` reads it.
pub const TEXT: &str = "xl";
/// The configuration as libxl keeps it.
pub const JSON: &str = "libxl-json";

/// The file of a domain for a user of it.
pub fn path(domain: DomId, uuid: Uuid, user: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("userdata-d.{}.{uuid}.{user}", domain.0))
}

/// Writes a file at once: a reader sees the old one or the new one.
///
/// # Errors
/// The file system's.
pub fn write(domain: DomId, uuid: Uuid, user: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(FOLDER)?;
    let path = path(domain, uuid, user);
    let new = Path::new(FOLDER).join(format!("userdata-n.{}.{uuid}.{user}", domain.0));
    file::replace(&path, &new, |file| file.write_all(bytes))
}

/// Reads a file; `None` if there is none.
///
/// # Errors
/// The file system's.
pub fn read(domain: DomId, uuid: Uuid, user: &str) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path(domain, uuid, user)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes all files of a domain.
///
/// # Errors
/// The first of the file system's.
pub fn remove(domain: DomId, uuid: Uuid) -> io::Result<()> {
    let middle = format!(".{}.{uuid}.", domain.0);
    let Ok(entries) = fs::read_dir(FOLDER) else {
        return Ok(());
    };
    let mut outcome = Ok(());
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let rest = name.strip_prefix("userdata-").unwrap_or_default();
        if rest.get(1..).is_some_and(|rest| rest.starts_with(&middle)) {
            outcome = outcome.and(fs::remove_file(entry.path()));
        }
    }
    outcome
}
