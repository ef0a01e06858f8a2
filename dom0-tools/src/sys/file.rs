//! Files that nobody but the administrator may read, whole at any moment.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Replaces a file: a reader sees the old one or the new one. `new` is its name until it is whole, which
/// `write` makes it.
///
/// # Errors
/// The file system's; then the old one is there still.
pub fn replace(
    path: &Path,
    new: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    // One that was left behind may have other permissions.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    write(&mut options.open(new)?)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_its_owner_may_read_it_whatever_was_there_before() {
        let folder = std::env::temp_dir().join(format!("oxen-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, new) = (folder.join("file"), folder.join("file.new"));
        for left in [&path, &new] {
            fs::write(left, "old").unwrap();
            fs::set_permissions(left, fs::Permissions::from_mode(0o644)).unwrap();
        }
        replace(&path, &new, |file| file.write_all(b"secret")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!new.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
