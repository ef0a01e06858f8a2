//! ACPI tables: as they come, and as a tree with right checksums around random bodies, so that the parsers behind the
//! checksums are reached.

use arch::acpi::{PhysRead, find, parse};

/// Signatures of the tables that are interpreted.
const SIGNATURES: [&[u8; 4]; 7] = [
    b"APIC", b"FACP", b"HPET", b"MCFG", b"SRAT", b"SLIT", b"DSDT",
];
/// The root pointer's address in the tree.
const ROOT: usize = 0xe_0000;

struct Ram(Vec<u8>);

impl PhysRead for Ram {
    fn read(&mut self, address: u64, out: &mut [u8]) -> bool {
        let part = usize::try_from(address)
            .ok()
            .and_then(|at| self.0.get(at..at.checked_add(out.len())?));
        part.is_some_and(|part| {
            out.copy_from_slice(part);
            true
        })
    }
}

/// Makes the bytes sum up to 0 by the one at `at`.
fn seal(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    let sum = bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b));
    bytes[at] = sum.wrapping_neg();
}

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut table = signature.to_vec();
    table.extend((36 + body.len() as u32).to_le_bytes());
    table.extend([4, 0]);
    table.resize(36, b' ');
    table.extend(body);
    seal(&mut table, 9);
    table
}

/// Memory with a root pointer, an XSDT and the tables that the input holds: a signature's number, a length, a body each.
fn tree(mut data: &[u8]) -> Vec<u8> {
    let mut memory = vec![0; 1 << 20];
    let mut addresses = Vec::new();
    while let [kind, length, rest @ ..] = data {
        let (body, after) = rest.split_at(usize::from(*length).min(rest.len()));
        addresses.push(memory.len() as u64);
        memory.extend(table(
            SIGNATURES[usize::from(*kind) % SIGNATURES.len()],
            body,
        ));
        data = after;
    }
    let xsdt = memory.len() as u64;
    let list: Vec<u8> = addresses.iter().flat_map(|a| a.to_le_bytes()).collect();
    memory.extend(table(b"XSDT", &list));
    let mut root = b"RSD PTR \0OXEN  \x02".to_vec();
    root.resize(36, 0);
    root[20..24].copy_from_slice(&36u32.to_le_bytes());
    root[24..32].copy_from_slice(&xsdt.to_le_bytes());
    seal(&mut root[..20], 8);
    seal(&mut root, 32);
    memory[ROOT..ROOT + 36].copy_from_slice(&root);
    memory
}

/// Runs one input. True if its tree was taken.
pub fn run(data: &[u8]) -> bool {
    let mut raw = Ram(data.to_vec());
    if let Some(root) = find(&mut raw) {
        let _ = parse(&mut raw, root);
    }
    let _ = parse(&mut raw, 0);
    let mut ram = Ram(tree(data));
    let root = find(&mut ram).expect("the root pointer is sound");
    match parse(&mut ram, root) {
        Ok(acpi) => {
            for warning in &acpi.warnings {
                let _ = warning.to_string();
            }
            let nodes = acpi.cpu_affinity.iter().map(|a| a.domain);
            for node in nodes {
                let _ = acpi.slit.as_ref().and_then(|s| s.distance(node, 0));
            }
            true
        }
        Err(error) => {
            let _ = error.to_string();
            false
        }
    }
}
