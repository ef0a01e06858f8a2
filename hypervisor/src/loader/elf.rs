//! ELF64 executables: segments to load and notes, by checked arithmetic on a byte slice (System V ABI, chapter 5).

use alloc::vec::Vec;

use super::{LoadError, bytes};

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const SHT_NOTE: u32 = 7;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;

/// More program headers than any kernel has; bounds the work on hostile files.
const MAX_HEADERS: u16 = 128;
/// As many notes as are looked at.
const MAX_NOTES: usize = 1024;

/// Part of the file that belongs in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Physical address it asks for (p_paddr).
    pub paddr: u64,
    /// Its bytes.
    pub data: &'a [u8],
    /// Bytes in memory; zeroes behind `data`.
    pub size: u64,
}

/// One note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// Who defines the type, without the final NUL.
    pub name: &'a [u8],
    /// The type, as `name` defines it.
    pub kind: u32,
    /// The contents.
    pub desc: &'a [u8],
}

/// A parsed file.
#[derive(Clone, Debug)]
pub struct Elf<'a> {
    /// e_entry.
    pub entry: u64,
    /// Loadable segments with something in them, in file order.
    pub segments: Vec<Segment<'a>>,
    /// All notes.
    pub notes: Vec<Note<'a>>,
}

impl<'a> Elf<'a> {
    /// Reads the headers of a 64-bit x86 executable.
    pub fn parse(file: &'a [u8]) -> Result<Self, LoadError> {
        let what = "ELF header";
        let ident: [u8; 16] = bytes::array(file, 0, what)?;
        if ident[..4] != *b"\x7fELF" {
            return Err(LoadError::Elf("no ELF magic"));
        }
        if ident[4] != 2 {
            return Err(LoadError::Elf("not a 64-bit file"));
        }
        if ident[5] != 1 {
            return Err(LoadError::Elf("not little-endian"));
        }
        if !matches!(bytes::u16(file, 16, what)?, ET_EXEC | ET_DYN) {
            return Err(LoadError::Elf("not an executable"));
        }
        if bytes::u16(file, 18, what)? != EM_X86_64 {
            return Err(LoadError::Elf("not for x86-64"));
        }
        let mut elf = Self {
            entry: bytes::u64(file, 24, what)?,
            segments: Vec::new(),
            notes: Vec::new(),
        };
        elf.program_headers(file)?;
        if elf.segments.is_empty() {
            return Err(LoadError::Elf("nothing to load"));
        }
        if elf.notes.iter().all(|n| n.name != b"Xen") {
            // Some linkers leave the notes in sections only.
            elf.note_sections(file)?;
        }
        Ok(elf)
    }

    fn program_headers(&mut self, file: &'a [u8]) -> Result<(), LoadError> {
        let what = "ELF program headers";
        let offset = bytes::u64(file, 32, what)?;
        let size = bytes::u16(file, 54, what)?;
        let count = bytes::u16(file, 56, what)?;
        if count > MAX_HEADERS || size < 56 {
            return Err(LoadError::Elf("implausible program headers"));
        }
        let table = bytes::slice(file, offset, u64::from(size) * u64::from(count), what)?;
        for header in table.chunks_exact(size.into()) {
            let kind = bytes::u32(header, 0, what)?;
            let offset = bytes::u64(header, 8, what)?;
            let paddr = bytes::u64(header, 24, what)?;
            let in_file = bytes::u64(header, 32, what)?;
            let in_memory = bytes::u64(header, 40, what)?;
            if kind == PT_LOAD && in_memory != 0 {
                if in_file > in_memory {
                    return Err(LoadError::Elf(
                        "a segment has more in the file than in memory",
                    ));
                }
                if paddr.checked_add(in_memory).is_none() {
                    return Err(LoadError::Elf("a segment wraps around"));
                }
                self.segments.push(Segment {
                    paddr,
                    data: bytes::slice(file, offset, in_file, "ELF segment")?,
                    size: in_memory,
                });
            } else if kind == PT_NOTE && offset != 0 {
                self.read_notes(bytes::slice(file, offset, in_file, "ELF notes")?)?;
            }
        }
        Ok(())
    }

    fn note_sections(&mut self, file: &'a [u8]) -> Result<(), LoadError> {
        let what = "ELF section headers";
        let offset = bytes::u64(file, 40, what)?;
        let size = bytes::u16(file, 58, what)?;
        let count = bytes::u16(file, 60, what)?;
        if offset == 0 || count == 0 {
            return Ok(());
        }
        if size < 64 {
            return Err(LoadError::Elf("implausible section headers"));
        }
        let table = bytes::slice(file, offset, u64::from(size) * u64::from(count), what)?;
        for header in table.chunks_exact(size.into()) {
            if bytes::u32(header, 4, what)? == SHT_NOTE {
                let offset = bytes::u64(header, 24, what)?;
                let len = bytes::u64(header, 32, what)?;
                self.read_notes(bytes::slice(file, offset, len, "ELF notes")?)?;
            }
        }
        Ok(())
    }

    fn read_notes(&mut self, table: &'a [u8]) -> Result<(), LoadError> {
        let what = "ELF notes";
        let padded = |n: u32| u64::from(n).next_multiple_of(4);
        let mut at = 0;
        // A trailing fragment shorter than a header is padding.
        while at + 12 <= table.len() as u64 {
            if self.notes.len() == MAX_NOTES {
                return Err(LoadError::Elf("too many notes"));
            }
            let name_len = bytes::u32(table, at, what)?;
            let desc_len = bytes::u32(table, at + 4, what)?;
            let kind = bytes::u32(table, at + 8, what)?;
            let name = bytes::slice(table, at + 12, name_len.into(), what)?;
            let desc_at = at + 12 + padded(name_len);
            let desc = bytes::slice(table, desc_at, desc_len.into(), what)?;
            self.notes.push(Note {
                name: name.strip_suffix(b"\0").unwrap_or(name),
                kind,
                desc,
            });
            at = desc_at + padded(desc_len);
        }
        Ok(())
    }
}
