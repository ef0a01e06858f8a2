//! The list in which a PV guest keeps the machine frame of each of its frames, as it publishes it in
//! its shared page: behind page tables (`p2m_cr3`, `p2m_vaddr`), or as a tree of frames
//! (`pfn_to_mfn_frame_list_list`). Xen `public/arch-x86/xen.h`.
//!
//! None of it is trusted: whoever uses a frame named here maps it as the guest's, which fails if it
//! is not.

use hypercall_abi::arch_x86::ArchSharedInfo;

use super::Error;

/// A frame that the guest does not have.
pub const NONE: u64 = u64::MAX;

const WORDS: u64 = 512;
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Levels of page tables, and bits of an address that each translates.
const LEVELS: u32 = 4;
const BITS: u32 = 9;
const PAGE_BITS: u32 = 12;

/// The machine frame of each guest frame, [`NONE`] where there is none. `words` reads whole frames
/// of the guest, given by their machine frame numbers; `pages` is how many the domain has.
///
/// # Errors
/// That the guest has published no list, or one that cannot be followed; those of `words`.
pub fn frames(
    words: impl Fn(&[u64]) -> Result<Vec<u64>, Error>,
    shared: &ArchSharedInfo,
    pages: u64,
) -> Result<Vec<u64>, Error> {
    // Holes are possible, but not a list of another size than the memory.
    let count = shared.max_pfn.min(pages.saturating_mul(4).max(1 << 20));
    let leaves = count.div_ceil(WORDS);
    let frames = match shared.p2m_cr3 {
        0 => from_tree(&words, shared.pfn_to_mfn_frame_list_list, leaves)?,
        tables => from_tables(&words, tables >> PAGE_BITS, shared.p2m_vaddr, leaves)?,
    };
    let mut list = words(&frames)?;
    list.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    for entry in &mut list {
        // Identity and foreign frames carry flags in the highest bits.
        if *entry >> 62 != 0 {
            *entry = NONE;
        }
    }
    Ok(list)
}

fn broken() -> Error {
    Error::Other("the guest has published no list of its memory".into())
}

/// The frames of the list from a frame of frames of frames.
fn from_tree(
    words: &impl Fn(&[u64]) -> Result<Vec<u64>, Error>,
    top: u64,
    leaves: u64,
) -> Result<Vec<u64>, Error> {
    let middles = leaves.div_ceil(WORDS);
    if top == 0 || top == NONE || leaves == 0 || middles > WORDS {
        return Err(broken());
    }
    let first = |list: Vec<u64>, count: u64| -> Result<Vec<u64>, Error> {
        let count = usize::try_from(count).map_err(|_| broken())?;
        Ok(list.get(..count).ok_or_else(broken)?.to_vec())
    };
    let middle = first(words(&[top])?, middles)?;
    first(words(&middle)?, leaves)
}

/// The frames of the list from the guest's own page tables.
fn from_tables(
    words: &impl Fn(&[u64]) -> Result<Vec<u64>, Error>,
    top: u64,
    start: u64,
    leaves: u64,
) -> Result<Vec<u64>, Error> {
    if leaves == 0 || !start.is_multiple_of(WORDS * 8) {
        return Err(broken());
    }
    // The list lies in one piece: each table but the first serves many of its pages.
    let mut tables: [Option<(u64, Vec<u64>)>; LEVELS as usize] = Default::default();
    let mut found = Vec::new();
    for leaf in 0..leaves {
        let address = start.checked_add(leaf * WORDS * 8).ok_or_else(broken)?;
        let mut frame = top;
        for level in (0..LEVELS).rev() {
            let cached = &mut tables[level as usize];
            let entries = match cached {
                Some((of, entries)) if *of == frame => entries,
                _ => &mut cached.insert((frame, words(&[frame])?)).1,
            };
            let index = address >> (PAGE_BITS + level * BITS) & (WORDS - 1);
            let entry = entries.get(index as usize).ok_or_else(broken)?;
            if entry & PRESENT == 0 || level > 0 && entry & LARGE != 0 {
                return Err(broken());
            }
            frame = (entry & ADDRESS) >> PAGE_BITS;
        }
        found.push(frame);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Frames with words at some places, zeroes elsewhere.
    type Memory = BTreeMap<u64, BTreeMap<usize, u64>>;

    fn read(memory: &Memory, frames: &[u64]) -> Result<Vec<u64>, Error> {
        let mut words = Vec::new();
        for frame in frames {
            let known = memory.get(frame).ok_or_else(broken)?;
            words.extend((0..WORDS as usize).map(|at| known.get(&at).copied().unwrap_or(0)));
        }
        Ok(words)
    }

    fn found(memory: &Memory, shared: &ArchSharedInfo, pages: u64) -> Result<Vec<u64>, Error> {
        frames(|frames| read(memory, frames), shared, pages)
    }

    /// Two pages of list across a boundary of page tables, as Linux has them.
    fn behind_tables() -> (Memory, ArchSharedInfo) {
        let entry = |frame: u64| frame << PAGE_BITS | 0x8000_0000_0000_0061;
        let mut memory = Memory::new();
        let mut put = |frame, at, word| {
            memory.entry(frame).or_default().insert(at, word);
        };
        put(10, 0x1ff, entry(11));
        put(11, 3, entry(12));
        put(12, 0, entry(13));
        put(12, 1, entry(14));
        put(13, 511, entry(20));
        put(14, 0, entry(21));
        put(20, 0, 100);
        put(20, 1, u64::MAX);
        put(20, 2, 1 << 63 | 2);
        put(21, 87, 101);
        let shared = ArchSharedInfo {
            max_pfn: 600,
            p2m_cr3: 10 << PAGE_BITS,
            p2m_vaddr: 0xffff_0000_0000_0000 | 0x1ff << 39 | 3 << 30 | 511 << 12,
            pfn_to_mfn_frame_list_list: u64::MAX,
            ..Default::default()
        };
        (memory, shared)
    }

    #[test]
    fn a_list_behind_page_tables_is_found() {
        let (memory, shared) = behind_tables();
        let list = found(&memory, &shared, 600).unwrap();
        assert_eq!(list.len(), 600);
        assert_eq!(list[..3], [100, NONE, NONE]);
        assert_eq!(list[599], 101);
    }

    #[test]
    fn a_tree_of_frames_is_found() {
        let mut memory = Memory::new();
        let mut put = |frame, at, word| {
            memory.entry(frame).or_default().insert(at, word);
        };
        put(1, 0, 2);
        put(2, 0, 3);
        put(2, 1, 4);
        put(3, 7, 70);
        put(4, 0, 512);
        let shared = ArchSharedInfo {
            max_pfn: 513,
            pfn_to_mfn_frame_list_list: 1,
            ..Default::default()
        };
        let list = found(&memory, &shared, 513).unwrap();
        assert_eq!((list.len(), list[7], list[512]), (513, 70, 512));
    }

    #[test]
    fn what_leads_nowhere_is_an_error() {
        let (memory, good) = behind_tables();
        let refused = |shared: ArchSharedInfo| found(&memory, &shared, 600).is_err();
        assert!(refused(ArchSharedInfo::default()));
        assert!(refused(ArchSharedInfo { max_pfn: 0, ..good }));
        // Behind the end of the tables, off a page, at the end of all addresses.
        assert!(refused(ArchSharedInfo {
            max_pfn: 2000,
            ..good
        }));
        for start in [good.p2m_vaddr + 8, u64::MAX << PAGE_BITS] {
            assert!(refused(ArchSharedInfo {
                p2m_vaddr: start,
                ..good
            }));
        }
        let mut large = memory.clone();
        *large.get_mut(&12).unwrap().get_mut(&0).unwrap() |= LARGE;
        assert!(found(&large, &good, 600).is_err());
        // No more than the domain may have, whatever it says.
        let claims = ArchSharedInfo {
            max_pfn: u64::MAX,
            ..good
        };
        assert!(found(&memory, &claims, 600).is_err());
    }
}
