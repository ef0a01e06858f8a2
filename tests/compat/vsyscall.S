# A 32-bit program: system calls by the way that the kernel offers to such programs (the vDSO's __kernel_vsyscall: SYSENTER
# on Intel's processors, SYSCALL on AMD's), plainly and while every instruction is traced. Says which way it was; the exit
# status is 0 if both calls gave what INT 0x80 gives.

    .intel_syntax noprefix
    .set AT_SYSINFO, 32
    .set SIGTRAP, 5
    .set SA_NODEFER, 0x40000000
    .set TF, 0x100
    .set SYS_EXIT, 1
    .set SYS_WRITE, 4
    .set SYS_GETPID, 20
    .set SYS_SIGACTION, 67

    .text
    .globl _start
_start:
    # Past argc, the arguments and the environment to the auxiliary vector.
    mov esi, [esp]
    lea esi, [esp + 4*esi + 8]
1:  add esi, 4
    cmp dword ptr [esi - 4], 0
    jne 1b
2:  mov eax, [esi]
    test eax, eax
    jz no_entry
    add esi, 8
    cmp eax, AT_SYSINFO
    jne 2b
    mov edi, [esi - 4]

    # The way: the first of 0f 34 (SYSENTER), 0f 05 (SYSCALL) and cd 80 in it.
    mov ebp, edi
    mov ecx, 32
3:  cmp word ptr [ebp], 0x340f
    je by_sysenter
    cmp word ptr [ebp], 0x050f
    je by_syscall
    inc ebp
    loop 3b
    lea ecx, [int80_name]
    jmp 4f
by_sysenter:
    lea ecx, [sysenter_name]
    jmp 4f
by_syscall:
    lea ecx, [syscall_name]
4:  mov eax, SYS_WRITE
    mov ebx, 1
    mov edx, 9
    int 0x80

    mov eax, SYS_GETPID
    int 0x80
    mov esi, eax
    mov eax, SYS_GETPID
    call edi
    cmp eax, esi
    jne wrong

    # The same with a trap after each instruction, in the kernel's entry code as well.
    mov eax, SYS_SIGACTION
    mov ebx, SIGTRAP
    lea ecx, [action]
    xor edx, edx
    int 0x80
    test eax, eax
    jnz wrong
    mov eax, SYS_GETPID
    pushfd
    or dword ptr [esp], TF
    popfd
    call edi
    pushfd
    and dword ptr [esp], ~TF
    popfd
    cmp eax, esi
    jne wrong
    cmp dword ptr [traps], 5
    jb untraced
    xor ebx, ebx
leave:
    mov eax, SYS_EXIT
    int 0x80
wrong:
    mov ebx, 1
    jmp leave
no_entry:
    mov ebx, 2
    jmp leave
untraced:
    mov ebx, 3
    jmp leave

on_trap:
    inc dword ptr [traps]
    ret

    .data
    # struct old_sigaction: handler, mask, flags, restorer (the vDSO's).
action:
    .long on_trap, 0, SA_NODEFER, 0
traps:
    .long 0
sysenter_name: .ascii "sysenter\n"
syscall_name:  .ascii "syscall \n"
int80_name:    .ascii "int80   \n"
