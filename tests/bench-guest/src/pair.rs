//! Roles 1 and 2: events and grants between two guests.

use hypercall_abi::grant_table::{
    GNTMAP_HOST_MAP, GnttabCopy, GnttabMapGrantRef, GnttabOp, GnttabUnmapGrantRef,
};
use hypercall_abi::xen::DomId;

use crate::guest::{self, PAGES, StartInfo};

/// The first grant reference that the tools do not use.
const FIRST: u32 = 8;
const ROUNDS: usize = 5;
const EVENTS: u64 = 2000;
/// Batches per round.
const BATCHES: u64 = 20;
/// Ports that a guest may have got its first own one at.
const PORTS: core::ops::Range<u32> = 1..16;

fn peer(start: StartInfo) -> DomId {
    DomId(u16::try_from(start.argument(b"peer=", 0)).unwrap_or(0))
}

/// Role 1: every event comes back.
pub fn serve(start: StartInfo) -> ! {
    let peer = peer(start);
    for page in 0..PAGES {
        let frame = start.mfn(guest::own_page(page));
        guest::grant(FIRST + page as u32, peer, page, frame);
    }
    // The last, because the other guest waits for it.
    let port = guest::offer_port(peer);
    loop {
        guest::wait(port);
        guest::notify(port);
    }
}

/// Ticks of one operation: the least of a few rounds, because interrupts only add; `count` operations in a round.
fn least(count: u64, mut round: impl FnMut() -> u64) -> u64 {
    // The first round warms up.
    round();
    (0..ROUNDS).map(|_| round()).min().unwrap_or(0) / count
}

/// Role 2.
pub fn measure(start: StartInfo) -> ! {
    let peer = peer(start);
    let port = loop {
        if let Some(port) = PORTS.into_iter().find_map(|port| guest::bind(peer, port)) {
            break port;
        }
        guest::yield_now();
    };
    guest::report(
        b"event-round-trip",
        least(EVENTS, || {
            guest::timed(|| {
                for _ in 0..EVENTS {
                    guest::notify(port);
                    guest::wait(port);
                }
            })
        }),
    );
    let all = BATCHES * PAGES as u64;
    let (mut map, mut unmap) = (u64::MAX, u64::MAX);
    for _ in 0..=ROUNDS {
        let (mut mapped, mut unmapped) = (0, 0);
        for _ in 0..BATCHES {
            let (m, u) = map_and_unmap(peer, PAGES);
            mapped += m;
            unmapped += u;
        }
        (map, unmap) = (map.min(mapped / all), unmap.min(unmapped / all));
    }
    guest::report(b"grant-map-page", map);
    guest::report(b"grant-unmap-page", unmap);
    let single = least(BATCHES, || {
        (0..BATCHES)
            .map(|_| map_and_unmap(peer, 1))
            .map(|(m, u)| m + u)
            .sum()
    });
    guest::report(b"grant-map-unmap-single", single);
    let copy = least(all, || (0..BATCHES).map(|_| copy(start, peer)).sum());
    guest::report(b"grant-copy-page", copy);
    guest::report(b"done", 0);
    guest::end()
}

/// Maps so many pages of the other guest in one hypercall and unmaps them in another: ticks of either.
fn map_and_unmap(peer: DomId, pages: usize) -> (u64, u64) {
    let mut maps: [GnttabMapGrantRef; PAGES] = core::array::from_fn(|i| GnttabMapGrantRef {
        host_addr: guest::window(i),
        flags: GNTMAP_HOST_MAP,
        r#ref: FIRST + i as u32,
        dom: peer,
        ..Default::default()
    });
    let mapped = guest::timed(|| {
        guest::grant_operation(GnttabOp::MAP_GRANT_REF, &mut maps[..pages]);
    });
    for (i, map) in maps[..pages].iter().enumerate() {
        guest::insist(map.status.0 == 0, b"a page was not mapped");
        // Mapped is what can be read.
        guest::insist(
            guest::read(guest::window(i)) == u64::from(FIRST) + i as u64,
            b"a mapped page does not hold what was granted",
        );
    }
    let mut unmaps: [GnttabUnmapGrantRef; PAGES] = core::array::from_fn(|i| GnttabUnmapGrantRef {
        host_addr: guest::window(i),
        handle: maps[i].handle,
        ..Default::default()
    });
    let unmapped = guest::timed(|| {
        guest::grant_operation(GnttabOp::UNMAP_GRANT_REF, &mut unmaps[..pages]);
    });
    for unmap in &unmaps[..pages] {
        guest::insist(unmap.status.0 == 0, b"a page was not unmapped");
    }
    (mapped, unmapped)
}

/// Copies all of the other guest's pages to own ones.
fn copy(start: StartInfo, peer: DomId) -> u64 {
    let mut copies: [GnttabCopy; PAGES] = core::array::from_fn(|i| {
        let own = start.mfn(guest::own_page(i));
        guest::copy_of(peer, FIRST + i as u32, own)
    });
    let ticks = guest::timed(|| {
        guest::grant_operation(GnttabOp::COPY, &mut copies);
    });
    for (i, copy) in copies.iter().enumerate() {
        guest::insist(copy.status.0 == 0, b"a page was not copied");
        guest::insist(
            guest::read(guest::own_page(i)) == u64::from(FIRST) + i as u64,
            b"a copied page does not hold what was granted",
        );
    }
    ticks
}
