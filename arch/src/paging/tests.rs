//! The tables over simulated RAM.

use super::layout::{FIRST_SLOT, M2P_BASE, M2P_RO_BASE, SLOTS};
use super::table::{ADDRESS, Flags, FrameSource, Tables};
use super::*;
use crate::frame::RawFrame;

/// Frames from 512 on, counted.
struct Source(u64);

impl FrameSource for Source {
    fn frame(&mut self) -> Option<Mfn> {
        self.0 += 1;
        (self.0 < 4096).then_some(Mfn(self.0 - 1))
    }
}

fn tables() -> (Tables, Source) {
    crate::hosted::reset(4096);
    let mut source = Source(512);
    (Tables::new(&mut source).unwrap(), source)
}

#[test]
fn only_the_guests_view_of_the_m2p_is_theirs() {
    let (tables, _) = tables();
    let entries = tables.l4_entries();
    assert_eq!(entries.len(), SLOTS);
    for (n, entry) in entries.into_iter().enumerate() {
        let flags = Flags::from_bits_retain(entry & !ADDRESS);
        assert!(flags.contains(Flags::PRESENT));
        assert_eq!(
            flags.contains(Flags::USER),
            n == 0,
            "slot {}",
            FIRST_SLOT + n
        );
        assert_eq!(
            flags.contains(Flags::WRITABLE),
            n != 0,
            "slot {}",
            FIRST_SLOT + n
        );
    }
    // Nothing outside the hypervisor's slots.
    // SAFETY: simulated RAM.
    let root = unsafe { RawFrame::new(tables.root()) };
    for slot in (0..256).chain(272..512) {
        assert_eq!(root.read_u64(slot * 8), 0);
    }
}

#[test]
fn the_largest_pages_that_fit_are_used() {
    let (mut tables, mut source) = tables();
    let base = DIRECT_MAP_BASE;
    tables
        .map(
            base + 0x1000,
            0x1000,
            (2 << 30) - 0x1000,
            Flags::DATA,
            3,
            &mut source,
        )
        .unwrap();
    let size = |tables: &Tables, at: u64| tables.lookup(base + at).map(|(_, size)| size);
    assert_eq!(size(&tables, 0), None);
    assert_eq!(size(&tables, 0x1000), Some(4096));
    assert_eq!(size(&tables, 0x1f_f000), Some(4096));
    assert_eq!(size(&tables, 0x20_0000), Some(2 << 20));
    assert_eq!(size(&tables, 1 << 30), Some(1 << 30));
    assert_eq!(size(&tables, 2 << 30), None);
    for at in [
        0x1000,
        0x5_6000,
        0x20_0000,
        0x1234_5000,
        (1 << 30) + 0x777_7000,
    ] {
        let (entry, size) = tables.lookup(base + at).unwrap();
        assert_eq!(entry & ADDRESS & !(size - 1) | at & (size - 1), at);
    }
}

#[test]
fn mapping_twice_or_outside_is_refused() {
    let (mut tables, mut source) = tables();
    let va = FRAME_TABLE_BASE;
    tables
        .map(va, 0x1000, 0x2000, Flags::DATA, 2, &mut source)
        .unwrap();
    assert_eq!(
        tables.map(va + 0x1000, 0, 0x1000, Flags::DATA, 1, &mut source),
        Err(MapError::Occupied)
    );
    tables
        .map(
            va + (2 << 20),
            2 << 20,
            2 << 20,
            Flags::DATA,
            2,
            &mut source,
        )
        .unwrap();
    assert_eq!(
        tables.map(
            va + (2 << 20) + 0x1000,
            0,
            0x1000,
            Flags::DATA,
            1,
            &mut source
        ),
        Err(MapError::Occupied)
    );
    for (va, phys, len) in [
        (va + 1, 0, 0x1000),
        (va, 0, 0x800),
        (va, 0x800, 0x1000),
        (0xffff_8800_0000_0000, 0, 0x1000),
        (0xffff_87ff_ffff_f000, 0, 0x2000),
        (0x1000, 0, 0x1000),
        (u64::MAX - 0xfff, 0, 0x1000),
        (va, ADDRESS, 0x2000),
    ] {
        assert_eq!(
            tables.map(va, phys, len, Flags::DATA, 1, &mut source),
            Err(MapError::BadRange),
            "{va:#x}"
        );
    }
}

#[test]
fn running_out_of_frames_is_an_error() {
    let (mut tables, _) = tables();
    let mut few = Source(4094);
    assert_eq!(
        tables.map(IOREMAP_BASE, 0, 0x1000, Flags::DATA, 1, &mut few),
        Err(MapError::OutOfMemory)
    );
    assert!(tables.lookup(IOREMAP_BASE).is_none());
    assert_eq!(tables.l1_table(IOREMAP_BASE), Err(MapError::OutOfMemory));
}

#[test]
fn both_views_of_the_m2p_show_the_same_frames() {
    let (mut tables, mut source) = tables();
    map_m2p_part(&mut tables, 0x3000, Mfn(100), PAGE_SIZE, &mut source).unwrap();
    let (ours, _) = tables.lookup(M2P_BASE + 0x3000).unwrap();
    let (theirs, _) = tables.lookup(M2P_RO_BASE + 0x3000).unwrap();
    assert_eq!(ours & ADDRESS, theirs & ADDRESS);
    let (ours, theirs) = (
        Flags::from_bits_retain(ours),
        Flags::from_bits_retain(theirs),
    );
    assert!(ours.contains(Flags::WRITABLE) && !ours.contains(Flags::USER));
    assert!(!theirs.contains(Flags::WRITABLE) && theirs.contains(Flags::USER));
    assert!(ours.contains(Flags::NO_EXECUTE) && theirs.contains(Flags::NO_EXECUTE));
    // SAFETY: simulated RAM.
    assert_eq!(unsafe { RawFrame::new(Mfn(100)) }.read_u64(8), u64::MAX);
}

#[test]
fn nothing_is_writable_and_executable() {
    let (mut tables, mut source) = tables();
    for (va, range, flags) in image_sections() {
        tables
            .map(va, range.start, range.len(), flags, 1, &mut source)
            .unwrap();
    }
    map_direct(&mut tables, 0x10_0000, 0x100_0000, &mut source).unwrap();
    for (va, range, flags) in image_sections() {
        let (entry, _) = tables.lookup(va).unwrap();
        assert_eq!(entry & !ADDRESS, flags.bits());
        // The same frame in the direct map: never executable, and read-only where the image is.
        let (alias, _) = tables.lookup(DIRECT_MAP_BASE + range.start).unwrap();
        let alias = Flags::from_bits_retain(alias);
        assert!(alias.contains(Flags::NO_EXECUTE));
        assert_eq!(
            alias.contains(Flags::WRITABLE),
            flags.contains(Flags::WRITABLE)
        );
    }
    let (entry, _) = tables.lookup(DIRECT_MAP_BASE + 0x80_0000).unwrap();
    assert!(Flags::from_bits_retain(entry).contains(Flags::WRITABLE | Flags::NO_EXECUTE));
}
