//! Where the machine's memory goes that no domain has: for debug key `m`, and whoever wonders.

use arch::addr::PAGE_SIZE;

use super::frame_table::PageInfo;
use crate::host::host;

/// Pages of RAM that are the hypervisor's own, by purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The frame table: what is known of each frame.
    pub frame_table: u64,
    /// The machine-to-phys table, which the ABI wants.
    pub machine_to_phys: u64,
    /// Code, constants, data and the early heap.
    pub image: u64,
    /// The heap, as far as it is not in the image.
    pub heap: u64,
    /// Everything else: page tables, CPUs' areas, pages shared with domains, boot modules that are still there.
    pub rest: u64,
}

impl Usage {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.parts().into_iter().map(|(_, pages)| pages).sum()
    }

    /// Each part with its name.
    pub fn parts(&self) -> [(&'static str, u64); 5] {
        [
            ("frame table", self.frame_table),
            ("machine-to-phys table", self.machine_to_phys),
            ("image", self.image),
            ("heap", self.heap),
            ("page tables, CPUs' areas, shared pages", self.rest),
        ]
    }
}

/// The state of now.
pub fn usage() -> Usage {
    let mm = &host().mm;
    let pages = |bytes: u64| bytes.div_ceil(PAGE_SIZE);
    let mut domains = 0;
    host().domains.for_each(|d| domains += d.mem.tot_pages());
    let mut usage = Usage {
        frame_table: pages(mm.frames.len() * size_of::<PageInfo>() as u64),
        machine_to_phys: mm.m2p_pieces.len() as u64 * 512,
        image: pages(arch::paging::image_range().len()),
        heap: arch::heap::pages_in_use(),
        rest: 0,
    };
    usage.rest = mm
        .total_pages()
        .saturating_sub(mm.free_pages() + domains + usage.total());
    usage
}
