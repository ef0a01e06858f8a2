//! The first instructions: boot headers, 32-bit entry, early page tables, long mode, higher half.
//!
//! The early tables map physical 0..4 GiB three times, read-write-execute: identically, at the direct map's base and
//! (the first GiB) at the image's base. [`crate::paging`] replaces them by the final ones.

use core::arch::global_asm;

/// What the PVH entry below puts into EAX: the `start_info` magic (Xen public/arch-x86/hvm/start_info.h).
const MAGIC_PVH: u32 = 0x336e_c578;

/// Bytes of the boot stack; also its alignment, so that `CpuInfo` is found on it as on every other stack.
const BOOT_STACK: usize = crate::percpu::STACK_REGION;

global_asm!(
    r#"
.section .boot.header, "a"
.balign 8
multiboot1_header:
    .long 0x1badb002
    .long 0x00010003                    // modules on page borders, memory map, address fields
    .long -(0x1badb002 + 0x00010003)
    .long multiboot1_header - {base}
    .long image_start - {base}
    .long data_end - {base}
    .long bss_end - {base}
    .long image_entry - {base}

.balign 8
multiboot2_header:
    .long 0xe85250d6
    .long 0                             // i386, protected mode
    .long multiboot2_end - multiboot2_header
    .long -(0xe85250d6 + (multiboot2_end - multiboot2_header))
    // Information wanted, where it exists: command line, loader, modules, memory maps, framebuffer, EFI, ACPI.
    .short 1, 1
    .long 8 + 4 * 9
    .long 1, 2, 3, 6, 8, 12, 14, 15, 17
    .balign 8
    .short 3, 0                         // entry address
    .long 12
    .long image_entry - {base}
    .balign 8
    .short 4, 1                         // console: EGA text is understood
    .long 12
    .long 2
    .balign 8
    .short 5, 1                         // framebuffer: any
    .long 20
    .long 0, 0, 0
    .balign 8
    .short 6, 1                         // modules on page borders
    .long 8
    .short 0, 0
    .long 8
multiboot2_end:

.section .note.Xen, "a", @note
.balign 4
    .long 4, 4, 18                      // XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_start - {base}
    .long 4, 20, 3                      // NT_GNU_BUILD_ID; `./x build` writes the value
    .asciz "GNU"
.global oxen_build_id
oxen_build_id:
    .skip 20

.section .boot.text, "ax"
.code32
pvh_start:
    mov ${pvh}, %eax
.global image_entry
image_entry:
    cli
    cld
    mov $(boot_stack_end - 512 - {base}), %esp
    mov %eax, %ebp                      // protocol
    mov %ebx, %esi                      // its information, physical
    xor %eax, %eax
    push %eax
    popf

    // Long mode and NX are what Oxen cannot do without.
    mov $0x80000000, %eax
    cpuid
    cmp $0x80000001, %eax
    jb 8f
    mov $0x80000001, %eax
    cpuid
    bt $29, %edx
    jnc 8f
    bt $20, %edx
    jnc 9f

    // 4 GiB in 2 MiB pages: present, writable, accessed, dirty, large.
    mov $(boot_l2 - {base}), %edi
    mov $0xe3, %eax
    mov $2048, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    dec %ecx
    jnz 1b
    mov $(boot_l3_low - {base}), %edi
    mov $(boot_l2 - {base} + 0x63), %eax
    mov $4, %ecx
2:  mov %eax, (%edi)
    add $0x1000, %eax
    add $8, %edi
    dec %ecx
    jnz 2b
    movl $(boot_l2 - {base} + 0x63), (boot_l3_image - {base} + 322 * 8)
    movl $(boot_l3_low - {base} + 0x63), (boot_l4 - {base})
    movl $(boot_l3_image - {base} + 0x63), (boot_l4 - {base} + 261 * 8)
    movl $(boot_l3_low - {base} + 0x63), (boot_l4 - {base} + 262 * 8)

    mov %cr4, %eax
    or $0x20, %eax                      // PAE
    mov %eax, %cr4
    mov $(boot_l4 - {base}), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx               // EFER: LME, NXE
    rdmsr
    or $0x900, %eax
    wrmsr
    mov $0x80010033, %eax               // PG, WP, NE, ET, MP, PE
    mov %eax, %cr0
    lgdt boot_gdt_pointer - {base}
    ljmp $8, $(3f - {base})

8:  mov $(no_long_mode - {base}), %esi
    jmp 4f
9:  mov $(no_nx - {base}), %esi
    // One line on COM1 and at the top of the VGA text page, then nothing more.
4:  mov $0xb8000, %edi
5:  lodsb
    test %al, %al
    jz 7f
    mov $0x3fd, %dx
    mov %al, %bl
    mov $100000, %ecx
6:  in %dx, %al
    test $0x20, %al
    loopz 6b
    mov $0x3f8, %dx
    mov %bl, %al
    out %al, %dx
    mov $0x0f, %ah
    stosw
    jmp 5b
7:  hlt
    jmp 7b
no_long_mode:
    .asciz "Oxen: this CPU has no 64-bit mode; halted.\r\n"
no_nx:
    .asciz "Oxen: this CPU has no NX bit (or firmware has disabled it); halted.\r\n"

.code64
3:  movabs $5f, %rax
    jmp *%rax
5:  xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    movabs $boot_gdt_pointer_high, %rax
    lgdt (%rax)
    movabs $(boot_stack_end - 512), %rsp
    mov %ebp, %edi
    mov %esi, %esi
    xor %ebp, %ebp
    call {rust}
    ud2

.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff            // code, 64-bit
    .quad 0x00cf93000000ffff            // data
boot_gdt_pointer:
    .short 23
    .long boot_gdt - {base}
boot_gdt_pointer_high:
    .short 23
    .quad boot_gdt

.section .bss.stack, "aw", @nobits
.balign 65536
.global boot_stack
boot_stack:
    .skip {stack}
boot_stack_end:

.section .bss.boot_tables, "aw", @nobits
.balign 4096
.global boot_l4
boot_l4:
    .skip 4096
boot_l3_low:
    .skip 4096
boot_l3_image:
    .skip 4096
boot_l2:
    .skip 4 * 4096
"#,
    base = const crate::paging::IMAGE_BASE,
    pvh = const MAGIC_PVH,
    stack = const BOOT_STACK,
    rust = sym super::boot_entry,
    options(att_syntax)
);
