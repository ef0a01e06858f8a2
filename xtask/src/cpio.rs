//! Writing an initramfs: the "newc" cpio format of the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst`.
//!
//! Archives are reproducible: every time stamp is zero and every owner root.

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive under construction. Paths are relative, without a leading slash.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    directories: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    /// Adds a folder and those above it, once.
    pub fn directory(&mut self, path: &str) {
        let mut end = 0;
        while let Some(next) = path.get(end..).and_then(|rest| rest.find('/')) {
            self.one_directory(&path[..end + next]);
            end += next + 1;
        }
        self.one_directory(path);
    }

    fn one_directory(&mut self, path: &str) {
        if !path.is_empty() && self.directories.insert(path.to_owned()) {
            self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
        }
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    /// Adds a file with permission bits such as `0o644`.
    pub fn file(&mut self, path: &str, mode: u32, contents: &[u8]) {
        self.parent(path);
        self.entry(path, REGULAR | mode, (0, 0), contents);
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.parent(path);
        self.entry(path, SYMLINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.parent(path);
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
        self.entries += 1;
        let (inode, links) = (self.entries, 1);
        let fields = [
            inode,
            mode,
            0, // user
            0, // group
            links,
            0, // time
            u32::try_from(contents.len()).expect("no file in an initramfs has 4 GiB"),
            0, // device that holds the file
            0,
            device.0,
            device.1,
            u32::try_from(path.len() + 1).expect("paths are short"),
            0, // checksum, unused in this variant
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_parents_come_first_and_once() {
        let mut archive = Archive::default();
        archive.file("a/b/c", 0o644, b"hello");
        archive.file("a/b/d", 0o755, b"");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let positions: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(positions.len(), 5, "a, a/b, a/b/c, a/b/d and the trailer");
        assert!(positions.iter().all(|at| at % 4 == 0));
        assert!(text.find("a/b\0").unwrap() < text.find("a/b/c\0").unwrap());
        assert!(text.contains("hello"));
    }
}
