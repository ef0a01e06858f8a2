//! Entry and exit code of the bare backend.
//!
//! Stacks: see the per-pCPU area in docs/architecture.md. An IST entry (NMI, #MC, #DB) that interrupted a guest
//! moves its frame to the main stack, so that what follows cannot tell it from any other; one that interrupted
//! the hypervisor stays where it is.

use core::arch::global_asm;

use super::{EntryBlock, TrapFrame, VECTOR_SYSCALL, selector};
use crate::percpu::CpuInfo;

const SAVED_RSP: usize =
    core::mem::offset_of!(CpuInfo, entry) + core::mem::offset_of!(EntryBlock, saved_rsp);

global_asm!(
    r#"
    .macro SAVE_REGISTERS
        push rdi
        push rsi
        push rdx
        push rcx
        push rax
        push r8
        push r9
        push r10
        push r11
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        xor ebp, ebp
    .endm
    .macro RESTORE_REGISTERS
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        pop r11
        pop r10
        pop r9
        pop r8
        pop rax
        pop rcx
        pop rdx
        pop rsi
        pop rdi
    .endm
    # Three bytes that become CLAC or STAC when SMAP is switched on (patch_smap).
    .macro CLAC_SITE
        661:
        .byte 0x0f, 0x1f, 0x00
        .pushsection .smap_sites, "a", @progbits
        .quad 661b
        .quad 0xca
        .popsection
    .endm
    .macro STAC_SITE
        661:
        .byte 0x0f, 0x1f, 0x00
        .pushsection .smap_sites, "a", @progbits
        .quad 661b
        .quad 0xcb
        .popsection
    .endm
    .macro EX_TABLE fault, fixup
        .pushsection .ex_table, "a", @progbits
        .balign 8
        .quad \fault
        .quad \fixup
        .popsection
    .endm

    .section .text.entry, "ax", @progbits

    # 256 stubs of 16 bytes: complete the hardware frame with error code and vector.
    .balign 16
    .globl oxen_entry_stubs
oxen_entry_stubs:
    .set vector, 0
    .rept 256
        .balign 16
        .if (vector == 8) | ((vector >= 10) & (vector <= 14)) | (vector == 17) | (vector == 21) | (vector == 29) | (vector == 30)
        .else
            push 0
        .endif
        mov dword ptr [rsp + 4], vector
        .if (vector == 1) | (vector == 2) | (vector == 8) | (vector == 18)
            jmp ist_entry
        .else
            jmp trap_entry
        .endif
        .set vector, vector + 1
    .endr

    .balign 16
trap_entry:
    SAVE_REGISTERS
    CLAC_SITE
    cld
    mov rdi, rsp
    mov rbx, rsp
    and rsp, -16
    call oxen_trap
    mov rsp, rbx
    cmp dword ptr [rsp + {vector}], {vector_syscall}
    je maybe_sysret
    # The first five bytes of this and of `sysret_restore` become jumps where buffers must be cleared
    # (clear_buffers_on_exit): elsewhere that costs nothing.
    .globl oxen_return
oxen_return:
    RESTORE_REGISTERS
    add rsp, 8
return_iretq:
    iretq
    EX_TABLE return_iretq, return_fault

    # The guest's frame cannot be loaded. Its general registers are live, its frame is on the stack.
return_fault:
    push 0
    SAVE_REGISTERS
    mov rdi, rsp
    sub rsp, 8
    call oxen_iret_fault
    add rsp, 8
    jmp oxen_return

    .balign 16
ist_entry:
    SAVE_REGISTERS
    CLAC_SITE
    cld
    test byte ptr [rsp + {cs}], 3
    jnz 2f
    mov rdi, rsp
    mov rbx, rsp
    and rsp, -16
    call oxen_trap
    mov rsp, rbx
    jmp oxen_return
2:  # From a guest: continue on the main stack.
    mov rsi, rsp
    mov rdi, rsp
    or rdi, 0xffff
    sub rdi, 512 - 1 + {frame_size}
    mov rbx, rdi
    mov ecx, {frame_size} / 8
    rep movsq
    mov rsp, rbx
    mov rdi, rsp
    sub rsp, 8
    call oxen_trap
    add rsp, 8
    jmp oxen_return

    # From the per-CPU stub: guest RSP parked, RSP at the stack's top, RCX = RIP, R11 = RFLAGS.
    .balign 16
    .globl oxen_syscall_entry
oxen_syscall_entry:
    push {guest_ss}
    push qword ptr [rsp + 8 + {saved_rsp}]
    push r11
    push {guest_cs}
syscall_common:
    push rcx
    mov dword ptr [rsp - 8], 0
    mov dword ptr [rsp - 4], {vector_syscall}
    sub rsp, 8
    SAVE_REGISTERS
    mov rdi, rsp
    sub rsp, 8
    call oxen_syscall
    add rsp, 8
after_syscall:
    # SYSRET only for a frame that lost nothing but rcx and r11, has the flat selectors and a canonical RIP
    # (a non-canonical one would fault in ring 0 on the guest's stack).
    cmp dword ptr [rsp + {vector}], {vector_syscall}
    jne oxen_return
maybe_sysret:
    cmp qword ptr [rsp + {cs}], {guest_cs}
    jne oxen_return
    cmp qword ptr [rsp + {ss}], {guest_ss}
    jne oxen_return
    mov rcx, [rsp + {rip}]
    mov rax, rcx
    sar rax, 47
    inc eax
    cmp eax, 1
    ja oxen_return
    .globl sysret_restore
sysret_restore:
    RESTORE_REGISTERS
    mov rcx, [rsp + 8]
    mov r11, [rsp + 24]
    mov rsp, [rsp + 32]
    sysretq

    # The same two ways out with VERW, which clears buffers whatever selector it looks at. The descriptor is one of
    # Oxen's own: a guest's might lie in a page that is not there.
    .globl return_clearing
return_clearing:
    RESTORE_REGISTERS
    add rsp, 8
    verw word ptr [rip + clearing_selector]
clearing_iretq:
    iretq
    EX_TABLE clearing_iretq, return_fault
    .globl sysret_clearing
sysret_clearing:
    RESTORE_REGISTERS
    mov rcx, [rsp + 8]
    mov r11, [rsp + 24]
    mov rsp, [rsp + 32]
    verw word ptr [rip + clearing_selector]
    sysretq
clearing_selector:
    .word {guest_ss}

    # SYSCALL from compatibility mode (on AMD processors; Intel's raise #UD there).
    .balign 16
    .globl oxen_syscall32_entry
oxen_syscall32_entry:
    push {guest_ss}
    push qword ptr [rsp + 8 + {saved_rsp}]
    push r11
    push {guest_cs32}
    jmp syscall_common

    # SYSENTER (on Intel processors): RSP is the main stack's top, IF is clear, every other flag is still the guest's.
    # Where the guest was, and its stack, is nowhere; its kernel knows by convention. With TF set each instruction up to
    # POPFQ traps (and goes on); the frame has the flag. A set NT would make the IRET at the end fault.
    .balign 16
    .globl oxen_sysenter_entry
oxen_sysenter_entry:
    push {guest_ss}
    push 0
    pushfq
    push 2
    popfq
    or dword ptr [rsp], {interrupt_flag}
    push {guest_cs32}
    push 0
    mov dword ptr [rsp - 8], 0
    mov dword ptr [rsp - 4], {vector_syscall}
    sub rsp, 8
    SAVE_REGISTERS
    CLAC_SITE
    mov rdi, rsp
    sub rsp, 8
    call oxen_sysenter
    add rsp, 8
    jmp after_syscall

    .section .text, "ax", @progbits

    # usercopy(dst=rdi, src=rsi, len=rdx) -> bytes not copied. One side is guest memory.
    .globl oxen_usercopy
oxen_usercopy:
    STAC_SITE
    mov rcx, rdx
    shr rcx, 3
    and edx, 7
770:
    rep movsq
    mov ecx, edx
771:
    rep movsb
772:
    mov rax, rcx
    CLAC_SITE
    ret
773:
    lea rax, [rdx + rcx * 8]
    CLAC_SITE
    ret
    EX_TABLE 770b, 773b
    EX_TABLE 771b, 772b

    # user_read8(rdi = addr, rsi = *mut u64) -> 0 or 1 (fault)
    .globl oxen_user_read8
oxen_user_read8:
    STAC_SITE
774:
    mov rax, [rdi]
    CLAC_SITE
    mov [rsi], rax
    xor eax, eax
    ret
775:
    CLAC_SITE
    mov eax, 1
    ret
    EX_TABLE 774b, 775b

    # user_write_words(rdi = addr, rsi = words, rdx = count) -> words not written
    .globl oxen_user_write_words
oxen_user_write_words:
    STAC_SITE
    mov rcx, rdx
776:
    rep movsq
777:
    CLAC_SITE
    mov rax, rcx
    ret
    EX_TABLE 776b, 777b
    "#,
    cs = const core::mem::offset_of!(TrapFrame, cs),
    ss = const core::mem::offset_of!(TrapFrame, ss),
    rip = const core::mem::offset_of!(TrapFrame, rip),
    vector = const core::mem::offset_of!(TrapFrame, vector),
    frame_size = const size_of::<TrapFrame>(),
    saved_rsp = const SAVED_RSP,
    vector_syscall = const VECTOR_SYSCALL,
    guest_ss = const selector::GUEST_SS,
    guest_cs = const selector::GUEST_CS64,
    guest_cs32 = const selector::GUEST_CS32,
    interrupt_flag = const super::INTERRUPT_FLAG,
);

unsafe extern "C" {
    static oxen_entry_stubs: u8;
    static oxen_syscall_entry: u8;
    static oxen_syscall32_entry: u8;
    static oxen_sysenter_entry: u8;
    static oxen_return: u8;
    static return_clearing: u8;
    static sysret_restore: u8;
    static sysret_clearing: u8;
    static __smap_sites_start: [u64; 2];
    static __smap_sites_end: [u64; 2];
}

/// Address of the entry stub of an IDT vector.
pub fn stub_address(vector: u8) -> u64 {
    (&raw const oxen_entry_stubs) as u64 + u64::from(vector) * 16
}

/// Where the per-CPU SYSCALL stub jumps to.
pub fn syscall_entry_address() -> u64 {
    (&raw const oxen_syscall_entry) as u64
}

/// Where the per-CPU stub for SYSCALL from compatibility mode jumps to.
pub fn syscall32_entry_address() -> u64 {
    (&raw const oxen_syscall32_entry) as u64
}

/// Where SYSENTER leads.
pub fn sysenter_entry_address() -> u64 {
    (&raw const oxen_sysenter_entry) as u64
}

/// Turns the placeholder NOPs into CLAC and STAC. Called once, on the boot CPU, after SMAP was detected and
/// before the image's text becomes read-only.
///
/// # Safety
/// The text must be mapped writable, and no other CPU may run.
pub unsafe fn patch_smap() {
    let mut site = &raw const __smap_sites_start;
    while site < &raw const __smap_sites_end {
        // SAFETY: the linker script brackets the section that this file's macros fill with (address, byte) pairs.
        let [address, third] = unsafe { site.read() };
        let code = address as *mut u8;
        // SAFETY: the address is that of a three-byte NOP in the text, writable by the caller's promise.
        unsafe {
            code.write_volatile(0x0f);
            code.add(1).write_volatile(0x01);
            code.add(2).write_volatile(third as u8);
            site = site.add(1);
        }
    }
}

/// Makes every way out to a guest clear the processor's buffers (VERW). On the boot CPU, while it is the only one and on
/// the early page tables.
///
/// # Panics
/// If it is too late (a hypervisor bug).
pub fn clear_buffers_on_exit() {
    // The early tables map the text writable, and no other CPU is started on them.
    assert!(crate::paging::idle_cr3() == 0, "the text is not writable");
    for (from, to) in [
        (&raw const oxen_return, &raw const return_clearing),
        (&raw const sysret_restore, &raw const sysret_clearing),
    ] {
        let distance = (to as usize).wrapping_sub(from as usize + 5) as u32;
        let [a, b, c, d] = distance.to_le_bytes();
        for (n, byte) in [0xe9, a, b, c, d].into_iter().enumerate() {
            // SAFETY: five bytes of the instructions at a label to which all jumps go, writable as was
            // just seen, and what they become does the same and VERW, which is harmless on every processor.
            unsafe { from.cast_mut().add(n).write_volatile(byte) };
        }
    }
}

global_asm!(
    r#"
    # start(f = rdi): a zeroed frame at the top of the main stack, f(&mut frame), into the guest.
    .globl oxen_enter_guest
oxen_enter_guest:
    mov rbx, rdi
    mov rdi, rsp
    or rdi, 0xffff
    sub rdi, 512 - 1 + {frame_size}
    mov rsp, rdi
    mov ecx, {frame_size} / 8
    xor eax, eax
    rep stosq
    xor ebp, ebp
    mov rdi, rsp
    sub rsp, 8
    call rbx
    add rsp, 8
    jmp oxen_return
    "#,
    frame_size = const size_of::<TrapFrame>(),
);

/// Leaves what this CPU was doing for good: `enter` prepares the first guest's frame, and the guest runs. To be called
/// on the CPU's main stack.
pub fn start(enter: extern "C" fn(&mut TrapFrame)) -> ! {
    unsafe extern "C" {
        fn oxen_enter_guest(enter: extern "C" fn(&mut TrapFrame)) -> !;
    }
    // SAFETY: the callers' stack frames are abandoned, which nothing needs any more; the frame that `enter` fills is
    // a guest's (ring 3), as `oxen_return` requires.
    unsafe { oxen_enter_guest(enter) }
}
