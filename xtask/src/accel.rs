//! Whether KVM really runs guests here.
//!
//! `/dev/kvm` may exist and still not run an ordinary kernel, so the stock kernel is booted once; the
//! outcome is kept in the cache for this host.

use std::fs;
use std::time::Duration;

use ::tests::{Initramfs, Route, System};
use anyhow::Result;

use crate::machine::{Parts, Plan};
use crate::qemu::{Guest, Patience, Seen};
use crate::setup::Packages;
use crate::{cmd, paths};

/// Who executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU's translator, a thread per processor.
    Tcg,
    /// The same with one thread for all of them, to tell the emulator's races from the guest's.
    TcgOneThread,
}

impl Accelerator {
    /// As in QEMU's `-accel`.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::TcgOneThread => "tcg,thread=single",
        }
    }

    /// The fastest that works here. `OXEN_ACCEL`, of [`Self::qemu_name`], decides without a probe.
    pub fn best(packages: &Packages) -> Result<Self> {
        match std::env::var("OXEN_ACCEL").as_deref() {
            Ok("tcg") => return Ok(Self::Tcg),
            Ok("tcg,thread=single") => return Ok(Self::TcgOneThread),
            Ok("kvm") => return Ok(Self::Kvm),
            _ => {}
        }
        if fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_err()
        {
            return Ok(Self::Tcg);
        }
        let host = cmd::output(cmd::command("uname").args(["-r", "-v"]))?;
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processor
            .lines()
            .find(|line| line.starts_with("model name"))
            .unwrap_or("")
            .to_owned();
        let key = format!("{host}{model}{}", packages.kernel_release);
        let file = paths::cache().join(format!("kvm-{:016x}", paths::hash(key.as_bytes())));
        match fs::read_to_string(&file).as_deref() {
            Ok("works\n") => return Ok(Self::Kvm),
            Ok("fails\n") => return Ok(Self::Tcg),
            _ => {}
        }
        eprintln!("x: probing whether KVM runs the stock kernel (once)");
        let works = probe(packages)?;
        fs::write(&file, if works { "works\n" } else { "fails\n" })?;
        eprintln!(
            "x: it {}",
            if works {
                "does"
            } else {
                "does not; using emulation"
            }
        );
        Ok(if works { Self::Kvm } else { Self::Tcg })
    }
}

fn probe(packages: &Packages) -> Result<bool> {
    let parts = Parts::prepare(packages, System::Linux, Initramfs::Small)?;
    let plan = Plan::new(System::Linux, Route::Direct, "boot", Accelerator::Kvm);
    let Ok(mut guest) = Guest::start(&plan, &parts, "kvm-probe") else {
        return Ok(false);
    };
    let patience = Patience {
        busy: Duration::from_secs(20),
        idle: Duration::from_secs(20),
    };
    Ok(guest
        .wait("@@ end boot 0 failures", patience)
        .is_ok_and(|seen| seen == Seen::Text))
}
