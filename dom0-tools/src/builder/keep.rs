//! Unpacked kernels that are kept for the next start, where the administrator has made a folder
//! for them. Unpacking is most of what making a domain takes.
//!
//! A kept kernel is named after its file's identity, size and times, so a replaced file is not
//! mistaken for its predecessor. What is kept may end behind the last byte that was loaded.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The folder. Whoever may write there decides what guests run: root alone.
pub const FOLDER: &str = "/var/cache/oxen/kernels";
/// How many kernels are kept; the one that was used least recently goes.
const MOST: usize = 4;

/// The place of one kernel.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    name: String,
}

impl Place {
    /// Of a kernel's file, if there is a folder that nobody but its owner, this process' user,
    /// may write to.
    pub fn of(folder: &Path, kernel: &File) -> Option<Self> {
        let about = fs::metadata(folder).ok().filter(fs::Metadata::is_dir)?;
        let ours = about.uid() == rustix::process::geteuid().as_raw();
        if !ours || about.mode() & 0o022 != 0 {
            return None;
        }
        let file = kernel.metadata().ok()?;
        Some(Self {
            folder: folder.to_owned(),
            name: format!(
                "{:x}-{:x}-{:x}-{:x}.{:x}-{:x}.{:x}",
                file.dev(),
                file.ino(),
                file.len(),
                file.mtime(),
                file.mtime_nsec(),
                file.ctime(),
                file.ctime_nsec()
            ),
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    fn partial(&self) -> PathBuf {
        let name = format!("{}.{}.partial", self.name, std::process::id());
        self.folder.join(name)
    }

    /// The unpacked kernel, if it is there.
    pub fn open(&self) -> Option<File> {
        File::open(self.path()).ok()
    }

    /// Passes on what `reader` reads and writes it down, as far as there is room.
    pub fn note<'a>(&self, reader: Box<dyn Read + Send + 'a>) -> Box<dyn Read + Send + 'a> {
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.partial());
        match file {
            Ok(file) => Box::new(Noted {
                reader,
                file: Some(file),
                path: self.partial(),
            }),
            Err(_) => reader,
        }
    }

    /// Keeps what was noted: all that was needed has been read.
    pub fn keep(&self) {
        if fs::rename(self.partial(), self.path()).is_err() {
            return;
        }
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut kept: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_none_or(|end| end != "partial"))
            .filter_map(|entry| {
                let about = entry.metadata().ok()?;
                Some((
                    about.accessed().or_else(|_| about.modified()).ok()?,
                    entry.path(),
                ))
            })
            .collect();
        kept.sort();
        let surplus = kept.len().saturating_sub(MOST);
        for (_, path) in kept.iter().take(surplus) {
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // There is one only if it was not kept.
        let _ = fs::remove_file(self.partial());
    }
}

/// Reads and writes down. A full disk ends the writing, not the reading.
struct Noted<'a> {
    reader: Box<dyn Read + Send + 'a>,
    file: Option<File>,
    path: PathBuf,
}

impl Read for Noted<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = self.reader.read(out)?;
        let written = match &mut self.file {
            Some(file) => file.write_all(&out[..len]),
            None => Ok(()),
        };
        if written.is_err() {
            self.file = None;
            let _ = fs::remove_file(&self.path);
        }
        Ok(len)
    }
}
