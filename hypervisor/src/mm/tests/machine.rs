//! A small machine with two PV domains, and the hypercalls as a guest makes them.

use std::cell::Cell;
use std::vec::Vec;

use arch::addr::{GuestVa, Mfn};
use hypercall_abi::Errno;
use hypercall_abi::xen::{MmuUpdate, MmuextOp, MmuextOpArg};
use zerocopy::IntoBytes;

use crate::domain::{Context, Domain};
use crate::fail::{Args, Fail, Return};
use crate::host::host;
use crate::mm::{self, Layout, Pte};
use crate::simulated::{self, context};
pub use crate::simulated::{RWU, address_space, pages, poke};

/// Frames of the machine; the first MiB is firmware's.
pub const FRAMES: u64 = 1024;
/// Where the guest's hypercall arguments lie.
pub const BUFFER: u64 = 0x10_0000;
/// A device frame beyond RAM.
pub const DEVICE: u64 = 0xfe000;
/// A device frame that nobody may map.
pub const DENIED: u64 = 0xfee00;

thread_local! {
    /// The budget of the next hypercalls, in units.
    pub static BUDGET: Cell<u32> = const { Cell::new(1024) };
}

/// The domains: dom0 (privileged) and dom1.
pub struct Machine {
    pub dom0: Context,
    pub dom1: Context,
}

/// A host with empty lists; `nodes` as in [`Layout`].
pub fn install_host(nodes: Vec<(core::ops::Range<u64>, u8)>) {
    simulated::switch_on(Layout {
        nodes,
        denied: core::iter::once(DENIED..DENIED + 1).collect(),
        ..simulated::layout(FRAMES)
    });
    arch::hosted::map_guest(BUFFER, 0x4000);
    BUDGET.set(1024);
}

fn domain(id: u16) -> Context {
    context(&simulated::domain(id, 1, 512), 0)
}

impl Machine {
    pub fn new() -> Self {
        Self::with_nodes([])
    }

    /// With several memory nodes.
    pub fn with_nodes<const N: usize>(nodes: [(core::ops::Range<u64>, u8); N]) -> Self {
        install_host(nodes.into_iter().collect());
        Self {
            dom0: domain(0),
            dom1: domain(1),
        }
    }
}

/// What an entry is.
pub fn peek(domain: &Domain, table: Mfn, index: usize) -> Pte {
    let page = mm::get_page(table, domain.id).expect("own page");
    Pte(page.frame().read_u64(index * 8))
}

pub fn put<T: IntoBytes + zerocopy::Immutable + ?Sized>(offset: u64, value: &T) -> u64 {
    arch::guest::copy_to(GuestVa::new(BUFFER + offset), value.as_bytes()).expect("mapped");
    BUFFER + offset
}

pub fn get<T: zerocopy::FromBytes + IntoBytes>(offset: u64) -> T {
    let mut value = T::new_zeroed();
    arch::guest::copy_from(GuestVa::new(BUFFER + offset), value.as_mut_bytes()).expect("mapped");
    value
}

/// Calls until it is done.
pub fn finish(mut args: Args, call: impl Fn(Args) -> Return) -> Result<u64, Errno> {
    for _ in 0..100_000 {
        match call(args) {
            Ok(value) => return Ok(value),
            Err(Fail::Errno(errno)) => return Err(errno),
            Err(Fail::Continue(again)) => args = again,
            Err(end @ (Fail::Iret | Fail::Crash(_))) => {
                panic!("not the end of a hypercall: {end:?}")
            }
        }
    }
    panic!("a hypercall made no progress");
}

pub fn mmuext(cx: &Context, ops: &[MmuextOpArg], subject: u16) -> Result<u64, Errno> {
    let at = put(0, ops);
    let args = Args([at, ops.len() as u64, 0, u64::from(subject), 0, 0]);
    finish(args, |args| mm::do_mmuext_op(cx, args))
}

pub fn op(cmd: MmuextOp, mfn: Mfn) -> MmuextOpArg {
    let mut op = MmuextOpArg {
        cmd,
        ..Default::default()
    };
    op.arg1.set_mfn(mfn.get());
    op
}

pub const SELF: u16 = 0x7ff0;

pub fn ext(cx: &Context, cmd: MmuextOp, mfn: Mfn) -> Result<(), Errno> {
    mmuext(cx, &[op(cmd, mfn)], SELF).map(|_| ())
}

pub fn update(cx: &Context, table: Mfn, index: usize, entry: Pte) -> Result<(), Errno> {
    update_as(cx, table, index, entry, 0, u64::from(SELF))
}

pub fn update_as(
    cx: &Context,
    table: Mfn,
    index: usize,
    entry: Pte,
    command: u64,
    foreign: u64,
) -> Result<(), Errno> {
    let request = MmuUpdate {
        ptr: table.addr().get() + index as u64 * 8 + command,
        val: entry.0,
    };
    let at = put(0, &request);
    finish(Args([at, 1, 0, foreign, 0, 0]), |args| {
        mm::do_mmu_update(cx, args)
    })
    .map(|_| ())
}

/// Asserts that all counts are right.
pub fn balanced() {
    let differences = mm::audit::audit(&[]);
    assert!(
        differences.is_empty(),
        "{}",
        differences
            .iter()
            .map(|d| std::format!("{d}\n"))
            .collect::<std::string::String>()
    );
}

pub fn kind(mfn: Mfn) -> (mm::PageType, u32) {
    host().mm.frames.ram(mfn).expect("RAM").page_type()
}
