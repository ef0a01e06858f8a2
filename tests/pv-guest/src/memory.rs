//! The guest's memory: single accesses, the trap table, page-table operations.

use hypercall_abi::xen::Hypercall;

use crate::entry::{self, FAILSAFE, SYSTEM_CALL, call, stub};
use crate::start::BASE;

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// The machine-to-physical table that every PV guest sees.
const M2P: u64 = 0xffff_8000_0000_0000;
/// The 64-bit code segment that the hypervisor has for guests (public arch-x86/xen-x86_64.h).
pub const CS: u64 = 0xe033;
/// The data segment likewise.
pub const SS: u64 = 0xe02b;
const DOMID_SELF: u64 = 0x7ff0;

/// Reads a word of this guest's memory, which must be mapped.
pub fn read(address: u64) -> u64 {
    entry::load(address)
}

/// Writes a word of this guest's memory; nothing happens if the guest may not write there (any more).
pub fn write(address: u64, value: u64) {
    let _ = entry::store(address, value);
}

/// Writes a word and tells whether that was possible.
pub fn stored(address: u64, value: u64) -> bool {
    entry::store(address, value)
}

/// Writes bytes; nothing happens where the guest may not write.
pub fn write_bytes(address: u64, bytes: &[u8]) {
    for (at, byte) in (address..).zip(bytes) {
        entry::store_byte(at, *byte);
    }
}

/// The address at which a machine frame of this guest lies in its memory.
pub fn address_of(mfn: u64) -> u64 {
    BASE + read(M2P + mfn * 8) * PAGE
}

/// The trap table's page; its second half is room for arguments.
pub fn trap_table() -> u64 {
    entry::own()
}

/// Room for the arguments of a hypercall, half a page.
pub fn argument() -> u64 {
    trap_table() + PAGE / 2
}

/// Top of the stack for traps from user mode.
pub fn own_stack() -> u64 {
    entry::own() + 3 * PAGE
}

/// Tells the hypervisor (again) where traps, events and failures go: tests change it.
pub fn claim_traps() {
    let table = trap_table();
    for vector in 0..32 {
        let at = table + vector * 16;
        // vector, flags (DPL 3), code segment; address.
        write(at, vector | 3 << 8 | CS << 16);
        write(at + 8, stub(vector));
    }
    write(table + 32 * 16, 0);
    write(table + 32 * 16 + 8, 0);
    let _ = call(Hypercall::SET_TRAP_TABLE, [table, 0, 0, 0, 0, 0]);
    let callbacks = [stub(32), stub(FAILSAFE), stub(SYSTEM_CALL), 0, 0, 0];
    let _ = call(Hypercall::SET_CALLBACKS, callbacks);
    let _ = call(Hypercall::STACK_SWITCH, [SS, own_stack(), 0, 0, 0, 0]);
}

/// One extended memory-management operation on this domain.
pub fn mmuext(cmd: u64, arg1: u64, arg2: u64) -> i64 {
    let at = argument();
    write(at, cmd);
    write(at + 8, arg1);
    write(at + 16, arg2);
    call(Hypercall::MMUEXT_OP, [at, 1, 0, DOMID_SELF, 0, 0])
}
