//! What a fresh Debian 12 machine lacks: programs to install, packages to unpack.
//!
//! Programs that run on the host (QEMU, GRUB's tools) are installed with apt. What runs inside the
//! virtual machines (the stock kernel, Xen and its tools) is only downloaded and unpacked into the
//! cache folder. Both steps look first and do nothing when nothing is missing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{cmd, paths};

/// Programs on the host; the compressors make what the loader's tests unpack. QEMU itself is in [`QEMU`], because its version matters.
const HOST: &[&str] = &[
    "binutils",
    "bzip2",
    "gcc",
    "grub-common",
    "grub-efi-amd64-bin",
    "grub-pc-bin",
    "kmod",
    "libc6-dev",
    "libxen-dev",
    "lz4",
    "lzop",
    "mtools",
    "ovmf",
    "xorriso",
    "xz-utils",
    "zstd",
];

const QEMU: &[&str] = &["qemu-system-x86", "qemu-utils"];
/// Older ones have more bugs in their emulation of AMD-V.
const QEMU_MAJOR: u32 = 9;

/// What is unpacked, not installed: dom0's contents and the stock Xen that we compare with.
/// The kernel is added by [`kernel_package`].
const GUEST: &[&str] = &[
    "busybox-static",
    "kmod",
    "stress-ng",
    "xen-hypervisor-4.17-amd64",
    "xen-utils-4.17",
    "xen-utils-common",
    "xenstore-utils",
    // Shared libraries of the above.
    "libapparmor1",
    "libbsd0",
    "libbz2-1.0",
    "libc6",
    "libcrypt1",
    "libdrm2",
    "libegl1",
    "libexpat1",
    "libfdt1",
    "libffi8",
    "libgbm1",
    "libgcc-s1",
    "libgcrypt20",
    "libgles2",
    "libglvnd0",
    "libgpg-error0",
    "libipsec-mb1",
    "libjpeg62-turbo",
    "libjudydebian1",
    "libkmod2",
    "liblzma5",
    "liblzo2-2",
    "libmd0",
    "libncurses6",
    "libnl-3-200",
    "libnl-route-3-200",
    "libsctp1",
    "libssl3",
    "libtinfo6",
    "libuuid1",
    "libwayland-server0",
    "libx11-6",
    "libx11-xcb1",
    "libxau6",
    "libxcb-randr0",
    "libxcb1",
    "libxdmcp6",
    "libxencall1",
    "libxendevicemodel1",
    "libxenevtchn1",
    "libxenforeignmemory1",
    "libxengnttab1",
    "libxenhypfs1",
    "libxenmisc4.17",
    "libxenstore4",
    "libxentoolcore1",
    "libxentoollog1",
    "libxxhash0",
    "libyajl2",
    "libzstd1",
    "zlib1g",
];

/// What a dom0 with guests has in addition: what the hotplug scripts call, and what guests are made of.
/// The guests' kernel is added by [`kernel_package`].
const GUESTS: &[&str] = &[
    "bash",
    "e2fsprogs",
    "grub-xen-bin",
    "grub-xen-host",
    "iperf3",
    "iproute2",
    "iptables",
    "mount",
    "util-linux",
    // Shared libraries of the above.
    "libblkid1",
    "libbpf1",
    "libcap2",
    "libcom-err2",
    "libelf1",
    "libext2fs2",
    "libip4tc2",
    "libip6tc2",
    "libiperf0",
    "libmnl0",
    "libnftnl11",
    "libselinux1",
    "libpcre2-8-0",
    "libmount1",
    "libsmartcols1",
    "libss2",
    "libxtables12",
];

/// What a dom0 with guests has beside `xl`: QEMU as the backend of disks in other formats than raw, libvirt.
const MANAGERS: &[&str] = &[
    "libvirt-clients",
    "libvirt-daemon",
    "libvirt-daemon-driver-xen",
    "qemu-system-data",
    "qemu-system-xen",
    // Shared libraries of the above.
    "libacl1",
    "libaudit1",
    "libbrotli1",
    "libcap-ng0",
    "libcurl3-gnutls",
    "libdw1",
    "libglib2.0-0",
    "libgmp10",
    "libgnutls30",
    "libgssapi-krb5-2",
    "libgstreamer-plugins-base1.0-0",
    "libgstreamer1.0-0",
    "libhogweed6",
    "libicu72",
    "libidn2-0",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "libldap-2.5-0",
    "liblz4-1",
    "libnettle8",
    "libnghttp2-14",
    "libnuma1",
    "libopus0",
    "liborc-0.4-0",
    "libp11-kit0",
    "libpixman-1-0",
    "libpsl5",
    "libreadline8",
    "librtmp1",
    "libsasl2-2",
    "libspice-server1",
    "libssh-4",
    "libssh2-1",
    "libstdc++6",
    "libtasn1-6",
    "libtirpc3",
    "libudev1",
    "libunistring2",
    "libunwind8",
    "libusb-1.0-0",
    "libvirt0",
    "libxml2",
];

/// The unpacked packages.
pub struct Packages {
    /// The folder into which all of them are unpacked, as `/` would be.
    pub root: PathBuf,
    /// The release of the stock kernel, e.g. `6.1.0-56-amd64`.
    pub kernel_release: String,
    /// The release of the smaller stock kernel that guests run, e.g. `6.1.0-56-cloud-amd64`.
    pub cloud_release: String,
}

impl Packages {
    /// The stock kernel, a bzImage.
    pub fn kernel(&self) -> PathBuf {
        self.root
            .join("boot")
            .join(format!("vmlinuz-{}", self.kernel_release))
    }

    /// The smaller stock kernel, a bzImage; LZ4, so that stock `xl` unpacks it quickly.
    pub fn cloud_kernel(&self) -> PathBuf {
        self.root
            .join("boot")
            .join(format!("vmlinuz-{}", self.cloud_release))
    }

    /// Stock Xen 4.17, gzip-compressed.
    pub fn xen(&self) -> Result<PathBuf> {
        let boot = self.root.join("boot");
        fs::read_dir(&boot)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("xen-4.17") && name.ends_with(".gz")
            })
            .with_context(|| format!("no xen-4.17*.gz in {}", boot.display()))
    }
}

/// Installs and unpacks whatever is missing.
pub fn run() -> Result<Packages> {
    install_host_programs()?;
    unpack_guest_packages()
}

fn root_command(program: &str) -> Result<std::process::Command> {
    let is_root = cmd::output(cmd::command("id").arg("-u"))?.trim() == "0";
    Ok(if is_root {
        cmd::command(program)
    } else {
        let mut command = cmd::command("sudo");
        command.arg(program);
        command
    })
}

/// apt-get as root, waiting for other users of dpkg, asking nothing.
fn apt(args: &[&str]) -> Result<()> {
    let mut apt = root_command("env")?;
    apt.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-qq",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]);
    apt.args(args).stdout(std::process::Stdio::null());
    cmd::run(&mut apt)
}

/// Version of an installed package; `None` if it is not installed.
fn installed(package: &str) -> Option<String> {
    let line = cmd::output(cmd::command("dpkg-query").args([
        "-W",
        "-f=${db:Status-Status} ${Version}",
        package,
    ]))
    .ok()?;
    line.strip_prefix("installed ").map(str::to_owned)
}

/// The upstream major version in a Debian version such as `1:10.0.2+ds-2`.
fn major(version: &str) -> u32 {
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
    let digits: String = upstream.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// What apt would install, optionally from one suite; nothing where apt does not know the suite.
fn candidate(package: &str, suite: Option<&str>) -> String {
    let mut policy = cmd::command("apt-cache");
    if let Some(suite) = suite {
        policy.args(["-t", suite]);
    }
    let text = cmd::output(policy.args(["policy", package]).env("LC_ALL", "C")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))
        .unwrap_or("")
        .to_owned()
}

fn install_host_programs() -> Result<()> {
    let missing: Vec<&str> = HOST
        .iter()
        .copied()
        .filter(|name| installed(name).is_none())
        .collect();
    let qemu_is_there = QEMU
        .iter()
        .all(|name| installed(name).is_some_and(|version| major(&version) >= QEMU_MAJOR));
    if missing.is_empty() && qemu_is_there {
        return Ok(());
    }
    eprintln!("x: installing what is missing with apt");
    apt(&["update"])?;
    if !missing.is_empty() {
        let mut args = vec!["install", "-y", "--no-install-recommends"];
        args.extend(missing);
        apt(&args)?;
    }
    if qemu_is_there {
        return Ok(());
    }
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    let backports = backports_suite()?;
    if major(&candidate(QEMU[0], None)) < QEMU_MAJOR {
        if major(&candidate(QEMU[0], Some(&backports))) < QEMU_MAJOR {
            add_backports(&backports)?;
        }
        if major(&candidate(QEMU[0], Some(&backports))) >= QEMU_MAJOR {
            args.extend(["-t", &backports]);
        } else {
            eprintln!("x: {backports} is not to be had; going on with an older QEMU");
        }
    }
    args.extend(QEMU);
    apt(&args)
}

fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    text.lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .context("/etc/os-release names no VERSION_CODENAME")
}

fn backports_suite() -> Result<String> {
    Ok(format!("{}-backports", codename()?))
}

/// Adds the backports suite on the mirror from which this machine gets Debian itself.
fn add_backports(suite: &str) -> Result<()> {
    let codename = codename()?;
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(folder) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(folder.filter_map(|entry| entry.ok().map(|entry| entry.path())));
    }
    files.sort();
    let entry = files.iter().find_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => derive_deb822(&text, &codename, suite).map(|text| ("sources", text)),
            Some("list") => derive_list(&text, &codename, suite).map(|text| ("list", text)),
            _ => None,
        }
    });
    let Some((extension, text)) = entry else {
        bail!("no apt source of Debian {codename} from which to derive {suite}");
    };
    let scratch = paths::output().join("backports");
    fs::create_dir_all(paths::output())?;
    fs::write(&scratch, text)?;
    let target = format!("/etc/apt/sources.list.d/oxen-backports.{extension}");
    eprintln!("x: adding {target}");
    cmd::run(
        root_command("install")?
            .args(["-m", "644"])
            .arg(&scratch)
            .arg(&target),
    )?;
    if apt(&["update"]).is_err() {
        cmd::run(root_command("rm")?.args(["-f", &target]))?;
        apt(&["update"])?;
    }
    Ok(())
}

/// The stanza of a deb822 file that gives Debian's main suite, with another suite in its place.
fn derive_deb822(text: &str, codename: &str, suite: &str) -> Option<String> {
    let stanzas = text.split("\n\n").map(|stanza| {
        stanza
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .collect::<Vec<_>>()
    });
    for lines in stanzas {
        let field = |name: &str| {
            lines.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let has = |name, word: &str| {
            field(name).is_some_and(|value| value.split_whitespace().any(|found| found == word))
        };
        if has("Types", "deb")
            && has("Suites", codename)
            && has("Components", "main")
            && !has("Enabled", "no")
        {
            let mut derived = String::new();
            for line in &lines {
                match line.split_once(':') {
                    Some((key, _)) if key.eq_ignore_ascii_case("Suites") => {
                        derived.push_str(&format!("Suites: {suite}\n"));
                    }
                    _ => derived.push_str(&format!("{line}\n")),
                }
            }
            return Some(derived);
        }
    }
    None
}

/// The same for the one-line format.
fn derive_list(text: &str, codename: &str, suite: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (options, rest) = rest.split_once(']')?;
                (format!("[{options}] "), rest)
            }
            None => (String::new(), rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        (words.next()? == codename && words.any(|word| word == "main"))
            .then(|| format!("deb {options}{uri} {suite} main\n"))
    })
}

/// The package of the newest stock kernel: what e.g. `linux-image-amd64` depends on.
fn kernel_package(newest: &str) -> Result<String> {
    let text = cmd::output(
        cmd::command("apt-cache")
            .args(["depends", newest])
            .env("LC_ALL", "C"),
    )?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .filter(|name| name.starts_with("linux-image-"))
        .map(str::to_owned)
        .with_context(|| format!("apt knows no {newest}; is Debian's main archive configured?"))
}

/// The packages of dom0's kernel and of the guests'.
fn kernel_packages() -> Result<[String; 2]> {
    Ok([
        kernel_package("linux-image-amd64")?,
        kernel_package("linux-image-cloud-amd64")?,
    ])
}

fn unpack_guest_packages() -> Result<Packages> {
    let debs = paths::cache().join("debs");
    fs::create_dir_all(&debs)?;
    let kernels = match kernel_packages() {
        Ok(kernels) => kernels,
        Err(_) => {
            apt(&["update"])?;
            kernel_packages()?
        }
    };
    let mut names: Vec<String> = GUEST
        .iter()
        .chain(GUESTS)
        .chain(MANAGERS)
        .map(|&name| name.to_owned())
        .collect();
    names.extend(kernels.iter().cloned());

    let missing: Vec<&String> = names
        .iter()
        .filter(|name| find_deb(&debs, name).is_none())
        .collect();
    if !missing.is_empty() {
        eprintln!("x: downloading {} packages for dom0", missing.len());
        // Into a folder of its own, so that an interrupted download leaves no half package behind.
        let partial = paths::cache().join(format!("debs.{}", std::process::id()));
        fs::create_dir_all(&partial)?;
        let download = || {
            let mut apt = cmd::command("apt-get");
            apt.current_dir(&partial)
                .args(["-qq", "-o", "APT::Sandbox::User=root", "download"]);
            cmd::run(apt.args(&missing).stdout(std::process::Stdio::null()))
        };
        if download().is_err() {
            apt(&["update"])?;
            download()?;
        }
        for entry in fs::read_dir(&partial)? {
            let entry = entry?;
            fs::rename(entry.path(), debs.join(entry.file_name()))?;
        }
        fs::remove_dir(&partial)?;
    }

    let mut list = String::new();
    let mut files = Vec::new();
    for name in &names {
        let deb = find_deb(&debs, name).with_context(|| format!("apt did not download {name}"))?;
        list.push_str(&format!(
            "{}\n",
            deb.file_name().unwrap_or_default().to_string_lossy()
        ));
        files.push(deb);
    }
    // A list in the unpacked root says what it holds, and that it is complete.
    let root = paths::cache().join(format!("root-{:016x}", paths::hash(list.as_bytes())));
    if fs::read_to_string(root.join("oxen-packages")).is_ok_and(|have| have == list) {
        return packages(root, &kernels);
    }
    eprintln!("x: unpacking the packages for dom0");
    let partial = paths::cache().join(format!("root.{}", std::process::id()));
    fs::create_dir_all(&partial)?;
    for deb in &files {
        cmd::run(cmd::command("dpkg-deb").arg("-x").arg(deb).arg(&partial))?;
    }
    let depmod = if Path::new("/usr/sbin/depmod").exists() {
        "/usr/sbin/depmod"
    } else {
        "/sbin/depmod"
    };
    for kernel in &kernels {
        let release = kernel.trim_start_matches("linux-image-");
        cmd::run(cmd::command(depmod).arg("-b").arg(&partial).arg(release))?;
    }
    fs::write(partial.join("oxen-packages"), &list)?;
    // Another `x` may have been quicker; then its result serves as well.
    if fs::rename(&partial, &root).is_err() {
        fs::remove_dir_all(&partial)?;
    }
    packages(root, &kernels)
}

fn packages(root: PathBuf, [kernel, cloud]: &[String; 2]) -> Result<Packages> {
    let release = |package: &str| package.trim_start_matches("linux-image-").to_owned();
    let packages = Packages {
        root,
        kernel_release: release(kernel),
        cloud_release: release(cloud),
    };
    for path in [packages.kernel(), packages.cloud_kernel()] {
        if !path.exists() {
            bail!("no {} in the kernel packages", path.display());
        }
    }
    Ok(packages)
}

/// The downloaded package of that name.
fn find_deb(folder: &Path, name: &str) -> Option<PathBuf> {
    let prefix = format!("{name}_");
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .starts_with(&prefix)
                && path.extension().is_some_and(|extension| extension == "deb")
        })
        .collect();
    found.sort();
    found.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backports_come_from_the_same_mirror_deb822() {
        let text = "Types: deb\nURIs: http://a.example/security\nSuites: bookworm-security\n\
                    Components: main\n\n# comment\nTypes: deb deb-src\nURIs: http://a.example/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main contrib\nSigned-By: /k.gpg\n";
        assert_eq!(
            derive_deb822(text, "bookworm", "bookworm-backports").unwrap(),
            "Types: deb deb-src\nURIs: http://a.example/debian\nSuites: bookworm-backports\n\
             Components: main contrib\nSigned-By: /k.gpg\n"
        );
        assert_eq!(
            derive_deb822(
                "Types: deb\nSuites: sid\nComponents: main\n",
                "bookworm",
                "x"
            ),
            None
        );
    }

    #[test]
    fn backports_come_from_the_same_mirror_one_line() {
        let text = "# deb http://old.example/ bookworm main\n\
                    deb [signed-by=/k.gpg] http://a.example/debian bookworm main non-free\n";
        assert_eq!(
            derive_list(text, "bookworm", "bookworm-backports").unwrap(),
            "deb [signed-by=/k.gpg] http://a.example/debian bookworm-backports main\n"
        );
        assert_eq!(
            derive_list(
                "deb http://a.example bookworm-updates main",
                "bookworm",
                "x"
            ),
            None
        );
    }

    #[test]
    fn major_version_skips_the_epoch() {
        assert_eq!(major("1:10.0.2+ds-2+deb13u1~bpo12+1"), 10);
        assert_eq!(major("7.2"), 7);
        assert_eq!(major(""), 0);
    }
}
