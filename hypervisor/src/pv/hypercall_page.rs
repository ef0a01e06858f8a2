//! The page of call stubs that a PV kernel reserves (`XEN_ELFNOTE_HYPERCALL_PAGE`): 32 bytes per hypercall.
//!
//! A kernel may as well execute SYSCALL itself with the number in eax, with the same clobbers.

/// Fills the page with stubs for every hypercall number.
pub fn fill(page: &mut [u8; 4096]) {
    // Numbers without a hypercall trap, visibly.
    page.fill(0xcc);
    for (number, stub) in page.chunks_exact_mut(32).enumerate() {
        // push rcx; push r11; mov eax, number; syscall; pop r11; pop rcx; ret
        let code: &[u8] = &[
            0x51,
            0x41,
            0x53,
            0xb8,
            number as u8,
            0,
            0,
            0,
            0x0f,
            0x05,
            0x41,
            0x5b,
            0x59,
            0xc3,
        ];
        stub[..code.len()].copy_from_slice(code);
    }
    // iret never returns, and its frame is the stack as it is: public iret_context starts with rax, r11, rcx.
    // push rcx; push r11; push rax; mov eax, 23; syscall
    let iret: &[u8] = &[
        0x51, 0x41, 0x53, 0x50, 0xb8, 23, 0, 0, 0, 0x0f, 0x05, 0xcc, 0xcc, 0xcc,
    ];
    page[23 * 32..23 * 32 + iret.len()].copy_from_slice(iret);
}
