# A boot loader that knows PVH, for the test of that entry: QEMU loads this page in front of Oxen's flat image
# through multiboot1, the page turns what it was told into PVH's hvm_start_info (Xen public/arch-x86/hvm/start_info.h)
# and jumps to the address of the image's PVH note. QEMU's own PVH loader passes one module only.
#
# Given when assembled: load, entry, file_end, memory_end (physical addresses).
        .code32
        .text
        .globl start
header: .long 0x1badb002
        .long 0x00010003                        # modules on page borders, memory map, address fields
        .long -(0x1badb002 + 0x00010003)
        .long header
        .long load
        .long file_end
        .long memory_end
        .long start

start:  cli
        cld
        mov %ebx, %ebp                          # the multiboot information
        mov 16(%ebp), %eax                      # command line
        mov %eax, info + 24
        mov 20(%ebp), %ecx                      # modules: number, list
        mov %ecx, info + 12
        mov 24(%ebp), %esi
        mov $modules, %edi
        xor %edx, %edx
1:      jecxz 2f
        mov (%esi), %eax
        mov %eax, (%edi)                        # address
        sub 4(%esi), %eax
        neg %eax
        mov %eax, 8(%edi)                       # length
        mov 8(%esi), %eax
        mov %eax, 16(%edi)                      # command line
        mov %edx, 4(%edi)
        mov %edx, 12(%edi)
        mov %edx, 20(%edi)
        add $16, %esi
        add $32, %edi
        dec %ecx
        jmp 1b
2:      mov 44(%ebp), %ecx                      # memory map: length in bytes, list
        mov 48(%ebp), %esi
        add %esi, %ecx
        mov $map, %edi
3:      cmp %ecx, %esi
        jae 4f
        mov (%esi), %ebx                        # bytes that follow in this entry
        add $4, %esi
        add %esi, %ebx
        push_count = 5                          # address, length, type: five words
        .rept push_count
        movsl
        .endr
        mov %ebx, %esi
        movl $0, (%edi)
        add $4, %edi
        inc %edx
        jmp 3b
4:      mov %edx, info + 48
        mov $info, %ebx
        mov $entry, %eax
        jmp *%eax

        .balign 8
info:   .long 0x336ec578, 1, 0, 0               # magic, version, flags, modules
        .long modules, 0, 0, 0, 0, 0, map, 0    # modules, command line, RSDP, memory map
        .long 0, 0
modules: .skip 4 * 32
map:    .skip 64 * 24
        .org 4096, 0
