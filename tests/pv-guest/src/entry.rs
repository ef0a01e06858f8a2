//! Where the guest begins, where its traps go, how code under test is entered and left.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::elfnote::ElfNote;
use hypercall_abi::xen::Hypercall;

use crate::console::{say, say_hex, say_number, say_progress};
use crate::start::{BASE, end};

/// Instead of a vector: the code jumped to its [`landing`].
pub const NO_TRAP: u64 = u64::MAX;
/// Instead of a vector: a system call from user mode.
pub const SYSTEM_CALL: u64 = 33;
/// Instead of a vector: the hypervisor could not return where it was told to (the failsafe callback).
pub const FAILSAFE: u64 = 34;

/// Exceptions with an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP.
const WITH_ERROR_CODE: u32 =
    1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21;

global_asm!(
    r#"
    .macro note type, size
        .balign 4
        .long 4, \size, \type
        .asciz "Xen"
    .endm
    .section .note.Xen, "a", @note
    note {entry}, 8
    .quad guest_start
    note {virt_base}, 8
    .quad {base}
    note {paddr_offset}, 8
    .quad 0
    note {guest_os}, 5
    .asciz "test"
    note {xen_version}, 8
    .asciz "xen-3.0"
    note {loader}, 8
    .asciz "generic"
    note {pae}, 4
    .asciz "yes"
    note {features}, 22
    .asciz "!writable_page_tables"
        .balign 4

    .section .text.start, "ax"
    .global guest_start
    guest_start:
        cld
        lea rsp, [rip + guest_stack_top]
        mov rdi, rsi
        call guest_main
        ud2

    // A stub per exception; 32: events, 33: system calls, 34: failed returns.
    .balign 16
    .global guest_traps
    guest_traps:
        .set n, 0
        .rept 35
            .balign 16
            // push n
            .byte 0x6a, n
            jmp guest_trap
            .set n, n + 1
        .endr
    guest_trap:
        xchg rax, [rsp]
        cmp dword ptr [rip + guest_armed], 0
        je 2f
        lock inc qword ptr [rip + guest_trapped]
        // What the hypervisor pushed, into guest_frame: vector, rcx, r11, error code, rip, cs, flags, rsp, ss.
        mov [rip + guest_frame], rax
        pop qword ptr [rip + guest_registers]
        pop qword ptr [rip + guest_frame + 8]
        pop qword ptr [rip + guest_frame + 16]
        mov qword ptr [rip + guest_frame + 24], 0
        cmp eax, {failsafe}
        jne 1f
        // ds, es, fs, gs
        add rsp, 32
    1:  cmp eax, 32
        jae 1f
        bt dword ptr [rip + guest_with_error], eax
        jnc 1f
        pop qword ptr [rip + guest_frame + 24]
    1:  pop qword ptr [rip + guest_frame + 32]
        pop qword ptr [rip + guest_frame + 40]
        pop qword ptr [rip + guest_frame + 48]
        pop qword ptr [rip + guest_frame + 56]
        pop qword ptr [rip + guest_frame + 64]
        mov rax, [rip + guest_registers]
        jmp 3f
    .global guest_land
    guest_land:
        mov [rip + guest_registers], rax
        mov qword ptr [rip + guest_frame], -1
        mov [rip + guest_frame + 8], rcx
        mov [rip + guest_frame + 16], r11
    3:  mov [rip + guest_registers + 8], rcx
        mov [rip + guest_registers + 16], rdx
        mov [rip + guest_registers + 24], rbx
        mov [rip + guest_registers + 32], rsp
        mov [rip + guest_registers + 40], rbp
        mov [rip + guest_registers + 48], rsi
        mov [rip + guest_registers + 56], rdi
        mov [rip + guest_registers + 64], r8
        mov [rip + guest_registers + 72], r9
        mov [rip + guest_registers + 80], r10
        mov [rip + guest_registers + 88], r11
        mov [rip + guest_registers + 96], r12
        mov [rip + guest_registers + 104], r13
        mov [rip + guest_registers + 112], r14
        mov [rip + guest_registers + 120], r15
        mov rsp, [rip + guest_saved]
        mov dword ptr [rip + guest_armed], 0
        push 2
        popfq
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret
    2:  // Nothing is armed. On the stack: rax, rcx, r11, and what is different for each vector.
        // An event that a random write unmasked: go back, masked, through a frame of iret.
        cmp eax, 32
        jne 3f
        and qword ptr [rsp + 40], -513
        sub rsp, 8
        mov rcx, [rsp + 8]
        mov [rsp], rcx
        mov rcx, [rsp + 24]
        mov [rsp + 8], rcx
        mov qword ptr [rsp + 24], 0
        mov eax, {iret}
        syscall
    3:  // A store to a page that the guest took from itself does nothing.
        cmp eax, 14
        jne 5f
        lea rcx, [rip + guest_store]
        cmp rcx, [rsp + 32]
        je 6f
        lea rcx, [rip + guest_store_byte]
        cmp rcx, [rsp + 32]
        jne 5f
    6:  lea rcx, [rip + guest_stored]
        mov [rsp + 32], rcx
        mov qword ptr [rip + guest_denied], 1
        add rsp, 32
        and qword ptr [rsp + 16], -513
        push 0
        push 0
        push 0
        push 0
        mov eax, {iret}
        syscall
    5:  // Else say so and end.
        mov rdi, rax
        mov rsi, [rsp + 24]
        mov rdx, [rsp + 32]
        lea rsp, [rip + guest_stack_top]
        call guest_lost
        ud2

    // guest_store(address, word), guest_store_byte(address, byte)
    .global guest_store
    guest_store:
        mov [rdi], rsi
    .global guest_stored
    guest_stored:
        ret
    .global guest_store_byte
    guest_store_byte:
        mov [rdi], sil
        ret

    .macro arm
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [rip + guest_saved], rsp
        mov dword ptr [rip + guest_armed], 1
    .endm
    .macro load_most
        mov rdx, [rsi + 16]
        mov rbx, [rsi + 24]
        mov rbp, [rsi + 40]
        mov rdi, [rsi + 56]
        mov r8, [rsi + 64]
        mov r9, [rsi + 72]
        mov r10, [rsi + 80]
        mov r12, [rsi + 96]
        mov r13, [rsi + 104]
        mov r14, [rsi + 112]
        mov r15, [rsi + 120]
    .endm
    // guest_run_kernel(code, registers): in guest kernel mode, on the stack that the registers name.
    .global guest_run_kernel
    guest_run_kernel:
        arm
        mov [rip + guest_target], rdi
        load_most
        mov rax, [rsi]
        mov rcx, [rsi + 8]
        mov r11, [rsi + 88]
        mov rsp, [rsi + 32]
        mov rsi, [rsi + 48]
        jmp [rip + guest_target]
    // guest_run_user(frame, registers): in guest user mode, through the iret hypercall.
    .global guest_run_user
    guest_run_user:
        arm
        mov rsp, rdi
        load_most
        mov rsi, [rsi + 48]
        mov eax, {iret}
        syscall
        ud2

    .section .rodata
    .balign 4
    guest_with_error: .long {with_error}
    .section .bss
    .balign 4096
        .skip 65536
    guest_stack_top:
    guest_saved: .skip 8
    guest_target: .skip 8
    guest_armed: .skip 8
    .global guest_trapped
    guest_trapped: .skip 8
    .global guest_denied
    guest_denied: .skip 8
    .global guest_frame
    guest_frame: .skip 72
    .global guest_registers
    guest_registers: .skip 128
    .text
    "#,
    entry = const ElfNote::ENTRY.0,
    virt_base = const ElfNote::VIRT_BASE.0,
    paddr_offset = const ElfNote::PADDR_OFFSET.0,
    guest_os = const ElfNote::GUEST_OS.0,
    xen_version = const ElfNote::XEN_VERSION.0,
    loader = const ElfNote::LOADER.0,
    pae = const ElfNote::PAE_MODE.0,
    features = const ElfNote::FEATURES.0,
    base = const BASE,
    iret = const 23,
    failsafe = const FAILSAFE,
    with_error = const WITH_ERROR_CODE,
);

unsafe extern "C" {
    fn guest_traps();
    fn guest_land();
    fn guest_run_kernel(code: u64, registers: *const u64);
    fn guest_run_user(frame: *const u64, registers: *const u64);
    fn guest_store(address: u64, word: u64);
    fn guest_store_byte(address: u64, byte: u64);
    static guest_trapped: AtomicU64;
    static guest_denied: AtomicU64;
    static guest_frame: [AtomicU64; 9];
    static guest_registers: [AtomicU64; 16];
}

/// The address of the stub of a vector; 32: events, [`SYSTEM_CALL`], [`FAILSAFE`].
pub fn stub(vector: u64) -> u64 {
    guest_traps as *const () as u64 + vector * 16
}

/// Where code under test jumps when it comes to its end.
pub fn landing() -> u64 {
    guest_land as *const () as u64
}

/// How often code under test ended in a trap.
pub fn traps() -> u64 {
    // SAFETY: an aligned word of .bss that only the trap stub writes, atomically.
    unsafe { &guest_trapped }.load(Ordering::Relaxed)
}

/// General registers in the order of their numbers (rsp is number 4).
pub type Registers = [u64; 16];

/// How code under test came back.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    /// The exception, [`SYSTEM_CALL`], [`FAILSAFE`], or [`NO_TRAP`]: then only the registers mean anything.
    pub vector: u64,
    /// Its error code; 0 where there is none.
    pub error: u64,
    /// Where it was.
    pub rip: u64,
    /// Its code segment, without the event mask that the hypervisor puts above.
    pub cs: u64,
    /// Its flags.
    pub flags: u64,
    /// Its stack.
    pub rsp: u64,
    /// Its stack segment.
    pub ss: u64,
    /// Its registers; rsp is the handler's.
    pub registers: Registers,
}

/// How the code that ran last came back.
pub fn last_trap() -> Trap {
    // SAFETY: aligned words of .bss that only the trap stub writes, while code under test runs.
    let (frame, registers) = unsafe { (&guest_frame, &guest_registers) };
    let word = |at: usize| frame[at].load(Ordering::Relaxed);
    Trap {
        vector: word(0),
        error: word(3),
        rip: word(4),
        cs: word(5) & 0xffff,
        flags: word(6),
        rsp: word(7),
        ss: word(8) & 0xffff,
        registers: core::array::from_fn(|at| match at {
            1 => word(1),
            11 => word(2),
            _ => registers[at].load(Ordering::Relaxed),
        }),
    }
}

/// Runs code in guest kernel mode until it lands.
pub fn run_kernel(code: u64, registers: &Registers) {
    // SAFETY: it comes back with the saved stack and registers, or not at all: then only this guest is lost, whose
    // purpose that is. Memory that the code may overwrite is raw memory of this guest.
    unsafe { guest_run_kernel(code, registers.as_ptr()) }
}

/// Runs code in guest user mode until it lands. `frame` is what the iret hypercall takes: rax, r11, rcx, flags, rip, cs,
/// rflags, rsp, ss.
pub fn run_user(frame: &[u64; 9], registers: &Registers) {
    // SAFETY: as `run_kernel`.
    unsafe { guest_run_user(frame.as_ptr(), registers.as_ptr()) }
}

/// Any hypercall.
pub fn hypercall(number: u64, args: [u64; 6]) -> i64 {
    let result: u64;
    // SAFETY: the hypervisor may write whatever memory of this guest the arguments name. A guest that attacks puts
    // itself at risk; none of its Rust objects is assumed to survive but the ones on its stack, and those that do not
    // end the guest, not the test.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            inlateout("rdi") args[0] => _,
            inlateout("rsi") args[1] => _,
            inlateout("rdx") args[2] => _,
            inlateout("r10") args[3] => _,
            inlateout("r8") args[4] => _,
            inlateout("r9") args[5] => _,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result as i64
}

/// A hypercall by name.
pub fn call(op: Hypercall, args: [u64; 6]) -> i64 {
    hypercall(u64::from(u32::from(op)), args)
}

/// Writes a word; false if the guest may not write there.
pub(crate) fn store(address: u64, value: u64) -> bool {
    // SAFETY: a word of .bss that only the trap stub writes, and this.
    let denied = unsafe { &guest_denied };
    denied.store(0, Ordering::Relaxed);
    // SAFETY: callers name memory that holds no Rust objects; the trap handler ends what faults.
    unsafe { guest_store(address, value) }
    denied.load(Ordering::Relaxed) == 0
}

/// Writes a byte likewise.
pub(crate) fn store_byte(address: u64, byte: u8) {
    // SAFETY: as `store`.
    unsafe { guest_store_byte(address, u64::from(byte)) }
}

#[unsafe(no_mangle)]
extern "C" fn guest_lost(vector: u64, above: u64, further: u64) -> ! {
    say(b"\n%% lost at vector ");
    say_number(vector);
    // Error code and instruction pointer, or instruction pointer and code segment.
    say(b" frame ");
    say_hex(above);
    say(b" ");
    say_hex(further);
    say_progress();
    end(0)
}

/// Pages that the tests do not play with: a trap table with room for arguments, and a stack for traps from user mode.
#[repr(C, align(4096))]
struct Own(UnsafeCell<[u8; 3 * 4096]>);

// SAFETY: only the processor and the hypervisor look at them, and `store`.
unsafe impl Sync for Own {}

static OWN: Own = Own(UnsafeCell::new([0; 3 * 4096]));

/// Where [`Own`] begins: the trap table's page, then the stack.
pub(crate) fn own() -> u64 {
    OWN.0.get() as u64
}

/// Reads a word of this guest's memory, which must be mapped.
pub(crate) fn load(address: u64) -> u64 {
    // SAFETY: callers name start_info, pages of their own, the M2P or page tables: mapped for as long as the guest lives.
    unsafe { (address as *const u64).read_volatile() }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    say(b"\n%% lost: panic");
    say_progress();
    end(0)
}
