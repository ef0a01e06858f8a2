//! Compiling against the headers with gcc.

use crate::dwarf::Dwarf;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "/usr/include/xen";

/// The headers that the crate covers, in an order in which they compile.
pub const HEADERS: &[&str] = &[
    "xen.h",
    "xen-compat.h",
    "errno.h",
    "arch-x86/xen.h",
    "arch-x86/xen-x86_64.h",
    "arch-x86_64.h",
    "arch-x86/cpuid.h",
    "arch-x86/cpufeatureset.h",
    "arch-x86/xen-mca.h",
    "arch-x86/pmu.h",
    "arch-x86/guest-acpi.h",
    "arch-x86/hvm/start_info.h",
    "event_channel.h",
    "grant_table.h",
    "sched.h",
    "vcpu.h",
    "memory.h",
    "version.h",
    "features.h",
    "physdev.h",
    "platform.h",
    "callback.h",
    "nmi.h",
    "domctl.h",
    "sysctl.h",
    "elfnote.h",
    "hypfs.h",
    "kexec.h",
    "xenoprof.h",
    "pmu.h",
    "vm_event.h",
    "trace.h",
    "hvm/params.h",
    "hvm/hvm_op.h",
    "hvm/dm_op.h",
    "hvm/ioreq.h",
    "hvm/e820.h",
    "hvm/hvm_info_table.h",
    "hvm/hvm_vcpu.h",
    "hvm/hvm_xs_strings.h",
    "hvm/save.h",
    "arch-x86/hvm/save.h",
    "hvm/pvdrivers.h",
    "io/console.h",
    "io/xs_wire.h",
    "io/ring.h",
    "io/blkif.h",
    "io/netif.h",
    "io/xenbus.h",
    "io/protocols.h",
    "io/libxenvchan.h",
    "io/pciif.h",
    "io/kbdif.h",
    "io/fbif.h",
    "sys/privcmd.h",
    "sys/evtchn.h",
    "sys/gntdev.h",
    "sys/gntalloc.h",
    "sys/xenbus_dev.h",
];

/// What comes before every generated program: the view that the tools have of
/// the newest interface.
fn prelude() -> String {
    let mut text = String::from(
        "#include <errno.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n\
         #include <string.h>\n#include <sys/ioctl.h>\n\
         #include <xen/xen-compat.h>\n\
         #define __XEN_TOOLS__ 1\n\
         #define __XEN_INTERFACE_VERSION__ __XEN_LATEST_INTERFACE_VERSION__\n",
    );
    for header in HEADERS {
        text += &format!("#include <xen/{header}>\n");
    }
    text
}

/// The headers on this machine, relative to their folder.
pub fn installed() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(FOLDER)];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| {
            panic!("the header check needs Debian's package libxen-dev: {FOLDER}: {error}")
        });
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(
                    path.strip_prefix(FOLDER)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    found.sort();
    found
}

/// Runs a program and returns what it prints; panics with its complaints.
fn output(command: &mut Command) -> String {
    let result = command.output().unwrap_or_else(|error| {
        panic!(
            "the header check needs {:?} (Debian: gcc, binutils): {error}",
            command.get_program()
        )
    });
    assert!(
        result.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&result.stderr)
    );
    String::from_utf8(result.stdout).expect("tools print text")
}

/// A file of this test's own, under the build folder.
fn write(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Compiles the prelude with `body` behind it, runs it, returns what it prints.
pub fn run(name: &str, body: &str) -> String {
    let source = write(&format!("{name}.c"), &(prelude() + body));
    let program = source.with_extension("bin");
    output(
        Command::new("gcc")
            .args(["-w", "-std=gnu11", "-o"])
            .arg(&program)
            .arg(&source),
    );
    output(&mut Command::new(program))
}

/// What the headers define.
pub struct Headers {
    /// Names of object-like macros with a value, active in the tools' view.
    pub macros: BTreeSet<String>,
    /// Names of enumerators.
    pub enumerators: BTreeSet<String>,
    /// Types.
    pub dwarf: Dwarf,
    words: BTreeSet<String>,
}

impl Headers {
    pub fn read() -> Self {
        let installed = installed();
        assert!(
            installed.iter().any(|header| header == "xen.h"),
            "the header check needs Debian's package libxen-dev: {FOLDER}/xen.h is missing"
        );
        let id = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
        let source = write(&format!("types-{id}.c"), &prelude());
        let object = source.with_extension("o");
        output(
            Command::new("gcc")
                .args([
                    "-w",
                    "-std=gnu11",
                    "-gdwarf-4",
                    "-fno-eliminate-unused-debug-types",
                    "-c",
                    "-o",
                ])
                .arg(&object)
                .arg(&source),
        );
        let dwarf = Dwarf::parse(&output(Command::new("readelf").arg("-wi").arg(&object)));

        let preprocessed = output(
            Command::new("gcc")
                .args(["-std=gnu11", "-E", "-dM"])
                .arg(&source),
        );
        let active: BTreeSet<&str> = preprocessed
            .lines()
            .filter_map(|line| line.strip_prefix("#define ")?.split(' ').next())
            .collect();
        let mut macros = BTreeSet::new();
        let mut words = BTreeSet::new();
        for header in HEADERS {
            let text = std::fs::read_to_string(Path::new(FOLDER).join(header)).unwrap();
            macros.extend(
                text.replace("\\\n", " ")
                    .lines()
                    .filter_map(object_macro)
                    .filter(|name| active.contains(name.as_str())),
            );
            words.extend(
                text.split(|ch: char| !ch.is_ascii_alphanumeric() && ch != '_')
                    .map(str::to_owned),
            );
        }
        let enumerators = dwarf.enumerators();
        Self {
            macros,
            enumerators,
            dwarf,
            words,
        }
    }

    /// Whether the text of a header has this word.
    pub fn mention(&self, word: &str) -> bool {
        self.words.contains(word)
    }
}

/// The name that a line defines, if it gives it a value and no parameters.
fn object_macro(line: &str) -> Option<String> {
    let rest = line
        .trim_start()
        .strip_prefix('#')?
        .trim_start()
        .strip_prefix("define")?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let end = rest.find(|ch: char| !ch.is_ascii_alphanumeric() && ch != '_')?;
    let (name, value) = rest.split_at(end);
    let value = value.split("/*").next()?;
    (value.starts_with([' ', '\t']) && !value.trim().is_empty()).then(|| name.to_owned())
}
