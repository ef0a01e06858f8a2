//! ELF files, as far as a kernel needs: program headers and Xen's notes.
//!
//! System V ABI chapter 4; Xen `public/elfnote.h`.

use hypercall_abi::elfnote::ElfNote;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const EM_X86_64: u16 = 62;
/// A header of 64 bytes, and as many program headers as fit a page or two.
const MOST_HEADERS: u16 = 128;

/// A program header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where its bytes are in the file.
    pub offset: u64,
    /// The address it asks for: physical, as linked.
    pub paddr: u64,
    /// How many bytes the file has.
    pub file_len: u64,
    /// How many bytes it takes in memory; those beyond the file's are zero.
    pub memory_len: u64,
}

/// What the beginning of an ELF file tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Where the program begins, virtual.
    pub entry: u64,
    /// What to load, by rising offset in the file.
    pub load: Vec<Segment>,
    /// Where notes are, by rising offset in the file.
    pub notes: Vec<Segment>,
}

/// What can be said of a file's first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// As many bytes are needed for the headers.
    Needs(usize),
    /// All headers were there.
    Header(Header),
}

impl Header {
    /// From the first bytes of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Parsed, String> {
        if bytes.len() < 64 {
            return Ok(Parsed::Needs(64));
        }
        if !bytes.starts_with(b"\x7fELF") {
            return Err("what is packed in it is no ELF file".into());
        }
        if bytes[4] != 2 || bytes[5] != 1 {
            return Err("it is not a 64-bit little-endian kernel".into());
        }
        let half = |at| field::<2>(bytes, at).map(u16::from_le_bytes);
        let wide = |at| field::<8>(bytes, at).map(u64::from_le_bytes);
        if half(18) != Some(EM_X86_64) {
            return Err("it is for another kind of processor".into());
        }
        let entry = wide(24).unwrap_or(0);
        let table = wide(32).unwrap_or(0);
        let size = usize::from(half(54).unwrap_or(0));
        let count = half(56).unwrap_or(0);
        if size < 56 || count == 0 || count > MOST_HEADERS {
            return Err(format!("it has {count} program headers of {size} bytes"));
        }
        let table = usize::try_from(table).unwrap_or(usize::MAX);
        let end = table.saturating_add(size * usize::from(count));
        if end > 1 << 20 {
            return Err("its program headers are not at its beginning".into());
        }
        if bytes.len() < end {
            return Ok(Parsed::Needs(end));
        }
        let mut header = Self {
            entry,
            ..Self::default()
        };
        for index in 0..usize::from(count) {
            let at = table + index * size;
            let wide = |offset| wide(at + offset).unwrap_or(0);
            let segment = Segment {
                offset: wide(8),
                paddr: wide(24),
                file_len: wide(32),
                memory_len: wide(40),
            };
            if segment.offset.checked_add(segment.file_len).is_none()
                || segment.paddr.checked_add(segment.memory_len).is_none()
            {
                return Err(format!("program header {index} is nonsense"));
            }
            match field::<4>(bytes, at).map(u32::from_le_bytes) {
                Some(PT_LOAD) if segment.memory_len > 0 => {
                    if segment.file_len > segment.memory_len {
                        return Err(format!("program header {index} is nonsense"));
                    }
                    header.load.push(segment);
                }
                Some(PT_NOTE) => header.notes.push(segment),
                _ => {}
            }
        }
        if header.load.is_empty() {
            return Err("there is nothing to load in it".into());
        }
        header.load.sort_by_key(|segment| segment.offset);
        header.notes.sort_by_key(|segment| segment.offset);
        Ok(Parsed::Header(header))
    }
}

fn field<const LEN: usize>(bytes: &[u8], at: usize) -> Option<[u8; LEN]> {
    bytes.get(at..at.checked_add(LEN)?)?.try_into().ok()
}

/// What a kernel says to Xen about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Where a PV guest begins, virtual.
    pub entry: Option<u64>,
    /// Where the page of hypercalls is, virtual.
    pub hypercall_page: Option<u64>,
    /// The virtual address of the guest's frame 0.
    pub virt_base: Option<u64>,
    /// What `paddr` of a segment at `virt_base` is.
    pub paddr_offset: Option<u64>,
    /// `xen-3.0`.
    pub xen_version: Option<String>,
    /// `linux`.
    pub guest_os: Option<String>,
    /// `generic`.
    pub loader: Option<String>,
    /// Where the list of frames is to be mapped, virtual.
    pub init_p2m: Option<u64>,
    /// Whether the ramdisk need not be mapped and is named by its frame.
    pub unmapped_ramdisk: bool,
    /// Where a PVH guest begins, physical.
    pub pvh_entry: Option<u64>,
    /// Any note of Xen's at all.
    pub any: bool,
}

impl Notes {
    /// Adds the notes in `bytes`. What is no note ends it: there is no telling what follows.
    pub fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(note) = Note::first(rest) {
            rest = note.rest;
            if note.name == b"Xen\0" {
                self.any = true;
                self.one(ElfNote(note.kind), note.value);
            }
        }
    }

    fn one(&mut self, kind: ElfNote, value: &[u8]) {
        let number = || match *value {
            [a, b, c, d] => Some(u64::from(u32::from_le_bytes([a, b, c, d]))),
            _ => field::<8>(value, 0).map(u64::from_le_bytes),
        };
        let text = || {
            let end = value.iter().position(|byte| *byte == 0);
            Some(String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned())
        };
        match kind {
            ElfNote::ENTRY => self.entry = number(),
            ElfNote::HYPERCALL_PAGE => self.hypercall_page = number(),
            ElfNote::VIRT_BASE => self.virt_base = number(),
            ElfNote::PADDR_OFFSET => self.paddr_offset = number(),
            ElfNote::XEN_VERSION => self.xen_version = text(),
            ElfNote::GUEST_OS => self.guest_os = text(),
            ElfNote::LOADER => self.loader = text(),
            ElfNote::INIT_P2M => self.init_p2m = number(),
            ElfNote::MOD_START_PFN => self.unmapped_ramdisk = number().is_some_and(|set| set != 0),
            ElfNote::PHYS32_ENTRY => self.pvh_entry = number(),
            _ => {}
        }
    }

    /// Why no PV guest can be made of this kernel.
    ///
    /// # Errors
    /// The reason.
    pub fn check_pv(&self) -> Result<(), String> {
        if !self.any {
            return Err("it has no Xen notes (CONFIG_XEN_PV is off)".into());
        }
        if self.entry.is_none() {
            return Err(match self.pvh_entry {
                Some(_) => "it is built for PVH only (CONFIG_XEN_PV is off): set type = \"pvh\"",
                None => "its Xen notes name no entry",
            }
            .into());
        }
        match self.xen_version.as_deref() {
            Some("xen-3.0") => Ok(()),
            Some(other) => Err(format!("it is for {other}, not for xen-3.0")),
            None => Err("its Xen notes name no version of Xen".into()),
        }
    }
}

/// A note, and what is behind it.
struct Note<'a> {
    name: &'a [u8],
    kind: u32,
    value: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Note<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let size = |at| {
            let value = field::<4>(bytes, at).map(u32::from_le_bytes)?;
            usize::try_from(value).ok()
        };
        let (name_len, value_len) = (size(0)?, size(4)?);
        let kind = u32::try_from(size(8)?).ok()?;
        let padded = |len: usize| len.checked_next_multiple_of(4);
        let value_at = 12usize.checked_add(padded(name_len)?)?;
        let name = bytes.get(12..12usize.checked_add(name_len)?)?;
        let value = bytes.get(value_at..value_at.checked_add(value_len)?)?;
        let next = value_at.checked_add(padded(value_len)?)?;
        Some(Self {
            name,
            kind,
            value,
            rest: bytes.get(next..).unwrap_or(&[]),
        })
    }
}
