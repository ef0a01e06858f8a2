//! Where a mapped grant goes: the caller's page tables.
//!
//! A mapping owns a reference to the page and, unless it is read-only, a writable use of it.

#[cfg(not(test))]
pub(super) use real::{create, replace};
#[cfg(test)]
pub(super) use simulated::{create, replace};

use hypercall_abi::grant_table::{
    GNTMAP_APPLICATION_MAP, GNTMAP_CONTAINS_PTE, GNTMAP_GUEST_AVAIL_MASK, GNTMAP_READONLY,
};

#[cfg(not(test))]
mod real {
    use arch::addr::Mfn;
    use hypercall_abi::Errno;

    use super::*;
    use crate::domain::Context;
    use crate::mm::{GrantMapFlags, create_grant_mapping, replace_grant_mapping};

    fn how(flags: u32) -> GrantMapFlags {
        GrantMapFlags {
            contains_pte: flags & GNTMAP_CONTAINS_PTE != 0,
            application: flags & GNTMAP_APPLICATION_MAP != 0,
            read_only: flags & GNTMAP_READONLY != 0,
            available: ((flags & GNTMAP_GUEST_AVAIL_MASK) >> 16 & 7) as u8,
        }
    }

    /// Maps a frame at the address. On success the mapping owns the caller's reference (and writable use).
    pub(in super::super) fn create(
        cx: &Context,
        address: u64,
        frame: Mfn,
        flags: u32,
    ) -> Result<(), Errno> {
        create_grant_mapping(cx, address, frame, how(flags))
    }

    /// Takes the mapping away, or puts the one at `new_address` in its place. On success what it owned is the
    /// caller's, to be dropped after a TLB flush.
    pub(in super::super) fn replace(
        cx: &Context,
        address: u64,
        frame: Mfn,
        new_address: u64,
        flags: u32,
    ) -> Result<(), Errno> {
        replace_grant_mapping(cx, address, frame, new_address, how(flags))
    }
}

/// Page tables for tests: what is mapped where, per test thread.
#[cfg(test)]
pub(super) mod simulated {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use arch::addr::Mfn;
    use hypercall_abi::Errno;

    use super::*;
    use crate::domain::Context;

    thread_local! {
        /// Domain and address, to the frame and whether it is writable.
        pub static MAPPED: RefCell<BTreeMap<(u16, u64), (Mfn, bool)>> = const { RefCell::new(BTreeMap::new()) };
    }

    fn writable(flags: u32) -> bool {
        flags & GNTMAP_READONLY == 0
    }

    pub(in super::super) fn create(
        cx: &Context,
        address: u64,
        frame: Mfn,
        flags: u32,
    ) -> Result<(), Errno> {
        let _unused = GNTMAP_APPLICATION_MAP | GNTMAP_GUEST_AVAIL_MASK;
        // Addresses from here up have no page table; a PTE's address is aligned (XSA-227).
        if address >= 1 << 40 || (flags & GNTMAP_CONTAINS_PTE != 0 && address & 7 != 0) {
            return Err(Errno::EINVAL);
        }
        MAPPED.with_borrow_mut(|m| match m.entry((cx.domain.id.0, address)) {
            std::collections::btree_map::Entry::Vacant(e) => {
                e.insert((frame, writable(flags)));
                Ok(())
            }
            std::collections::btree_map::Entry::Occupied(_) => Err(Errno::EINVAL),
        })
    }

    pub(in super::super) fn replace(
        cx: &Context,
        address: u64,
        frame: Mfn,
        new_address: u64,
        flags: u32,
    ) -> Result<(), Errno> {
        MAPPED.with_borrow_mut(|m| {
            let at = (cx.domain.id.0, address);
            if m.get(&at) != Some(&(frame, writable(flags))) {
                return Err(Errno::EINVAL);
            }
            m.remove(&at);
            if new_address != 0 {
                let moved = m
                    .remove(&(cx.domain.id.0, new_address))
                    .ok_or(Errno::EINVAL)?;
                m.insert(at, moved);
            }
            Ok(())
        })
    }
}
