//! Random hypercall sequences: whatever a guest does, the books balance.

use std::vec::Vec;

use arch::addr::{GuestVa, Mfn};
use hypercall_abi::memory::{MemoryReservation, XenMem};
use hypercall_abi::xen::MmuextOp;
use proptest::prelude::*;

use super::machine::{BUDGET, DEVICE, Machine, SELF, balanced, get, op, poke, put};
use crate::domain::Context;
use crate::fail::{Args, Fail};
use crate::host::host;
use crate::mm::{self, Pte, relinquish};
use crate::preempt::Budget;

/// One random act: kind, three numbers.
type Act = (u8, u16, u16, u32);

struct Guests {
    m: Machine,
    pool: Vec<Mfn>,
    /// Continuations not yet taken up: which hypercall, whose.
    open: Vec<(bool, bool, Args)>,
}

impl Guests {
    fn page(&self, n: u16) -> Mfn {
        self.pool[usize::from(n) % self.pool.len()]
    }

    /// An entry that is likely enough to be valid.
    fn entry(&self, n: u16, bits: u32) -> Pte {
        let target = match bits >> 8 & 31 {
            0 => Mfn::new(DEVICE),
            1 => Mfn::new(u64::from(n)),
            _ => self.page(n),
        };
        let mut flags = 0;
        for (bit, flag) in [
            (0, Pte::RW),
            (1, Pte::US),
            (2, Pte::A),
            (3, Pte::D),
            (4, Pte::NX),
        ] {
            if bits >> bit & 1 != 0 {
                flags |= flag;
            }
        }
        if bits >> 5 & 7 != 0 {
            flags |= Pte::P;
        }
        if bits >> 13 & 31 == 0 {
            flags |= Pte::PAT;
        }
        Pte::new(target, flags)
    }

    fn call(&mut self, other: bool, ext: bool, args: Args) {
        let cx = if other { &self.m.dom0 } else { &self.m.dom1 };
        let result = if ext {
            mm::do_mmuext_op(cx, args)
        } else {
            mm::do_mmu_update(cx, args)
        };
        if let Err(Fail::Continue(again)) = result {
            self.open.push((other, ext, again));
        }
    }

    fn act(&mut self, (what, a, b, c): Act) {
        BUDGET.set(if c >> 20 & 1 == 0 { 2 } else { 1024 });
        let other = c >> 21 & 7 == 0;
        let cx: Context = if other {
            self.m.dom0.clone()
        } else {
            self.m.dom1.clone()
        };
        // Requests lie at different places, so that continuations still find theirs.
        let at = u64::from(c >> 22 & 255) * 64;
        match what % 16 {
            0..=6 => {
                let index = [0, 1, 2, 255, 256, 300, 511][usize::from(a >> 8) % 7];
                let command = [0, 0, 2, 1][usize::from(b >> 12) % 4];
                let ptr = self.page(a).addr().get() + index * 8 + command;
                let foreign = if b >> 14 == 0 {
                    u64::from(!other)
                } else {
                    SELF.into()
                };
                let array = put(at, &[ptr, self.entry(b, c).0]);
                self.call(other, false, Args([array, 1, 0, foreign, 0, 0]));
            }
            7..=10 => {
                let cmd = [
                    MmuextOp::PIN_L1_TABLE,
                    MmuextOp::PIN_L2_TABLE,
                    MmuextOp::PIN_L3_TABLE,
                    MmuextOp::PIN_L4_TABLE,
                    MmuextOp::UNPIN_TABLE,
                    MmuextOp::UNPIN_TABLE,
                    MmuextOp::NEW_BASEPTR,
                    MmuextOp::NEW_USER_BASEPTR,
                    MmuextOp::CLEAR_PAGE,
                ][usize::from(b) % 9];
                let array = put(at, &op(cmd, self.page(a)));
                self.call(other, true, Args([array, 1, 0, SELF.into(), 0, 0]));
            }
            11 => {
                let va = u64::from(a & 7) << 12 | u64::from(a >> 3 & 3) << 21;
                let args = Args([va, self.entry(b, c).0, 0, 0, 0, 0]);
                let _ = mm::do_update_va_mapping(&cx, args);
            }
            12 => {
                let va = GuestVa::new((u64::from(a & 7) << 12) | (u64::from(a >> 3 & 3) * 8));
                let _ = mm::emulate_pte_write(&cx, va, 0, self.entry(b, c).0);
            }
            13 => {
                // The guest writes through a writable mapping that it could have.
                let page = self.page(a);
                let owned = mm::get_page(page, cx.domain.id).is_ok();
                let ty = mm::PageType::Writable;
                if owned && mm::get_page_and_type(page, &cx.domain, ty).is_ok() {
                    poke(&cx.domain, page, usize::from(b) % 4, self.entry(a, c));
                }
            }
            14 => {
                let request = MemoryReservation {
                    extent_start: hypercall_abi::GuestHandle::new(put(0x3e00, &self.page(a).get())),
                    nr_extents: 1,
                    domid: hypercall_abi::xen::DomId(SELF),
                    ..Default::default()
                };
                let decrease = b & 3 == 0;
                let op = if decrease {
                    XenMem::DECREASE_RESERVATION
                } else {
                    XenMem::POPULATE_PHYSMAP
                };
                let arg = put(0x3f00, &request);
                let done = mm::do_memory_op(&cx, Args([op.0.into(), arg, 0, 0, 0, 0]));
                if done == Ok(1) && !decrease {
                    let slot = usize::from(b) % self.pool.len();
                    self.pool[slot] = Mfn::new(get::<u64>(0x3e00));
                }
            }
            _ => {
                if !self.open.is_empty() {
                    let next = self.open.swap_remove(usize::from(a) % self.open.len());
                    self.call(next.0, next.1, next.2);
                }
            }
        }
    }
}

/// `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok());
    ProptestConfig::with_cases(cases.unwrap_or(48))
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn the_books_balance_after_anything(
        acts in prop::collection::vec((any::<u8>(), any::<u16>(), any::<u16>(), any::<u32>()), 50..400)
    ) {
        let m = Machine::new();
        let free = host().mm.free_pages();
        let (tables, data) = super::machine::address_space(&m.dom1, 4);
        let (more, rest) = super::machine::address_space(&m.dom0, 2);
        let pool = [tables, data, more, rest].concat();
        let mut guests = Guests { m, pool, open: Vec::new() };
        for (i, act) in acts.into_iter().enumerate() {
            guests.act(act);
            if i % 8 == 0 {
                balanced();
            }
        }
        balanced();
        // And everything can be taken back.
        for cx in [&guests.m.dom0, &guests.m.dom1] {
            cx.domain.dying.store(true, core::sync::atomic::Ordering::SeqCst);
            let tables = core::mem::take(&mut cx.vcpu.pv().state().tables);
            for l4 in tables.all() {
                drop(mm::TypedRef::from_raw(l4));
            }
        }
        for _ in 0..2 {
            for cx in [&guests.m.dom0, &guests.m.dom1] {
                while !relinquish(&cx.domain, &Budget::with_units(16)) {}
            }
        }
        balanced();
        prop_assert_eq!(guests.m.dom0.domain.mem.tot_pages(), 0);
        prop_assert_eq!(guests.m.dom1.domain.mem.tot_pages(), 0);
        prop_assert_eq!(host().mm.free_pages(), free);
    }
}
