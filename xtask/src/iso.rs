//! GRUB 2 ISO images that boot under BIOS and EFI.

use std::fs;
use std::path::PathBuf;

use ::tests::{Route, System};
use anyhow::{Context, Result};

use crate::machine::{Parts, Plan};
use crate::{cmd, paths};

/// Makes the ISO of a plan, or finds the one made before from the same contents.
pub fn build(plan: &Plan, parts: &Parts) -> Result<PathBuf> {
    let kernel = parts.kernel.as_ref().context("an ISO needs a kernel")?;
    let (config, menu_lst) = configuration(plan);
    let mut key = config.clone().into_bytes();
    key.extend_from_slice(menu_lst.as_deref().unwrap_or("").as_bytes());
    key.extend_from_slice(parts.initramfs.to_string_lossy().as_bytes());
    key.extend_from_slice(kernel.to_string_lossy().as_bytes());
    if let Some((_, gz)) = &parts.hypervisor {
        key.extend_from_slice(&fs::read(gz)?);
    }
    let folder = paths::output().join("iso");
    let iso = folder.join(format!("{:016x}.iso", paths::hash(&key)));
    if iso.exists() {
        return Ok(iso);
    }
    fs::create_dir_all(&folder)?;
    prune(&folder)?;
    let tree = folder.join(format!("tree.{}", std::process::id()));
    let boot = tree.join("boot");
    fs::create_dir_all(boot.join("grub"))?;
    fs::copy(kernel, boot.join("vmlinuz"))?;
    fs::copy(&parts.initramfs, boot.join("initrd"))?;
    if let Some((_, gz)) = &parts.hypervisor {
        fs::copy(gz, boot.join(hypervisor_name(plan.system)))?;
    }
    fs::write(boot.join("grub/grub.cfg"), config)?;
    if let Some(menu_lst) = menu_lst {
        fs::write(boot.join("grub/menu.lst"), menu_lst)?;
    }
    let partial = folder.join(format!("partial.{}", std::process::id()));
    cmd::output(
        cmd::command("grub-mkrescue")
            .args(["--locales=", "--fonts=", "--themes=", "-o"])
            .args([&partial, &tree]),
    )?;
    fs::remove_dir_all(&tree)?;
    fs::rename(&partial, &iso)?;
    Ok(iso)
}

fn hypervisor_name(system: System) -> &'static str {
    if system == System::Xen {
        "xen.gz"
    } else {
        "oxen.gz"
    }
}

/// `grub.cfg`, and `menu.lst` where the route goes through it.
fn configuration(plan: &Plan) -> (String, Option<String>) {
    // The console variables let GRUB's own messages reach the log; a missing module is explained there.
    let head = "serial --unit=0 --speed=115200\nterminal_output console serial\nset timeout=0\nset default=0\n";
    let kernel = plan.kernel_line();
    if plan.system == System::Linux {
        let entry = format!(
            "menuentry \"Debian\" {{\n  linux /boot/vmlinuz {kernel}\n  initrd /boot/initrd\n}}\n"
        );
        return (format!("{head}{entry}"), None);
    }
    let name = hypervisor_name(plan.system);
    let hypervisor = plan.hypervisor_line();
    if plan.route == Route::MenuLst {
        let menu = format!(
            "default 0\ntimeout 0\n\ntitle Debian on {name}\nkernel /boot/{name} {hypervisor}\n\
             module /boot/vmlinuz {kernel}\nmodule /boot/initrd\n"
        );
        return (
            format!("{head}legacy_configfile /boot/grub/menu.lst\n"),
            Some(menu),
        );
    }
    let entry = format!(
        "menuentry \"Debian on {name}\" {{\n  multiboot2 /boot/{name} {hypervisor}\n  \
         module2 /boot/vmlinuz {kernel}\n  module2 /boot/initrd\n}}\n"
    );
    (format!("{head}{entry}"), None)
}

/// Old images are large and quickly remade: keeps the newest few.
fn prune(folder: &std::path::Path) -> Result<()> {
    const KEEP: usize = 12;
    let mut images: Vec<_> = fs::read_dir(folder)?
        .filter_map(Result::ok)
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "iso")
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    images.sort();
    for (_, path) in images.iter().rev().skip(KEEP) {
        fs::remove_file(path)?;
    }
    Ok(())
}
