//! From the root pointer to the tables.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::bytes::{Bytes, checksum_ok};
use super::{Acpi, TableInfo};

/// Access to physical memory.
pub trait PhysRead {
    /// Reads `out.len()` bytes at `address`; false when that memory cannot be reached.
    fn read(&mut self, address: u64, out: &mut [u8]) -> bool;
}

/// Why there is no ACPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcpiError {
    /// No RSDP was given and none found in the BIOS areas.
    NoRootPointer,
    /// The RSDP at this address cannot be read or fails its signature or checksum.
    BadRootPointer(u64),
    /// Neither XSDT nor RSDT holds up.
    NoRootTable,
}

impl fmt::Display for AcpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRootPointer => f.write_str("no ACPI root pointer (RSDP) found"),
            Self::BadRootPointer(at) => write!(f, "the ACPI root pointer at {at:#x} is damaged"),
            Self::NoRootTable => f.write_str("neither the ACPI XSDT nor the RSDT is valid"),
        }
    }
}

/// A table that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Its physical address.
    pub address: u64,
    /// Its signature as far as it could be read.
    pub signature: [u8; 4],
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Its memory cannot be read.
    Unreadable,
    /// Shorter than a header, or longer than any table (16 MiB).
    Length(u32),
    /// The bytes do not add up to zero.
    Checksum,
    /// Fields that must be there are missing.
    Truncated,
    /// The same table again.
    Duplicate,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ACPI table {} at {:#x} left out: ",
            self.signature.escape_ascii(),
            self.address
        )?;
        match self.problem {
            Problem::Unreadable => f.write_str("unreadable"),
            Problem::Length(length) => write!(f, "length {length}"),
            Problem::Checksum => f.write_str("bad checksum"),
            Problem::Truncated => f.write_str("truncated"),
            Problem::Duplicate => f.write_str("listed twice"),
        }
    }
}

const HEADER: usize = 36;
/// No table is longer.
const MAX_TABLE: u32 = 16 << 20;
/// No machine lists more.
const MAX_TABLES: usize = 512;

/// Searches the root pointer where PC firmware puts it (ACPI 5.2.5.1): the first KiB of the extended BIOS data area and
/// `0xe0000..0x100000`.
pub fn find(memory: &mut impl PhysRead) -> Option<u64> {
    let mut segment = [0; 2];
    let ebda = if memory.read(0x40e, &mut segment) {
        u64::from(u16::from_le_bytes(segment)) << 4
    } else {
        0
    };
    let areas = [(ebda, 1024), (0xe_0000, 0x2_0000)];
    for (start, length) in areas {
        if !(0x400..0x10_0000).contains(&start) {
            continue;
        }
        let mut area = vec![0; length];
        if !memory.read(start, &mut area) {
            continue;
        }
        let hit = area.chunks(16).position(|c| c.starts_with(b"RSD PTR "));
        let hits = area.chunks(16).enumerate().skip(hit.unwrap_or(usize::MAX));
        for (n, _) in hits.filter(|(_, c)| c.starts_with(b"RSD PTR ")) {
            if area.get(n * 16..n * 16 + 20).is_some_and(checksum_ok) {
                return Some(start + n as u64 * 16);
            }
        }
    }
    None
}

/// Reads and checks one whole table.
fn read_table(memory: &mut impl PhysRead, address: u64) -> Result<([u8; 4], Vec<u8>), Warning> {
    let mut header = [0; HEADER];
    let warn = |signature, problem| Warning {
        address,
        signature,
        problem,
    };
    if address == 0 || !memory.read(address, &mut header) {
        return Err(warn(*b"????", Problem::Unreadable));
    }
    let signature: [u8; 4] = [header[0], header[1], header[2], header[3]];
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    // The FACS has no header beyond the length, and no checksum; it is not read here.
    if !(HEADER as u32..=MAX_TABLE).contains(&length) {
        return Err(warn(signature, Problem::Length(length)));
    }
    let mut table = vec![0; length as usize];
    if !memory.read(address, &mut table) {
        return Err(warn(signature, Problem::Unreadable));
    }
    if table[..8] != header[..8] || !checksum_ok(&table) {
        return Err(warn(signature, Problem::Checksum));
    }
    Ok((signature, table))
}

/// The table addresses that the root pointer leads to.
fn root(
    memory: &mut impl PhysRead,
    rsdp: u64,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<u64>, AcpiError> {
    let mut raw = [0; 36];
    if !memory.read(rsdp, &mut raw[..20])
        || !raw.starts_with(b"RSD PTR ")
        || !checksum_ok(&raw[..20])
    {
        return Err(AcpiError::BadRootPointer(rsdp));
    }
    let pointer = Bytes(&raw[..]);
    let rsdt = u64::from(pointer.u32(16).unwrap_or(0));
    let mut candidates = vec![(rsdt, *b"RSDT", 4)];
    if raw[15] >= 2 && memory.read(rsdp, &mut raw) && checksum_ok(&raw) {
        let xsdt = Bytes(&raw).u64(24).unwrap_or(0);
        candidates.insert(0, (xsdt, *b"XSDT", 8));
    }
    for (address, wanted, width) in candidates {
        if address == 0 {
            continue;
        }
        match read_table(memory, address) {
            Ok((signature, table)) if signature == wanted => {
                let list = table[HEADER..].chunks_exact(width).take(MAX_TABLES);
                return Ok(list
                    .map(|c| {
                        c.iter()
                            .rev()
                            .fold(0, |value, byte| value << 8 | u64::from(*byte))
                    })
                    .filter(|&a| a != 0)
                    .collect());
            }
            Ok((signature, _)) => warnings.push(Warning {
                address,
                signature,
                problem: Problem::Truncated,
            }),
            Err(warning) => warnings.push(warning),
        }
    }
    Err(AcpiError::NoRootTable)
}

/// Parses everything reachable from the root pointer at physical address `rsdp`.
pub fn parse(memory: &mut impl PhysRead, rsdp: u64) -> Result<Acpi, AcpiError> {
    let mut acpi = Acpi {
        rsdp,
        local_apic_address: 0xfee0_0000,
        has_8259: true,
        ..Acpi::default()
    };
    let mut warnings = Vec::new();
    for address in root(memory, rsdp, &mut warnings)? {
        match read_table(memory, address) {
            Ok((signature, table)) => {
                let warn = |problem| Warning {
                    address,
                    signature,
                    problem,
                };
                if acpi.tables.iter().any(|t| t.address == address)
                    || (signature != *b"SSDT"
                        && acpi.tables.iter().any(|t| t.signature == signature))
                {
                    warnings.push(warn(Problem::Duplicate));
                    continue;
                }
                acpi.tables.push(TableInfo {
                    signature,
                    address,
                    length: table.len() as u32,
                });
                let body = Bytes(&table);
                let understood = match &signature {
                    b"APIC" => acpi.read_madt(body),
                    b"MCFG" => acpi.read_mcfg(body),
                    b"HPET" => acpi.read_hpet(body),
                    b"FACP" => acpi.read_fadt(body),
                    b"SRAT" => acpi.read_srat(body),
                    b"SLIT" => acpi.read_slit(body),
                    _ => Some(()),
                };
                if understood.is_none() {
                    warnings.push(warn(Problem::Truncated));
                }
            }
            Err(warning) => warnings.push(warning),
        }
    }
    acpi.warnings = warnings;
    Ok(acpi)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::{AddressSpace, Register};

    /// Memory from address 0.
    struct Ram(Vec<u8>);
    impl PhysRead for Ram {
        fn read(&mut self, address: u64, out: &mut [u8]) -> bool {
            let Some(bytes) = usize::try_from(address)
                .ok()
                .and_then(|a| self.0.get(a..)?.get(..out.len()))
            else {
                return false;
            };
            out.copy_from_slice(bytes);
            true
        }
    }

    fn seal(bytes: &mut [u8], at: usize) {
        bytes[at] = 0;
        bytes[at] = bytes.iter().fold(0_u8, |s, b| s.wrapping_sub(*b));
    }

    fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut t = vec![0; HEADER];
        t[..4].copy_from_slice(signature);
        t.extend_from_slice(body);
        let length = t.len() as u32;
        t[4..8].copy_from_slice(&length.to_le_bytes());
        seal(&mut t, 9);
        t
    }

    const RSDP: usize = 0xe_0010;
    const XSDT: usize = 0x1000;

    /// RAM with a root pointer in the BIOS area, an XSDT and the given tables, 4 KiB apart.
    fn machine(tables: &[Vec<u8>]) -> Ram {
        let mut ram = vec![0; 0x10_0000];
        let mut list = Vec::new();
        for (n, t) in tables.iter().enumerate() {
            let at = 0x2000 + n * 0x1000;
            ram[at..at + t.len()].copy_from_slice(t);
            list.extend_from_slice(&(at as u64).to_le_bytes());
        }
        let xsdt = table(b"XSDT", &list);
        ram[XSDT..XSDT + xsdt.len()].copy_from_slice(&xsdt);
        let p = &mut ram[RSDP..RSDP + 36];
        p[..8].copy_from_slice(b"RSD PTR ");
        p[15] = 2;
        p[20] = 36;
        p[24..32].copy_from_slice(&(XSDT as u64).to_le_bytes());
        seal(&mut p[..20], 8);
        seal(p, 32);
        Ram(ram)
    }

    fn parse_tables(tables: &[Vec<u8>]) -> Acpi {
        let mut ram = machine(tables);
        let rsdp = find(&mut ram).unwrap();
        assert_eq!(rsdp, RSDP as u64);
        parse(&mut ram, rsdp).unwrap()
    }

    fn madt() -> Vec<u8> {
        let mut b = vec![0; 8];
        b[..4].copy_from_slice(&0xfee0_0000_u32.to_le_bytes());
        b[4] = 1;
        b.extend_from_slice(&[0, 8, 0, 0, 1, 0, 0, 0]);
        b.extend_from_slice(&[0, 8, 1, 1, 0, 0, 0, 0]); // disabled, not online capable
        b.extend_from_slice(&[9, 16, 0, 0, 0x34, 0x12, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0]);
        b.extend_from_slice(&[1, 12, 3, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
        b.extend_from_slice(&[2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
        b.extend_from_slice(&[2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0]);
        b.extend_from_slice(&[4, 6, 0xff, 5, 0, 1]);
        b.extend_from_slice(&[5, 12, 0, 0, 0, 0, 0xe0, 0xfe, 1, 0, 0, 0]);
        table(b"APIC", &b)
    }

    #[test]
    fn madt_entries() {
        let a = parse_tables(&[madt()]);
        assert!(a.warnings.is_empty());
        let ids: Vec<_> = a
            .processors
            .iter()
            .map(|p| (p.apic_id, p.acpi_uid, p.enabled))
            .collect();
        assert_eq!(ids, [(0, 0, true), (1, 1, false), (0x1234, 7, true)]);
        assert_eq!(
            (
                a.io_apics[0].id,
                a.io_apics[0].address,
                a.io_apics[0].gsi_base
            ),
            (3, 0xfec0_0000, 0)
        );
        assert_eq!(
            (a.overrides[0].irq, a.overrides[0].gsi, a.overrides[0].level),
            (0, 2, None)
        );
        assert_eq!(
            (
                a.overrides[1].irq,
                a.overrides[1].active_low,
                a.overrides[1].level
            ),
            (9, Some(false), Some(true))
        );
        assert_eq!((a.local_nmis[0].lint, a.local_nmis[0].acpi_uid), (1, None));
        assert_eq!(a.local_apic_address, 0x1_fee0_0000);
    }

    #[test]
    fn other_tables() {
        let mut mcfg = vec![0; 8];
        mcfg.extend_from_slice(&[0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0]);
        mcfg.extend_from_slice(&[1, 2, 3]); // a torn entry
        let mut hpet = vec![0; 20];
        hpet[8..16].copy_from_slice(&0xfed0_0000_u64.to_le_bytes());
        let mut facp = vec![0; 276 - HEADER];
        facp[46 - HEADER..48 - HEADER].copy_from_slice(&9_u16.to_le_bytes());
        facp[64 - HEADER..66 - HEADER].copy_from_slice(&0x604_u16.to_le_bytes());
        facp[88 - HEADER] = 4;
        facp[89 - HEADER] = 2;
        facp[91 - HEADER] = 4;
        facp[76 - HEADER..78 - HEADER].copy_from_slice(&0x608_u16.to_le_bytes());
        facp[112 - HEADER + 1] = 5; // bits 8 and 10: 32-bit timer, reset register
        facp[116 - HEADER] = 1;
        facp[117 - HEADER] = 8;
        facp[120 - HEADER..122 - HEADER].copy_from_slice(&0xcf9_u16.to_le_bytes());
        facp[128 - HEADER] = 0xf;
        let a = parse_tables(&[
            table(b"MCFG", &mcfg),
            table(b"HPET", &hpet),
            table(b"FACP", &facp),
        ]);
        assert!(a.warnings.is_empty(), "{:?}", a.warnings);
        assert_eq!(
            (a.mcfg[0].address, a.mcfg[0].last_bus, a.mcfg.len()),
            (0xb000_0000, 255, 1)
        );
        assert_eq!(a.hpet, Some(0xfed0_0000));
        let f = a.fadt.unwrap();
        assert_eq!(f.sci, 9);
        assert_eq!(
            f.pm_timer,
            Some(Register {
                space: AddressSpace::Io,
                width: 32,
                address: 0x608
            })
        );
        assert!(f.pm_timer_32bit);
        assert_eq!(f.pm1a_control.unwrap().address, 0x604);
        assert_eq!(f.pm1b_control, None);
        assert_eq!(f.reset.unwrap().0.address, 0xcf9);
        assert_eq!(f.reset.unwrap().1, 0xf);
    }

    #[test]
    fn numa() {
        let mut srat = vec![0; 12];
        srat.extend_from_slice(&[0, 16, 1, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut m = [0; 40];
        m[0] = 1;
        m[1] = 40;
        m[2] = 1;
        m[8..16].copy_from_slice(&0x1000_u64.to_le_bytes());
        m[16..24].copy_from_slice(&0x2000_u64.to_le_bytes());
        m[28] = 1;
        srat.extend_from_slice(&m);
        let mut slit = 2_u64.to_le_bytes().to_vec();
        slit.extend_from_slice(&[10, 20, 20, 10]);
        let a = parse_tables(&[table(b"SRAT", &srat), table(b"SLIT", &slit)]);
        assert_eq!(
            (a.cpu_affinity[0].apic_id, a.cpu_affinity[0].domain),
            (4, 1)
        );
        assert_eq!(
            (a.memory_affinity[0].start, a.memory_affinity[0].length),
            (0x1000, 0x2000)
        );
        let slit = a.slit.unwrap();
        assert_eq!(
            (
                slit.distance(0, 1),
                slit.distance(1, 1),
                slit.distance(2, 0)
            ),
            (Some(20), Some(10), None)
        );
    }

    #[test]
    fn hostile_tables_are_left_out() {
        let good = madt();
        let mut checksum = good.clone();
        checksum[20] ^= 1;
        let mut short = good.clone();
        short[4..8].copy_from_slice(&0_u32.to_le_bytes());
        let mut huge = good.clone();
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut beyond = good.clone();
        beyond[4..8].copy_from_slice(&(MAX_TABLE - 1).to_le_bytes());
        for (bad, problem) in [
            (checksum, Problem::Checksum),
            (short, Problem::Length(0)),
            (huge, Problem::Length(u32::MAX)),
            (beyond, Problem::Unreadable),
            (table(b"APIC", &[0; 3]), Problem::Truncated),
            (table(b"FACP", &[0; 3]), Problem::Truncated),
            (table(b"HPET", &[]), Problem::Truncated),
            (table(b"MCFG", &[]), Problem::Truncated),
            (table(b"SRAT", &[]), Problem::Truncated),
            (table(b"SLIT", &u64::MAX.to_le_bytes()), Problem::Truncated),
        ] {
            let a = parse_tables(&[bad]);
            assert_eq!(a.warnings.len(), 1);
            assert_eq!(a.warnings[0].problem, problem);
            assert!(a.processors.is_empty());
        }
    }

    #[test]
    fn entry_lengths_cannot_loop_or_leave_the_table() {
        for entry in [
            &[0_u8, 0][..],
            &[0, 1],
            &[0, 200, 1],
            &[0, 3, 1],
            &[1, 4, 0, 0],
            &[9, 2],
            &[0],
        ] {
            let mut body = vec![0; 8];
            body.extend_from_slice(entry);
            let a = parse_tables(&[table(b"APIC", &body)]);
            assert!(
                a.processors.is_empty() && a.io_apics.is_empty(),
                "{entry:?}"
            );
        }
    }

    #[test]
    fn the_root_table_listing_itself_or_a_table_twice() {
        let mut ram = machine(&[madt(), madt()]);
        let a = parse(&mut ram, RSDP as u64).unwrap();
        assert_eq!(
            (a.processors.len(), a.warnings[0].problem),
            (3, Problem::Duplicate)
        );
        let mut list = (XSDT as u64).to_le_bytes().to_vec();
        list.extend_from_slice(&(XSDT as u64).to_le_bytes());
        let xsdt = table(b"XSDT", &list);
        ram.0[XSDT..XSDT + xsdt.len()].copy_from_slice(&xsdt);
        assert!(parse(&mut ram, RSDP as u64).unwrap().processors.is_empty());
    }

    #[test]
    fn damaged_roots() {
        let mut ram = machine(&[]);
        assert_eq!(
            parse(&mut ram, 0x5000).err(),
            Some(AcpiError::BadRootPointer(0x5000))
        );
        assert_eq!(
            parse(&mut ram, u64::MAX).err(),
            Some(AcpiError::BadRootPointer(u64::MAX))
        );
        ram.0[XSDT] ^= 1;
        assert_eq!(
            parse(&mut ram, RSDP as u64).err(),
            Some(AcpiError::NoRootTable)
        );
        ram.0[RSDP + 8] ^= 1;
        assert_eq!(find(&mut ram), None);
        assert_eq!(find(&mut Ram(Vec::new())), None);
    }
}
