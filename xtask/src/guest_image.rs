//! What guests are made of: stock kernels and one small userspace, in dom0's `/oxen/guest`.
//!
//! | file | what |
//! |---|---|
//! | `cloud` | Debian's `-cloud-amd64` kernel as it is packed (LZ4: stock `xl` unpacks it in a moment) |
//! | `stock` | Debian's `-amd64` kernel as it is packed (XZ: 24 s in stock `xl` when emulated) |
//! | `fuzz` | `tests/fuzz-guest`, a kernel that attacks |
//! | `initrd` | userspace for both: `tests/guest/init`, busybox, drivers, iperf3, mke2fs, our programs |

use anyhow::Result;

use crate::cpio::Archive;
use crate::initramfs::{self, Programs, read};
use crate::setup::Packages;
use crate::{build, paths};

/// The front ends and file systems of a guest.
const MODULES: &[&str] = &["xen-blkfront", "xen-netfront", "xenfs", "ext4"];

const PROGRAMS: &[(&str, &str)] = &[
    ("bin/busybox", "bin/busybox"),
    ("usr/bin/iperf3", "usr/bin/iperf3"),
    ("sbin/mke2fs", "sbin/mke2fs"),
];

/// Adds the files to dom0's userspace.
pub fn add(dom0: &mut Archive, packages: &Packages) -> Result<()> {
    dom0.file("oxen/guest/cloud", 0o644, &read(&packages.cloud_kernel())?);
    dom0.file("oxen/guest/stock", 0o644, &read(&packages.kernel())?);
    dom0.file("oxen/guest/fuzz", 0o755, &read(&build::fuzz_guest()?)?);
    dom0.file("oxen/guest/initrd", 0o644, &userspace(packages)?);
    Ok(())
}

/// Adds the demonstration: `/etc/oxen/demo.cfg`, its kernel and its userspace.
pub fn add_demo(dom0: &mut Archive, packages: &Packages) -> Result<()> {
    let config = paths::root().join("tests/dom0/demo.cfg");
    dom0.file("etc/oxen/demo.cfg", 0o644, &read(&config)?);
    dom0.file("oxen/guest/cloud", 0o644, &read(&packages.cloud_kernel())?);
    dom0.file("oxen/guest/initrd", 0o644, &userspace(packages)?);
    Ok(())
}

/// The guests' userspace, uncompressed: unpacking costs a guest more than dom0 saves.
fn userspace(packages: &Packages) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["proc", "sys", "dev", "run", "tmp", "root", "mnt", "etc"] {
        archive.directory(folder);
    }
    archive.device("dev/console", 5, 1);
    archive.device("dev/null", 1, 3);
    archive.file("etc/passwd", 0o644, b"root::0:0:root:/root:/bin/sh\n");
    archive.file("etc/group", 0o644, b"root:x:0:\n");
    archive.file(
        "init",
        0o755,
        &read(&paths::root().join("tests/guest/init"))?,
    );
    let mut programs = Programs::new(&packages.root, &mut archive);
    for (from, to) in PROGRAMS {
        programs.program(from, to)?;
    }
    for tool in build::guest_programs()? {
        let name = initramfs::name_of(&tool);
        // The others are dom0's.
        if name == "microbench" {
            archive.file(&format!("bin/{name}"), 0o755, &read(&tool)?);
        }
    }
    for release in [&packages.kernel_release, &packages.cloud_release] {
        initramfs::modules(&mut archive, packages, release, MODULES)?;
    }
    Ok(archive.finish())
}
