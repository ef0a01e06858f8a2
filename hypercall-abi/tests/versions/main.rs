//! Every structure of domctl and sysctl, in every version that is spoken, against the public headers of the releases.
//!
//! The headers are not in this repository. `facts/` holds what a C compiler says about them: sizes, offsets and values,
//! a file per release, written once by [`write_facts`]:
//!
//! ```text
//! OXEN_HEADERS=.../xen/include/public OXEN_RELEASE=4.14.6 \
//!     ./x cargo test -p hypercall-abi --test versions -- --ignored write_facts
//! ```
//!
//! The canonical version is checked against the installed headers themselves too (`tests/headers`).

#[path = "../headers/dwarf.rs"]
#[allow(dead_code)] // the header check uses all of it
mod dwarf;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use hypercall_abi::check::{MODULES, Module, Struct};
use hypercall_abi::versions::{DOMCTL, SYSCTL, stable};

/// Releases with the versions that they speak.
const RELEASES: &[(&str, u32, u32)] = &[
    ("4.14", 0x12, 0x13),
    ("4.15", 0x13, 0x13),
    ("4.16", 0x14, 0x14),
    ("4.17", 0x15, 0x15),
    ("4.18", 0x16, 0x15),
    ("4.19", 0x17, 0x15),
    ("4.20", 0x17, 0x15),
    ("4.21", 0x17, 0x16),
    ("4.22", 0x18, 0x16),
];

/// Structures whose inner layout no caller can meet, because every command that carries them is answered with an errno
/// before they are looked at.
const NEVER_READ: &[&str] = &[
    // pm_op: 4.18 and 4.21 rearranged the answer of a query that finds no driver.
    "struct xen_get_cpufreq_para",
    "__typeof__(((struct xen_get_cpufreq_para*)0)->u)",
    // livepatch_op: 4.19 gave a reserved word a name.
    "struct xen_sysctl_livepatch_op",
];

/// Commands of newer releases that are answered as unknown.
const NOT_SPOKEN: &[&str] = &[
    "XEN_DOMCTL_dt_overlay",       // Arm
    "XEN_DOMCTL_gsi_permission",   // for a dom0 that is no PV guest
    "XEN_DOMCTL_set_llc_colors",   // Arm
    "XEN_DOMCTL_get_domain_state", // outside of all versions: `stable`
    "XEN_SYSCTL_dt_overlay",       // Arm
];

/// What one release's headers say.
#[derive(Default)]
struct Facts {
    sizes: BTreeMap<String, usize>,
    fields: BTreeMap<(String, String), (usize, usize)>,
    constants: BTreeMap<String, u64>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/versions/facts")
}

impl Facts {
    fn read(release: &str) -> Self {
        let path = folder().join(release);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut facts = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split('\t').collect();
            let number = |n: usize| {
                let text = words[n].trim_start_matches("0x");
                u64::from_str_radix(text, if text == words[n] { 10 } else { 16 }).expect("a number")
            };
            match words[0] {
                "size" => {
                    facts.sizes.insert(words[1].into(), number(2) as usize);
                }
                "field" => {
                    let place = (number(3) as usize, number(4) as usize);
                    facts
                        .fields
                        .insert((words[1].into(), words[2].into()), place);
                }
                "value" => {
                    facts.constants.insert(words[1].into(), number(2));
                }
                other => panic!("{}: {other}", path.display()),
            }
        }
        facts
    }

    fn compare(&self, release: &str, ty: &Struct, problems: &mut Vec<String>) {
        let name = ty.c;
        if NEVER_READ.contains(&name) {
            return;
        }
        let Some(&size) = self.sizes.get(name) else {
            return; // of a later release; its command is refused, see `commands_are_those_of_the_releases`
        };
        if size != ty.size {
            problems.push(format!("{release}: {name}: size {}, in C {size}", ty.size));
        }
        for field in ty.fields.iter().filter(|field| !field.c.is_empty()) {
            let ours = (field.offset, field.size);
            match self.fields.get(&(name.to_owned(), field.c.to_owned())) {
                // Padding got a name later on; a member came later into a union.
                None if field.c.trim_start_matches('_').starts_with("pad") => {}
                None if name.ends_with("->u)") => {}
                None => problems.push(format!("{release}: {name}: no member {}", field.c)),
                // What a member of a union is like is compared with that member's own type.
                Some(&(0, _)) if name.ends_with("->u)") => {}
                Some(&theirs) if theirs != ours => problems.push(format!(
                    "{release}: {name}.{}: offset and size {ours:?}, in C {theirs:?}",
                    field.c
                )),
                Some(_) => {}
            }
        }
    }
}

/// Structures and unions that domctl and sysctl carry.
fn canonical() -> impl Iterator<Item = &'static Struct> {
    let carried = |module: &&Module| {
        let head = module.name.split("::").next();
        matches!(head, Some("domctl" | "sysctl")) || module.name == "arch_x86"
    };
    let xen = MODULES
        .iter()
        .filter(|m| m.name == "xen" || m.name == "memory");
    let others = xen
        .flat_map(|m| m.structs)
        .filter(|s| ["struct xenctl_bitmap", "struct xen_vmemrange"].contains(&s.c));
    MODULES
        .iter()
        .filter(carried)
        .flat_map(|m| m.structs.iter().chain(m.unions))
        .chain(others)
        .filter(|s| !s.c.is_empty())
}

fn report(what: &str, problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{} {what}:\n  {}",
        problems.len(),
        problems.join("\n  ")
    );
}

#[test]
fn every_version_is_laid_out_as_its_releases_have_it() {
    let mut problems = Vec::new();
    let mut compared = 0;
    for &(release, domctl, sysctl) in RELEASES {
        let facts = Facts::read(release);
        let domctl = DOMCTL.iter().find(|v| v.version == domctl).expect("listed");
        let sysctl = SYSCTL.iter().find(|v| v.version == sysctl).expect("listed");
        let tables = domctl.structs.iter().chain(sysctl.structs);
        let mut own: BTreeMap<&str, &Struct> = BTreeMap::new();
        for ty in tables.flat_map(|table| table.iter()) {
            own.entry(ty.c).or_insert(ty);
        }
        for ty in own.values() {
            assert!(facts.sizes.contains_key(ty.c), "{release}: no {}", ty.c);
            facts.compare(release, ty, &mut problems);
        }
        for ty in stable::STRUCTS {
            facts.compare(release, ty, &mut problems);
        }
        for ty in canonical().filter(|ty| !own.contains_key(ty.c)) {
            facts.compare(release, ty, &mut problems);
            compared += 1;
        }
    }
    report("differences", &problems);
    assert!(compared > 1000, "{compared}");
}

#[test]
fn versions_are_those_of_the_releases() {
    for &(release, domctl, sysctl) in RELEASES {
        let constants = Facts::read(release).constants;
        assert_eq!(
            constants["XEN_DOMCTL_INTERFACE_VERSION"],
            domctl.into(),
            "{release}"
        );
        assert_eq!(
            constants["XEN_SYSCTL_INTERFACE_VERSION"],
            sysctl.into(),
            "{release}"
        );
    }
    let newest = Facts::read("4.22");
    let number = newest.constants["XEN_DOMCTL_get_domain_state"];
    assert_eq!(number, stable::GET_DOMAIN_STATE.0.into());
    for (name, value) in [
        ("STATE_EXIST", stable::STATE_EXIST),
        ("STATE_SHUTDOWN", stable::STATE_SHUTDOWN),
        ("STATE_DYING", stable::STATE_DYING),
        ("STATE_DEAD", stable::STATE_DEAD),
        ("CAP_CONTROL", stable::CAP_CONTROL),
        ("CAP_HARDWARE", stable::CAP_HARDWARE),
        ("CAP_XENSTORE", stable::CAP_XENSTORE),
    ] {
        let name = format!("XEN_DOMCTL_GETDOMSTATE_{name}");
        assert_eq!(newest.constants[&name], value.into(), "{name}");
    }
    assert!(
        newest
            .sizes
            .contains_key("struct xen_domctl_get_domain_state")
    );
    let spoken: BTreeSet<u32> = DOMCTL.iter().map(|v| v.version).collect();
    assert_eq!(spoken, RELEASES.iter().map(|r| r.1).collect());
    let spoken: BTreeSet<u32> = SYSCTL.iter().map(|v| v.version).collect();
    assert_eq!(spoken, RELEASES.iter().map(|r| r.2).collect());
}

/// Constants that both have, by name without case, have the same value; commands that a release has not are not spoken in
/// its version, and those that it has are known or listed.
#[test]
fn constants_and_commands_are_those_of_the_releases() {
    let mut problems = Vec::new();
    let versions = [
        "XEN_DOMCTL_INTERFACE_VERSION",
        "XEN_SYSCTL_INTERFACE_VERSION",
    ];
    // The largest flag, and a reserved bit, are different by their nature.
    let moving = ["XEN_DOMCTL_CDF_MAX", "XEN_SYSCTL_PHYSCAP_MAX"];
    let ours: BTreeMap<String, u64> = MODULES
        .iter()
        .filter(|m| matches!(m.name.split("::").next(), Some("domctl" | "sysctl")))
        .flat_map(|m| m.enums.iter().chain(m.consts))
        .map(|c| (c.c.to_lowercase(), c.value & u64::from(u32::MAX)))
        .collect();
    for &(release, domctl, _) in RELEASES {
        let facts = Facts::read(release);
        let version = DOMCTL.iter().find(|v| v.version == domctl).expect("listed");
        for (name, &value) in &facts.constants {
            if versions.contains(&name.as_str()) || moving.contains(&name.as_str()) {
                continue;
            }
            let value = value & u64::from(u32::MAX);
            if let Some(&known) = ours.get(&name.to_lowercase())
                && known != value
            {
                problems.push(format!("{release}: {name} is {value:#x}, here {known:#x}"));
            }
        }
        // Commands: numbers under names without further parts.
        let is_command = |name: &str| {
            name.strip_prefix("XEN_DOMCTL_")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        };
        let union_fields: BTreeSet<&str> = facts
            .fields
            .keys()
            .filter(|(ty, _)| ty == "__typeof__(((struct xen_domctl*)0)->u)")
            .map(|(_, field)| field.as_str())
            .collect();
        assert!(union_fields.len() > 30, "{release}");
        for cmd in hypercall_abi::domctl::ENUMS {
            let Some(name) = cmd.rust.strip_prefix("DomctlCmd::") else {
                continue;
            };
            let has = facts.constants.iter().any(|(c, v)| {
                c.eq_ignore_ascii_case(&format!("XEN_DOMCTL_{name}")) && *v == cmd.value
            });
            let spoken = version.has(hypercall_abi::domctl::DomctlCmd(cmd.value as u32));
            if has != spoken {
                problems.push(format!("{release}: {name}: there {has}, spoken {spoken}"));
            }
        }
        for (name, &value) in facts.constants.iter().filter(|(name, _)| is_command(name)) {
            let parts = ["_vmtrace_"];
            let known = ours.contains_key(&name.to_lowercase())
                || NOT_SPOKEN.contains(&name.as_str())
                || parts.iter().any(|part| name.contains(part))
                || name == "XEN_DOMCTL_disable_migrate" && version.version == 0x12;
            if !known {
                problems.push(format!(
                    "{release}: {name} ({value}) is neither known nor listed"
                ));
            }
        }
    }
    report("differences", &problems);
}

fn output(command: &mut Command) -> String {
    let result = command.output().expect("gcc and binutils");
    let errors = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{command:?} failed:\n{errors}");
    String::from_utf8(result.stdout).expect("text")
}

/// Writes a release's facts; see above. Not a test.
#[test]
#[ignore = "a chore: writes facts/RELEASE from the headers in OXEN_HEADERS"]
fn write_facts() {
    let headers = std::env::var("OXEN_HEADERS").expect("OXEN_HEADERS names xen/include/public");
    let release = std::env::var("OXEN_RELEASE").expect("OXEN_RELEASE names the release");
    let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("facts-{release}"));
    std::fs::create_dir_all(&work).unwrap();
    let link = work.join("xen");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(std::fs::canonicalize(&headers).unwrap(), &link).unwrap();
    let include = format!("-I{}", work.display());
    let prelude = "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n\
        #include <xen/xen-compat.h>\n#define __XEN_TOOLS__ 1\n\
        #define __XEN_INTERFACE_VERSION__ __XEN_LATEST_INTERFACE_VERSION__\n\
        #include <xen/xen.h>\n#include <xen/domctl.h>\n#include <xen/sysctl.h>\n";
    let source = work.join("facts.c");
    std::fs::write(&source, prelude).unwrap();
    let gcc = || {
        let mut command = Command::new("gcc");
        command.args(["-w", "-std=gnu11", &include]);
        command
    };
    let object = work.join("facts.o");
    output(
        gcc()
            .args(["-gdwarf-4", "-fno-eliminate-unused-debug-types", "-c", "-o"])
            .arg(&object)
            .arg(&source),
    );
    let dwarf = dwarf::Dwarf::parse(&output(Command::new("readelf").arg("-wi").arg(&object)));
    let macros = output(gcc().args(["-E", "-dM"]).arg(&source));

    let own = DOMCTL.iter().flat_map(|v| v.structs);
    let own = own.chain(SYSCTL.iter().flat_map(|v| v.structs));
    let own = own.chain(std::iter::once(&stable::STRUCTS));
    let types: BTreeSet<&str> = canonical()
        .map(|ty| ty.c)
        .chain(own.flat_map(|table| table.iter()).map(|ty| ty.c))
        .filter(|c| dwarf.resolve(c).is_some())
        .collect();
    let mut body = String::new();
    for c in &types {
        writeln!(body, "printf(\"size\\t{c}\\t%zu\\n\", sizeof({c}));").unwrap();
        let members = dwarf.members(dwarf.resolve(c).unwrap());
        let named = members.iter().filter(|m| !m.bits && !m.empty);
        let mut names: BTreeSet<&str> = named.map(|m| m.name.as_str()).collect();
        // Members of an anonymous union are the structure's own: the crate knows their names.
        if names.remove("") {
            let ours = canonical().find(|ty| ty.c == *c).expect("canonical");
            names.extend(ours.fields.iter().map(|f| f.c).filter(|f| !f.is_empty()));
        }
        for f in names {
            writeln!(
                body,
                "printf(\"field\\t{c}\\t{f}\\t%zu\\t%zu\\n\", offsetof({c}, {f}), sizeof((({c}*)0)->{f}));"
            )
            .unwrap();
        }
    }
    // Constants: what a C compiler takes as a number.
    let names: Vec<&str> = macros
        .lines()
        .filter_map(|line| line.strip_prefix("#define ")?.split_once(' '))
        .filter(|(name, value)| {
            let prefixes = [
                "XEN_DOMCTL_",
                "XEN_SYSCTL_",
                "XEN_DOMINF_",
                "XEN_VCPUAFFINITY_",
            ];
            !name.contains('(')
                && !value.trim().is_empty()
                && prefixes
                    .iter()
                    .any(|p| name.trim_start_matches('_').starts_with(p))
        })
        .map(|(name, _)| name)
        .collect();
    for name in names {
        writeln!(
            body,
            "printf(\"value\\t{name}\\t%#llx\\n\", (unsigned long long)({name}));"
        )
        .unwrap();
    }
    std::fs::write(
        &source,
        format!("{prelude}int main(void)\n{{\n{body}return 0;\n}}\n"),
    )
    .unwrap();
    let program = work.join("facts.bin");
    output(gcc().arg("-o").arg(&program).arg(&source));
    let mut lines: Vec<String> = output(&mut Command::new(&program))
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    let text = format!(
        "# Layout facts of Xen {release}'s public headers, as gcc computes them for x86-64. Written by tests/versions.\n{}\n",
        lines.join("\n")
    );
    let short: Vec<&str> = release.split('.').take(2).collect();
    std::fs::write(folder().join(short.join(".")), text).unwrap();
}
