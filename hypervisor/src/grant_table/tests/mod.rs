//! Host-side tests, over the real frame table and simulated page tables: refusals, versions, copies, random
//! operations against recounted invariants, known classes of bugs.

mod audit;
mod copies;
mod maps;
mod random;
mod versions;
mod xsa;

use alloc::sync::Arc;
use std::collections::BTreeMap;

use arch::addr::Mfn;
use arch::frame::RawFrame;
use hypercall_abi::grant_table::*;
use hypercall_abi::xen::DomId;
use hypercall_abi::{Errno, GuestHandle};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::entry::Pin;
use super::mapping::simulated::MAPPED;
use super::*;
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::mm::{Layout, PageType};
use crate::simulated::{self, context};

/// Frames of the simulated machine; the first MiB is not usable RAM.
const FRAMES: u64 = 0x100 + 160;
/// Where the simulated guest keeps hypercall arguments.
const ARG: u64 = 0x10_0000;
/// And lists of frame numbers.
const LIST: u64 = ARG + 0x8000;

/// A fresh machine with domains 0..count that own `pages` pages each.
fn machine(count: u16, pages: usize) -> (Vec<Arc<Domain>>, Vec<Vec<Mfn>>) {
    simulated::switch_on(Layout {
        physical_bits: 46,
        ..simulated::layout(FRAMES)
    });
    arch::hosted::map_guest(ARG, 0x1_0000);
    MAPPED.with_borrow_mut(|m| m.clear());
    (0..count)
        .map(|id| {
            let d = simulated::domain(id, 2, pages as u64 + 4);
            init(&d, 4, 2, 2).expect("memory");
            let own = simulated::pages(&d, pages);
            (d, own)
        })
        .unzip()
}

/// A hypercall on an array, continued until it is done; the array as it is afterwards.
fn call<T: FromBytes + IntoBytes + Immutable>(
    d: &Arc<Domain>,
    op: GnttabOp,
    ops: &mut [T],
) -> Return {
    for (i, op) in ops.iter().enumerate() {
        guest::write(GuestHandle::new(ARG), i as u64, op).expect("mapped");
    }
    let mut args = Args([op.0.into(), ARG, ops.len() as u64, 0, 0, 0]);
    let result = loop {
        match do_grant_table_op(&context(d, 0), args) {
            Err(Fail::Continue(next)) => args = next,
            other => break other,
        }
    };
    for (i, op) in ops.iter_mut().enumerate() {
        *op = guest::read(GuestHandle::new(ARG), i as u64).expect("mapped");
    }
    result
}

fn one<T: FromBytes + IntoBytes + Immutable + Copy>(
    d: &Arc<Domain>,
    op: GnttabOp,
    arg: T,
) -> Result<T, Errno> {
    let mut ops = [arg];
    match call(d, op, &mut ops) {
        Ok(0) => Ok(ops[0]),
        Err(Fail::Errno(errno)) => Err(errno),
        other => panic!("{other:?}"),
    }
}

fn map(
    d: &Arc<Domain>,
    dom: u16,
    gref: u32,
    addr: u64,
    flags: u32,
) -> Result<(u32, u64), GntStatus> {
    let op = GnttabMapGrantRef {
        host_addr: addr,
        flags,
        r#ref: gref,
        dom: DomId(dom),
        ..Default::default()
    };
    let op = one(d, GnttabOp::MAP_GRANT_REF, op).expect("array is there");
    if op.status == GntStatus::OKAY {
        Ok((op.handle, op.dev_bus_addr))
    } else {
        Err(op.status)
    }
}

fn unmap(d: &Arc<Domain>, handle: u32, host_addr: u64, dev_bus_addr: u64) -> GntStatus {
    let op = GnttabUnmapGrantRef {
        host_addr,
        dev_bus_addr,
        handle,
        ..Default::default()
    };
    one(d, GnttabOp::UNMAP_GRANT_REF, op)
        .expect("array is there")
        .status
}

fn set_version(d: &Arc<Domain>, version: u32) -> Result<u32, Errno> {
    one(d, GnttabOp::SET_VERSION, GnttabSetVersion { version }).map(|op| op.version)
}

/// The entry's place in the shared frames.
fn place(d: &Domain, gref: u32) -> (RawFrame, usize) {
    let table = d.grants.table.read();
    match table.shared(gref).expect("entry") {
        Shared::V1(frame, at) | Shared::V2(frame, at, ..) => (frame, at),
    }
}

/// The granting guest's side: writes an entry.
fn grant(d: &Domain, gref: u32, to: u16, mfn: Mfn, flags: u16) {
    let (frame, at) = place(d, gref);
    if d.grants.table.read().version == 1 {
        frame.write_u32(at + 4, mfn.get() as u32);
    } else {
        frame.write_u64(at + 8, mfn.get());
    }
    frame.write_u32(at, u32::from(to) << 16 | u32::from(flags));
}

fn flags(d: &Domain, gref: u32) -> u16 {
    let (frame, at) = place(d, gref);
    frame.read_u16(at)
}

/// The entry's status bits, wherever they are.
fn status_bits(d: &Domain, gref: u32) -> u16 {
    let bits = match d.grants.table.read().shared(gref).expect("entry") {
        Shared::V1(frame, at) => frame.read_u16(at),
        Shared::V2(.., status, at) => status.read_u16(at),
    };
    bits & (GTF_READING | GTF_WRITING)
}

fn pin(d: &Domain, gref: u32) -> Pin {
    d.grants
        .table
        .read()
        .active(gref)
        .expect("entry")
        .lock()
        .pin
}

/// References of a page beyond its allocation, and its uses as writable memory.
fn uses(mfn: Mfn) -> (u64, u32) {
    let info = host().mm.frames.entry(mfn).expect("RAM");
    let (ty, count) = info.page_type();
    let writable = if ty == PageType::Writable { count } else { 0 };
    (info.references() - 1, writable)
}

/// Recounts: every pin from the handles, every page's references and writable uses from page tables and devices.
fn check_invariants(domains: &[Arc<Domain>], pages: &[Vec<Mfn>]) {
    let mut pins: BTreeMap<(u16, u32), u32> = BTreeMap::new();
    let mut expected: BTreeMap<Mfn, (u64, u32)> = BTreeMap::new();
    let mut add = |mfn: Mfn, writable: bool| {
        let uses = expected.entry(mfn).or_default();
        uses.0 += 1;
        uses.1 += u32::from(writable);
    };
    for d in domains {
        let track = &d.grants.maptrack;
        for handle in 0..track.len() {
            let Some(m) = track.slot(handle).expect("handle").mapping.lock().clone() else {
                continue;
            };
            let kinds = Pin::of_mapping(m.host, m.device, m.read_only);
            assert!(!kinds.is_zero(), "an empty mapping is free");
            *pins.entry((m.domain.id.0, m.gref)).or_default() += kinds.0;
            if m.device {
                let table = m.domain.grants.table.read();
                let mfn = table.active(m.gref).expect("entry").lock().mfn;
                add(mfn, !m.read_only);
            }
        }
    }
    MAPPED.with_borrow(|m| m.values().for_each(|&(mfn, writable)| add(mfn, writable)));
    for d in domains {
        let table = d.grants.table.read();
        for gref in 0..table.entries() {
            let active = table.active(gref).expect("entry").lock();
            let pin = pins.get(&(d.id.0, gref)).copied().unwrap_or(0);
            assert_eq!(active.pin.0, pin, "pin of d{} entry {gref}", d.id.0);
            drop(active);
        }
        drop(table);
        for gref in 0..d.grants.table.read().entries() {
            let pin = pin(d, gref);
            let mut bits = 0;
            if !pin.is_zero() {
                bits |= GTF_READING;
            }
            if pin.writable() {
                bits |= GTF_WRITING;
            }
            // In version 1 an entry that accepts a transfer uses the same bits for something else.
            let transfer = d.grants.table.read().version == 1
                && flags(d, gref) & GTF_TYPE_MASK == GTF_ACCEPT_TRANSFER;
            if transfer && pin.is_zero() {
                continue;
            }
            assert_eq!(
                status_bits(d, gref),
                bits,
                "status of d{} entry {gref}",
                d.id.0
            );
        }
        assert_eq!(d.grants.v2_operations.load(Ordering::SeqCst), 0);
    }
    for &mfn in pages.iter().flatten() {
        assert_eq!(
            uses(mfn),
            expected.get(&mfn).copied().unwrap_or_default(),
            "uses of {mfn}"
        );
    }
}

/// Flags of an ordinary grant.
const ACCESS: u16 = GTF_PERMIT_ACCESS;
const HOST: u32 = GNTMAP_HOST_MAP;
const DEVICE: u32 = GNTMAP_DEVICE_MAP;
const RO: u32 = GNTMAP_READONLY;
