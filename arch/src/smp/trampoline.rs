//! The real-mode code that a CPU starts in.

use core::arch::global_asm;

use crate::addr::{Mfn, PAGE_BYTES, PhysAddr};
use crate::frame::RawFrame;
use crate::paging::IMAGE_BASE;
use crate::percpu::info_address;

global_asm!(
    r#"
.section .rodata.trampoline, "a"
.balign 16
.code16
.global trampoline_start
trampoline_start:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    mov $0x20, %eax                     // PAE
    mov %eax, %cr4
    mov (trampoline_cr3 - trampoline_start), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx               // EFER: LME, NXE
    rdmsr
    or $0x900, %eax
    wrmsr
    lgdtl (trampoline_gdt_pointer - trampoline_start)
    mov $0x80010033, %eax               // PG, WP, NE, ET, MP, PE
    mov %eax, %cr0
    ljmpl *(trampoline_target - trampoline_start)

.code64
.global trampoline_long
trampoline_long:
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    lea trampoline_start(%rip), %rbx
    mov trampoline_high(%rip), %rax
    jmp *%rax

.balign 8
.global trampoline_gdt
trampoline_gdt:
    .quad 0
    .quad 0x00af9b000000ffff
trampoline_gdt_pointer:
    .short 15
.global trampoline_gdt_base
trampoline_gdt_base:
    .long 0
.balign 8
.global trampoline_target
trampoline_target:
    .long 0
    .short 8
.balign 8
.global trampoline_cr3
trampoline_cr3:
    .quad 0
.global trampoline_high
trampoline_high:
    .quad 0
.global trampoline_final_cr3
trampoline_final_cr3:
    .quad 0
.global trampoline_stack
trampoline_stack:
    .quad 0
.global trampoline_cpu
trampoline_cpu:
    .quad 0
.global trampoline_end
trampoline_end:

.section .text.trampoline, "ax"
// In the image, still on the early tables; RBX is the trampoline page (identity-mapped).
.global trampoline_in_image
trampoline_in_image:
    mov (trampoline_final_cr3 - trampoline_start)(%rbx), %rcx
    mov (trampoline_stack - trampoline_start)(%rbx), %rdx
    mov (trampoline_cpu - trampoline_start)(%rbx), %rdi
    mov %rcx, %cr3
    mov %rdx, %rsp
    xor %ebp, %ebp
    call {rust}
    ud2
"#,
    rust = sym super::ap_entry,
    options(att_syntax)
);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_end: u8;
    static trampoline_long: u8;
    static trampoline_gdt: u8;
    static trampoline_gdt_base: u8;
    static trampoline_target: u8;
    static trampoline_cr3: u8;
    static trampoline_high: u8;
    static trampoline_final_cr3: u8;
    static trampoline_stack: u8;
    static trampoline_cpu: u8;
    static trampoline_in_image: u8;
    static boot_l4: u8;
}

/// Puts the code at physical `page`, with what `cpu` needs.
pub(super) fn write(page: u64, cpu: usize) {
    let start = &raw const trampoline_start;
    let len = (&raw const trampoline_end) as usize - start as usize;
    assert!(len <= PAGE_BYTES);
    // SAFETY: the symbols bracket read-only data of the image.
    let code = unsafe { core::slice::from_raw_parts(start, len) };
    let offset = |symbol: *const u8| symbol as usize - start as usize;
    // SAFETY: taken from free memory for this purpose alone (`prepare`), inside the direct map.
    let frame = unsafe { RawFrame::new(PhysAddr(page).mfn()) };
    frame.write(0, code);
    let put32 =
        |symbol: *const u8, value: u64| frame.write(offset(symbol), &(value as u32).to_le_bytes());
    let put64 = |symbol: *const u8, value: u64| frame.write(offset(symbol), &value.to_le_bytes());
    put32(
        &raw const trampoline_gdt_base,
        page + offset(&raw const trampoline_gdt) as u64,
    );
    put32(
        &raw const trampoline_target,
        page + offset(&raw const trampoline_long) as u64,
    );
    put64(
        &raw const trampoline_cr3,
        (&raw const boot_l4) as u64 - IMAGE_BASE,
    );
    put64(
        &raw const trampoline_high,
        (&raw const trampoline_in_image) as u64,
    );
    put64(&raw const trampoline_final_cr3, crate::paging::idle_cr3());
    put64(&raw const trampoline_stack, info_address(cpu));
    put64(&raw const trampoline_cpu, cpu as u64);
}

/// Empties the early L4: nothing can run on those tables any more.
pub(super) fn clear_early_tables() {
    let l4: Mfn = PhysAddr((&raw const boot_l4) as u64 - IMAGE_BASE).mfn();
    // SAFETY: a page of the image's own data that only the boot and trampoline code loads, which is over.
    unsafe { RawFrame::new(l4) }.zero();
}
