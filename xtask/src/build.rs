//! `./x build`: the hypervisor as GRUB loads it, and the programs that run in dom0.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::{build_info, cmd, paths, symbol_table};

const TARGET: &str = "x86_64-unknown-none";
/// The promise of the README, for the compressed image.
const SIZE_LIMIT: u64 = 1 << 20;

/// The hypervisor, built.
#[derive(Clone)]
pub struct Image {
    /// What GRUB and QEMU load.
    pub elf: PathBuf,
    /// The same, compressed.
    pub gz: PathBuf,
    /// With symbols and line numbers, for debuggers.
    pub symbols: PathBuf,
}

/// True once the hypervisor has its bare-metal program.
pub fn has_hypervisor() -> bool {
    fs::read_to_string(paths::root().join("hypervisor/Cargo.toml"))
        .is_ok_and(|text| text.contains("name = \"oxen\""))
}

/// Builds the hypervisor, checks it and leaves it in `target/oxen`; once per run of `x`.
pub fn hypervisor() -> Result<Image> {
    static DONE: OnceLock<Image> = OnceLock::new();
    if let Some(image) = DONE.get() {
        return Ok(image.clone());
    }
    let image = build_hypervisor()?;
    Ok(DONE.get_or_init(|| image).clone())
}

fn build_hypervisor() -> Result<Image> {
    if !has_hypervisor() {
        bail!("the hypervisor package has no program `oxen` yet");
    }
    cmd::run(cmd::cargo().args([
        "build",
        "-q",
        "--release",
        "--package",
        "hypervisor",
        "--bin",
        "oxen",
        "--target",
        TARGET,
    ]))?;
    let built = paths::root()
        .join("target")
        .join(TARGET)
        .join("release/oxen");
    let folder = paths::output();
    fs::create_dir_all(&folder)?;
    let image = Image {
        elf: folder.join("oxen.elf"),
        gz: folder.join("oxen.gz"),
        symbols: folder.join("oxen-syms"),
    };
    // Loaders look at segments and headers only.
    fs::copy(&built, &image.symbols).with_context(|| format!("no {}", built.display()))?;
    cmd::run(
        cmd::command("objcopy")
            .arg("--strip-all")
            .arg(&built)
            .arg(&image.elf),
    )?;
    symbol_table::check_room(&image.symbols)?;
    symbol_table::write_into(&image.elf, &image.symbols)?;
    build_info::write_into(&image.elf, &image.symbols)?;
    forbid_fpu(&image)?;
    let mut gzip = cmd::command("gzip");
    let packed = gzip
        .args(["-9", "-n", "-c"])
        .arg(&image.elf)
        .output()
        .context("cannot start gzip")?;
    if !packed.status.success() {
        bail!("gzip failed: {}", packed.status);
    }
    fs::write(&image.gz, &packed.stdout)?;
    let size = packed.stdout.len() as u64;
    if size > SIZE_LIMIT {
        bail!("oxen.gz has {size} bytes; the limit is {SIZE_LIMIT}");
    }
    Ok(image)
}

/// Builds and reports.
pub fn report() -> Result<()> {
    let image = hypervisor()?;
    for path in [&image.elf, &image.gz, &image.symbols] {
        println!("{:>9} bytes  {}", fs::metadata(path)?.len(), path.display());
    }
    Ok(())
}

/// Guests own the floating-point and vector registers: an instruction of ours that names one
/// would corrupt a guest. Saving and restoring them (`xsave`, `fxsave`) names none.
fn forbid_fpu(image: &Image) -> Result<()> {
    let listing = cmd::output(
        cmd::command("objdump")
            .args(["-d", "--no-show-raw-insn", "-M", "intel"])
            .arg(&image.symbols),
    )?;
    let mut function = "";
    for line in listing.lines() {
        if line.ends_with(">:") {
            function = line;
        } else if let Some((_, instruction)) = line.split_once('\t')
            && names_fpu_register(instruction)
        {
            bail!(
                "floating-point or vector register in the hypervisor: {instruction} in {function}"
            );
        }
    }
    Ok(())
}

fn names_fpu_register(instruction: &str) -> bool {
    // What follows `#` or `<` is the name of a target, not an operand.
    let operands = instruction.split(['#', '<']).next().unwrap_or("");
    let is_vector = |word: &str| {
        ["xmm", "ymm", "zmm", "mm"].iter().any(|kind| {
            word.strip_prefix(kind).is_some_and(|number| {
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            })
        })
    };
    let is_x87 = |word: &str| word == "st";
    operands
        .split(|character: char| !character.is_ascii_alphanumeric())
        .skip(1)
        .any(|word| is_vector(word) || is_x87(word))
}

/// Builds our own programs for dom0, linked statically, and returns their paths; once per run.
pub fn guest_programs() -> Result<Vec<PathBuf>> {
    static DONE: OnceLock<Vec<PathBuf>> = OnceLock::new();
    if let Some(programs) = DONE.get() {
        return Ok(programs.clone());
    }
    let programs = build_guest_programs()?;
    Ok(DONE.get_or_init(|| programs).clone())
}

fn build_guest_programs() -> Result<Vec<PathBuf>> {
    const HOST: &str = "x86_64-unknown-linux-gnu";
    let packages = ["dom0-tools", "tests"];
    let mut build = cmd::cargo();
    build.args([
        "build",
        "-q",
        "--profile",
        "tools",
        "--bins",
        "--target",
        HOST,
    ]);
    for package in packages {
        build.args(["--package", package]);
    }
    // A variable of the target, so that build scripts and macros are left alone.
    build.env(
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
        "-C target-feature=+crt-static -C strip=symbols",
    );
    cmd::run(&mut build)?;
    let mut metadata = cmd::cargo();
    let text = cmd::output(metadata.args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("cargo metadata")?;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let mut programs = Vec::new();
    for package in list(&metadata["packages"]) {
        if !packages.iter().any(|name| package["name"] == *name) {
            continue;
        }
        for target in list(&package["targets"]) {
            if list(&target["kind"]).iter().any(|kind| kind == "bin") {
                let name = target["name"].as_str().unwrap_or_default();
                programs.push(
                    paths::root()
                        .join("target")
                        .join(HOST)
                        .join("tools")
                        .join(name),
                );
            }
        }
    }
    programs.push(vsyscall32()?);
    programs.sort();
    Ok(programs)
}

/// Assembles the 32-bit program of the tests (`tests/compat/vsyscall.S`) and returns its path.
fn vsyscall32() -> Result<PathBuf> {
    let folder = paths::output();
    let (object, program) = (folder.join("vsyscall32.o"), folder.join("vsyscall32"));
    let mut assembler = cmd::command("as");
    assembler.args(["--32", "-o"]).arg(&object);
    cmd::output(assembler.arg(paths::root().join("tests/compat/vsyscall.S")))?;
    let mut linker = cmd::command("ld");
    linker.args(["-m", "elf_i386", "-o"]).arg(&program);
    cmd::output(linker.arg(&object))?;
    Ok(program)
}

/// Builds the PV guests of ours that have no operating system (`tests/*-guest`) and returns the folder of their kernels.
/// They have a link layout of their own, so they are built with their own flags, in a folder of their own.
pub fn bare_guests() -> Result<PathBuf> {
    let folder = paths::root().join("target/bare-guests");
    let script = paths::root().join("tests/pv-guest/guest.ld");
    // Where `./x` keeps core and alloc, if the toolchain has none for this target.
    let libraries = std::env::var("CARGO_TARGET_X86_64_UNKNOWN_NONE_RUSTFLAGS").unwrap_or_default();
    let flags = format!(
        "{libraries} -C relocation-model=pic -C code-model=kernel -C no-redzone=yes -C link-arg=--no-pie \
         -C link-arg=-static -C link-arg=-znoexecstack -C link-arg=-T{}",
        script.display(),
    );
    cmd::run(
        cmd::cargo()
            .args(["build", "-q", "--release", "--package", "bench-guest"])
            .args(["--package", "fuzz-guest", "--package", "xsa-guest"])
            .args(["--target", TARGET, "--target-dir"])
            .arg(&folder)
            .env("RUSTFLAGS", flags.trim()),
    )?;
    Ok(folder.join(TARGET).join("release"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_and_x87_operands_are_found() {
        assert!(names_fpu_register("movaps xmm0,XMMWORD PTR [rdi]"));
        assert!(names_fpu_register("vpxor  ymm3,ymm3,ymm3"));
        assert!(names_fpu_register("fadd   st,st(1)"));
        assert!(names_fpu_register("movq   mm0,rax"));
        assert!(!names_fpu_register("call   ffff82d080000000 <save_xmm0>"));
        assert!(!names_fpu_register("xsaveopt64 [rdi]"));
        assert!(!names_fpu_register("str    ax"));
        assert!(!names_fpu_register(
            "mov    rax,QWORD PTR [rip+0x1] # ffff82d0 <mm0>"
        ));
    }
}
