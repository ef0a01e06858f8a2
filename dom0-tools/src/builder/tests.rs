//! The builder over memory that stands for a domain's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

use hypercall_abi::arch_x86::VcpuGuestContext;
use hypercall_abi::elfnote::ElfNote;
use hypercall_abi::grant_table::GrantEntryV1;
use hypercall_abi::xen::{DomId, SIF_MOD_START_PFN, SharedInfo, StartInfo};
use proptest::prelude::*;
use zerocopy::FromBytes as _;

use super::elf::{Header, Notes};
use super::source::{Packing, Source};
use super::{Built, Error, PAGE, Request, Target, Window, build};
use crate::hypercall;

/// Machine frames are far from guest frames, and not in order.
const MACHINE: u64 = 0x10_0000;
const SHARED: u64 = 0x99;
const GRANTS: u64 = 0x98;

type Memory = Rc<RefCell<HashMap<u64, Vec<u8>>>>;

#[derive(Default)]
struct Simulated {
    memory: Memory,
    populated: RefCell<u64>,
    most: u64,
    hypercalls: RefCell<Option<u64>>,
    pinned: RefCell<Option<u64>>,
    context: RefCell<Option<VcpuGuestContext>>,
}

struct SimulatedWindow {
    memory: Memory,
    frames: Vec<u64>,
}

impl Window for SimulatedWindow {
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        for (at, byte) in (at..).zip(bytes) {
            let frame = self.frames.get((at / PAGE) as usize);
            let frame = *frame.ok_or(io::ErrorKind::UnexpectedEof)?;
            let mut memory = self.memory.borrow_mut();
            let page = memory.entry(frame).or_insert_with(|| vec![0xa5; 4096]);
            page[(at % PAGE) as usize] = *byte;
        }
        Ok(())
    }

    fn zero(&mut self, at: u64, len: u64) -> io::Result<()> {
        self.write(at, &vec![0; len as usize])
    }

    fn read_file(&mut self, at: u64, file: &File, offset: u64, len: u64) -> io::Result<()> {
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, offset)?;
        self.write(at, &bytes)
    }
}

impl Target for Simulated {
    type Window = SimulatedWindow;

    fn claim(&self, _: u64) -> Result<(), hypercall::Error> {
        Ok(())
    }

    fn free_pages(&self) -> u64 {
        self.most
    }

    fn populate(&self, order: u32, frames: &[u64]) -> Result<Vec<u64>, hypercall::Error> {
        let mut populated = self.populated.borrow_mut();
        let mut given = Vec::new();
        for _ in frames {
            if *populated + (1 << order) > self.most {
                break;
            }
            // From the top down, so that nothing is one behind the other by chance.
            *populated += 1 << order;
            given.push(MACHINE - *populated);
        }
        Ok(given)
    }

    fn map(&self, frames: &[u64]) -> Result<SimulatedWindow, hypercall::Error> {
        Ok(SimulatedWindow {
            memory: self.memory.clone(),
            frames: frames.to_vec(),
        })
    }

    fn map_grant_table(&self) -> Result<SimulatedWindow, hypercall::Error> {
        self.map(&[GRANTS])
    }

    fn shared_info(&self) -> Result<u64, hypercall::Error> {
        Ok(SHARED)
    }

    fn fill_hypercall_page(&self, frame: u64) -> Result<(), hypercall::Error> {
        *self.hypercalls.borrow_mut() = Some(frame);
        Ok(())
    }

    fn pin_l4(&self, frame: u64) -> Result<(), hypercall::Error> {
        *self.pinned.borrow_mut() = Some(frame);
        Ok(())
    }

    fn set_context(&self, context: &VcpuGuestContext) -> Result<(), hypercall::Error> {
        *self.context.borrow_mut() = Some(*context);
        Ok(())
    }
}

impl Simulated {
    fn page(&self, frame: u64) -> Vec<u8> {
        let memory = self.memory.borrow();
        memory
            .get(&frame)
            .cloned()
            .unwrap_or_else(|| vec![0xa5; 4096])
    }

    /// The last-level entry for an address, as a processor would find it.
    fn walk(&self, l4: u64, address: u64) -> Option<u64> {
        let mut frame = l4;
        let mut entry = 0;
        for shift in [39, 30, 21, 12] {
            let table = self.page(frame);
            let slot = (address >> shift & 511) as usize * 8;
            entry = u64::from_le_bytes(table[slot..slot + 8].try_into().unwrap());
            if entry & 1 == 0 {
                return None;
            }
            frame = entry >> 12 & 0xff_ffff_ffff;
        }
        Some(entry)
    }

    /// Bytes at a virtual address.
    fn read(&self, l4: u64, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let at = address + bytes.len() as u64;
            let frame = self.walk(l4, at).expect("mapped") >> 12;
            let page = self.page(frame & 0xff_ffff_ffff);
            let start = (at % PAGE) as usize;
            let end = (start + len - bytes.len()).min(4096);
            bytes.extend_from_slice(&page[start..end]);
        }
        bytes
    }
}

const BASE: u64 = 0xffff_ffff_8000_0000;
const TEXT: u64 = 0x10_0000;

fn note(kind: ElfNote, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [4, value.len() as u32, u32::from(kind)] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(b"Xen\0");
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn linux_notes() -> Vec<u8> {
    let wide = |kind, value: u64| note(kind, &value.to_le_bytes());
    [
        wide(ElfNote::VIRT_BASE, BASE),
        wide(ElfNote::ENTRY, BASE + TEXT + 0x40),
        wide(ElfNote::HYPERCALL_PAGE, BASE + TEXT + 0x1000),
        wide(ElfNote::INIT_P2M, 0x80_0000_0000),
        note(ElfNote::MOD_START_PFN, &1u32.to_le_bytes()),
        note(ElfNote::XEN_VERSION, b"xen-3.0\0"),
        note(ElfNote::GUEST_OS, b"linux\0"),
    ]
    .concat()
}

/// A kernel with `text` at 1 MiB, 5000 bytes of zeroes behind it, and notes in the file between.
fn kernel(text: &[u8], notes: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 64 + 2 * 56];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    file[18..20].copy_from_slice(&62u16.to_le_bytes());
    file[32..40].copy_from_slice(&64u64.to_le_bytes());
    file[54..56].copy_from_slice(&56u16.to_le_bytes());
    file[56..58].copy_from_slice(&2u16.to_le_bytes());
    let offset = file.len() as u64;
    let mut header = |index: usize, kind: u32, words: [u64; 5]| {
        let at = 64 + index * 56;
        file[at..at + 4].copy_from_slice(&kind.to_le_bytes());
        for (word, value) in words.iter().enumerate() {
            let at = at + 8 + word * 8;
            file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
    };
    let len = text.len() as u64;
    header(0, 1, [offset, 0, TEXT, len, len + 5000]);
    header(1, 4, [offset + len, 0, 0, notes.len() as u64, 0]);
    file.extend_from_slice(text);
    file.extend_from_slice(notes);
    file
}

fn text() -> Vec<u8> {
    (0..300_000u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect()
}

fn request(kernel: Vec<u8>, ramdisk: Option<&[u8]>, pages: u64) -> Result<Request, Error> {
    let path = Path::new("vmlinuz");
    let ramdisk = ramdisk.map(|bytes| {
        let mut file = tempfile();
        file.write_all(bytes).unwrap();
        (file, "initrd.img".into())
    });
    Ok(Request {
        kernel: Source::of(kernel, path)?,
        kernel_path: path.into(),
        ramdisk,
        command_line: "console=hvc0".into(),
        pages,
        store_port: 1,
        console_port: 2,
        store_domain: DomId(0),
        console_domain: DomId(0),
        cancel: Default::default(),
    })
}

fn tempfile() -> File {
    let file = rustix::fs::memfd_create("ramdisk", rustix::fs::MemfdFlags::empty());
    File::from(file.unwrap())
}

fn built(kernel: Vec<u8>, ramdisk: Option<&[u8]>, pages: u64) -> Result<(Simulated, Built), Error> {
    let target = Simulated {
        most: pages,
        ..Simulated::default()
    };
    let request = request(kernel, ramdisk, pages)?;
    build(&target, &request).map(|built| (target, built))
}

fn machine_of(guest: u64, pages: u64) -> u64 {
    // As `Simulated::populate` gives them out: 2 MiB at a time, then single pages.
    let large = pages / 512 * 512;
    if guest < large {
        MACHINE - (guest / 512 + 1) * 512 + guest % 512
    } else {
        MACHINE - guest - 1
    }
}

#[test]
fn a_kernel_finds_itself_and_all_it_was_promised() {
    let pages = 20 * 512 + 7;
    let ramdisk = vec![0x77; 10_000];
    let (target, built) = built(kernel(&text(), &linux_notes()), Some(&ramdisk), pages).unwrap();
    let context = target.context.borrow().unwrap();
    assert_eq!(context.user_regs.rip, BASE + TEXT + 0x40);
    let l4 = context.ctrlreg[3] / PAGE;
    assert_eq!(Some(l4), *target.pinned.borrow());

    assert_eq!(target.read(l4, BASE + TEXT, 300_000), text());
    assert_eq!(target.read(l4, BASE + TEXT + 300_000, 5000), vec![0; 5000]);
    let page = machine_of(TEXT / PAGE + 1, pages);
    assert_eq!(Some(page), *target.hypercalls.borrow());

    let info = target.read(l4, context.user_regs.rsi, size_of::<StartInfo>());
    let info = StartInfo::read_from_bytes(&info).unwrap();
    assert!(info.magic.starts_with(b"xen-3.0-x86_64\0"));
    assert_eq!(info.nr_pages, pages);
    assert_eq!(info.shared_info, SHARED * PAGE);
    assert_eq!((info.store_mfn, info.store_evtchn), (built.store_frame, 1));
    assert_eq!(info.console.domu().mfn, built.console_frame);
    assert_eq!(info.console.domu().evtchn, 2);
    assert!(info.cmd_line.starts_with(b"console=hvc0\0"));

    // The ramdisk is named by its frame.
    assert_ne!(info.flags & SIF_MOD_START_PFN, 0);
    assert_eq!(info.mod_len, 10_000);
    let at = machine_of(info.mod_start + 2, pages);
    assert_eq!(target.page(at)[..1808], [0x77; 1808]);
    assert_eq!(target.page(at)[1808..], [0; 2288]);

    // The list of frames is where the kernel wants it, and true.
    assert_eq!(info.mfn_list, 0x80_0000_0000);
    let list = target.read(l4, info.mfn_list, pages as usize * 8);
    for (guest, entry) in (0..).zip(list.chunks(8)) {
        let entry = u64::from_le_bytes(entry.try_into().unwrap());
        assert_eq!(entry, machine_of(guest, pages), "{guest}");
    }
    let list_frames = (pages * 8).div_ceil(PAGE);
    assert_eq!(info.nr_p2m_frames, list_frames + 3);
    let first = target.walk(l4, info.mfn_list).unwrap() >> 12;
    assert_eq!(first, machine_of(info.first_p2m_pfn, pages));

    // Everything is mapped to where it is; tables for reading only.
    let tables = (info.pt_base - BASE) / PAGE..(info.pt_base - BASE) / PAGE + info.nr_pt_frames;
    assert_eq!(machine_of(tables.start, pages), l4);
    let mut mapped = 0;
    while let Some(entry) = target.walk(l4, BASE + mapped * PAGE) {
        assert_eq!(entry >> 12, machine_of(mapped, pages));
        let writable = entry & 2 != 0;
        assert_eq!(writable, !tables.contains(&mapped), "{mapped}");
        mapped += 1;
    }
    assert_eq!(mapped % 1024, 0);
    assert!(mapped >= tables.end + 1 + 128);
    assert!(target.walk(l4, BASE - PAGE).is_none());

    let grants = target.page(GRANTS);
    let (console, rest) = GrantEntryV1::read_from_prefix(&grants).unwrap();
    let (store, _) = GrantEntryV1::read_from_prefix(rest).unwrap();
    assert_eq!(u64::from(console.frame), built.console_frame);
    assert_eq!(
        (u64::from(store.frame), store.flags),
        (built.store_frame, 1)
    );
    let shared = target.page(SHARED);
    let (shared, _) = SharedInfo::read_from_prefix(&shared).unwrap();
    assert_eq!(shared.vcpu_info[31].evtchn_upcall_mask, 1);
}

#[test]
fn a_kernel_that_asks_for_nothing_has_everything_mapped() {
    let wide = |kind, value: u64| note(kind, &value.to_le_bytes());
    let notes = [
        wide(ElfNote::ENTRY, TEXT),
        note(ElfNote::XEN_VERSION, b"xen-3.0\0"),
    ]
    .concat();
    let ramdisk = [1; 4097];
    let (target, _) = built(kernel(&text(), &notes), Some(&ramdisk), 2048).unwrap();
    let context = target.context.borrow().unwrap();
    let l4 = context.ctrlreg[3] / PAGE;
    let info = target.read(l4, context.user_regs.rsi, size_of::<StartInfo>());
    let info = StartInfo::read_from_bytes(&info).unwrap();
    assert_eq!(info.flags & SIF_MOD_START_PFN, 0);
    assert_eq!(target.read(l4, info.mod_start, 4097), ramdisk);
    let list = target.read(l4, info.mfn_list, 2048 * 8);
    assert_eq!(list[8..16], machine_of(1, 2048).to_le_bytes());
    assert_eq!(info.nr_p2m_frames, 0);
}

#[test]
fn a_kernel_linked_elsewhere_is_loaded_again_to_the_right_place() {
    let wide = |kind, value: u64| note(kind, &value.to_le_bytes());
    let notes = [
        wide(ElfNote::ENTRY, 0x40),
        wide(ElfNote::PADDR_OFFSET, TEXT),
        note(ElfNote::XEN_VERSION, b"xen-3.0\0"),
    ]
    .concat();
    let (target, _) = built(kernel(&text(), &notes), None, 2048).unwrap();
    let l4 = target.context.borrow().unwrap().ctrlreg[3] / PAGE;
    assert_eq!(target.read(l4, 0, 300_000), text());
}

fn packed(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; ./x setup installs it"));
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// As Linux's build makes it: a setup part, the packed kernel, its size.
fn bzimage(packed: &[u8], unpacked: usize, append: bool) -> Vec<u8> {
    let mut file = vec![0; 3 * 512];
    file[0x1f1] = 1;
    file[0x1fe..0x200].copy_from_slice(&0xaa55u16.to_le_bytes());
    file[0x202..0x206].copy_from_slice(b"HdrS");
    file[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
    file[0x248..0x24c].copy_from_slice(&512u32.to_le_bytes());
    let mut payload = packed.to_vec();
    if append {
        payload.extend_from_slice(&(unpacked as u32).to_le_bytes());
    }
    file[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    file.extend_from_slice(&payload);
    file.extend_from_slice(b"behind");
    file
}

#[test]
fn every_packing_that_linux_knows_is_unpacked() {
    let plain = kernel(&text(), &linux_notes());
    let all: &[(Packing, &str, &[&str])] = &[
        (Packing::Gzip, "gzip", &["-9n"]),
        (
            Packing::Xz,
            "xz",
            &["--check=crc32", "--x86", "--lzma2=dict=32MiB"],
        ),
        (Packing::Lzma, "xz", &["--format=lzma", "-9"]),
        (Packing::Bzip2, "bzip2", &["-9"]),
        (Packing::Lzo, "lzop", &["-9"]),
        (Packing::Lz4, "lz4", &["-l", "-9"]),
        (Packing::Zstd, "zstd", &["-19"]),
    ];
    for (packing, program, arguments) in all {
        let bytes = packed(program, arguments, &plain);
        let image = bzimage(&bytes, plain.len(), *packing != Packing::Gzip);
        let source = Source::of(image.clone(), Path::new("k")).unwrap();
        assert_eq!(source.packing(), *packing);
        let (target, _) = built(image, None, 8192).unwrap();
        let l4 = target.context.borrow().unwrap().ctrlreg[3] / PAGE;
        assert_eq!(target.read(l4, BASE + TEXT, 300_000), text(), "{packing:?}");
    }
}

#[test]
fn a_kernel_is_unpacked_once_where_there_is_a_folder_for_it() {
    let folder = std::env::temp_dir().join(format!("oxen-keep-{}", std::process::id()));
    let kept = folder.join("kept");
    std::fs::create_dir_all(&kept).unwrap();
    let path = folder.join("vmlinuz");
    let plain = kernel(&text(), &linux_notes());
    let image = bzimage(&packed("gzip", &["-1n"], &plain), 0, false);
    std::fs::write(&path, &image).unwrap();
    let start = |pages| {
        let mut request = request(plain.clone(), None, pages).unwrap();
        request.kernel = Source::open_keeping(&path, &kept).unwrap();
        let target = Simulated {
            most: pages,
            ..Simulated::default()
        };
        let packing = request.kernel.packing();
        let done = build(&target, &request);
        let l4 = target
            .context
            .borrow()
            .map(|context| context.ctrlreg[3] / PAGE);
        let read = l4.map(|l4| target.read(l4, BASE + TEXT, 300_000));
        (packing, done.is_ok(), read)
    };
    let count = || std::fs::read_dir(&kept).unwrap().count();
    // What failed is not kept.
    assert_eq!(start(64), (Packing::Gzip, false, None));
    assert_eq!(count(), 0);
    assert_eq!(start(4096), (Packing::Gzip, true, Some(text())));
    assert_eq!(count(), 1);
    assert_eq!(start(4096), (Packing::Plain, true, Some(text())));
    // Another file of that name is another kernel.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &image).unwrap();
    let (packing, done, _) = start(4096);
    assert_eq!((packing, done), (Packing::Gzip, true));
    // A folder that others may write to is not trusted.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&kept, open).unwrap();
    assert_eq!(start(4096).0, Packing::Gzip);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn refused(kernel: Vec<u8>, pages: u64) -> String {
    match built(kernel, None, pages) {
        Ok(_) => panic!("not refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn refusals_name_the_file_and_the_cause() {
    let good = kernel(&text(), &linux_notes());
    assert_eq!(
        refused(b"#!/bin/sh".to_vec(), 2048),
        "vmlinuz is not a kernel: neither a bzImage nor an ELF file"
    );
    let cut = good[..100_000].to_vec();
    assert_eq!(
        refused(cut, 2048),
        "kernel vmlinuz is broken: it is shorter than its headers say"
    );
    let without = kernel(&text(), &[]);
    assert_eq!(
        refused(without, 2048),
        "kernel vmlinuz cannot run as a PV guest: it has no Xen notes (CONFIG_XEN_PV is off)"
    );
    let pvh = kernel(&text(), &note(ElfNote::PHYS32_ENTRY, &[0; 8]));
    assert!(refused(pvh, 2048).ends_with("set type = \"pvh\""));
    let message = refused(good.clone(), 512);
    assert!(
        message.ends_with("the guest has 2: raise memory="),
        "{message}"
    );
    assert!(refused(good, 64).ends_with("the guest has 1: raise memory="));
    let mut half = packed("xz", &["--check=crc32"], &kernel(&text(), &linux_notes()));
    half.truncate(half.len() / 2);
    assert!(refused(half, 2048).starts_with("kernel vmlinuz is broken: "));
}

#[test]
fn a_machine_without_memory_is_no_place_for_a_guest() {
    let target = Simulated {
        most: 1000,
        ..Simulated::default()
    };
    let request = request(kernel(&text(), &linux_notes()), None, 8192).unwrap();
    let error = build(&target, &request).unwrap_err().to_string();
    assert!(
        error.starts_with("not enough free memory: the guest needs 32 MiB"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_upset_the_parsers(mut bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Header::parse(&bytes);
        Notes::default().add(&bytes);
        let _ = Source::of(bytes.clone(), Path::new("k")).map(|source| {
            source.reader().map(|mut reader| io::copy(&mut reader, &mut io::sink()))
        });
        bytes.splice(0..0, *b"\x7fELF\x02\x01");
        let _ = Header::parse(&bytes);
    }

    #[test]
    fn no_change_to_a_kernel_upsets_the_builder(
        changes in proptest::collection::vec((0usize..176, any::<u8>()), 1..8)
    ) {
        let mut bytes = kernel(&[1; 5000], &linux_notes());
        for (at, value) in changes {
            bytes[at] = value;
        }
        let _ = built(bytes, Some(&[1; 100]), 4096);
    }
}
