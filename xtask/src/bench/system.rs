//! dom0 beside native Linux: the boot, single operations, sizes.

use std::fs;
use std::io::Read;

use ::tests::{Initramfs, Route, System};
use anyhow::{Context, Result, bail};
use dom0_tools::builder::source::Source;

use super::table::Figures;
use crate::accel::Accelerator;
use crate::gdb::Stub;
use crate::machine::{Parts, Plan};
use crate::qemu::{self, Guest, Seen};
use crate::{cmd, paths, setup};

const MEMORY_MIB: u32 = 1024;

pub const ROWS: &[(&str, &str)] = &[
    ("boot-to-dom0", "boot: entry to dom0's first instruction"),
    ("boot-to-userspace", "boot: entry to userspace"),
    (
        "dom0-to-userspace",
        "boot: dom0's first instruction to userspace",
    ),
    ("null-system-call", "null system call"),
    ("page-fault", "anonymous page fault"),
    ("mprotect-pair", "mprotect, twice"),
    ("fork-wait", "fork and wait"),
    ("vfork-exec-wait", "vfork, exec and wait"),
    ("pipe-round-trip", "pipe round trip"),
    ("signal", "signal"),
    ("null-hypercall", "null hypercall (privcmd)"),
    ("event-channel-to-self", "event channel to self"),
    ("timer-wake-up", "timer wake-up"),
    ("image", "image, bytes (gzip)"),
    ("memory", "memory of the hypervisor, MiB"),
];

/// Boots one system and measures it.
pub fn measure(packages: &setup::Packages, system: System) -> Result<Figures> {
    let parts = Parts::prepare(packages, system, Initramfs::Small)?;
    let mut plan = Plan::new(system, Route::Direct, "bench", Accelerator::Tcg);
    plan.memory = MEMORY_MIB;
    plan.icount = true;
    if system == System::Xen {
        plan.hypervisor_args = "cpuidle=0".to_owned();
    }
    let port = free_port()?;
    plan.gdb = Some(port);
    let mut guest = Guest::start(&plan, &parts, &format!("bench-{system:?}").to_lowercase())?;
    let mut figures = Figures::new();

    let mut stub = Stub::connect(port)?;
    let entry = match &parts.hypervisor {
        // Where the boot protocol puts a bzImage's protected-mode code.
        None => 0x10_0000,
        Some((elf, _)) => multiboot_entry(elf)?,
    };
    stub.run_to(entry)?;
    let began = virtual_nanoseconds(&guest)?;
    let mut dom0 = None;
    if parts.hypervisor.is_some() {
        stub.run_to(pv_entry(&packages.kernel())?)?;
        let now = virtual_nanoseconds(&guest)?;
        figures.insert("boot-to-dom0".into(), now.saturating_sub(began));
        dom0 = Some(now);
    }
    stub.detach()?;

    if guest.wait("@@ end bench 0 failures", qemu::USUAL)? == Seen::Ended {
        bail!(
            "the machine ended early, see {}",
            guest.folder().join("serial.log").display()
        );
    }
    for line in guest.text().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| {
            word.parse::<u64>()
                .with_context(|| format!("no number in: {line}"))
        };
        match words.as_slice() {
            ["@@", "ticks", ticks] => {
                let ticks = number(ticks)?;
                figures.insert("boot-to-userspace".into(), ticks.saturating_sub(began));
                if let Some(dom0) = dom0 {
                    figures.insert("dom0-to-userspace".into(), ticks.saturating_sub(dom0));
                }
            }
            ["@@", "bench", name, ticks] => {
                figures.insert((*name).to_owned(), number(ticks)?);
            }
            ["@@", "memory", "free", free, "dom0", dom0] => {
                let used = u64::from(MEMORY_MIB).saturating_sub(number(free)? + number(dom0)?);
                figures.insert("memory".into(), used);
            }
            _ => {}
        }
    }
    if let Some((_, gz)) = &parts.hypervisor {
        figures.insert("image".into(), fs::metadata(gz)?.len());
    }
    Ok(figures)
}

/// A TCP port that nobody uses right now.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}

/// QEMU's virtual clock while the machine is stopped, from two of its clocks: whole seconds from
/// the CMOS clock (which starts at midnight), the rest from the ACPI PM timer, which counts
/// 3.58 MHz in 24 bits.
pub fn virtual_nanoseconds(guest: &Guest) -> Result<u64> {
    let port = |command: &str| -> Result<u64> {
        let answer = guest.monitor(command)?;
        let value = answer
            .rsplit('=')
            .next()
            .unwrap_or("")
            .trim()
            .trim_start_matches("0x");
        u64::from_str_radix(value, 16).with_context(|| format!("monitor: {command}: {answer}"))
    };
    let cmos = |register: u64| -> Result<u64> {
        guest.monitor(&format!("o /b 0x70 {register:#x}"))?;
        let value = port("i /b 0x71")?;
        Ok((value >> 4) * 10 + (value & 0xf))
    };
    let coarse = cmos(4)? * 3_600 + cmos(2)? * 60 + cmos(0)?;
    let timer = port("i /w 0x608")?;
    // Two reads of 16 bits would do as well; the monitor's /w reads 32.
    Ok(combine(coarse, timer & 0xff_ffff))
}

/// The time nearest to `coarse` seconds (known to within a second) at which the timer shows `timer`.
fn combine(coarse: u64, timer: u64) -> u64 {
    const FREQUENCY: u128 = 3_579_545;
    const PERIOD: u128 = 1 << 24;
    const NANO: u128 = 1_000_000_000;
    let middle = (u128::from(coarse) * NANO + NANO / 2) * FREQUENCY / NANO;
    let timer = u128::from(timer);
    // The candidate is the one whose distance from the middle is under half a period.
    let laps = (middle + PERIOD / 2).saturating_sub(timer) / PERIOD;
    u64::try_from((laps * PERIOD + timer) * NANO / FREQUENCY).unwrap_or(u64::MAX)
}

/// Where a multiboot1 loader enters an image: the header's own address fields if it has them
/// (flag bit 16), else the ELF entry point.
fn multiboot_entry(elf: &std::path::Path) -> Result<u64> {
    let image = fs::read(elf)?;
    match header_entry(&image) {
        Some(entry) => Ok(entry),
        None => elf_entry(elf),
    }
}

fn header_entry(image: &[u8]) -> Option<u64> {
    const MAGIC: u32 = 0x1bad_b002;
    const SEARCHED: usize = 8192;
    const ADDRESSES: u32 = 1 << 16;
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?))
    };
    let sum = |at: usize| -> Option<u32> {
        Some(
            word(at)?
                .wrapping_add(word(at + 4)?)
                .wrapping_add(word(at + 8)?),
        )
    };
    let is_header = |at: &usize| word(*at) == Some(MAGIC) && sum(*at) == Some(0);
    let at = (0..SEARCHED).step_by(4).find(is_header)?;
    (word(at + 4)? & ADDRESSES != 0).then_some(())?;
    word(at + 28).map(u64::from)
}

fn elf_entry(elf: &std::path::Path) -> Result<u64> {
    let header = cmd::output(
        cmd::command("readelf")
            .env("LC_ALL", "C")
            .arg("-hW")
            .arg(elf),
    )?;
    let text = header
        .lines()
        .find_map(|line| line.trim().strip_prefix("Entry point address:"))
        .context("readelf shows no entry point")?;
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).context("entry point")
}

/// The virtual address at which a PV kernel starts: the note XEN_ELFNOTE_ENTRY of the ELF file
/// inside the bzImage.
pub fn pv_entry(kernel: &std::path::Path) -> Result<u64> {
    let unreadable = |error| anyhow::anyhow!("{}: {error}", kernel.display());
    let mut image = Vec::new();
    Source::open(kernel)
        .map_err(|error| anyhow::anyhow!("{error}"))?
        .reader()
        .map_err(unreadable)?
        .read_to_end(&mut image)
        .map_err(unreadable)?;
    let plain = paths::output().join(format!("vmlinux-{}", std::process::id()));
    fs::write(&plain, image)?;
    let notes = cmd::output(
        cmd::command("readelf")
            .env("LC_ALL", "C")
            .arg("-nW")
            .arg(&plain),
    );
    fs::remove_file(&plain)?;
    let notes = notes?;
    // "Xen 0x00000008 NT_VERSION (version) description data: c0 91 07 83 ff ff ff ff": readelf
    // calls a note of type 1 by the name that it has among GNU's.
    let entry = notes
        .lines()
        .filter(|line| line.trim_start().starts_with("Xen"))
        .find(|line| line.contains("NT_VERSION"))
        .and_then(|line| line.split_once("description data:"))
        .context("the kernel has no Xen entry point")?
        .1;
    entry
        .split_whitespace()
        .rev()
        .try_fold(0u64, |value, byte| {
            Ok(value << 8 | u64::from_str_radix(byte, 16).context("note of the kernel")?)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_combine_across_wraps_of_the_timer() {
        for nanoseconds in [
            1_000_000u64,
            900_000_000,
            4_700_000_000,
            9_999_000_000,
            61_400_000_000,
        ] {
            let timer = u128::from(nanoseconds) * 3_579_545 / 1_000_000_000 % (1 << 24);
            let combined = combine(nanoseconds / 1_000_000_000, u64::try_from(timer).unwrap());
            assert!(
                combined.abs_diff(nanoseconds) < 300,
                "{nanoseconds} gives {combined}"
            );
        }
    }

    #[test]
    fn entry_comes_from_the_address_fields_if_there_are_any() {
        let image = |flags: u32| -> Vec<u8> {
            let magic = 0x1bad_b002u32;
            let sum = 0u32.wrapping_sub(magic).wrapping_sub(flags);
            let words = [0, magic, flags, sum, 1, 2, 3, 4, 0x20_0040];
            words
                .iter()
                .flat_map(|word: &u32| word.to_le_bytes())
                .collect()
        };
        assert_eq!(header_entry(&image(1 << 16)), Some(0x20_0040));
        assert_eq!(header_entry(&image(3)), None);
    }
}
