//! What is booted and on which virtual machine: from a plan to QEMU's arguments.

use std::fs;
use std::path::{Path, PathBuf};

use ::tests::{Device, Initramfs, Route, System};
use anyhow::{Context, Result, bail};

use crate::accel::Accelerator;
use crate::setup::Packages;
use crate::{build, cmd, initramfs, iso, pvh};

/// Files that a boot needs.
pub struct Parts {
    /// The hypervisor as an ELF file and compressed; none on a native boot.
    pub hypervisor: Option<(PathBuf, PathBuf)>,
    /// The stock kernel; some tests pass none.
    pub kernel: Option<PathBuf>,
    /// dom0's userspace.
    pub initramfs: PathBuf,
}

impl Parts {
    /// Builds or finds everything that the system needs.
    pub fn prepare(packages: &Packages, system: System, flavour: Initramfs) -> Result<Self> {
        let hypervisor = match system {
            System::Linux => None,
            System::Xen => {
                let gz = packages.xen()?;
                let elf = crate::paths::output().join("xen.elf");
                fs::create_dir_all(crate::paths::output())?;
                let plain = cmd::command("gzip").arg("-dc").arg(&gz).output()?;
                // Another machine may be about to load it.
                let partial = elf.with_extension("partial");
                fs::write(&partial, plain.stdout)?;
                fs::rename(&partial, &elf)?;
                Some((elf, gz))
            }
            System::Oxen => {
                let image = build::hypervisor()?;
                Some((image.elf, image.gz))
            }
        };
        Ok(Self {
            hypervisor,
            kernel: Some(packages.kernel()),
            initramfs: initramfs::build(packages, flavour)?,
        })
    }
}

/// One boot, in full.
#[derive(Clone)]
pub struct Plan {
    /// What is booted.
    pub system: System,
    /// How.
    pub route: Route,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Memory of the machine, MiB.
    pub memory: u32,
    /// CPU model; `None` for the usual one.
    pub cpu_model: Option<String>,
    /// Further arguments of the hypervisor.
    pub hypervisor_args: String,
    /// Further arguments of the kernel.
    pub kernel_args: String,
    /// Scenario of dom0's userspace.
    pub scenario: String,
    /// Devices.
    pub devices: Vec<Device>,
    /// Who executes the guest's instructions.
    pub accelerator: Accelerator,
    /// Count instructions: virtual time is the number of executed instructions in nanoseconds.
    pub icount: bool,
    /// Start stopped, with a gdb stub on this TCP port of 127.0.0.1.
    pub gdb: Option<u16>,
    /// QEMU's `-d` flags, into `qemu-debug.log`; without, `cpu_reset`.
    pub debug: Option<String>,
}

impl Plan {
    /// A plan with nothing special about it.
    pub fn new(system: System, route: Route, scenario: &str, accelerator: Accelerator) -> Self {
        Self {
            system,
            route,
            cpus: 1,
            memory: 1024,
            cpu_model: None,
            hypervisor_args: String::new(),
            kernel_args: String::new(),
            scenario: scenario.to_owned(),
            devices: Vec::new(),
            accelerator,
            icount: false,
            gdb: None,
            debug: None,
        }
    }

    /// The hypervisor's command line.
    pub fn hypervisor_line(&self) -> String {
        // Half of the machine for dom0, so that the hypervisor's own accounting shows.
        let memory = self.memory / 2;
        let line = format!(
            "console=com1 com1=115200,8n1 loglvl=info guest_loglvl=all dom0_mem={memory}M,max:{memory}M {}",
            self.hypervisor_args
        );
        line.trim_end().to_owned()
    }

    /// dom0's command line.
    pub fn kernel_line(&self) -> String {
        let console = if self.system == System::Linux {
            "ttyS0"
        } else {
            "hvc0"
        };
        let mut line = format!(
            "console={console} loglevel=4 panic=1 sysrq_always_enabled oxen.scenario={} {}",
            self.scenario, self.kernel_args
        );
        for (driver, net) in self.devices.iter().filter_map(|device| network_of(*device)) {
            line.push_str(&format!(" oxen.net.{driver}={net}"));
        }
        line.trim_end().to_owned()
    }

    /// QEMU's arguments without consoles and monitors; `folder` takes disks and firmware state.
    pub fn arguments(&self, parts: &Parts, folder: &Path) -> Result<Vec<String>> {
        let mut args = Args::default();
        args.add(&["-machine", "q35", "-m", &format!("{}M", self.memory)]);
        args.add(&[
            "-smp",
            &self.cpus.to_string(),
            "-no-reboot",
            "-display",
            "none",
            "-nodefaults",
        ]);
        args.add(&["-accel", self.accelerator.qemu_name()]);
        // MONITOR has no emulation worth the name, and stock Xen would use it.
        let usual = match self.accelerator {
            Accelerator::Kvm => "host",
            Accelerator::Tcg | Accelerator::TcgOneThread => "EPYC,-monitor",
        };
        args.add(&["-cpu", self.cpu_model.as_deref().unwrap_or(usual)]);
        if self.icount {
            args.add(&["-icount", "shift=0,sleep=off"]);
            args.add(&["-rtc", "base=2026-01-01T00:00:00,clock=vm"]);
        }
        if let Some(port) = self.gdb {
            args.add(&["-S", "-gdb", &format!("tcp:127.0.0.1:{port}")]);
        }
        // A triple fault leaves no word anywhere else.
        let flags = self.debug.as_deref().unwrap_or("cpu_reset");
        let log = folder.join("qemu-debug.log");
        args.add(&["-d", flags, "-D", &log.to_string_lossy()]);
        // A reason for the guest to have a screen: text and framebuffer consoles.
        args.add(&["-vga", "std"]);
        self.boot_arguments(parts, folder, &mut args)?;
        for (number, device) in self.devices.iter().enumerate() {
            device_arguments(*device, number, folder, &mut args)?;
        }
        Ok(args.0)
    }

    fn boot_arguments(&self, parts: &Parts, folder: &Path, args: &mut Args) -> Result<()> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        if self.route == Route::PvhQemu {
            let (elf, _) = parts.hypervisor.as_ref().context("PVH is Oxen's")?;
            let elf = pvh::without_multiboot1(elf)?;
            args.add(&["-kernel", &path(&elf), "-append", &self.hypervisor_line()]);
            if let Some(kernel) = &parts.kernel {
                args.add(&["-initrd", &path(kernel)]);
            }
            return Ok(());
        }
        if matches!(self.route, Route::Direct | Route::Pvh) {
            let Some(kernel) = &parts.kernel else {
                let (elf, _) = parts
                    .hypervisor
                    .as_ref()
                    .context("neither kernel nor hypervisor")?;
                args.add(&["-kernel", &path(elf), "-append", &self.hypervisor_line()]);
                return Ok(());
            };
            let Some((elf, _)) = &parts.hypervisor else {
                args.add(&["-kernel", &path(kernel), "-initrd", &path(&parts.initramfs)]);
                args.add(&["-append", &self.kernel_line()]);
                return Ok(());
            };
            let line = self.kernel_line();
            if line.contains(',') {
                bail!(
                    "QEMU takes a comma for the end of a module; not in kernel arguments: {line}"
                );
            }
            let modules = format!("{} {line},{}", path(kernel), path(&parts.initramfs));
            let elf = match self.route {
                Route::Pvh => &pvh::with_loader(elf)?,
                _ => elf,
            };
            args.add(&[
                "-kernel",
                &path(elf),
                "-append",
                &self.hypervisor_line(),
                "-initrd",
                &modules,
            ]);
            return Ok(());
        }
        if self.route == Route::Efi {
            let firmware = Path::new("/usr/share/OVMF");
            let code = firmware.join("OVMF_CODE_4M.fd");
            let variables = folder.join("OVMF_VARS.fd");
            fs::copy(firmware.join("OVMF_VARS_4M.fd"), &variables)?;
            args.add(&[
                "-drive",
                &format!("if=pflash,format=raw,readonly=on,file={}", path(&code)),
            ]);
            args.add(&[
                "-drive",
                &format!("if=pflash,format=raw,file={}", path(&variables)),
            ]);
        }
        args.add(&["-cdrom", &path(&iso::build(self, parts)?), "-boot", "d"]);
        Ok(())
    }
}

/// Size of the scratch disks.
const DISK_BYTES: u64 = 64 << 20;
/// What the servers in the guest's networks send: as `yes oxen | head -c 8388608`.
const DOWNLOAD_BYTES: usize = 8 << 20;

/// The third byte of the network behind a card: every card has its own, 10.0.N.0/24.
fn network_of(device: Device) -> Option<(&'static str, u8)> {
    match device {
        Device::E1000 => Some(("e1000", 2)),
        Device::VirtioNet => Some(("virtio_net", 3)),
        _ => None,
    }
}

fn device_arguments(device: Device, number: usize, folder: &Path, args: &mut Args) -> Result<()> {
    let id = format!("device{number}");
    let disk = |args: &mut Args| -> Result<()> {
        let image = folder.join(format!("{id}.img"));
        fs::File::create(&image)?.set_len(DISK_BYTES)?;
        args.add(&[
            "-drive",
            &format!(
                "if=none,id={id},format=raw,file={}",
                image.to_string_lossy()
            ),
        ]);
        Ok(())
    };
    if let Some((_, net)) = network_of(device) {
        let contents = folder.join("download.img");
        let text: Vec<u8> = b"oxen\n"
            .iter()
            .copied()
            .cycle()
            .take(DOWNLOAD_BYTES)
            .collect();
        fs::write(&contents, text)?;
        // One made-up server and nothing else: no packet leaves the host.
        let server = format!(
            "guestfwd=tcp:10.0.{net}.100:80-cmd:cat {}",
            contents.to_string_lossy()
        );
        args.add(&[
            "-netdev",
            &format!("user,id={id},restrict=on,net=10.0.{net}.0/24,{server}"),
        ]);
    }
    let mut attach = |device: &str| args.add(&["-device", device]);
    match device {
        Device::E1000 => attach(&format!("e1000,netdev={id}")),
        Device::VirtioNet => attach(&format!("virtio-net-pci,netdev={id}")),
        Device::UsbKeyboard => {
            attach("qemu-xhci");
            attach("usb-kbd");
        }
        Device::TwoNodes => {
            for node in 0..2 {
                let memory = format!("memory-backend-ram,id=node{node},size=512M");
                let cpus = format!("{}-{}", 2 * node, 2 * node + 1);
                args.add(&["-object", &memory]);
                args.add(&[
                    "-numa",
                    &format!("node,nodeid={node},cpus={cpus},memdev=node{node}"),
                ]);
            }
            args.add(&["-numa", "dist,src=0,dst=1,val=21"]);
        }
        Device::AhciDisk => {
            disk(args)?;
            args.add(&["-device", &format!("ide-hd,drive={id}")]);
        }
        Device::VirtioDisk => {
            disk(args)?;
            args.add(&["-device", &format!("virtio-blk-pci,drive={id}")]);
        }
        Device::NvmeDisk => {
            disk(args)?;
            args.add(&["-device", &format!("nvme,serial=oxen,drive={id}")]);
        }
    }
    Ok(())
}

#[derive(Default)]
struct Args(Vec<String>);

impl Args {
    fn add(&mut self, args: &[&str]) {
        self.0.extend(args.iter().map(|&arg| arg.to_owned()));
    }
}
