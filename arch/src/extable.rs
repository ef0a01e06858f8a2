//! Where the hypervisor continues after a fault that it expected: pairs of (faulting RIP, continuation RIP) that
//! inline assembly leaves in `.ex_table`.
#![allow(unsafe_code)]

#[cfg(target_os = "none")]
unsafe extern "C" {
    static __ex_table_start: [u64; 2];
    static __ex_table_end: [u64; 2];
}

#[cfg(target_os = "none")]
fn table() -> &'static [[u64; 2]] {
    let (start, end) = (&raw const __ex_table_start, &raw const __ex_table_end);
    // SAFETY: the linker script brackets the section with these symbols; it is read-only data.
    unsafe { core::slice::from_raw_parts(start, end.offset_from(start) as usize) }
}

#[cfg(not(target_os = "none"))]
fn table() -> &'static [[u64; 2]] {
    &[]
}

/// Where to continue after a fault at `rip`, or `None` if none was expected there.
#[must_use]
pub fn fixup(rip: u64) -> Option<u64> {
    // A few dozen entries: not worth sorting.
    table()
        .iter()
        .find(|entry| entry[0] == rip)
        .map(|entry| entry[1])
}
