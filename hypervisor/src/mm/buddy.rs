//! The page allocator: buddy blocks per NUMA node and address zone.
//!
//! A zone is the number of significant bits of a frame number, so "addresses below 2^w" is "zones up to w-12", and two
//! buddies lie in the same zone unless one of them starts at 0. Free blocks are linked through the frame table;
//! every operation takes a number of steps bounded by nodes, zones and orders.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arch::addr::Mfn;
use arch::sync::SpinLock;

use super::frame_table::{FrameTable, NOBODY, PageList, count, raw};

/// Largest block: 2^18 pages, 1 GiB.
pub const MAX_ORDER: u32 = 18;
const ORDERS: usize = MAX_ORDER as usize + 1;
/// Frame numbers have up to 32 bits.
const ZONES: usize = 33;

/// Where a block may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Constraint {
    /// Addresses must fit in this many bits; 0: any.
    pub address_bits: u32,
    /// The NUMA node to try first.
    pub node: Option<u8>,
    /// Nodes to try before all others, a bit each; 0: no node is better than another.
    pub preferred: u64,
    /// Only that node.
    pub exact_node: bool,
}

struct Zone {
    orders: [PageList; ORDERS],
    /// Bit n: a block of order n is free.
    nonempty: u32,
}

struct Node {
    zones: Box<[Zone]>,
    free: u64,
}

struct State {
    nodes: Vec<Node>,
    free: u64,
    /// Pages promised by XENMEM_claim_pages and not yet allocated.
    claimed: u64,
}

/// The allocator.
pub struct Buddy {
    state: SpinLock<State>,
    /// No dirty page is free below this frame.
    pub(super) dirty_from: AtomicU64,
    /// Whether a pCPU is clearing pages in advance.
    pub(super) scrubbing: AtomicBool,
    /// Free pages that hold what their last owner left there.
    pub(super) dirty: AtomicU64,
}

/// Figures for sysctl and debug keys, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Free pages.
    pub free: u64,
    /// Pages promised to claims.
    pub claimed: u64,
}

impl Statistics {
    /// Free pages that are promised to nobody.
    pub fn unpromised(&self) -> u64 {
        self.free.saturating_sub(self.claimed)
    }
}

fn zone_of(mfn: Mfn) -> usize {
    (u64::BITS - mfn.get().leading_zeros()) as usize
}

impl Buddy {
    /// An empty allocator for `nodes` NUMA nodes.
    pub fn new(nodes: usize) -> Self {
        let node = |_| Node {
            zones: (0..ZONES)
                .map(|_| Zone {
                    orders: [const { PageList::new() }; ORDERS],
                    nonempty: 0,
                })
                .collect(),
            free: 0,
        };
        Self {
            state: SpinLock::new(State {
                nodes: (0..nodes.max(1)).map(node).collect(),
                free: 0,
                claimed: 0,
            }),
            dirty_from: AtomicU64::new(u64::MAX),
            scrubbing: AtomicBool::new(false),
            dirty: AtomicU64::new(0),
        }
    }

    /// Puts a block in, merging it with free neighbours. Its pages' count words become "free", `DIRTY` as asked.
    pub(super) fn free(&self, table: &FrameTable, mfn: Mfn, order: u32, dirty: bool) {
        let word = (u64::from(NOBODY.0) << count::OWNER_SHIFT)
            | count::RAM
            | count::FREE
            | if dirty { count::DIRTY } else { 0 };
        if dirty {
            self.dirty.fetch_add(1 << order, Ordering::Relaxed);
        }
        let mut state = self.state.lock();
        for i in 0..1u64 << order {
            let page = table.known(mfn.offset(i));
            page.order.store(NOT_A_HEAD, Ordering::Relaxed);
            page.count.store(word, Ordering::Release);
        }
        if dirty {
            self.dirty_from.fetch_min(mfn.get(), Ordering::Release);
        }
        state.insert(table, mfn, order);
        state.free += 1 << order;
        let node = state.node_of(table, mfn);
        state.nodes[node].free += 1 << order;
    }

    /// Clears a page that is free and dirty; false if it is not (any more).
    pub(super) fn scrub(&self, table: &FrameTable, mfn: Mfn) -> bool {
        // Nobody can take the page meanwhile.
        let _state = self.state.lock();
        let page = table.known(mfn);
        let word = page.count_word();
        if !count::wants_scrub(word) {
            return false;
        }
        raw(mfn).zero();
        page.count.store(word | count::SCRUBBED, Ordering::Release);
        self.dirty.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Takes a block of 2^order pages. The count words still say "free"; the caller makes them what they become.
    /// `unclaimed` asks that pages promised to claims stay available; `spare` more must stay free in any case.
    pub(super) fn allocate(
        &self,
        table: &FrameTable,
        order: u32,
        constraint: Constraint,
        unclaimed: bool,
        spare: u64,
    ) -> Option<Mfn> {
        if order > MAX_ORDER {
            return None;
        }
        let mut state = self.state.lock();
        let kept = if unclaimed { state.claimed } else { 0 };
        if state.free.saturating_sub(kept) < spare.saturating_add(1 << order) {
            return None;
        }
        let top = match constraint.address_bits {
            0 => ZONES - 1,
            bits => (bits.checked_sub(arch::addr::PAGE_SHIFT)? as usize).min(ZONES - 1),
        };
        let (node, mfn) = state.choose(table, top, order, constraint)?;
        state.free -= 1 << order;
        state.nodes[node].free -= 1 << order;
        for i in 0..1u64 << order {
            // No longer findable as a free buddy.
            table
                .known(mfn.offset(i))
                .count
                .fetch_and(!count::FREE, Ordering::AcqRel);
        }
        Some(mfn)
    }

    /// Promises `pages` to a claim. False if fewer are free and unpromised besides `spare`.
    pub(super) fn claim(&self, pages: u64, spare: u64) -> bool {
        let mut state = self.state.lock();
        // Who has a claim takes pages first and gives up as much of the claim later, so fewer may be free than claimed.
        if state.free.saturating_sub(state.claimed) < pages.saturating_add(spare) {
            return false;
        }
        state.claimed += pages;
        true
    }

    /// Takes promises back (used up or withdrawn).
    pub(super) fn unclaim(&self, pages: u64) {
        let mut state = self.state.lock();
        state.claimed = state.claimed.saturating_sub(pages);
    }

    /// Figures of the whole allocator.
    pub fn statistics(&self) -> Statistics {
        let state = self.state.lock();
        Statistics {
            free: state.free,
            claimed: state.claimed,
        }
    }

    /// Free pages of a node; 0 if there is no such node.
    pub fn free_on_node(&self, node: usize) -> u64 {
        self.state.lock().nodes.get(node).map_or(0, |n| n.free)
    }

    /// NUMA nodes.
    pub fn nodes(&self) -> usize {
        self.state.lock().nodes.len()
    }

    /// Free pages whose addresses fit in `bits`.
    pub fn free_below(&self, bits: u32) -> u64 {
        let state = self.state.lock();
        let top = (bits.saturating_sub(arch::addr::PAGE_SHIFT) as usize).min(ZONES - 1);
        state
            .nodes
            .iter()
            .flat_map(|n| &n.zones[..=top])
            .flat_map(|z| z.orders.iter().enumerate())
            .map(|(order, list)| list.len() << order)
            .sum()
    }
}

impl State {
    fn node_of(&self, table: &FrameTable, mfn: Mfn) -> usize {
        usize::from(table.known(mfn).node.load(Ordering::Relaxed)).min(self.nodes.len() - 1)
    }

    fn list(&mut self, table: &FrameTable, node: usize, mfn: Mfn, order: u32, push: bool) {
        let zone = &mut self.nodes[node].zones[zone_of(mfn)];
        let list = &mut zone.orders[order as usize];
        if push {
            list.push(table, mfn);
        } else {
            list.remove(table, mfn);
        }
        if list.len() == 0 {
            zone.nonempty &= !(1 << order);
        } else {
            zone.nonempty |= 1 << order;
        }
    }

    fn insert(&mut self, table: &FrameTable, mut mfn: Mfn, mut order: u32) {
        let node = self.node_of(table, mfn);
        while order < MAX_ORDER {
            let buddy = Mfn::new(mfn.get() ^ (1 << order));
            let free = buddy.get() != 0
                && zone_of(buddy) == zone_of(mfn)
                && table.entry(buddy).is_some_and(|p| {
                    p.count_word() & (count::RAM | count::FREE) == count::RAM | count::FREE
                        && p.order.load(Ordering::Relaxed) == order as u8
                })
                && self.node_of(table, buddy) == node;
            if !free {
                break;
            }
            self.list(table, node, buddy, order, false);
            table
                .known(buddy)
                .order
                .store(NOT_A_HEAD, Ordering::Relaxed);
            table.known(mfn).order.store(NOT_A_HEAD, Ordering::Relaxed);
            mfn = Mfn::new(mfn.get() & !(1 << order));
            order += 1;
        }
        table.known(mfn).order.store(order as u8, Ordering::Relaxed);
        self.list(table, node, mfn, order, true);
    }

    /// A block from the node named, then from the preferred ones, then from the others, where most is free first.
    fn choose(
        &mut self,
        table: &FrameTable,
        top: usize,
        order: u32,
        constraint: Constraint,
    ) -> Option<(usize, Mfn)> {
        let count = self.nodes.len();
        let named = constraint.node.map(usize::from).filter(|&n| n < count);
        if let Some(node) = named
            && let Some(mfn) = self.take(table, node, top, order)
        {
            return Some((node, mfn));
        }
        if constraint.exact_node && constraint.node.is_some() {
            return None;
        }
        for preferred in [true, false] {
            let wanted = |&n: &usize| {
                let bit = 1u64.checked_shl(n as u32).unwrap_or(0);
                (constraint.preferred == 0 || constraint.preferred & bit != 0) == preferred
            };
            let most = (0..count)
                .rev()
                .filter(wanted)
                .max_by_key(|&n| self.nodes[n].free);
            for node in (0..count).map(|i| (most.unwrap_or(0) + i) % count) {
                if wanted(&node)
                    && Some(node) != named
                    && let Some(mfn) = self.take(table, node, top, order)
                {
                    return Some((node, mfn));
                }
            }
        }
        None
    }

    fn take(&mut self, table: &FrameTable, node: usize, top: usize, order: u32) -> Option<Mfn> {
        for zone in (0..=top).rev() {
            let z = &self.nodes[node].zones[zone];
            let fitting = z.nonempty >> order << order;
            if fitting == 0 {
                continue;
            }
            let mut have = fitting.trailing_zeros();
            let mfn = z.orders[have as usize].first()?;
            self.list(table, node, mfn, have, false);
            while have > order {
                // Keep the lower half, give the upper back.
                have -= 1;
                let upper = mfn.offset(1 << have);
                table
                    .known(upper)
                    .order
                    .store(have as u8, Ordering::Relaxed);
                self.list(table, node, upper, have, true);
            }
            table.known(mfn).order.store(NOT_A_HEAD, Ordering::Relaxed);
            return Some(mfn);
        }
        None
    }
}

/// The order of a page that starts no free block.
const NOT_A_HEAD: u8 = u8::MAX;
