//! What guests are made of: stock kernels and one small userspace, in dom0's `/oxen/guest`.
//!
//! | file | what |
//! |---|---|
//! | `cloud` | Debian's `-cloud-amd64` kernel as it is packed (LZ4: stock `xl` unpacks it in a moment) |
//! | `stock` | Debian's `-amd64` kernel as it is packed (XZ: 24 s in stock `xl` when emulated) |
//! | `stock.gz` | the same, unpacked and packed with gzip (a second in stock `xl`): for rows in every run |
//! | `grub` | Debian's GRUB for PV guests, which looks for `/boot/grub/grub.cfg` on the guest's disks |
//! | `fuzz` | `tests/fuzz-guest`, a kernel that attacks |
//! | `xsa` | `tests/xsa-guest`, a kernel that tries what security advisories tell |
//! | `bench` | `tests/bench-guest`, a kernel that measures |
//! | `initrd` | userspace for both: `tests/guest/init`, busybox, drivers, iperf3, mke2fs, our programs |

use std::fs;

use anyhow::{Context, Result, bail};

use crate::cpio::Archive;
use crate::initramfs::{self, Programs, read};
use crate::setup::Packages;
use crate::{build, cmd, paths};

/// The front ends and file systems of a guest.
const MODULES: &[&str] = &[
    "xen-blkfront",
    "xen-netfront",
    "xenfs",
    "ext4",
    "crc32c_generic",
];

const PROGRAMS: &[(&str, &str)] = &[
    ("bin/busybox", "bin/busybox"),
    ("usr/bin/iperf3", "usr/bin/iperf3"),
    ("sbin/mke2fs", "sbin/mke2fs"),
];

/// Adds the files to dom0's userspace.
pub fn add(dom0: &mut Archive, packages: &Packages) -> Result<()> {
    dom0.file("oxen/guest/cloud", 0o644, &read(&packages.cloud_kernel())?);
    dom0.file("oxen/guest/stock", 0o644, &read(&packages.kernel())?);
    dom0.file("oxen/guest/stock.gz", 0o644, &quickly_unpacked(packages)?);
    let grub = packages.root.join("usr/lib/grub-xen/grub-x86_64-xen.bin");
    dom0.file("oxen/guest/grub", 0o644, &read(&grub)?);
    let guests = build::bare_guests()?;
    for (name, kernel) in [
        ("fuzz", "fuzz-guest"),
        ("xsa", "xsa-guest"),
        ("bench", "bench-guest"),
    ] {
        dom0.file(
            &format!("oxen/guest/{name}"),
            0o755,
            &read(&guests.join(kernel))?,
        );
    }
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

/// The normal kernel's ELF file, which a bzImage holds packed with XZ, packed with gzip; kept for the next time.
fn quickly_unpacked(packages: &Packages) -> Result<Vec<u8>> {
    let kept = paths::output().join(format!("vmlinux-{}.gz", packages.kernel_release));
    if !kept.exists() {
        let image = read(&packages.kernel())?;
        let payload = payload(&image).context("the stock kernel is no bzImage with a payload")?;
        let scratch = kept.with_extension(std::process::id().to_string());
        fs::create_dir_all(paths::output())?;
        fs::write(&scratch, payload)?;
        // Behind the stream is its unpacked size.
        let unpacked = cmd::command("sh")
            .args(["-c", r#"xz -dc --single-stream <"$0" | gzip -nc"#])
            .arg(&scratch)
            .output()?
            .stdout;
        if unpacked.len() < payload.len() {
            bail!("xz and gzip made nothing of the stock kernel");
        }
        fs::write(&scratch, &unpacked)?;
        fs::rename(&scratch, &kept)?;
    }
    read(&kept)
}

/// What a bzImage unpacks: `payload_offset` and `payload_length` of Linux's x86 boot protocol 2.08.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?));
    let setup_sectors = usize::from(*image.get(0x1f1)?);
    let begin = (setup_sectors + 1) * 512 + usize::try_from(word(0x248)?).ok()?;
    let end = begin.checked_add(usize::try_from(word(0x24c)?).ok()?)?;
    (image.get(0x202..0x206)? == b"HdrS").then(|| image.get(begin..end))?
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
