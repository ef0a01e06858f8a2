//! The three parsers against what real loaders pass, and against everything else.

use proptest::prelude::*;

use super::*;

/// Memory made of a few slices.
struct Fake(Vec<(u64, Vec<u8>)>);

impl Memory for Fake {
    fn read(&self, address: u64, out: &mut [u8]) -> bool {
        self.0.iter().any(|(start, data)| {
            let part = address
                .checked_sub(*start)
                .and_then(|from| data.get(from as usize..(from as usize).checked_add(out.len())?));
            part.is_some_and(|part| {
                out.copy_from_slice(part);
                true
            })
        })
    }
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn quads(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

const MB1: u32 = 0x2bad_b002;
const MB2: u32 = 0x36d7_6289;
const PVH: u32 = 0x336e_c578;

fn parsed(magic: u32, address: u64, memory: &Fake) -> Result<Box<BootInfo>, BootError> {
    let mut info = Box::new(BootInfo::new());
    parse(magic, address, memory, &mut info)?;
    Ok(info)
}

fn tag(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut out = words(&[kind, 8 + body.len() as u32]);
    out.extend(body);
    out.resize(out.len().next_multiple_of(8), 0);
    out
}

fn multiboot2(tags: &[Vec<u8>]) -> Vec<u8> {
    let mut body: Vec<u8> = tags.concat();
    body.extend(tag(0, &[]));
    let mut out = words(&[8 + body.len() as u32, 0]);
    out.extend(body);
    out
}

fn ram_tag() -> Vec<u8> {
    let mut body = words(&[24, 0]);
    for (start, len, kind) in [
        (0u64, 0x9_fc00u64, 1u32),
        (0x10_0000, 0x1000_0000, 1),
        (0xf_0000, 0x1_0000, 2),
    ] {
        body.extend(quads(&[start, len]));
        body.extend(words(&[kind, 0]));
    }
    tag(6, &body)
}

fn sample_multiboot2() -> Vec<u8> {
    let mut module = words(&[0x10_0000, 0x10_1234]);
    module.extend(b"root=/dev/sda1 quiet\0");
    let mut framebuffer = quads(&[0xfd00_0000]);
    framebuffer.extend(words(&[5120, 1280, 800]));
    framebuffer.extend([32, 1, 0, 0, 16, 8, 8, 8, 0, 8]);
    multiboot2(&[
        tag(1, b"console=com1 dom0_mem=512M\0"),
        tag(2, b"GRUB 2.06\0"),
        tag(3, &module),
        ram_tag(),
        tag(8, &framebuffer),
        tag(14, b"RSD PTR 0123456789AB"),
        tag(99, b"whatever"),
    ])
}

#[test]
fn multiboot2_from_grub() {
    let memory = Fake(vec![(0x9000, sample_multiboot2())]);
    let info = parsed(MB2, 0x9000, &memory).unwrap();
    assert_eq!(info.protocol, Protocol::Multiboot2);
    assert_eq!(info.command_line(), "console=com1 dom0_mem=512M");
    assert_eq!(info.loader_name(), "GRUB 2.06");
    let [module] = info.modules() else { panic!() };
    assert_eq!((module.start.get(), module.len), (0x10_0000, 0x1234));
    assert_eq!(info.module_command_line(module), "root=/dev/sda1 quiet");
    assert_eq!(info.memory().len(), 3);
    let screen = info.framebuffer.unwrap();
    assert_eq!((screen.width, screen.height, screen.bpp), (1280, 800, 32));
    assert_eq!(
        screen.kind,
        FramebufferKind::Rgb {
            red: (16, 8),
            green: (8, 8),
            blue: (0, 8)
        }
    );
    assert!(info.rsdp_copy.unwrap().starts_with(b"RSD PTR "));
    let reserved: Vec<_> = info.reserved().collect();
    assert!(reserved.contains(&PhysRange {
        start: 0x10_0000,
        end: 0x10_1234
    }));
    assert!(reserved.contains(&PhysRange {
        start: 0,
        end: 0x1000
    }));
}

#[test]
fn multiboot2_cut_anywhere_is_an_error_that_says_so() {
    let whole = sample_multiboot2();
    for len in 0..whole.len() {
        let memory = Fake(vec![(0x9000, whole[..len].to_vec())]);
        let error = parsed(MB2, 0x9000, &memory).err().unwrap();
        assert!(matches!(error, BootError::Truncated(_)), "{len}: {error}");
    }
}

#[test]
fn multiboot2_refuses_nonsense() {
    let refused = |data: Vec<u8>| parsed(MB2, 0x1000, &Fake(vec![(0x1000, data)])).err();
    assert_eq!(
        refused(words(&[8, 0])),
        Some(BootError::Malformed("multiboot2 total size"))
    );
    assert_eq!(
        refused(words(&[u32::MAX, 0])),
        Some(BootError::Malformed("multiboot2 total size"))
    );
    // A tag shorter than its own head would never advance.
    assert_eq!(
        refused(words(&[32, 0, 1, 0, 0, 0, 0, 8])),
        Some(BootError::Malformed("multiboot2 tag size"))
    );
    assert_eq!(
        refused(words(&[32, 0, 1, 400, 0, 0, 0, 8])),
        Some(BootError::Malformed("multiboot2 tag size"))
    );
    // The end tag is missing.
    assert!(matches!(
        refused(words(&[24, 0, 99, 16, 0, 0])),
        Some(BootError::Truncated(_))
    ));
    // Entries of no size.
    let map = tag(6, &words(&[0, 0, 1, 2, 3, 4, 5, 6]));
    assert_eq!(
        refused(multiboot2(&[map])),
        Some(BootError::Malformed("multiboot2 memory map entry size"))
    );
    assert_eq!(refused(multiboot2(&[])), Some(BootError::NoMemoryMap));
    let backwards = tag(3, &words(&[0x2000, 0x1000, 0]));
    assert!(matches!(
        refused(multiboot2(&[backwards])),
        Some(BootError::Malformed(_))
    ));
    let many: Vec<_> = (0..=MAX_MODULES)
        .map(|_| tag(3, &words(&[0x1000, 0x2000, 0])))
        .collect();
    assert_eq!(
        refused(multiboot2(&many)),
        Some(BootError::TooMany("modules"))
    );
    assert!(matches!(
        refused(multiboot2(&[tag(1, &[b'x'; 20000])])),
        Some(BootError::TooMany(_))
    ));
    assert_eq!(
        parsed(0x1234, 0, &Fake(vec![])).err(),
        Some(BootError::UnknownLoader(0x1234))
    );
}

#[test]
fn efi_memory_map_and_root_pointer() {
    let mut map = words(&[48, 1]);
    for (kind, start, pages) in [
        (7u32, 0x10_0000u64, 256u64),
        (3, 0x20_0000, 256),
        (9, 0x30_0000, 1),
        (11, 0xf000_0000, 16),
    ] {
        map.extend(words(&[kind, 0]));
        map.extend(quads(&[start, 0, pages, 0xf, 0]));
    }
    let data = multiboot2(&[tag(12, &quads(&[0x5000])), tag(17, &map)]);
    let mut system = b"IBI SYST".to_vec();
    system.resize(104, 0);
    system.extend(quads(&[2, 0x6000]));
    let mut tables = vec![0u8; 24];
    tables.extend([
        0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11, 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88,
        0x81,
    ]);
    tables.extend(quads(&[0x7fe_0014]));
    let memory = Fake(vec![(0x9000, data), (0x5000, system), (0x6000, tables)]);
    let info = parsed(MB2, 0x9000, &memory).unwrap();
    assert_eq!(info.rsdp.map(|p| p.get()), Some(0x7fe_0014));
    let kinds: Vec<_> = info
        .memory()
        .iter()
        .map(|r| (r.start, r.end, r.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            (0x10_0000, 0x20_0000, RegionKind::Ram),
            (0x20_0000, 0x30_0000, RegionKind::Ram),
            (0x30_0000, 0x30_1000, RegionKind::AcpiReclaim),
            (0xf000_0000, 0xf001_0000, RegionKind::Reserved),
        ]
        .into_iter()
        .fold(Vec::new(), |mut all: Vec<(u64, u64, RegionKind)>, r| {
            match all.last_mut() {
                Some(last) if last.1 == r.0 && last.2 == r.2 => last.1 = r.1,
                _ => all.push(r),
            }
            all
        })
    );
}

/// A multiboot1 structure with these fields (offset, value).
fn multiboot1(fields: &[(usize, u32)]) -> Vec<u8> {
    let mut mbi = vec![0u8; 116];
    for &(offset, value) in fields {
        mbi[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }
    mbi
}

fn multiboot1_memory(loader: &[u8], command_line: &[u8], module: &[u8]) -> Fake {
    let mbi = multiboot1(&[
        (0, 0x24d),
        (16, 0x2000),
        (20, 1),
        (24, 0x3000),
        (44, 48),
        (48, 0x4000),
        (64, 0x5000),
    ]);
    let mut map = words(&[20]);
    map.extend(quads(&[0, 0x9_fc00]));
    map.extend(words(&[1, 20]));
    map.extend(quads(&[0x10_0000, 0x700_0000]));
    map.extend(words(&[1]));
    Fake(vec![
        (0x1000, mbi),
        (0x2000, command_line.to_vec()),
        (0x3000, words(&[0x40_0000, 0x50_0000, 0x6000, 0])),
        (0x4000, map),
        (0x5000, loader.to_vec()),
        (0x6000, module.to_vec()),
    ])
}

#[test]
fn multiboot1_from_qemu_and_grub() {
    let memory = multiboot1_memory(b"qemu\0", b"oxen dom0_mem=1G\0", b"vmlinuz root=x\0");
    let info = parsed(MB1, 0x1000, &memory).unwrap();
    assert_eq!(info.command_line(), "dom0_mem=1G");
    assert_eq!(info.module_command_line(&info.modules()[0]), "root=x");
    assert_eq!(info.modules()[0].len, 0x10_0000);
    assert_eq!(info.memory().len(), 2);

    let memory = multiboot1_memory(
        b"GNU GRUB 0.97\0",
        b"/boot/oxen.gz  dom0_mem=1G\0",
        b"(hd0,0)/boot/vmlinuz\0",
    );
    let info = parsed(MB1, 0x1000, &memory).unwrap();
    assert_eq!(info.command_line(), "dom0_mem=1G");
    assert_eq!(info.module_command_line(&info.modules()[0]), "");

    let memory = multiboot1_memory(b"GRUB 2.06\0", b"dom0_mem=1G\0", b"root=/dev/sda\0");
    let info = parsed(MB1, 0x1000, &memory).unwrap();
    assert_eq!(info.command_line(), "dom0_mem=1G");
    assert_eq!(
        info.module_command_line(&info.modules()[0]),
        "root=/dev/sda"
    );
}

#[test]
fn multiboot1_pointers_into_nowhere_name_the_structure() {
    let with = |fields: &[(usize, u32)]| {
        parsed(MB1, 0x1000, &Fake(vec![(0x1000, multiboot1(fields))])).err()
    };
    assert_eq!(
        with(&[(0, 4), (16, 0xffff_0000)]),
        Some(BootError::Truncated("command line"))
    );
    assert_eq!(
        with(&[(0, 8), (20, 1), (24, 0xffff_fff8)]),
        Some(BootError::Truncated("module list"))
    );
    assert_eq!(
        with(&[(0, 8), (20, u32::MAX), (24, 0x1000)]).map(|e| e.to_string().is_empty()),
        Some(false)
    );
    assert_eq!(
        with(&[(0, 0x40), (44, 24), (48, 0xffff_fff0)]),
        Some(BootError::Truncated("memory map"))
    );
    // Entry size 0 inside readable memory.
    assert_eq!(
        with(&[(0, 0x40), (44, 24), (48, 0x1000 + 60)]),
        Some(BootError::Malformed("memory map entry size"))
    );
    assert_eq!(with(&[(0, 0)]), Some(BootError::NoMemoryMap));
    assert_eq!(
        parsed(MB1, 0x1000, &Fake(vec![])).err(),
        Some(BootError::Truncated("multiboot information"))
    );
    // Sizes alone do as a last resort.
    let info = parsed(
        MB1,
        0x1000,
        &Fake(vec![(0x1000, multiboot1(&[(0, 1), (4, 639), (8, 65536)]))]),
    )
    .unwrap();
    assert_eq!(info.memory()[1].end, 0x10_0000 + (65536 << 10));
}

fn sample_pvh() -> Fake {
    let mut start = words(&[PVH, 1, 0, 1]);
    start.extend(quads(&[0x2000, 0x3000, 0xf_5230, 0x4000]));
    start.extend(words(&[2, 0]));
    let mut map = quads(&[0, 0x9_f000]);
    map.extend(words(&[1, 0]));
    map.extend(quads(&[0x10_0000, 0x7ff0_0000]));
    map.extend(words(&[1, 0]));
    Fake(vec![
        (0x1000, start),
        (0x2000, quads(&[0x80_0000, 0x1000, 0, 0])),
        (0x3000, b"sync_console\0".to_vec()),
        (0x4000, map),
    ])
}

#[test]
fn pvh_version_1() {
    let info = parsed(PVH, 0x1000, &sample_pvh()).unwrap();
    assert_eq!(info.command_line(), "sync_console");
    assert_eq!(info.rsdp.map(|p| p.get()), Some(0xf_5230));
    assert_eq!(info.modules()[0].len, 0x1000);
    assert_eq!(info.memory().len(), 2);
}

#[test]
fn pvh_refuses_nonsense() {
    let changed = |slice: usize, offset: usize, bytes: &[u8]| {
        let mut memory = sample_pvh();
        memory.0[slice].1[offset..offset + bytes.len()].copy_from_slice(bytes);
        parsed(PVH, 0x1000, &memory).err()
    };
    assert_eq!(
        changed(0, 0, &[0]),
        Some(BootError::Malformed("PVH magic number"))
    );
    assert_eq!(changed(0, 4, &[0]), Some(BootError::NoMemoryMap));
    assert_eq!(
        changed(0, 12, &[9]),
        Some(BootError::Truncated("PVH module list"))
    );
    assert_eq!(
        changed(0, 16, &[0xff; 8]),
        Some(BootError::Truncated("PVH module list"))
    );
    assert_eq!(
        changed(0, 48, &[0xff; 4]),
        Some(BootError::TooMany("memory map entries"))
    );
    assert_eq!(
        changed(0, 48, &[3]),
        Some(BootError::Truncated("memory map"))
    );
    assert_eq!(
        changed(1, 8, &[0xff; 8]),
        Some(BootError::Malformed("module size"))
    );
}

#[test]
fn overlaps_go_to_the_stricter_kind() {
    let mut info = Box::new(BootInfo::new());
    let add = |info: &mut BootInfo, start, len, kind| info.map.add(start, len, kind).unwrap();
    add(&mut info, 0x5000, u64::MAX, RegionKind::Unusable);
    add(&mut info, 0x1000, 0x3000, RegionKind::Ram);
    add(&mut info, 0x2000, 0x1000, RegionKind::Reserved);
    add(&mut info, 0x3000, 0x8000, RegionKind::Ram);
    add(&mut info, 0x9000, 0, RegionKind::AcpiNvs);
    info.map.normalise().unwrap();
    let found: Vec<_> = info
        .memory()
        .iter()
        .map(|r| (r.start, r.end, r.kind))
        .collect();
    assert_eq!(
        found,
        [
            (0x1000, 0x2000, RegionKind::Ram),
            (0x2000, 0x3000, RegionKind::Reserved),
            (0x3000, 0x5000, RegionKind::Ram),
            (0x5000, 1 << 52, RegionKind::Unusable),
        ]
    );
}

proptest! {
    /// Whatever a loader leaves there: an answer, never a panic, and the map is ascending and disjoint.
    #[test]
    fn noise_is_survived(
        magic in prop::sample::select(vec![MB1, MB2, PVH]),
        mut data in prop::collection::vec(any::<u8>(), 0..600),
        plausible in any::<bool>(),
    ) {
        if plausible && data.len() >= 8 {
            let head = if magic == PVH { [PVH, 1] } else { [data.len() as u32, 0] };
            data[..8].copy_from_slice(&words(&head));
        }
        if let Ok(info) = parsed(magic, 0, &Fake(vec![(0, data)])) {
            for pair in info.memory().windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
            }
            for module in info.modules() {
                let _ = info.module_command_line(module);
            }
            let _ = EarlyMemory::new(&info);
        }
    }

    /// A memory map of anything becomes ascending and disjoint, and says of every byte what the strictest claim says.
    #[test]
    fn maps_are_normalised(regions in prop::collection::vec((0u64..64, 0u64..32, 1u32..8), 1..20)) {
        let mut info = Box::new(BootInfo::new());
        let claims: Vec<_> = regions.iter().map(|&(s, l, k)| (s, s + l, RegionKind::from_e820(k))).collect();
        for &(start, end, kind) in &claims {
            info.map.add(start, end - start, kind).unwrap();
        }
        info.map.normalise().unwrap();
        let order = [RegionKind::Ram, RegionKind::Persistent, RegionKind::AcpiReclaim, RegionKind::AcpiNvs,
            RegionKind::Reserved, RegionKind::Unusable];
        for byte in 0..100 {
            let strictest = claims.iter().filter(|c| c.0 <= byte && byte < c.1)
                .map(|c| order.iter().position(|&k| k == c.2)).max().flatten().map(|i| order[i]);
            let told = info.memory().iter().find(|r| r.start <= byte && byte < r.end).map(|r| r.kind);
            prop_assert_eq!(told, strictest);
        }
    }
}
