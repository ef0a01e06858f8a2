//! A small machine with dom0 and an unprivileged domain, and a page of guest memory for arguments.

use hypercall_abi::{Errno, GuestHandle};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::domain::Context;
use crate::fail::{Args, Fail, Handler, Return};
use crate::guest;
use crate::host::host;
use crate::simulated;
pub use crate::simulated::context;

/// Frames of the machine; the first MiB is firmware's.
pub const FRAMES: u64 = 1024;
/// Where the structures of hypercalls lie.
pub const ARG: u64 = 0x10_0000;
/// Room for arrays.
pub const ARRAY: u64 = ARG + 0x1000;
/// Guest memory ends here.
pub const END: u64 = ARG + 0x8000;
/// What untouched guest memory holds.
pub const DIRT: u8 = 0xa5;

pub struct Machine {
    pub dom0: Context,
    pub dom1: Context,
}

fn domain(id: u16, vcpus: u32) -> Context {
    context(&simulated::domain(id, vcpus, 512), 0)
}

impl Machine {
    /// Two CPUs in service, dom0 with two vCPUs, domain 1 with one; guest memory full of dirt.
    pub fn new() -> Self {
        simulated::switch_on(simulated::layout(FRAMES));
        arch::hosted::map_guest(ARG, (END - ARG) as usize);
        fill(ARG, (END - ARG) as usize);
        for cpu in 0..2 {
            host().sched.cpu_up(cpu, 0);
            host().sched.set_apic_id(cpu, cpu as u32 * 2);
        }
        Self {
            dom0: domain(0, 2),
            dom1: domain(1, 1),
        }
    }
}

/// Gives this thread's processor the CPUID of a Haswell, as far as policies look.
pub fn haswell() {
    for (leaf, subleaf, registers) in [
        (0, 0, [0xd, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
        (1, 0, [0x0003_06c3, 0x0010_0800, 0x7ffa_fbff, 0xbfeb_fbff]),
        (4, 0, [0x1c00_4121, 0x01c0_003f, 0x3f, 0]),
        (7, 0, [0, 0x0000_2fbb, 0, 0xbc00_0400]),
        (0xd, 0, [7, 832, 832, 0]),
        (0xd, 1, [1, 0, 0, 0]),
        (0xd, 2, [256, 576, 0, 0]),
        (0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
        (0x8000_0001, 0, [0, 0, 0x21, 0x2c10_0800]),
        (0x8000_0007, 0, [0, 0, 0, 0x100]),
        (0x8000_0008, 0, [0x3027, 0, 0, 0]),
    ] {
        arch::sim::set_cpuid(leaf, subleaf, registers);
    }
}

/// Puts dirt into guest memory.
pub fn fill(at: u64, len: usize) {
    guest::write_bytes(GuestHandle::new(at), &vec![DIRT; len]).expect("mapped");
}

/// Guest memory as it is now.
pub fn bytes(at: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    guest::read_bytes(GuestHandle::new(at), &mut out).expect("mapped");
    out
}

/// A value in guest memory.
pub fn get<T: FromBytes + IntoBytes>(at: u64, index: u64) -> T {
    guest::read(GuestHandle::new(at), index).expect("mapped")
}

/// Puts a value into guest memory.
pub fn put<T: IntoBytes + Immutable>(at: u64, index: u64, value: &T) {
    guest::write(GuestHandle::new(at), index, value).expect("mapped");
}

/// The outcome of a hypercall that neither continues nor crashes anybody.
pub fn settled(result: Return) -> Result<u64, Errno> {
    match result {
        Ok(value) => Ok(value),
        Err(Fail::Errno(errno)) => Err(errno),
        Err(other) => panic!("{other:?}"),
    }
}

/// A hypercall whose one argument is a structure, which comes back.
pub fn call<T: FromBytes + IntoBytes + Immutable>(
    handler: Handler,
    cx: &Context,
    op: &mut T,
) -> Result<u64, Errno> {
    put(ARG, 0, op);
    let result = settled(handler(cx, Args([ARG, 0, 0, 0, 0, 0])));
    *op = get(ARG, 0);
    result
}
