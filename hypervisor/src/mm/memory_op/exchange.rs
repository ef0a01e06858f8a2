//! XENMEM_exchange: pages given back for others of another size or place (a PV dom0's DMA buffers).

use alloc::vec::Vec;

use arch::addr::Mfn;
use hypercall_abi::memory::{MemoryExchange, MemoryReservation, XenMem};
use hypercall_abi::{Errno, GuestHandle};

use super::reservation::{describe, max_order, placement};
use super::{Call, subject};
use crate::domain::{Context, Domain};
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::host::host;
use crate::mm::Constraint;

/// Pages taken from the domain or allocated for it, not yet where they belong. Dropped, everything goes back.
struct Chunk<'a> {
    domain: &'a Domain,
    taken: Vec<Mfn>,
    fresh: Vec<Mfn>,
    fresh_order: u32,
}

impl Drop for Chunk<'_> {
    fn drop(&mut self) {
        let mm = &host().mm;
        for &mfn in &self.taken {
            if mm.assign_stolen(self.domain, mfn).is_err() {
                mm.free_stolen(mfn);
            }
        }
        for &mfn in &self.fresh {
            mm.free_anonymous(mfn, self.fresh_order);
        }
    }
}

pub(super) fn exchange(cx: &Context, call: &Call) -> Return {
    let handle: GuestHandle<MemoryExchange> = call.handle();
    let request: MemoryExchange = guest::read(handle, 0)?;
    let mut exchanged = request.nr_exchanged;
    let result = run(cx, &request, &mut exchanged);
    let field = core::mem::offset_of!(MemoryExchange, nr_exchanged) as u64;
    let written = guest::write(
        GuestHandle::<u64>::new(call.arg.wrapping_add(field)),
        0,
        &exchanged,
    );
    match result {
        Ok(true) => {
            written?;
            Ok(0)
        }
        Ok(false) => {
            written?;
            Err(Fail::Continue(Args([
                u64::from(call.op.0),
                call.arg,
                0,
                0,
                0,
                0,
            ])))
        }
        Err(errno) => {
            written?;
            Err(errno.into())
        }
    }
}

/// Does what the budget allows; `Ok(true)` when all is done.
fn run(cx: &Context, request: &MemoryExchange, exchanged: &mut u64) -> Result<bool, Errno> {
    let (input, output) = (&request.r#in, &request.out);
    if input.extent_order.max(output.extent_order) > max_order(cx) {
        return Err(Errno::EPERM);
    }
    let pages = |r: &MemoryReservation| {
        r.nr_extents
            .checked_shl(r.extent_order)
            .filter(|p| p >> r.extent_order == r.nr_extents)
    };
    if *exchanged > input.nr_extents
        || input.domid != output.domid
        || pages(input).is_none()
        || pages(input) != pages(output)
    {
        return Err(Errno::EINVAL);
    }
    if *exchanged == input.nr_extents {
        return Ok(true);
    }
    let in_chunk = output.extent_order.saturating_sub(input.extent_order);
    let out_chunk = input.extent_order.saturating_sub(output.extent_order);
    let place = placement(cx, output.mem_flags)?;
    let domain = subject(cx, XenMem::EXCHANGE, input.domid)?;
    let budget = crate::mm::budget();
    let first = *exchanged >> in_chunk;
    for chunk in first..input.nr_extents >> in_chunk {
        *exchanged = chunk << in_chunk;
        if chunk != first && budget.exhausted() {
            return Ok(false);
        }
        one_chunk(&domain, request, chunk, (in_chunk, out_chunk), place)?;
        let _ = budget.spend(
            16u32
                .checked_shl(input.extent_order + in_chunk)
                .unwrap_or(u32::MAX),
        );
    }
    *exchanged = input.nr_extents;
    Ok(true)
}

fn one_chunk(
    domain: &Domain,
    request: &MemoryExchange,
    index: u64,
    (in_chunk, out_chunk): (u32, u32),
    place: Constraint,
) -> Result<(), Errno> {
    let mm = &host().mm;
    let (input, output) = (&request.r#in, &request.out);
    let mut chunk = Chunk {
        domain,
        taken: Vec::new(),
        fresh: Vec::new(),
        fresh_order: output.extent_order,
    };
    let taken = 1usize << (in_chunk + input.extent_order);
    chunk
        .taken
        .try_reserve_exact(taken)
        .map_err(|_| Errno::ENOMEM)?;
    chunk
        .fresh
        .try_reserve_exact(1 << out_chunk)
        .map_err(|_| Errno::ENOMEM)?;
    for j in 0..1u64 << in_chunk {
        // Each element's address is checked as it is read (XSA-212).
        let first: u64 = guest::read(input.extent_start, (index << in_chunk) + j)?;
        for k in 0..1u64 << input.extent_order {
            let mfn = Mfn::new(first.wrapping_add(k));
            mm.steal_page(domain, mfn)?;
            chunk.taken.push(mfn);
        }
    }
    for _ in 0..1u64 << out_chunk {
        chunk
            .fresh
            .push(mm.alloc_anonymous(domain, output.extent_order, place)?);
    }
    // From here the exchange happens; what fails is only telling the guest.
    for mfn in core::mem::take(&mut chunk.taken) {
        mm.free_stolen(mfn);
    }
    let mut result = Ok(());
    for (j, mfn) in core::mem::take(&mut chunk.fresh).into_iter().enumerate() {
        if let Err(errno) = mm.assign_anonymous(domain, mfn, output.extent_order) {
            result = Err(errno);
            continue;
        }
        let at = (index << out_chunk) + j as u64;
        let told = guest::read(output.extent_start, at).and_then(|gfn: u64| {
            describe(mfn, gfn, output.extent_order);
            guest::write(output.extent_start, at, &mfn.get())
        });
        result = result.and(told);
    }
    result
}
