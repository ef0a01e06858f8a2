//! The crate against Xen's C headers (Debian's libxen-dev), both ways.
//!
//! Forward: a C program generated from the crate's own tables prints the size
//! and offset of every member and the value of every constant, as gcc sees them.
//! Backward: every structure, member, enumerator and constant macro that the
//! headers have must be in the crate or in [`exclusions`], with a reason.

mod compiler;
mod dwarf;
mod exclusions;

use compiler::Headers;
use hypercall_abi::check::{Const, MODULES, Struct};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Structures and unions, with their Rust paths.
fn types() -> Vec<(String, &'static Struct)> {
    let in_module = |module: &'static hypercall_abi::check::Module| {
        let types = module.structs.iter().chain(module.unions);
        types.map(|ty| (format!("{}::{}", module.name, ty.rust), ty))
    };
    MODULES.iter().flat_map(in_module).collect()
}

/// Constants, with their Rust paths.
fn constants() -> Vec<(String, &'static Const)> {
    let in_module = |module: &'static hypercall_abi::check::Module| {
        let constants = module.enums.iter().chain(module.consts);
        constants.map(|constant| (format!("{}::{}", module.name, constant.rust), constant))
    };
    MODULES.iter().flat_map(in_module).collect()
}

fn is_identifier(c: &str) -> bool {
    c.chars().all(|ch| ch.is_ascii_alphanumeric() || ch == '_')
}

/// The C names that a constant of the crate stands for: several where they
/// differ in case only.
fn c_names<'a>(constant: &'a Const, by_lower: &'a BTreeMap<String, Vec<String>>) -> Vec<&'a str> {
    if !is_identifier(constant.c) {
        return vec![constant.c];
    }
    let names = by_lower.get(&constant.c.to_lowercase());
    names
        .map(|names| names.iter().map(String::as_str).collect())
        .unwrap_or_default()
}

fn by_lower(headers: &Headers) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut excluded = exclusions::Exclusions::new(exclusions::CONSTANTS);
    for name in headers
        .macros
        .iter()
        .chain(&headers.enumerators)
        .filter(|name| !excluded.contain(name))
    {
        map.entry(name.to_lowercase())
            .or_default()
            .push(name.clone());
    }
    map
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
fn the_crate_agrees_with_the_headers() {
    let headers = Headers::read();
    let by_lower = by_lower(&headers);
    let types = types();
    let constants = constants();
    let strings: Vec<_> = MODULES.iter().flat_map(|module| module.strs).collect();
    let mut problems = Vec::new();

    let mut body = String::new();
    let mut put = |line: String| writeln!(body, "    {line}").unwrap();
    for (i, (_, ty)) in types.iter().enumerate() {
        let c = ty.c;
        match exclusions::size_of(ty.rust) {
            Some(size) => put(format!("printf(\"S {i} %zu\\n\", (size_t)({size}));")),
            None if c.is_empty() => continue, // anonymous member of a structure
            None => put(format!("printf(\"S {i} %zu\\n\", sizeof({c}));")),
        }
        for (j, field) in ty
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| !field.c.is_empty())
        {
            let f = field.c;
            put(format!(
                "printf(\"F {i} {j} %zu %zu\\n\", offsetof({c}, {f}), sizeof((({c} *)0)->{f}));"
            ));
        }
    }
    for (i, (rust, constant)) in constants.iter().enumerate() {
        let names = c_names(constant, &by_lower);
        if names.is_empty() && !exclusions::NOT_FOR_GUESTS.contains(&constant.c) {
            problems.push(format!("{rust}: no header defines {}", constant.c));
        }
        for c in names {
            put(format!(
                "printf(\"C {i} %llu %zu\\n\", (unsigned long long)({c}), sizeof({c}));"
            ));
        }
    }
    for (i, string) in strings.iter().enumerate() {
        put(format!("printf(\"T {i} %s\\n\", {});", string.c));
    }

    let mut checked = 0;
    let output = compiler::run(
        "forward",
        &format!("int main(void)\n{{\n{body}    return 0;\n}}\n"),
    );
    for line in output.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |n: usize| words[n].parse::<u64>().unwrap();
        let index = number(1) as usize;
        checked += 1;
        match words[0] {
            "S" => {
                let (rust, ty) = &types[index];
                if ty.size as u64 != number(2) {
                    problems.push(format!("{rust}: size {}, in C {}", ty.size, number(2)));
                }
            }
            "F" => {
                let (rust, ty) = &types[index];
                let field = &ty.fields[number(2) as usize];
                if (field.offset as u64, field.size as u64) != (number(3), number(4)) {
                    problems.push(format!(
                        "{rust}.{}: offset {} size {}, in C {} and {}",
                        field.c, field.offset, field.size, words[3], words[4]
                    ));
                }
            }
            "C" => {
                let (rust, constant) = &constants[index];
                // C's int is as wide as most constants here: only its bits count.
                let mask = if number(3) <= 4 {
                    u64::from(u32::MAX)
                } else {
                    u64::MAX
                };
                if constant.value & mask != number(2) & mask {
                    problems.push(format!(
                        "{rust}: {:#x}, in C {:#x}",
                        constant.value,
                        number(2)
                    ));
                }
            }
            _ => {
                let value = line.splitn(3, ' ').nth(2).unwrap_or_default();
                if strings[index].value != value {
                    problems.push(format!(
                        "{}: {:?}, in C {value:?}",
                        strings[index].c, strings[index].value
                    ));
                }
            }
        }
    }
    report("differences from the headers", &problems);
    println!(
        "{checked} sizes, members and values compared; {} types, {} constants",
        types.len(),
        constants.len()
    );
}

#[test]
fn every_constant_of_the_headers_is_known() {
    let headers = Headers::read();
    let by_lower = by_lower(&headers);
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let constants = constants();
    for (_, constant) in &constants {
        known.extend(c_names(constant, &by_lower));
    }
    known.extend(
        MODULES
            .iter()
            .flat_map(|module| module.strs)
            .map(|string| string.c),
    );

    let mut excluded = exclusions::Exclusions::new(exclusions::CONSTANTS);
    let mut problems = Vec::new();
    for name in headers.macros.iter().chain(&headers.enumerators) {
        if !known.contains(name.as_str()) && !excluded.contain(name) {
            problems.push(name.clone());
        }
    }
    problems.extend(excluded.unused());
    report("constants neither in the crate nor excluded", &problems);
}

#[test]
fn every_structure_of_the_headers_is_known() {
    let headers = Headers::read();
    let types = types();
    let constants = constants();
    let mut known = BTreeSet::new();
    let mut problems = Vec::new();
    for (rust, ty) in &types {
        if ty.c.is_empty() {
            continue;
        }
        let Some(die) = headers.dwarf.resolve(ty.c) else {
            problems.push(format!("{rust}: no header has {}", ty.c));
            continue;
        };
        known.insert(die);
        for member in headers.dwarf.members(die) {
            let name = &member.name;
            let covered = if name.is_empty() {
                ty.fields.iter().any(|field| field.offset == member.offset)
            } else if member.bits {
                let set = format!("{{ {} x; memset(&x, 0, sizeof(x)); x.{name} = ~0; ", ty.c);
                constants
                    .iter()
                    .any(|(_, constant)| constant.c.contains(&set))
            } else {
                ty.fields.iter().any(|field| field.c == name.as_str())
            };
            let whole = exclusions::size_of(ty.rust).is_none();
            if !covered && whole && !member.empty && !exclusions::is_padding(name) {
                problems.push(format!("{rust}: member {name} of {} is missing", ty.c));
            }
        }
    }
    let mut excluded = exclusions::Exclusions::new(exclusions::STRUCTURES);
    for (name, die) in headers.dwarf.named() {
        if headers.mention(&name) && !known.contains(&die) && !excluded.contain(&name) {
            problems.push(format!("{name}: neither in the crate nor excluded"));
        }
    }
    problems.extend(excluded.unused());
    report("structures or members missing", &problems);
}

#[test]
fn every_header_is_read_or_excluded() {
    let mut excluded = exclusions::Exclusions::new(exclusions::HEADERS);
    let mut problems = Vec::new();
    for header in compiler::installed() {
        if !compiler::HEADERS.contains(&header.as_str()) && !excluded.contain(&header) {
            problems.push(header);
        }
    }
    problems.extend(excluded.unused());
    report("headers neither read nor excluded", &problems);
}

/// A module that uses the macros and is not in [`MODULES`] would go unchecked.
#[test]
fn every_table_is_listed() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut problems = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().with_extension("");
            let name = name.to_str().unwrap().replace('/', "::");
            let text = std::fs::read_to_string(&path).unwrap();
            // Other versions' structures are compared with other headers: `tests/versions`.
            if name.starts_with("versions::") {
                continue;
            }
            let module = MODULES.iter().find(|module| module.name == name);
            let listed = [
                (
                    "abi_structs! {",
                    module.is_some_and(|module| !module.structs.is_empty()),
                ),
                (
                    "abi_unions! {",
                    module.is_some_and(|module| !module.unions.is_empty()),
                ),
                (
                    "open_enums! {",
                    module.is_some_and(|module| !module.enums.is_empty()),
                ),
                (
                    "abi_consts! {",
                    module.is_some_and(|module| !module.consts.is_empty()),
                ),
                (
                    "abi_strs! {",
                    module.is_some_and(|module| !module.strs.is_empty()),
                ),
            ];
            for (call, listed) in listed {
                if text.lines().any(|line| line == call) && !listed {
                    problems.push(format!("{name}: {call} ... }}"));
                }
            }
        }
    }
    report("tables not listed in check::MODULES", &problems);
}
