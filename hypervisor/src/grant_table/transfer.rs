//! GNTTABOP_transfer: gives a page away to a domain that has an entry to accept it.

use arch::addr::{Gfn, Mfn};
use hypercall_abi::Errno;
use hypercall_abi::grant_table::{
    GTF_ACCEPT_TRANSFER, GTF_TRANSFER_COMMITTED, GTF_TRANSFER_COMPLETED, GntStatus, GnttabTransfer,
};

use super::entry::Shared;
use crate::domain::{Context, Domain, DomainId};
use crate::host::host;

/// How often an entry that its guest keeps changing is tried.
const TRIES: u32 = 5;

/// Transfers one page. Once it has been taken from the caller it does not come back, whatever happens after, as in
/// Xen.
pub(super) fn transfer(cx: &Context, op: &GnttabTransfer) -> GntStatus {
    let mm = &host().mm;
    let mfn = Mfn::new(op.mfn);
    match mm.steal_page(&cx.domain, mfn) {
        Ok(()) => {}
        Err(Errno::EINVAL) => return GntStatus::BAD_PAGE,
        Err(_) => return GntStatus::GENERAL_ERROR,
    }
    let to = match host().domains.get(DomainId(op.domid.0)) {
        Ok(to) => to,
        Err(_) => {
            mm.discard_stolen(&cx.domain, mfn);
            return GntStatus::BAD_DOMAIN;
        }
    };
    let result = commit(cx, &to, op.r#ref, mfn).and_then(|version| {
        mm.transfer_stolen(&cx.domain, &to, mfn)
            .map_err(|_| GntStatus::GENERAL_ERROR)?;
        Ok(version)
    });
    match result {
        Ok(version) => complete(&to, op.r#ref, mfn, version),
        Err(status) => {
            mm.discard_stolen(&cx.domain, mfn);
            status
        }
    }
}

/// Marks the accepting entry as taken; the table's version then.
fn commit(cx: &Context, to: &Domain, gref: u32, mfn: Mfn) -> Result<u32, GntStatus> {
    let table = to.grants.table.read();
    if table.version == 1 && mfn.get() >> 32 != 0 {
        return Err(GntStatus::ADDRESS_TOO_BIG);
    }
    let shared = table
        .shared(gref)
        .filter(|_| gref < table.entries())
        .ok_or(GntStatus::GENERAL_ERROR)?;
    let (Shared::V1(frame, at) | Shared::V2(frame, at, ..)) = shared;
    let wanted = u32::from(cx.domain.id.0) << 16 | u32::from(GTF_ACCEPT_TRANSFER);
    for _ in 0..TRIES {
        let word = frame.read_u32(at);
        if word != wanted {
            break;
        }
        if frame
            .cmpxchg_u32(at, word, word | u32::from(GTF_TRANSFER_COMMITTED))
            .is_ok()
        {
            return Ok(table.version);
        }
    }
    Err(GntStatus::GENERAL_ERROR)
}

/// Tells the receiver where its page is.
fn complete(to: &Domain, gref: u32, mfn: Mfn, version: u32) -> GntStatus {
    let table = to.grants.table.read();
    let Some(active) = table.active(gref) else {
        return GntStatus::GENERAL_ERROR;
    };
    let _active = active.lock();
    // The page is the receiver's by now; it just does not hear of it in the entry.
    let Some(shared) = table.shared(gref).filter(|_| table.version == version) else {
        return GntStatus::GENERAL_ERROR;
    };
    host().mm.m2p.set(mfn, Gfn::new(shared.frame()));
    match shared {
        Shared::V1(frame, at) => frame.write_u32(at + 4, mfn.get() as u32),
        Shared::V2(frame, at, ..) => frame.write_u64(at + 8, mfn.get()),
    }
    let (Shared::V1(frame, at) | Shared::V2(frame, at, ..)) = shared;
    frame.fetch_or_u16(at, GTF_TRANSFER_COMPLETED);
    GntStatus::OKAY
}
