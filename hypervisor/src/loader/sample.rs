//! Kernel images made by hand, for tests.

use std::vec::Vec;

/// The notes of a Linux-like PV kernel at `virt_base` 0xffffffff80000000.
pub fn linux_notes() -> Vec<(u32, Vec<u8>)> {
    vec![
        (6, b"linux\0".to_vec()),
        (5, b"xen-3.0\0".to_vec()),
        (3, 0xffff_ffff_8000_0000u64.to_le_bytes().to_vec()),
        (15, 0x80_0000_0000u64.to_le_bytes().to_vec()),
        (1, 0xffff_ffff_8010_0040u64.to_le_bytes().to_vec()),
        (2, 0xffff_ffff_8010_1000u64.to_le_bytes().to_vec()),
        (10, b"!writable_page_tables|pae_pgdir_above_4gb\0".to_vec()),
        (17, 0x8801u32.to_le_bytes().to_vec()),
        (8, b"generic\0".to_vec()),
        (16, 1u32.to_le_bytes().to_vec()),
    ]
}

/// An ELF file of two segments: 0x3000 bytes at 1 MiB, of which `code` and then 0xab fill 0x2800, and a page of zeroes
/// at 2 MiB.
pub fn elf(notes: &[(u32, Vec<u8>)], code: &[u8]) -> Vec<u8> {
    let mut table = Vec::new();
    for (kind, desc) in notes {
        table.extend(4u32.to_le_bytes());
        table.extend((desc.len() as u32).to_le_bytes());
        table.extend(kind.to_le_bytes());
        table.extend(b"Xen\0");
        table.extend(desc);
        table.resize(table.len().next_multiple_of(4), 0);
    }
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01");
    file.resize(16, 0);
    file.extend(2u16.to_le_bytes());
    file.extend(62u16.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend(0xffff_ffff_8010_0000u64.to_le_bytes()); // entry
    file.extend(64u64.to_le_bytes()); // program headers
    file.extend(0u64.to_le_bytes()); // section headers
    file.extend(0u32.to_le_bytes());
    for field in [64u16, 56, 3, 64, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    let mut header = |kind: u32, offset: u64, paddr: u64, in_file: u64, in_memory: u64| {
        file.extend(kind.to_le_bytes());
        file.extend(7u32.to_le_bytes());
        for field in [offset, paddr, paddr, in_file, in_memory, 4096] {
            file.extend(field.to_le_bytes());
        }
    };
    header(1, 0x1000, 0x10_0000, 0x2800, 0x3000);
    header(1, 0x1000, 0x20_0000, 0, 0x1000);
    header(4, 0x3800, 0, table.len() as u64, table.len() as u64);
    file.resize(0x1000, 0);
    file.extend(code);
    file.resize(0x3800, 0xab);
    file.extend(table);
    file
}

/// A bzImage around a payload.
pub fn bzimage(payload: &[u8], unpacked: u32) -> Vec<u8> {
    let mut file = vec![0; 0x400];
    file[0x1f1] = 1;
    file[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
    file[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
    file[0x24c..0x250].copy_from_slice(&(payload.len() as u32 + 4).to_le_bytes());
    file.extend([0x90; 16]);
    file.extend(payload);
    file.extend(unpacked.to_le_bytes());
    file
}
