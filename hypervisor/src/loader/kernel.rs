//! What a kernel says about itself in its Xen notes (Xen public/elfnote.h), checked as far as a PV dom0 needs.

use hypercall_abi::elfnote::ElfNote;
use hypercall_abi::features::{
    XENFEAT_AUTO_TRANSLATED_PHYSMAP, XENFEAT_DOM0, XENFEAT_HVM_CALLBACK_VECTOR,
    XENFEAT_PAE_PGDIR_ABOVE_4GB, XENFEAT_SUPERVISOR_MODE_KERNEL,
    XENFEAT_WRITABLE_DESCRIPTOR_TABLES, XENFEAT_WRITABLE_PAGE_TABLES,
};

use super::elf::{Elf, Note, Segment};
use super::{LoadError, bytes};

/// The names that the FEATURES note uses.
const FEATURES: [(&[u8], u32); 7] = [
    (b"writable_page_tables", XENFEAT_WRITABLE_PAGE_TABLES),
    (
        b"writable_descriptor_tables",
        XENFEAT_WRITABLE_DESCRIPTOR_TABLES,
    ),
    (b"auto_translated_physmap", XENFEAT_AUTO_TRANSLATED_PHYSMAP),
    (b"supervisor_mode_kernel", XENFEAT_SUPERVISOR_MODE_KERNEL),
    (b"pae_pgdir_above_4gb", XENFEAT_PAE_PGDIR_ABOVE_4GB),
    (b"hvm_callback_vector", XENFEAT_HVM_CALLBACK_VECTOR),
    (b"dom0", XENFEAT_DOM0),
];

/// What the hypervisor's slots occupy, in virtual addresses.
const HYPERVISOR: core::ops::Range<u64> =
    arch::guest::HYPERVISOR_START..arch::guest::HYPERVISOR_END;

/// A kernel that can be started as PV dom0. All virtual addresses are checked: they lie in the loaded range where
/// they must, and nothing overlaps the hypervisor.
#[derive(Clone, Debug)]
pub struct Kernel<'a> {
    elf: Elf<'a>,
    virt_offset: u64,
    /// Where the initial mapping starts (VIRT_BASE).
    pub virt_base: u64,
    /// First virtual address of the loaded image.
    pub virt_start: u64,
    /// First virtual address behind it.
    pub virt_end: u64,
    /// Where to start (ENTRY).
    pub entry: u64,
    /// Where the hypercall page goes, if the kernel wants one.
    pub hypercall_page: Option<u64>,
    /// Where the kernel wants the P2M list, if not behind itself (INIT_P2M).
    pub init_p2m: Option<u64>,
    /// The ramdisk need not be mapped: its PFN is enough (MOD_START_PFN).
    pub initrd_by_pfn: bool,
    /// The guest OS's name, for the log.
    pub guest_os: [u8; 16],
}

fn number(note: &Note<'_>) -> Option<u64> {
    match *note.desc {
        [a] => Some(a.into()),
        [a, b] => Some(u16::from_le_bytes([a, b]).into()),
        [a, b, c, d] => Some(u32::from_le_bytes([a, b, c, d]).into()),
        _ => note.desc.first_chunk().map(|b| u64::from_le_bytes(*b)),
    }
}

fn text<'a>(note: &Note<'a>) -> &'a [u8] {
    note.desc.split(|&b| b == 0).next().unwrap_or_default()
}

impl<'a> Kernel<'a> {
    /// Reads an unpacked kernel.
    pub fn parse(file: &'a [u8]) -> Result<Self, LoadError> {
        let elf = Elf::parse(file)?;
        let bad = LoadError::NotXenCapable;
        let find = |kind: ElfNote| {
            // The last one counts, as a linker script may append overrides.
            let mut notes = elf.notes.iter().rev();
            notes.find(|n| n.name == b"Xen" && n.kind == kind.0)
        };
        let value = |kind: ElfNote| find(kind).and_then(number);
        if elf.notes.iter().all(|n| n.name != b"Xen") {
            return Err(bad("it has no Xen notes (built without CONFIG_XEN_PV?)"));
        }
        let loader = find(ElfNote::LOADER).map(text).unwrap_or_default();
        let os = find(ElfNote::GUEST_OS).map(text).unwrap_or_default();
        if !loader.starts_with(b"generic") && !os.starts_with(b"linux") {
            return Err(bad("its notes name neither the generic loader nor Linux"));
        }
        let version = find(ElfNote::XEN_VERSION).map(text).unwrap_or_default();
        if !version.starts_with(b"xen-3.0") {
            return Err(bad("its notes do not say \"xen-3.0\""));
        }
        features(find(ElfNote::FEATURES), find(ElfNote::SUPPORTED_FEATURES))?;

        let virt_base = value(ElfNote::VIRT_BASE);
        let paddr_offset = value(ElfNote::PADDR_OFFSET);
        if paddr_offset.is_some() && virt_base.is_none() {
            return Err(bad("PADDR_OFFSET without VIRT_BASE"));
        }
        let virt_base = virt_base.unwrap_or(0);
        let virt_offset = virt_base.wrapping_sub(paddr_offset.unwrap_or(0));
        let start = elf.segments.iter().map(|s| s.paddr).min().unwrap_or(0);
        let end = elf.segments.iter().map(|s| s.paddr + s.size).max();
        let end = end.unwrap_or(0);
        let virt_start = start.wrapping_add(virt_offset);
        let virt_end = end.wrapping_add(virt_offset);
        let entry = value(ElfNote::ENTRY).unwrap_or(elf.entry);
        if virt_base % 4096 != 0 || virt_base > virt_start || virt_start >= virt_end {
            return Err(bad("its load addresses contradict each other"));
        }
        if virt_start < HYPERVISOR.end && virt_end > HYPERVISOR.start {
            return Err(bad("it wants to live where the hypervisor is"));
        }
        if !(virt_start..virt_end).contains(&entry) {
            return Err(bad("its entry point lies outside of it"));
        }
        let hypercall_page = value(ElfNote::HYPERCALL_PAGE);
        if hypercall_page.is_some_and(|page| {
            page % 4096 != 0 || page < virt_start || page > virt_end - 1 || virt_end - page < 4096
        }) {
            return Err(bad("its hypercall page lies outside of it"));
        }
        let init_p2m = value(ElfNote::INIT_P2M);
        if init_p2m.is_some_and(|p2m| p2m % 4096 != 0 || (virt_start..virt_end).contains(&p2m)) {
            return Err(bad("it wants its P2M list inside itself"));
        }
        let mut guest_os = [0; 16];
        for (to, from) in guest_os.iter_mut().zip(os) {
            *to = *from;
        }
        Ok(Self {
            virt_offset,
            virt_base,
            virt_start,
            virt_end,
            entry,
            hypercall_page,
            init_p2m,
            initrd_by_pfn: value(ElfNote::MOD_START_PFN).is_some_and(|v| v != 0),
            guest_os,
            elf,
        })
    }

    /// What to load, with the virtual address of each piece (all within `virt_start..virt_end`).
    pub fn segments(&self) -> impl Iterator<Item = (u64, Segment<'a>)> {
        self.elf
            .segments
            .iter()
            .map(|s| (s.paddr.wrapping_add(self.virt_offset), *s))
    }
}

/// Checks that nothing is required that Oxen lacks, and that the kernel can be dom0.
fn features(named: Option<&Note<'_>>, supported: Option<&Note<'_>>) -> Result<(), LoadError> {
    let mut can = 0u64;
    for word in named.map(text).unwrap_or_default().split(|&b| b == b'|') {
        let (required, word) = match word.strip_prefix(b"!") {
            Some(word) => (true, word),
            None => (false, word),
        };
        match FEATURES.iter().find(|(name, _)| *name == word) {
            Some(&(_, XENFEAT_SUPERVISOR_MODE_KERNEL)) if required => {
                return Err(LoadError::NotXenCapable(
                    "it can only run in supervisor mode",
                ));
            }
            Some(&(_, XENFEAT_AUTO_TRANSLATED_PHYSMAP)) if required => {
                return Err(LoadError::NotXenCapable(
                    "it requires a translated physical map, which PV guests do not have",
                ));
            }
            Some(&(_, bit)) => can |= 1 << bit,
            None if required => {
                return Err(LoadError::NotXenCapable(
                    "it requires a feature of an unknown name",
                ));
            }
            None => {}
        }
    }
    if let Some(note) = supported {
        can |= u64::from(bytes::u32(note.desc, 0, "SUPPORTED_FEATURES note")?);
        if can & 1 << XENFEAT_DOM0 == 0 {
            return Err(LoadError::NotXenCapable(
                "it is built for guests only (no CONFIG_XEN_DOM0)",
            ));
        }
    }
    Ok(())
}
