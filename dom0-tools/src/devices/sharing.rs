//! Who else uses an image or block device: a disk with two writers that do not know of each other
//! is soon a disk with none.
//!
//! A reader bears other readers. A writer bears nobody. What is asked for with mode `w!` is not
//! checked, but counts as a writer for others.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{major, makedev, minor};

use super::disk_spec::Access;
use super::error::Cause;
use crate::sys::loopdev;
use crate::xenstore::{self, Client};

/// Something that holds bytes, whatever the path to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// A block device, by its number as `stat` has it.
    Device(u64),
    /// A file, by its file system's device and its inode.
    File(u64, u64),
}

/// A user of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    holds: BTreeSet<Identity>,
    writes: bool,
    who: String,
}

/// What a path stands for; a loop device stands for its file too, a partition for its disk too.
#[must_use]
pub fn identities(path: &Path) -> BTreeSet<Identity> {
    let mut found = BTreeSet::new();
    let Ok(metadata) = fs::metadata(path) else {
        return found;
    };
    if metadata.file_type().is_block_device() {
        found.insert(Identity::Device(metadata.rdev()));
        found.extend(loopdev::backing(path).map(|(device, inode)| Identity::File(device, inode)));
    } else {
        found.insert(Identity::File(metadata.dev(), metadata.ino()));
    }
    found
}

/// Whether what is said of one concerns the other: the same, or a disk and its partition.
fn overlap(some: &BTreeSet<Identity>, others: &BTreeSet<Identity>) -> bool {
    some.iter().any(|one| {
        others.iter().any(|other| match (one, other) {
            (Identity::Device(one), Identity::Device(other)) => {
                one == other || disk_of(*one) == Some(*other) || disk_of(*other) == Some(*one)
            }
            _ => one == other,
        })
    })
}

/// The disk that a partition is part of.
fn disk_of(device: u64) -> Option<u64> {
    let directory = sysfs(device);
    if !directory.join("partition").exists() {
        return None;
    }
    let disk = fs::read_to_string(directory.join("../dev")).ok()?;
    device_number(disk.trim(), 10)
}

fn sysfs(device: u64) -> PathBuf {
    // Resolved, so that `..` leads to the disk.
    let link = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    fs::canonicalize(&link).unwrap_or_else(|_| link.into())
}

/// `major:minor` in the given base.
fn device_number(text: &str, radix: u32) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    let number = |text| u32::from_str_radix(text, radix).ok();
    Some(makedev(number(major)?, number(minor)?))
}

/// Whether a domain may have `path` with this access.
///
/// # Errors
/// [`Cause::InUse`] names who is in the way.
pub fn check(store: &Client, path: &Path, access: Access, domid: u32) -> Result<(), Cause> {
    if access == Access::Shared {
        return Ok(());
    }
    let wanted = identities(path);
    let mut users = guests(store, domid)?;
    users.extend(mounts(
        &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(),
    ));
    users.extend(swaps(
        &fs::read_to_string("/proc/swaps").unwrap_or_default(),
    ));
    users.extend(holders(&wanted));
    match in_the_way(&wanted, access, &users) {
        Some(user) => Err(Cause::InUse(path.to_owned(), user.who.clone())),
        None => Ok(()),
    }
}

fn in_the_way<'a>(
    wanted: &BTreeSet<Identity>,
    access: Access,
    users: &'a [User],
) -> Option<&'a User> {
    users
        .iter()
        .find(|user| (access.writes() || user.writes) && overlap(wanted, &user.holds))
}

/// The disks of all domains, as the backends in dom0 have them.
fn guests(store: &Client, domid: u32) -> Result<Vec<User>, xenstore::Error> {
    let own_vm = store.try_read_string(&format!("/local/domain/{domid}/vm"))?;
    let mut users = Vec::new();
    for kind in ["vbd", "qdisk"] {
        let base = format!("/local/domain/0/backend/{kind}");
        for domain in store.try_list(&base)? {
            // A domain that is on its way into this one (migration on one host, reboot) hands its
            // disks over.
            let vm = store.try_read_string(&format!("/local/domain/{domain}/vm"))?;
            if domain != domid.to_string() && vm.is_some() && vm == own_vm {
                continue;
            }
            for devid in store.try_list(&format!("{base}/{domain}"))? {
                let backend = format!("{base}/{domain}/{devid}");
                users.extend(disk_user(store, &backend, &domain)?);
            }
        }
    }
    Ok(users)
}

fn disk_user(store: &Client, backend: &str, domain: &str) -> Result<Option<User>, xenstore::Error> {
    let read = |name| store.try_read_string(&format!("{backend}/{name}"));
    let mut holds = BTreeSet::new();
    let device = read("physical-device")?;
    holds.extend(
        device
            .and_then(|text| device_number(&text, 16))
            .map(Identity::Device),
    );
    // A disk that is being attached, or is a qdisk, has no device yet.
    let params = read("params")?.unwrap_or_default();
    let path = match backend.contains("/backend/qdisk/") {
        true => params.split_once(':').map_or("", |(_, path)| path),
        false => params.as_str(),
    };
    if path.starts_with('/') && read("state")?.as_deref() != Some("6") {
        holds.extend(identities(Path::new(path)));
    }
    if holds.is_empty() {
        return Ok(None);
    }
    let name = store.try_read_string(&format!("/local/domain/{domain}/name"))?;
    let name = name.unwrap_or_else(|| format!("with number {domain}"));
    let dev = read("dev")?.unwrap_or_default();
    Ok(Some(User {
        holds,
        writes: read("mode")?.is_none_or(|mode| mode.contains('w')),
        who: format!("domain {name} as {dev}"),
    }))
}

/// The file systems mounted in dom0 (`proc(5)`, `mountinfo`).
fn mounts(mountinfo: &str) -> Vec<User> {
    let mut users = Vec::new();
    for line in mountinfo.lines() {
        let Some((head, tail)) = line.split_once(" - ") else {
            continue;
        };
        let head: Vec<&str> = head.split(' ').collect();
        let tail: Vec<&str> = tail.split(' ').collect();
        let (Some(device), Some(place)) = (head.get(2), head.get(4)) else {
            continue;
        };
        let mut holds = BTreeSet::new();
        if let Some(device) = device_number(device, 10).filter(|&device| major(device) != 0) {
            holds.insert(Identity::Device(device));
            let node = format!("/dev/block/{}:{}", major(device), minor(device));
            holds.extend(identities(Path::new(&node)));
        }
        // File systems over several devices have a number of their own.
        if let Some(source) = tail.get(1).filter(|source| source.starts_with('/')) {
            holds.extend(
                identities(Path::new(source))
                    .into_iter()
                    .filter(|identity| {
                        // A bind mount of a file is no use of its bytes as a disk.
                        matches!(identity, Identity::Device(_)) || source.starts_with("/dev/")
                    }),
            );
        }
        // The options of this mount and of the file system: either may forbid writing.
        let read_only = |options: Option<&&str>| {
            options.is_some_and(|options| options.split(',').any(|option| option == "ro"))
        };
        users.push(User {
            holds,
            writes: !read_only(tail.get(2)),
            who: format!("dom0, mounted at {place}"),
        });
    }
    users
}

fn swaps(table: &str) -> Vec<User> {
    let paths = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next());
    let user = |path: &str| User {
        holds: identities(Path::new(path)),
        writes: true,
        who: "dom0 as swap space".to_owned(),
    };
    paths.map(user).collect()
}

/// Block devices made of these (LVM, RAID, encryption).
fn holders(wanted: &BTreeSet<Identity>) -> Vec<User> {
    let mut users = Vec::new();
    for identity in wanted {
        let Identity::Device(device) = identity else {
            continue;
        };
        let Ok(entries) = fs::read_dir(sysfs(*device).join("holders")) else {
            continue;
        };
        for holder in entries.flatten() {
            users.push(User {
                holds: BTreeSet::from([*identity]),
                writes: true,
                who: format!(
                    "dom0's block device {}",
                    holder.file_name().to_string_lossy()
                ),
            });
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: u64, writes: bool) -> User {
        User {
            holds: BTreeSet::from([Identity::Device(number)]),
            writes,
            who: String::new(),
        }
    }

    #[test]
    fn a_writer_bears_nobody_and_a_reader_bears_readers() {
        let device = BTreeSet::from([Identity::Device(5)]);
        let hinders = |access, users: &[User]| in_the_way(&device, access, users).is_some();
        assert!(hinders(Access::ReadWrite, &[user(5, false)]));
        assert!(hinders(Access::ReadWrite, &[user(5, true)]));
        assert!(hinders(Access::ReadOnly, &[user(5, true)]));
        assert!(!hinders(Access::ReadOnly, &[user(5, false)]));
        assert!(!hinders(Access::ReadWrite, &[user(6, true)]));
        let file = BTreeSet::from([Identity::File(1, 2), Identity::Device(9)]);
        assert!(overlap(&file, &BTreeSet::from([Identity::File(1, 2)])));
        assert!(!overlap(&file, &BTreeSet::from([Identity::File(1, 3)])));
    }

    #[test]
    fn mounts_are_read_with_their_modes() {
        let text = "25 30 8:1 / / rw,relatime - ext4 /dev/nowhere rw\n\
                    26 30 8:2 / /mnt/a\\040b ro shared:1 - ext4 /dev/nowhere2 ro,x\n\
                    27 30 0:22 / /proc rw - proc proc rw\nnonsense\n";
        let users = mounts(text);
        assert_eq!(users.len(), 3);
        assert!(users[0].writes && !users[1].writes);
        assert!(users[0].holds.contains(&Identity::Device(makedev(8, 1))));
        assert!(users[2].holds.is_empty());
    }

    #[test]
    fn numbers_are_read_in_both_bases() {
        assert_eq!(device_number("fd:1f", 16), Some(makedev(0xfd, 0x1f)));
        assert_eq!(device_number("7:10", 10), Some(makedev(7, 10)));
        assert_eq!(device_number("7", 10), None);
        assert_eq!(device_number("fd:x", 16), None);
    }

    #[test]
    fn two_paths_to_one_file_are_one_identity() {
        let file = std::env::temp_dir().join(format!("oxen-sharing-{}", std::process::id()));
        let link = file.with_extension("link");
        fs::write(&file, b"x").unwrap();
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(identities(&file), identities(&link));
        assert_eq!(identities(&file).len(), 1);
        fs::remove_file(&link).unwrap();
        fs::remove_file(&file).unwrap();
        assert!(identities(&file).is_empty());
    }
}
