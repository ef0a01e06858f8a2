//! dom0's userspace: one archive that every boot uses, in two sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ::tests::Initramfs;
use anyhow::{Context, Result, bail};

use crate::cpio::Archive;
use crate::setup::Packages;
use crate::{build, cmd, guest_image, paths};

/// Loaded in every dom0: what the tools talk to.
const XEN_MODULES: &[&str] = &[
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-privcmd",
    "xenfs",
];

/// Loaded in the full flavour: backends, buses, disks, network, keyboard.
const DEVICE_MODULES: &[&str] = &[
    "xen-blkback",
    "xen-netback",
    "xen-pciback",
    "ahci",
    "sd_mod",
    "sr_mod",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_scsi",
    "nvme",
    "e1000",
    "e1000e",
    "xhci-pci",
    "ehci-pci",
    "uhci-hcd",
    "usbhid",
    "hid-generic",
    "evdev",
    "ext4",
    "loop",
    "bridge",
    "tun",
];

/// Loaded in a dom0 with guests instead: backends, storage and network without real devices.
const GUEST_MODULES: &[&str] = &[
    "crc32c_generic",
    "xen-blkback",
    "xen-netback",
    "ext4",
    "loop",
    "bridge",
    "ip_tables",
    "iptable_filter",
    "iptable_nat",
    "xt_MASQUERADE",
    "nf_tables",
    "nft_chain_nat",
    "nft_masq",
    "nft_meta_bridge",
    "dummy",
    "veth",
];

/// What the hotplug scripts of a dom0 with guests call, where busybox does not do, and what measures.
const GUEST_PROGRAMS: &[(&str, &str)] = &[
    ("bin/bash", "bin/bash"),
    // Wherever it is looked for: busybox has its own, which does not understand all of the scripts.
    ("bin/ip", "bin/ip"),
    ("bin/ip", "sbin/ip"),
    ("sbin/losetup", "sbin/losetup"),
    ("usr/bin/flock", "usr/bin/flock"),
    ("usr/bin/iperf3", "usr/bin/iperf3"),
    ("usr/sbin/xtables-legacy-multi", "usr/sbin/iptables"),
    ("sbin/mke2fs", "sbin/mke2fs"),
];

/// Other managers of guests than `xl`, and the backend of disks that are not raw.
const MANAGERS: &[&str] = &[
    "usr/libexec/xen-qemu-system-i386",
    "usr/sbin/libvirtd",
    "usr/bin/virsh",
    "usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_libxl.so",
];

/// The stock tools that the small flavour has; the full one has all of them.
const SMALL_TOOLS: &[&str] = &["xl", "xenstored", "xen-init-dom0"];

/// Where Debian keeps the tools of Xen 4.17.
const STOCK: &str = "usr/lib/xen-4.17/bin";
const LIBRARIES: &[&str] = &["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];

/// Builds the archive and returns its path. The name tells its contents, so an ISO made from it
/// stays valid as long as nothing changes.
pub fn build(packages: &Packages, flavour: Initramfs) -> Result<PathBuf> {
    let mut archive = Archive::default();
    for folder in [
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "root",
        "mnt",
        "var/log/xen/console",
        "var/lib/xen",
        "etc",
    ] {
        archive.directory(folder);
    }
    archive.symlink("var/run", "../run");
    archive.device("dev/console", 5, 1);
    archive.device("dev/null", 1, 3);
    archive.file("etc/passwd", 0o644, b"root::0:0:root:/root:/bin/sh\n");
    archive.file("etc/group", 0o644, b"root:x:0:\n");

    let sources = paths::root().join("tests/dom0");
    archive.file("init", 0o755, &read(&sources.join("init"))?);
    for folder in ["scenarios", "lib"] {
        for path in files_of(&sources.join(folder))? {
            archive.file(
                &format!("oxen/{folder}/{}", name_of(&path)),
                0o644,
                &read(&path)?,
            );
        }
    }

    let mut programs = Programs::new(&packages.root, &mut archive);
    programs.program("bin/busybox", "bin/busybox")?;
    for path in files_of(&packages.root.join(STOCK))? {
        let name = name_of(&path);
        let wanted = match flavour {
            Initramfs::Own => false,
            Initramfs::Small => SMALL_TOOLS.contains(&name.as_str()),
            Initramfs::Full | Initramfs::Guests | Initramfs::Managers => true,
        };
        if wanted && read(&path)?.starts_with(b"\x7fELF") {
            programs.program(&format!("{STOCK}/{name}"), &format!("{STOCK}/{name}"))?;
        }
    }
    if flavour == Initramfs::Full {
        programs.program("usr/bin/stress-ng", "usr/bin/stress-ng")?;
    }
    let with_guests = matches!(flavour, Initramfs::Guests | Initramfs::Managers);
    if with_guests {
        for (from, to) in GUEST_PROGRAMS {
            programs.program(from, to)?;
        }
        // iptables loads what its command line names.
        for extension in ["MASQUERADE", "standard"] {
            let path = format!("usr/lib/x86_64-linux-gnu/xtables/libxt_{extension}.so");
            if packages.root.join(&path).exists() {
                programs.program(&path, &path)?;
            }
        }
    }
    if flavour == Initramfs::Managers {
        for path in MANAGERS {
            programs.program(path, path)?;
        }
    }
    if flavour == Initramfs::Full || with_guests {
        for path in files_of(&packages.root.join("usr/bin"))? {
            let name = name_of(&path);
            if name.starts_with("xenstore") && !path.is_symlink() {
                programs.program(&format!("usr/bin/{name}"), &format!("usr/bin/{name}"))?;
            }
        }
        // libxc wants it at run time only: pthread_cancel.
        programs.library("libgcc_s.so.1", Path::new("libxc"))?;
    }
    if flavour == Initramfs::Managers {
        archive.file("oxen/guest/empty.qcow2", 0o644, &empty_disk("qcow2")?);
        archive.file("oxen/guest/empty.vhd", 0o644, &empty_disk("vpc")?);
        // QEMU does not start without, though nobody sees or types anything.
        let keymap = "usr/share/qemu/keymaps/en-us";
        archive.file(keymap, 0o644, &read(&packages.root.join(keymap))?);
        // Nor libvirt without what it knows of processors.
        let models = "usr/share/libvirt/cpu_map";
        for path in files_of(&packages.root.join(models))? {
            archive.file(
                &format!("{models}/{}", name_of(&path)),
                0o644,
                &read(&path)?,
            );
        }
    }
    if with_guests {
        hotplug_scripts(&mut archive, &packages.root)?;
        guest_image::add(&mut archive, packages)?;
    }
    if flavour == Initramfs::Own {
        guest_image::add_demo(&mut archive, packages)?;
    }
    if let Ok(config) = fs::read(packages.root.join("etc/xen/xl.conf")) {
        archive.file("etc/xen/xl.conf", 0o644, &config);
    }
    for tool in build::guest_programs()? {
        archive.file(
            &format!("oxen/bin/{}", name_of(&tool)),
            0o755,
            &read(&tool)?,
        );
    }
    let mut wanted = XEN_MODULES.to_vec();
    wanted.extend(match flavour {
        Initramfs::Small => &[],
        Initramfs::Full => DEVICE_MODULES,
        Initramfs::Own | Initramfs::Guests | Initramfs::Managers => GUEST_MODULES,
    });
    modules(&mut archive, packages, &packages.kernel_release, &wanted)?;
    archive.file(
        "oxen/modules",
        0o644,
        format!("{}\n", wanted.join("\n")).as_bytes(),
    );

    let bytes = archive.finish();
    let folder = paths::output().join("initramfs");
    fs::create_dir_all(&folder)?;
    let label = match flavour {
        Initramfs::Own => "own",
        Initramfs::Small => "small",
        Initramfs::Full => "full",
        Initramfs::Guests => "guests",
        Initramfs::Managers => "managers",
    };
    let path = folder.join(format!("{label}-{:016x}.cpio", paths::hash(&bytes)));
    if !path.exists() {
        // Older archives of this flavour are of no use any more.
        for old in files_of(&folder)?
            .iter()
            .filter(|old| name_of(old).starts_with(label))
        {
            fs::remove_file(old)?;
        }
        let partial = folder.join(format!("{label}.{}", std::process::id()));
        fs::write(&partial, &bytes)?;
        fs::rename(&partial, &path)?;
    }
    Ok(path)
}

/// A disk in one of QEMU's formats with nothing on it.
fn empty_disk(format: &str) -> Result<Vec<u8>> {
    let path = paths::output().join(format!("empty-{}.{format}", std::process::id()));
    fs::create_dir_all(paths::output())?;
    cmd::run(
        cmd::command("qemu-img")
            .args(["create", "-q", "-f", format])
            .arg(&path)
            .arg("64M"),
    )?;
    let bytes = read(&path)?;
    fs::remove_file(&path)?;
    Ok(bytes)
}

/// Debian's scripts that attach a guest's disks and network cards to dom0's.
fn hotplug_scripts(archive: &mut Archive, root: &Path) -> Result<()> {
    for path in files_of(&root.join("etc/xen/scripts"))? {
        archive.file(
            &format!("etc/xen/scripts/{}", name_of(&path)),
            0o755,
            &read(&path)?,
        );
    }
    Ok(())
}

/// Adds modules of a kernel with those that they depend on, as `modprobe` wants them. What is built
/// into that kernel needs no file.
pub fn modules(
    archive: &mut Archive,
    packages: &Packages,
    release: &str,
    wanted: &[&str],
) -> Result<()> {
    let base = format!("lib/modules/{release}");
    let builtin =
        fs::read_to_string(packages.root.join(&base).join("modules.builtin")).unwrap_or_default();
    let text = fs::read_to_string(packages.root.join(&base).join("modules.dep"))?;
    let dependencies: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .collect();
    let module_name = |path: &str| {
        path.rsplit('/')
            .next()
            .unwrap_or("")
            .trim_end_matches(".ko")
            .replace('-', "_")
    };
    let mut files = BTreeSet::new();
    for name in wanted {
        let is_wanted = |path: &str| module_name(path) == name.replace('-', "_");
        if builtin.lines().any(is_wanted) {
            continue;
        }
        let (path, needs) = dependencies
            .iter()
            .find(|(path, _)| is_wanted(path))
            .with_context(|| format!("kernel {release} has no module {name}"))?;
        files.insert(*path);
        files.extend(needs.split_whitespace());
    }
    let included: BTreeSet<String> = files.iter().map(|path| module_name(path)).collect();
    let mut list = String::new();
    for path in files {
        archive.file(
            &format!("{base}/{path}"),
            0o644,
            &read(&packages.root.join(&base).join(path))?,
        );
        list.push_str(&format!(
            "{path}:{}\n",
            dependencies.get(path).copied().unwrap_or("")
        ));
    }
    archive.file(&format!("{base}/modules.dep"), 0o644, list.as_bytes());
    // What the kernel itself asks `modprobe` for, by what it is and not by name: `mount -t ext4` and its checksums.
    let aliases = fs::read_to_string(packages.root.join(&base).join("modules.alias"))?;
    let mut known = String::new();
    for line in aliases.lines() {
        let asked = line.starts_with("alias fs-") || line.starts_with("alias crypto-");
        let module = line.rsplit(' ').next().unwrap_or("");
        if asked && included.contains(module) {
            known.push_str(&format!("{line}\n"));
        }
    }
    archive.file(&format!("{base}/modules.alias"), 0o644, known.as_bytes());
    Ok(())
}

/// Copies programs together with the shared libraries that they name.
pub struct Programs<'a> {
    root: &'a Path,
    archive: &'a mut Archive,
    done: BTreeSet<String>,
}

impl<'a> Programs<'a> {
    /// Programs of the packages unpacked in `root`, into an archive that has none yet.
    pub fn new(root: &'a Path, archive: &'a mut Archive) -> Self {
        Self {
            root,
            archive,
            done: BTreeSet::new(),
        }
    }

    /// Copies one program.
    pub fn program(&mut self, from: &str, to: &str) -> Result<()> {
        let path = self.root.join(from);
        self.archive.file(to, 0o755, &read(&path)?);
        self.needs_of(&path)
    }

    fn library(&mut self, soname: &str, wanted_by: &Path) -> Result<()> {
        if !self.done.insert(soname.to_owned()) {
            return Ok(());
        }
        let Some(path) = LIBRARIES
            .iter()
            .map(|folder| self.root.join(folder).join(soname))
            .find(|path| path.exists())
        else {
            bail!(
                "{} needs {soname}, which no package of xtask/src/setup.rs provides",
                wanted_by.display()
            );
        };
        let to = if soname.starts_with("ld-linux") {
            "lib64"
        } else {
            "lib/x86_64-linux-gnu"
        };
        self.archive
            .file(&format!("{to}/{soname}"), 0o755, &read(&path)?);
        self.needs_of(&path)
    }

    fn needs_of(&mut self, path: &Path) -> Result<()> {
        let headers = cmd::output(
            cmd::command("readelf")
                .env("LC_ALL", "C")
                .args(["-ldW"])
                .arg(path),
        )?;
        for line in headers.lines() {
            let bracketed = || Some(line.split_once('[')?.1.split_once(']')?.0);
            if line.contains("(NEEDED)")
                && let Some(soname) = bracketed()
            {
                self.library(soname, path)?;
            } else if line.contains("program interpreter: /lib64/ld-linux-x86-64.so.2") {
                self.library("ld-linux-x86-64.so.2", path)?;
            }
        }
        Ok(())
    }
}

/// The contents of a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The last part of a path.
pub fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The files of a folder, in the order of their names.
pub fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    Ok(files)
}
