//! Images of every shape, good and hostile.

use std::vec::Vec;

use super::sample::{bzimage, elf, linux_notes};
use super::*;

fn without(kind: u32) -> Vec<(u32, Vec<u8>)> {
    linux_notes().into_iter().filter(|n| n.0 != kind).collect()
}

fn with(kind: u32, desc: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut notes = without(kind);
    notes.push((kind, desc.to_vec()));
    notes
}

fn refusal(notes: &[(u32, Vec<u8>)]) -> String {
    Kernel::parse(&elf(notes, b"code"))
        .expect_err("refused")
        .to_string()
}

#[test]
fn a_linux_kernel_is_understood() {
    let file = elf(&linux_notes(), b"code");
    let kernel = Kernel::parse(&file).expect("good");
    assert_eq!(kernel.virt_base, 0xffff_ffff_8000_0000);
    assert_eq!(kernel.virt_start, 0xffff_ffff_8010_0000);
    assert_eq!(kernel.virt_end, 0xffff_ffff_8020_1000);
    assert_eq!(kernel.entry, 0xffff_ffff_8010_0040);
    assert_eq!(kernel.hypercall_page, Some(0xffff_ffff_8010_1000));
    assert_eq!(kernel.init_p2m, Some(0x80_0000_0000));
    assert!(kernel.initrd_by_pfn);
    let segments: Vec<_> = kernel.segments().collect();
    assert_eq!(segments.len(), 2);
    assert_eq!(segments[0].0, 0xffff_ffff_8010_0000);
    assert_eq!(&segments[0].1.data[..5], b"code\xab");
    assert_eq!(
        (segments[0].1.data.len(), segments[0].1.size),
        (0x2800, 0x3000)
    );
}

#[test]
fn each_refusal_names_its_cause() {
    assert!(refusal(&[]).contains("no Xen notes"));
    let mut os = without(6);
    os.retain(|n| n.0 != 8);
    assert!(refusal(&os).contains("generic loader"));
    assert!(refusal(&without(5)).contains("xen-3.0"));
    assert!(refusal(&with(17, &0x8001u32.to_le_bytes())).contains("guests only"));
    assert!(refusal(&with(10, b"!supervisor_mode_kernel\0")).contains("supervisor"));
    assert!(refusal(&with(10, b"!auto_translated_physmap\0")).contains("translated"));
    assert!(refusal(&with(10, b"!frobnication\0")).contains("unknown name"));
    assert!(refusal(&with(1, &0x1000u64.to_le_bytes())).contains("entry"));
    assert!(refusal(&with(2, &0xffff_ffff_8020_0800u64.to_le_bytes())).contains("hypercall page"));
    assert!(refusal(&with(2, &0xffff_ffff_8020_1000u64.to_le_bytes())).contains("hypercall page"));
    assert!(refusal(&with(15, &0xffff_ffff_8010_0000u64.to_le_bytes())).contains("P2M"));
    assert!(refusal(&with(3, &0xffff_8000_0000_0000u64.to_le_bytes())).contains("hypervisor"));
    let mut offset = without(3);
    offset.push((4, 0u64.to_le_bytes().to_vec()));
    assert!(refusal(&offset).contains("PADDR_OFFSET"));
    // A later note overrides an earlier one.
    let mut twice = linux_notes();
    twice.push((1, 0xffff_ffff_8010_0080u64.to_le_bytes().to_vec()));
    let file = elf(&twice, b"");
    assert_eq!(
        Kernel::parse(&file).expect("good").entry,
        0xffff_ffff_8010_0080
    );
}

#[test]
fn images_are_located_or_say_why_not() {
    let error = |image: &[u8]| Image::locate(image).expect_err("refused");
    assert_eq!(error(b""), LoadError::Missing);
    assert_eq!(
        error(b"MZ nothing"),
        LoadError::NotAKernel { magic: *b"MZ n" }
    );
    assert!(matches!(
        error(&bzimage(b"???????", 9)),
        LoadError::UnknownCompression(_)
    ));
    let mut cut = bzimage(b"\x7fELF and so on", 9);
    cut.truncate(0x414);
    assert!(matches!(
        error(&cut),
        LoadError::Truncated {
            what: "bzImage payload",
            ..
        }
    ));
    let mut old = bzimage(b"\x7fELF", 9);
    old[0x206] = 7;
    old[0x207] = 2;
    assert_eq!(error(&old), LoadError::OldProtocol(0x207));
    assert_eq!(
        error(b"BZh9 bare"),
        LoadError::UnknownSize(Compression::Bzip2)
    );
    let huge = bzimage(b"\xfd7zXZ\0", 0xffff_ffff);
    let image = Image::locate(&huge).expect("located");
    assert!(matches!(
        image.unpack(1 << 30),
        Err(LoadError::TooLarge {
            size: 0xffff_ffff,
            ..
        })
    ));
    // A plain ELF payload keeps its last four bytes.
    let file = elf(&linux_notes(), b"");
    let (body, tail) = file.split_at(file.len() - 4);
    let image = bzimage(body, u32::from_le_bytes(tail.try_into().expect("four")));
    let image = Image::locate(&image).expect("located");
    assert_eq!(*image.unpack(1 << 30).expect("plain"), file[..]);
    // Every error is one line.
    for e in [
        LoadError::Missing,
        error(&cut),
        LoadError::Elf("x"),
        LoadError::TooLarge { size: 1, limit: 2 },
    ] {
        assert!(!e.to_string().contains('\n'));
    }
}

#[test]
fn truncated_elf_files_say_so() {
    let file = elf(&linux_notes(), b"code");
    for len in 0..file.len() {
        assert!(Kernel::parse(&file[..len]).is_err(), "{len}");
    }
}

/// Every byte of the headers and notes, changed every way that a bit flip can: no panic, and whatever is accepted keeps
/// its promises.
#[test]
fn flipped_bits_are_harmless() {
    let file = elf(&linux_notes(), b"code");
    let interesting = (0..64 + 3 * 56).chain(0x3800..file.len());
    for at in interesting {
        for bit in 0..8 {
            let mut bad = file.clone();
            bad[at] ^= 1 << bit;
            if let Ok(kernel) = Kernel::parse(&bad) {
                for (address, segment) in kernel.segments() {
                    assert!(address >= kernel.virt_start);
                    assert!(segment.size <= kernel.virt_end - address);
                    assert!(segment.data.len() as u64 <= segment.size);
                }
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn noise_never_panics(mut data in proptest::collection::vec(proptest::num::u8::ANY, 0..2000), kind in 0..3) {
        if kind == 1 && data.len() > 8 {
            data[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        } else if kind == 2 {
            data = bzimage(&data, 3);
        }
        if let Ok(image) = Image::locate(&data) {
            let _ = image.unpack(1 << 16).map(|file| Kernel::parse(&file).is_ok());
        }
        let _ = Kernel::parse(&data).is_ok();
    }
}

/// The kernel that the system tests boot, where its path is given (`OXEN_TEST_VMLINUZ`).
#[test]
fn debian_s_kernel_loads() {
    let Some(path) = std::env::var_os("OXEN_TEST_VMLINUZ") else {
        eprintln!("OXEN_TEST_VMLINUZ is not set, skipped");
        return;
    };
    let data = std::fs::read(path).expect("readable");
    let image = Image::locate(&data).expect("a bzImage");
    let file = image.unpack(1 << 30).expect("unpacks");
    assert_eq!(file.len() as u64, image.size);
    let kernel = Kernel::parse(&file).expect("Xen-capable");
    assert!(kernel.guest_os.starts_with(b"linux"));
    assert_eq!(kernel.init_p2m, Some(0x80_0000_0000));
    assert!(kernel.initrd_by_pfn);
    assert!(kernel.segments().count() >= 3);
}
