//! Reads what `xl dump-core` writes, stock or ours, and fails if it is not what a debugger could use.
//!
//! `read-core FILE [--pages N] [--vcpus N] [--text TEXT]`: about so many pages, exactly so many vCPUs, and the text
//! somewhere in the guest's memory. `read-core FILE --equals OTHER`: both describe the same domain.
//! Xen `docs/misc/dump-core-format.txt`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, bail, ensure};

const PAGE: u64 = 4096;
const HEADER: u64 = 64;
/// `sizeof(vcpu_guest_context_t)` of x86-64.
const CONTEXT: u64 = 5168;
/// `XEN_ELFNOTE_DUMPCORE_HEADER`, `_XEN_VERSION`, `_FORMAT_VERSION`.
const NOTES: [u32; 3] = [0x0200_0001, 0x0200_0002, 0x0200_0003];
/// "PV" in the header note.
const MAGIC_PV: u64 = 0xf00f_ebed;

struct Core {
    file: File,
    /// Offset and length of each section.
    sections: BTreeMap<String, (u64, u64)>,
    /// Guest frame and machine frame of each page of `.xen_pages`.
    frames: Vec<(u64, u64)>,
    vcpus: u64,
}

fn word(bytes: &[u8], at: usize) -> Result<u64> {
    let slice = bytes.get(at..at + 8).context("the file is too short")?;
    Ok(u64::from_le_bytes(slice.try_into()?))
}

fn short(bytes: &[u8], at: usize) -> Result<u32> {
    let slice = bytes.get(at..at + 4).context("the file is too short")?;
    Ok(u32::from_le_bytes(slice.try_into()?))
}

impl Core {
    fn open(path: &str) -> Result<Self> {
        let file = File::open(path).with_context(|| path.to_owned())?;
        let mut header = [0; HEADER as usize];
        file.read_exact_at(&mut header, 0)?;
        ensure!(header.starts_with(b"\x7fELF\x02\x01"), "{path}: no ELF-64");
        ensure!(header[16] == 4 && header[18] == 62, "no core of x86-64");
        let (table, counts) = (word(&header, 40)?, word(&header, 56)?);
        // e_shentsize, e_shnum, e_shstrndx: behind each other.
        let (size, count, names) = (
            counts >> 16 & 0xffff,
            counts >> 32 & 0xffff,
            counts >> 48 & 0xffff,
        );
        ensure!(size == HEADER, "section headers of {size} bytes");
        let read = |at: u64, len: u64| -> Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(len)?];
            file.read_exact_at(&mut bytes, at)
                .with_context(|| format!("{path}: {len} bytes at {at:#x}"))?;
            Ok(bytes)
        };
        let headers = read(table, size * count)?;
        let place = |index: u64| -> Result<(u64, u64)> {
            let at = usize::try_from(index * size)?;
            Ok((word(&headers, at + 24)?, word(&headers, at + 32)?))
        };
        let (at, len) = place(names)?;
        let strings = read(at, len)?;
        let mut sections = BTreeMap::new();
        for index in 0..count {
            let name = short(&headers, usize::try_from(index * size)?)? as usize;
            let name = strings.get(name..).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            sections.insert(String::from_utf8_lossy(name).into_owned(), place(index)?);
        }
        let section = |name: &str| sections.get(name).copied().context(name.to_owned());
        let (at, len) = section(".note.Xen")?;
        let (pages, vcpus) = notes(&read(at, len)?)?;
        let (at, len) = section(".xen_p2m")?;
        ensure!(len == pages * 16, "{pages} pages, but {len} bytes of list");
        let list = read(at, len)?;
        let frames = list
            .chunks_exact(16)
            .map(|entry| Ok((word(entry, 0)?, word(entry, 8)?)))
            .collect::<Result<_>>()?;
        let (_, len) = section(".xen_pages")?;
        ensure!(len == pages * PAGE, "{pages} pages, but {len} bytes");
        let (_, len) = section(".xen_prstatus")?;
        ensure!(len == vcpus * CONTEXT, "{vcpus} vCPUs in {len} bytes");
        Ok(Self {
            file,
            sections,
            frames,
            vcpus,
        })
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let (at, len) = *self.sections.get(name).context(name.to_owned())?;
        let mut bytes = vec![0; usize::try_from(len)?];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// What `see` finds in a page, for each page.
    fn pages(&self, mut see: impl FnMut(u64, &[u8])) -> Result<()> {
        let (start, _) = self.sections[".xen_pages"];
        let mut page = vec![0; PAGE as usize];
        for (index, (frame, _)) in (0..).zip(&self.frames) {
            self.file.read_exact_at(&mut page, start + index * PAGE)?;
            see(*frame, &page);
        }
        Ok(())
    }
}

/// How many pages and vCPUs the notes speak of.
fn notes(mut bytes: &[u8]) -> Result<(u64, u64)> {
    let mut kinds = Vec::new();
    let mut found = None;
    while bytes.len() >= 12 {
        let (name, len, kind) = (short(bytes, 0)?, short(bytes, 4)?, short(bytes, 8)?);
        let (name, len) = (name.next_multiple_of(4) as usize, len as usize);
        let value = bytes.get(12 + name..12 + name + len).context("a note")?;
        if kind == NOTES[0] {
            ensure!(word(value, 0)? == MAGIC_PV, "not of a PV guest");
            ensure!(word(value, 24)? == PAGE, "pages of another size");
            found = Some((word(value, 16)?, word(value, 8)?));
        }
        kinds.push(kind);
        let whole = 12 + name + len.next_multiple_of(4);
        bytes = bytes.get(whole..).unwrap_or_default();
    }
    for kind in NOTES {
        ensure!(kinds.contains(&kind), "no note {kind:#x}");
    }
    found.context("no header note")
}

fn compare(one: &Core, other: &Core) -> Result<()> {
    ensure!(one.vcpus == other.vcpus, "other vCPUs");
    let contents = |core: &Core| -> Result<BTreeMap<u64, Vec<u8>>> {
        let mut pages = BTreeMap::new();
        core.pages(|frame, page| drop(pages.insert(frame, page.to_vec())))?;
        Ok(pages)
    };
    let (ones, others) = (contents(one)?, contents(other)?);
    let missing = others.keys().filter(|frame| !ones.contains_key(frame));
    let surplus = ones.keys().filter(|frame| !others.contains_key(frame));
    let (missing, surplus) = (missing.count(), surplus.count());
    let differ = ones
        .iter()
        .filter(|(frame, page)| others.get(frame).is_some_and(|other| other != *page))
        .count();
    ensure!(
        missing + surplus + differ == 0,
        "{missing} pages are missing, {surplus} are too many, {differ} differ"
    );
    for name in [".note.Xen", ".xen_prstatus", ".xen_shared_info"] {
        ensure!(one.read(name)? == other.read(name)?, "{name} differs");
    }
    let machine = |core: &Core| core.frames.iter().copied().collect::<BTreeMap<_, _>>();
    ensure!(machine(one) == machine(other), "other machine frames");
    Ok(())
}

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let path = words.next().context("which file?")?;
    let core = Core::open(&path)?;
    println!("{} pages, {} vCPUs", core.frames.len(), core.vcpus);
    while let Some(option) = words.next() {
        let value = words.next().context("an option without a value")?;
        match option.as_str() {
            "--pages" => {
                let (wanted, found): (usize, usize) = (value.parse()?, core.frames.len());
                // A kernel gives back what lies under the firmware's holes.
                ensure!(
                    found <= wanted + wanted / 100 && found >= wanted - wanted / 20,
                    "{found} pages, not about {wanted}"
                );
            }
            "--vcpus" => ensure!(core.vcpus == value.parse()?, "{} vCPUs", core.vcpus),
            "--text" => {
                let mut seen = false;
                let wanted = value.as_bytes();
                core.pages(|_, page| {
                    seen = seen || page.windows(wanted.len()).any(|part| part == wanted);
                })?;
                ensure!(seen, "\"{value}\" is nowhere in the guest's memory");
            }
            "--equals" => compare(&core, &Core::open(&value)?)?,
            other => bail!("what is {other}?"),
        }
    }
    Ok(())
}
