//! The memory of a domain in a file, in the ELF format of Xen's core dumps.
//!
//! Xen `docs/misc/dump-core-format.txt`: sections `.note.Xen`, `.xen_prstatus`, `.xen_p2m`,
//! `.xen_pages`, `.shstrtab`; the pages in the order of the p2m's entries.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use hypercall_abi::arch_x86::VcpuGuestContext;
use hypercall_abi::domctl::{XEN_DOMINF_PAUSED, XEN_DOMINF_SHUTDOWN, XEN_INVALID_MAX_VCPU_ID};
use hypercall_abi::elfnote::ElfNote;
use hypercall_abi::xen::{DomId, SharedInfo};
use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};

use super::Error;
use super::p2m::{self, NONE};
use crate::hypercall::Interface;

const PAGE: usize = 4096;
/// Pages mapped at a time.
const BATCH: usize = 1024;
/// What the header's magic says of a PV guest.
const MAGIC_PV: u64 = 0xf00f_ebed;
const FORMAT_VERSION: u64 = 1;

const SHT_PROGBITS: u32 = 1;
const SHT_STRTAB: u32 = 3;
const SHT_NOTE: u32 = 7;
const NAMES: &[u8] =
    b"\0.shstrtab\0.note.Xen\0.xen_prstatus\0.xen_shared_info\0.xen_p2m\0.xen_pages\0";

/// Writes a domain's memory. The domain is paused meanwhile.
///
/// # Errors
/// The file's or the hypervisor's; the file is then removed.
pub fn write(xen: &Interface, domain: DomId, path: &Path) -> Result<(), Error> {
    let info = xen.domain(domain)?;
    let info = info.ok_or_else(|| Error::NoDomain(domain.0.to_string()))?;
    let stands = info.flags & (XEN_DOMINF_PAUSED | XEN_DOMINF_SHUTDOWN) != 0;
    if !stands {
        xen.pause_domain(domain)?;
    }
    let done = write_standing(xen, domain, path);
    if !stands {
        xen.unpause_domain(domain)?;
    }
    if done.is_err() {
        let _ = std::fs::remove_file(path);
    }
    done
}

fn write_standing(xen: &Interface, domain: DomId, path: &Path) -> Result<(), Error> {
    let failed = |error: io::Error| Error::Other(format!("{}: {error}", path.display()));
    let info = xen.domain(domain)?;
    let info = info.ok_or_else(|| Error::NoDomain(domain.0.to_string()))?;
    let vcpus = match info.max_vcpu_id {
        XEN_INVALID_MAX_VCPU_ID => 0,
        last => last + 1,
    };
    let mut contexts = Vec::new();
    for vcpu in 0..vcpus {
        // One that was never started has none.
        if let Ok(context) = xen.vcpu_context(domain, vcpu) {
            contexts.push(context);
        }
    }
    let mut shared = SharedInfo::new_zeroed();
    let page = xen.map_foreign_to_read(domain, &[info.shared_info_frame])?;
    page.read(0, shared.as_mut_bytes()).map_err(failed)?;
    let words = |frames: &[u64]| words(xen, domain, frames);
    let list = p2m::frames(words, &shared.arch, info.tot_pages)?;
    let held = held(list, info.tot_pages);
    // A guest's memory is for nobody but the administrator.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(path).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let pages = held.len() as u64;
    let version = xen.version()?;

    let contexts_len = contexts.len() * size_of::<VcpuGuestContext>();
    let header = notes(pages, contexts.len() as u64, &version);
    let mut layout = Layout::default();
    layout.add(1, SHT_STRTAB, NAMES.len(), 0, 0);
    layout.add(11, SHT_NOTE, header.len(), 0, 0);
    let size = size_of::<VcpuGuestContext>();
    layout.add(21, SHT_PROGBITS, contexts_len, size, 8);
    layout.add(35, SHT_PROGBITS, PAGE, PAGE, 8);
    layout.add(52, SHT_PROGBITS, held.len() * 16, 16, 8);
    layout.add(61, SHT_PROGBITS, held.len() * PAGE, PAGE, PAGE);

    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(failed);
    put(&layout.header())?;
    put(NAMES)?;
    put(&layout.padding(1))?;
    put(&header)?;
    put(&layout.padding(2))?;
    for context in &contexts {
        put(context.as_bytes())?;
    }
    put(&layout.padding(3))?;
    let mut whole = vec![0; PAGE];
    page.read(0, &mut whole).map_err(failed)?;
    put(&whole)?;
    put(&layout.padding(4))?;
    put(held.as_slice().as_bytes())?;
    put(&layout.padding(5))?;
    let mut buffer = vec![0; BATCH * PAGE];
    for batch in held.chunks(BATCH) {
        let frames: Vec<u64> = batch.iter().map(|[_, machine]| *machine).collect();
        let buffer = &mut buffer[..frames.len() * PAGE];
        match xen.map_foreign_to_read(domain, &frames) {
            Ok(window) => window.read(0, buffer).map_err(failed)?,
            // Some have gone while we looked: one by one, zeroes for those.
            Err(_) => {
                for (frame, page) in frames.iter().zip(buffer.chunks_mut(PAGE)) {
                    page.fill(0);
                    if let Some(window) = xen.map_page_to_read(domain, *frame)? {
                        window.read(0, page).map_err(failed)?;
                    }
                }
            }
        }
        out.write_all(buffer).map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    out.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(())
}

/// What is written: guest frames with their machine frames. A list can name a machine frame as
/// often as it likes, but a domain has only so many pages.
fn held(list: Vec<u64>, pages: u64) -> Vec<[u64; 2]> {
    (0..)
        .zip(list)
        .filter(|(_, machine)| *machine != NONE)
        .map(|(guest, machine)| [guest, machine])
        .take(usize::try_from(pages).unwrap_or(usize::MAX))
        .collect()
}

/// What is in some of the domain's frames, as words of 8 bytes.
fn words(xen: &Interface, domain: DomId, frames: &[u64]) -> Result<Vec<u64>, Error> {
    let window = xen.map_foreign_to_read(domain, frames)?;
    let mut bytes = vec![0; frames.len() * PAGE];
    let read = window.read(0, &mut bytes);
    read.map_err(|error| Error::Other(error.to_string()))?;
    let words = bytes.chunks_exact(8);
    Ok(words
        .map(|word| u64::read_from_bytes(word).unwrap_or(NONE))
        .collect())
}

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

fn notes(pages: u64, vcpus: u64, version: &crate::hypercall::Version) -> Vec<u8> {
    let header = [MAGIC_PV, vcpus, pages, PAGE as u64];
    let mut xen = Vec::new();
    let mut text = |text: &str, room: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(room, 0);
        xen.extend_from_slice(&bytes);
    };
    // `struct xen_dumpcore_elfnote_xen_version_desc`: numbers, texts, the start of the
    // hypervisor's part of the address space.
    text("", 16);
    text(&version.extra, 16);
    text(&version.compiler, 64);
    text(&version.compile_by, 16);
    text(&version.compile_domain, 32);
    text(&version.compile_date, 32);
    text(&version.capabilities, 1024);
    text(&version.changeset, 64);
    xen[..8].copy_from_slice(&version.major.to_le_bytes());
    xen[8..16].copy_from_slice(&version.minor.to_le_bytes());
    xen.extend_from_slice(&version.virt_start.to_le_bytes());
    xen.extend_from_slice(&version.page_size.to_le_bytes());
    [
        note(ElfNote::DUMPCORE_NONE, &[]),
        note(ElfNote::DUMPCORE_HEADER, header.as_bytes()),
        note(ElfNote::DUMPCORE_XEN_VERSION, &xen),
        note(
            ElfNote::DUMPCORE_FORMAT_VERSION,
            &FORMAT_VERSION.to_le_bytes(),
        ),
    ]
    .concat()
}

/// Where the sections are in the file.
#[derive(Default)]
struct Layout(Vec<Section>);

struct Section {
    name: u32,
    kind: u32,
    len: u64,
    entry: u64,
    align: u64,
}

const SECTIONS: u64 = 7;
const ELF_HEADER: u64 = 64;
const SECTION_HEADER: u64 = 64;

impl Layout {
    fn add(&mut self, name: u32, kind: u32, len: usize, entry: usize, align: usize) {
        self.0.push(Section {
            name,
            kind,
            len: len as u64,
            entry: entry as u64,
            align: align as u64,
        });
    }

    /// Where a section begins, the first being 0.
    fn start(&self, index: usize) -> u64 {
        let mut at = ELF_HEADER + SECTIONS * SECTION_HEADER;
        for (number, section) in self.0.iter().enumerate() {
            at = at.next_multiple_of(section.align.max(8));
            if number == index {
                break;
            }
            at += section.len;
        }
        at
    }

    /// The bytes between a section and the one before it.
    fn padding(&self, index: usize) -> Vec<u8> {
        let end = self.start(index - 1) + self.0[index - 1].len;
        vec![0; (self.start(index) - end) as usize]
    }

    fn header(&self) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        let half = |bytes: &mut Vec<u8>, value: u16| bytes.extend_from_slice(&value.to_le_bytes());
        let word = |bytes: &mut Vec<u8>, value: u32| bytes.extend_from_slice(&value.to_le_bytes());
        let wide = |bytes: &mut Vec<u8>, value: u64| bytes.extend_from_slice(&value.to_le_bytes());
        half(&mut bytes, 4); // a core file
        half(&mut bytes, 62); // of x86-64
        word(&mut bytes, 1);
        wide(&mut bytes, 0);
        wide(&mut bytes, 0);
        wide(&mut bytes, ELF_HEADER);
        word(&mut bytes, 0);
        for value in [
            ELF_HEADER as u16,
            0,
            0,
            SECTION_HEADER as u16,
            SECTIONS as u16,
            1,
        ] {
            half(&mut bytes, value);
        }
        bytes.resize((ELF_HEADER + SECTION_HEADER) as usize, 0);
        for (index, section) in self.0.iter().enumerate() {
            word(&mut bytes, section.name);
            word(&mut bytes, section.kind);
            wide(&mut bytes, 0);
            wide(&mut bytes, 0);
            wide(&mut bytes, self.start(index));
            wide(&mut bytes, section.len);
            word(&mut bytes, 0);
            word(&mut bytes, 0);
            wide(&mut bytes, section.align);
            wide(&mut bytes, section.entry);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_no_larger_than_the_domain_whatever_its_list_says() {
        assert_eq!(held(vec![7, NONE, 9], 2), [[0, 7], [2, 9]]);
        assert_eq!(held(vec![7; 1000], 3), [[0, 7], [1, 7], [2, 7]]);
    }
}
