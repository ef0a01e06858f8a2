//! The guest's bare life: entry, trap handlers, hypercalls, console. The only place that knows the machine.
//!
//! Code under test runs "armed": whatever trap or call it ends in lands back in [`run_kernel`] or [`run_user`]'s caller
//! with the stack that was saved. A trap when nothing is armed means that the guest has destroyed itself.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::elfnote::ElfNote;
use hypercall_abi::xen::Hypercall;

/// Where the guest's memory begins in its address space; see `guest.ld`.
pub const BASE: u64 = 0xffff_ffff_8000_0000;
/// The machine-to-physical table that every PV guest sees.
const M2P: u64 = 0xffff_8000_0000_0000;
const PAGE: u64 = 4096;

global_asm!(
    r#"
    .macro note type, size
        .balign 4
        .long 4, \size, \type
        .asciz "Xen"
    .endm
    .section .note.Xen, "a", @note
    note {entry}, 8
    .quad fuzz_start
    note {virt_base}, 8
    .quad {base}
    note {paddr_offset}, 8
    .quad 0
    note {guest_os}, 5
    .asciz "fuzz"
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
    .global fuzz_start
    fuzz_start:
        cld
        lea rsp, [rip + fuzz_stack_top]
        mov rdi, rsi
        call fuzz_main
        ud2

    // A stub per exception; events and failed returns use the last two.
    .balign 16
    .global fuzz_traps
    fuzz_traps:
        .set n, 0
        .rept 34
            .balign 16
            mov eax, n
            jmp fuzz_trap
            .set n, n + 1
        .endr
    fuzz_trap:
        cmp dword ptr [rip + fuzz_armed], 0
        je 2f
        lock inc qword ptr [rip + fuzz_trapped]
    .global fuzz_land
    fuzz_land:
        mov rsp, [rip + fuzz_saved]
        mov dword ptr [rip + fuzz_armed], 0
        push 2
        popfq
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret
    2:  // Nothing is armed. An event that a random write unmasked: go back, masked.
        cmp eax, 32
        jne 3f
        mov rcx, [rsp]
        mov r11, [rsp + 8]
        add rsp, 16
        and qword ptr [rsp + 16], -513
        push 0
        push rcx
        push r11
        push 0
        mov eax, {iret}
        syscall
    3:  // A store to a page that the guest took from itself does nothing.
        cmp eax, 14
        jne 5f
        lea rcx, [rip + fuzz_store]
        cmp rcx, [rsp + 24]
        je 4f
        lea rcx, [rip + fuzz_store_byte]
        cmp rcx, [rsp + 24]
        jne 5f
    4:  add rsp, 24
        lea rcx, [rip + fuzz_stored]
        mov [rsp], rcx
        and qword ptr [rsp + 16], -513
        push 0
        push 0
        push 0
        push 0
        mov eax, {iret}
        syscall
    5:  // Else say so and end.
        mov rsi, [rsp + 16]
        mov rdx, [rsp + 24]
        lea rsp, [rip + fuzz_stack_top]
        mov edi, eax
        call fuzz_lost
        ud2

    // fuzz_store(address, word), fuzz_store_byte(address, byte)
    .global fuzz_store
    fuzz_store:
        mov [rdi], rsi
    .global fuzz_stored
    fuzz_stored:
        ret
    .global fuzz_store_byte
    fuzz_store_byte:
        mov [rdi], sil
        ret

    .macro arm
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        mov [rip + fuzz_saved], rsp
        mov dword ptr [rip + fuzz_armed], 1
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
    // fuzz_run_kernel(code, registers): in guest kernel mode, on the stack that the registers name.
    .global fuzz_run_kernel
    fuzz_run_kernel:
        arm
        mov [rip + fuzz_target], rdi
        load_most
        mov rax, [rsi]
        mov rcx, [rsi + 8]
        mov r11, [rsi + 88]
        mov rsp, [rsi + 32]
        mov rsi, [rsi + 48]
        jmp [rip + fuzz_target]
    // fuzz_run_user(frame, registers): in guest user mode, through the iret hypercall.
    .global fuzz_run_user
    fuzz_run_user:
        arm
        mov rsp, rdi
        load_most
        mov rsi, [rsi + 48]
        mov eax, {iret}
        syscall
        ud2

    .section .bss
    .balign 4096
        .skip 65536
    fuzz_stack_top:
    fuzz_saved: .skip 8
    fuzz_target: .skip 8
    fuzz_armed: .skip 8
    .global fuzz_trapped
    fuzz_trapped: .skip 8
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
);

unsafe extern "C" {
    fn fuzz_traps();
    fn fuzz_land();
    fn fuzz_run_kernel(code: u64, registers: *const u64);
    fn fuzz_run_user(frame: *const u64, registers: *const u64);
    fn fuzz_store(address: u64, word: u64);
    fn fuzz_store_byte(address: u64, byte: u64);
    static fuzz_trapped: AtomicU64;
}

/// The address of the stub of a vector; 32: events, 33: failed returns and system calls.
pub fn stub(vector: u64) -> u64 {
    fuzz_traps as *const () as u64 + vector * 16
}

/// Where code under test jumps when it comes to its end.
pub fn landing() -> u64 {
    fuzz_land as *const () as u64
}

/// How often code under test ended in a trap.
pub fn traps() -> u64 {
    // SAFETY: an aligned word of .bss that only the trap stub writes, atomically.
    unsafe { &fuzz_trapped }.load(Ordering::Relaxed)
}

/// General registers in the order of their numbers (rsp is number 4).
pub type Registers = [u64; 16];

/// Runs code in guest kernel mode until it lands.
pub fn run_kernel(code: u64, registers: &Registers) {
    // SAFETY: it comes back with the saved stack and registers, or not at all: then only this guest is lost, whose
    // purpose that is. Memory that the code may overwrite is raw memory of this guest.
    unsafe { fuzz_run_kernel(code, registers.as_ptr()) }
}

/// Runs code in guest user mode until it lands. `frame` is what the iret hypercall takes: rax, r11, rcx, flags, rip, cs,
/// rflags, rsp, ss.
pub fn run_user(frame: &[u64; 9], registers: &Registers) {
    // SAFETY: as `run_kernel`.
    unsafe { fuzz_run_user(frame.as_ptr(), registers.as_ptr()) }
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

/// Reads a word of this guest's memory, which must be mapped.
pub fn read(address: u64) -> u64 {
    // SAFETY: callers name start_info, the pool, the M2P or page tables: mapped for as long as the guest lives.
    unsafe { (address as *const u64).read_volatile() }
}

/// Writes a word of this guest's memory; nothing happens if the guest may not write there (any more).
pub fn write(address: u64, value: u64) {
    // SAFETY: callers name the pool or shared pages, which hold no Rust objects; the trap handler ends what faults.
    unsafe { fuzz_store(address, value) }
}

/// Writes bytes likewise.
pub fn write_bytes(address: u64, bytes: &[u8]) {
    for (at, byte) in (address..).zip(bytes) {
        // SAFETY: as `write`.
        unsafe { fuzz_store_byte(at, u64::from(*byte)) }
    }
}

/// Pages that are no part of the pool: a trap table with room for arguments, and a stack for traps from user mode.
#[repr(C, align(4096))]
struct Own(UnsafeCell<[u8; 3 * PAGE as usize]>);

// SAFETY: only the processor and the hypervisor look at them, and `write`.
unsafe impl Sync for Own {}

static OWN: Own = Own(UnsafeCell::new([0; 3 * PAGE as usize]));

/// Where [`Own`] begins: the trap table's page, then the stack.
pub fn own() -> u64 {
    OWN.0.get() as u64
}

/// The address at which a machine frame of this guest lies in its memory.
pub fn address_of(mfn: u64) -> u64 {
    BASE + read(M2P + mfn * 8) * PAGE
}

/// What the domain builder says (public `start_info`), by byte offset.
#[derive(Clone, Copy)]
pub struct StartInfo(u64);

impl StartInfo {
    fn word(self, offset: u64) -> u64 {
        read(self.0 + offset)
    }
    fn console(self) -> (u64, u64) {
        (address_of(self.word(72)), self.word(80) & 0xffff_ffff)
    }
    /// Where the page tables lie.
    pub fn tables(self) -> u64 {
        self.word(88)
    }
    /// How many frames they are.
    pub fn table_frames(self) -> u64 {
        self.word(96)
    }
    /// The list of this guest's machine frames.
    pub fn mfn(self, pfn: u64) -> u64 {
        read(self.word(104) + pfn * 8)
    }
    /// The number after `word` on the command line, or `usual`.
    pub fn argument(self, word: &[u8], usual: u64) -> u64 {
        let line = self.0 + 128;
        let byte = |at: u64| (read(line + (at & !7)) >> ((at & 7) * 8)) as u8;
        let mut at = 0;
        while at < 1000 && byte(at) != 0 {
            if (at == 0 || byte(at - 1) == b' ')
                && (0u64..).zip(word).all(|(i, &want)| byte(at + i) == want)
            {
                let mut number = 0u64;
                let mut digit = at + word.len() as u64;
                while byte(digit).is_ascii_digit() {
                    number = number
                        .wrapping_mul(10)
                        .wrapping_add(u64::from(byte(digit) - b'0'));
                    digit += 1;
                }
                return number;
            }
            at += 1;
        }
        usual
    }
}

static START: AtomicU64 = AtomicU64::new(0);

/// Writes to the console's ring (public io/console.h) and tells dom0.
pub fn say(text: &[u8]) {
    let start = StartInfo(START.load(Ordering::Relaxed));
    let (ring, port) = start.console();
    // in[1024], out[2048], in_cons, in_prod, out_cons, out_prod.
    let (out, indexes) = (ring + 1024, ring + 1024 + 2048);
    for &byte in text {
        let mut patience = 100_000;
        loop {
            let word = read(indexes + 8);
            let (consumed, produced) = (word as u32, (word >> 32) as u32);
            if produced.wrapping_sub(consumed) < 2048 {
                write_bytes(out + u64::from(produced % 2048), &[byte]);
                write_bytes(indexes + 12, &produced.wrapping_add(1).to_le_bytes());
                break;
            }
            patience -= 1;
            if patience == 0 {
                return;
            }
            notify(port);
            core::hint::spin_loop();
        }
    }
    notify(port);
}

fn notify(port: u64) {
    let argument = [port];
    // EVTCHNOP_send
    let _ = call(
        Hypercall::EVENT_CHANNEL_OP,
        [4, argument.as_ptr() as u64, 0, 0, 0, 0],
    );
}

/// Writes a number.
pub fn say_number(mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    say(&digits[at..]);
}

/// Ends the guest. 0: power off, 3: crash (SCHEDOP_shutdown).
pub fn end(reason: u64) -> ! {
    let argument = [reason];
    loop {
        let _ = call(
            Hypercall::SCHED_OP,
            [2, argument.as_ptr() as u64, 0, 0, 0, 0],
        );
    }
}

#[unsafe(no_mangle)]
extern "C" fn fuzz_main(start: u64) -> ! {
    START.store(start, Ordering::Relaxed);
    crate::machine::run(StartInfo(start))
}

#[unsafe(no_mangle)]
extern "C" fn fuzz_lost(vector: u64, above: u64, further: u64) -> ! {
    say(b"\n%% lost at vector ");
    say_number(vector);
    // Error code and instruction pointer, or instruction pointer and code segment, below the guest's base.
    say(b" frame ");
    say_number(above.wrapping_sub(BASE));
    say(b" ");
    say_number(further.wrapping_sub(BASE));
    say_round();
    end(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    say(b"\n%% lost: panic");
    say_round();
    end(0)
}

fn say_round() {
    say(b" in round ");
    say_number(crate::machine::ROUND.load(Ordering::Relaxed));
    say(b"\n");
}
