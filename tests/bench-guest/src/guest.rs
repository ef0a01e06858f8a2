//! The guest's bare life: entry, events, hypercalls, console. The only place that knows the machine.
//!
//! Upcalls are masked but while [`wait`] blocks, so the handler meets no other code than that.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::GuestHandle;
use hypercall_abi::elfnote::ElfNote;
use hypercall_abi::event_channel::{
    EvtchnAllocUnbound, EvtchnBindInterdomain, EvtchnOp, EvtchnSend, EvtchnUnmask,
};
use hypercall_abi::grant_table::{
    GNTCOPY_SOURCE_GREF, GTF_PERMIT_ACCESS, GnttabCopy, GnttabOp, GnttabSetupTable,
};
use hypercall_abi::sched::{SchedOp, SchedShutdown, Shutdown};
use hypercall_abi::xen::{DomId, Hypercall, SharedInfo, UVMF_INVLPG};

/// Where the guest's memory begins in its address space; see `guest.ld`.
const BASE: u64 = 0xffff_ffff_8000_0000;
/// The machine-to-physical table that every PV guest sees.
const M2P: u64 = 0xffff_8000_0000_0000;
const PAGE: u64 = 4096;
/// Present, writable, user: what every page of a PV guest has.
const PRESENT_RW: u64 = 7;
/// Pages that are granted, and mapped, at a time.
pub const PAGES: usize = 32;

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
    note {guest_os}, 6
    .asciz "bench"
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
        rdtsc
        shl rdx, 32
        or rax, rdx
        mov [rip + bench_entered], rax
        cld
        lea rsp, [rip + bench_stack_top]
        mov rdi, rsi
        call bench_main
        ud2

    // An event while SCHEDOP_block waits: takes what is pending and goes back with upcalls masked.
    // On the stack: rcx, r11, then what iret takes. rax is that hypercall's result, 0.
    .global bench_event
    bench_event:
        mov rcx, [rip + bench_shared]
        mov byte ptr [rcx], 0
        xor r11d, r11d
        xchg [rcx + {selector}], r11
        xor r11d, r11d
        xchg [rcx + {pending}], r11
        or [rip + bench_events], r11
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
        ud2

    // What nobody expects ends the guest.
    .global bench_failed
    bench_failed:
        lea rsp, [rip + bench_stack_top]
        call bench_lost
        ud2

    .section .bss
    .balign 4096
        .skip 32768
    bench_stack_top:
    .global bench_entered
    bench_entered: .skip 8
    .global bench_shared
    bench_shared: .skip 8
    .global bench_events
    bench_events: .skip 8
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
    selector = const core::mem::offset_of!(hypercall_abi::xen::VcpuInfo, evtchn_pending_sel),
    pending = const core::mem::offset_of!(SharedInfo, evtchn_pending),
    iret = const Hypercall::IRET.0,
);

unsafe extern "C" {
    fn bench_event();
    fn bench_failed();
    static bench_entered: AtomicU64;
    static bench_shared: AtomicU64;
    static bench_events: AtomicU64;
}

/// Pages that are mapped, granted and written by address only.
#[repr(C, align(4096))]
struct Pages<const N: usize>(UnsafeCell<[[u8; PAGE as usize]; N]>);

// SAFETY: no reference into them is ever made; `read` and `write` take addresses.
unsafe impl<const N: usize> Sync for Pages<N> {}

impl<const N: usize> Pages<N> {
    const fn new() -> Self {
        Self(UnsafeCell::new([[0; PAGE as usize]; N]))
    }
    fn address(&self, page: usize) -> u64 {
        self.0.get() as u64 + page as u64 * PAGE
    }
}

/// Give way to what is mapped there: shared info and grant table; the other guest's pages.
static TABLES: Pages<2> = Pages::new();
static WINDOW: Pages<PAGES> = Pages::new();
static OWN: Pages<PAGES> = Pages::new();

/// The address of a page of this guest's to grant or copy to.
pub fn own_page(page: usize) -> u64 {
    OWN.address(page)
}

/// The address at which a page of the other guest's is mapped.
pub fn window(page: usize) -> u64 {
    WINDOW.address(page)
}

fn call(op: Hypercall, args: [u64; 4]) -> i64 {
    let result: u64;
    // SAFETY: what the hypervisor reads and writes are the structures that the callers below pass, which live until the
    // hypercall is over, and pages that no Rust object is in.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") u64::from(op.0) => result,
            inlateout("rdi") args[0] => _,
            inlateout("rsi") args[1] => _,
            inlateout("rdx") args[2] => _,
            inlateout("r10") args[3] => _,
            lateout("r8") _,
            lateout("r9") _,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result as i64
}

fn event_channel_operation<T>(op: EvtchnOp, argument: &mut T) -> bool {
    call(
        Hypercall::EVENT_CHANNEL_OP,
        [op.0.into(), &raw mut *argument as u64, 0, 0],
    ) == 0
}

/// A grant-table operation on all of the structures.
pub fn grant_operation<T>(op: GnttabOp, arguments: &mut [T]) {
    let result = call(
        Hypercall::GRANT_TABLE_OP,
        [
            op.0.into(),
            arguments.as_mut_ptr() as u64,
            arguments.len() as u64,
            0,
        ],
    );
    insist(result == 0, b"a grant-table operation failed");
}

/// Reads a word of memory that the guest has mapped and no Rust object is in.
pub fn read(address: u64) -> u64 {
    // SAFETY: callers name start_info, pages of this module or the M2P: mapped for as long as the guest lives.
    unsafe { (address as *const u64).read_volatile() }
}

fn write<T>(address: u64, value: T) {
    // SAFETY: callers name pages of this module, or the console's ring, at aligned addresses: writable, and without
    // Rust objects.
    unsafe { (address as *mut T).write_volatile(value) }
}

/// Maps a frame in place of a page of this module.
fn map(address: u64, mfn: u64) {
    let entry = mfn * PAGE | PRESENT_RW;
    let result = call(
        Hypercall::UPDATE_VA_MAPPING,
        [address, entry, UVMF_INVLPG.into(), 0],
    );
    insist(result == 0, b"a page cannot be mapped");
}

/// The time-stamp counter.
pub fn ticks() -> u64 {
    // SAFETY: reads a register that every x86-64 processor has.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// How long something takes.
pub fn timed(work: impl FnOnce()) -> u64 {
    let began = ticks();
    work();
    ticks().wrapping_sub(began)
}

/// Executes that many instructions, or up to 63 fewer.
pub fn execute(instructions: u64) {
    // SAFETY: counts a register down, 64 instructions at a time: an emulator is slow with loops that are shorter.
    unsafe {
        asm!("2: .nops 62, 1", "dec {count}", "jnz 2b", count = inlateout(reg) (instructions / 64).max(1) => _, options(nomem, nostack));
    }
}

/// Lets other vCPUs of this CPU run.
pub fn yield_now() {
    call(Hypercall::SCHED_OP, [SchedOp::YIELD.0.into(), 0, 0, 0]);
}

/// Sleeps until an event comes; at once if one is there.
fn block() {
    call(Hypercall::SCHED_OP, [SchedOp::BLOCK.0.into(), 0, 0, 0]);
}

/// Sleeps for ever.
pub fn sleep() -> ! {
    loop {
        block();
    }
}

/// Waits for an event of a port that was offered or bound, and takes it.
pub fn wait(port: u32) {
    let bit = 1u64 << port;
    loop {
        // SAFETY: an aligned word of .bss that only the handler and this function change, atomically or masked.
        let events = unsafe { &bench_events };
        if events.fetch_and(!bit, Ordering::Relaxed) & bit != 0 {
            return;
        }
        block();
    }
}

/// Sends an event.
pub fn notify(port: u32) {
    event_channel_operation(EvtchnOp::SEND, &mut EvtchnSend { port });
}

/// Lets events of this port, which is below 64, come; one that has come already does so now.
fn unmask(port: u32) {
    event_channel_operation(EvtchnOp::UNMASK, &mut EvtchnUnmask { port });
}

/// A port that the other domain may bind to.
pub fn offer_port(peer: DomId) -> u32 {
    let mut argument = EvtchnAllocUnbound {
        dom: DomId::SELF,
        remote_dom: peer,
        port: 0,
    };
    let done = event_channel_operation(EvtchnOp::ALLOC_UNBOUND, &mut argument);
    insist(done && argument.port < 64, b"no port");
    unmask(argument.port);
    argument.port
}

/// A port bound to that of the other domain's, if that one is offered.
pub fn bind(peer: DomId, remote_port: u32) -> Option<u32> {
    let mut argument = EvtchnBindInterdomain {
        remote_dom: peer,
        remote_port,
        ..Default::default()
    };
    event_channel_operation(EvtchnOp::BIND_INTERDOMAIN, &mut argument).then(|| {
        unmask(argument.local_port);
        // Binding sends one.
        wait(argument.local_port);
        argument.local_port
    })
}

/// Lets the other domain map a frame, whose first word becomes the reference (entries of version 1).
pub fn grant(reference: u32, peer: DomId, page: usize, frame: u64) {
    write(own_page(page), u64::from(reference));
    let entry = TABLES.address(1) + u64::from(reference) * 8;
    write(entry + 4, frame as u32);
    write(entry + 2, peer.0);
    write(entry, GTF_PERMIT_ACCESS);
}

/// The order to copy a granted page to an own frame.
pub fn copy_of(peer: DomId, reference: u32, frame: u64) -> GnttabCopy {
    let mut copy = GnttabCopy {
        len: PAGE as u16,
        flags: GNTCOPY_SOURCE_GREF,
        ..Default::default()
    };
    copy.source.domid = peer;
    copy.source.u.set_ref(reference);
    copy.dest.domid = DomId::SELF;
    copy.dest.u.set_gmfn(frame);
    copy
}

/// What the domain builder says (public `start_info`), by byte offset.
#[derive(Clone, Copy)]
pub struct StartInfo(u64);

impl StartInfo {
    fn word(self, offset: u64) -> u64 {
        read(self.0 + offset)
    }
    /// The frame behind an address of the guest's memory as it was built.
    pub fn mfn(self, address: u64) -> u64 {
        read(self.word(104) + (address - BASE) / PAGE * 8)
    }
    /// The number after `word` on the command line, or `usual`.
    pub fn argument(self, word: &[u8], usual: u64) -> u64 {
        let line = self.0 + 128;
        let byte = |at: u64| (read(line + (at & !7)) >> ((at & 7) * 8)) as u8;
        let mut at = 0;
        while at < 1000 && byte(at) != 0 {
            let begins = at == 0 || byte(at - 1) == b' ';
            if begins && (0u64..).zip(word).all(|(i, &want)| byte(at + i) == want) {
                let mut number = 0u64;
                let mut digit = at + word.len() as u64;
                while byte(digit).is_ascii_digit() {
                    let value = u64::from(byte(digit) - b'0');
                    number = number.wrapping_mul(10).wrapping_add(value);
                    digit += 1;
                }
                return number;
            }
            at += 1;
        }
        usual
    }
    /// Address and port of the console's ring.
    fn console(self) -> (u64, u32) {
        let address = BASE + read(M2P + self.word(72) * 8) * PAGE;
        (address, self.word(80) as u32)
    }
}

static START: AtomicU64 = AtomicU64::new(0);

/// Writes to the console's ring (public io/console.h: in[1024], out[2048], in_cons, in_prod, out_cons, out_prod).
fn say(text: &[u8]) {
    const SIZE: u32 = 2048;
    let (ring, port) = StartInfo(START.load(Ordering::Relaxed)).console();
    let (out, indexes) = (ring + 1024, ring + 1024 + u64::from(SIZE));
    for &byte in text {
        let produced = loop {
            let word = read(indexes + 8);
            let (consumed, produced) = (word as u32, (word >> 32) as u32);
            if produced.wrapping_sub(consumed) < SIZE {
                break produced;
            }
            yield_now();
        };
        write(out + u64::from(produced % SIZE), byte);
        write(indexes + 12, produced.wrapping_add(1));
    }
    notify(port);
}

/// One figure.
pub fn report(name: &[u8], mut number: u64) {
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
    say(b"%% ");
    say(name);
    say(b" ");
    say(&digits[at..]);
    say(b"\n");
}

/// Ends the guest with a message unless something holds.
pub fn insist(holds: bool, otherwise: &[u8]) {
    if !holds {
        say(b"%% FAIL ");
        say(otherwise);
        say(b"\n");
        end();
    }
}

/// Powers the guest off.
pub fn end() -> ! {
    let mut argument = SchedShutdown {
        reason: Shutdown::POWEROFF,
    };
    loop {
        let at = &raw mut argument as u64;
        call(Hypercall::SCHED_OP, [SchedOp::SHUTDOWN.0.into(), at, 0, 0]);
    }
}

/// Shared info, events and grants.
fn set_up(start: StartInfo) {
    map(TABLES.address(0), start.word(40) / PAGE);
    // SAFETY: an aligned word of .bss, written before any upcall can come.
    unsafe { &bench_shared }.store(TABLES.address(0), Ordering::Relaxed);
    let mask = TABLES.address(0) + core::mem::offset_of!(SharedInfo, evtchn_mask) as u64;
    write(mask, u64::MAX);
    let (event, failed) = (
        bench_event as *const () as u64,
        bench_failed as *const () as u64,
    );
    let result = call(Hypercall::SET_CALLBACKS, [event, failed, failed, 0]);
    insist(result == 0, b"no callbacks");
    let mut frame = 0u64;
    let mut setup = [GnttabSetupTable {
        dom: DomId::SELF,
        nr_frames: 1,
        frame_list: GuestHandle::new(&raw mut frame as u64),
        ..Default::default()
    }];
    grant_operation(GnttabOp::SETUP_TABLE, &mut setup);
    // SAFETY: the hypervisor has written it through the handle, of which the compiler knows nothing.
    map(TABLES.address(1), unsafe {
        (&raw const frame).read_volatile()
    });
}

#[unsafe(no_mangle)]
extern "C" fn bench_main(start: u64) -> ! {
    START.store(start, Ordering::Relaxed);
    let start = StartInfo(start);
    // SAFETY: an aligned word of .bss that only the entry code has written.
    let entered = unsafe { &bench_entered }.load(Ordering::Relaxed);
    report(b"entered", entered);
    set_up(start);
    crate::run(start)
}

#[unsafe(no_mangle)]
extern "C" fn bench_lost() -> ! {
    say(b"%% FAIL an entry that nobody expects\n");
    end()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    say(b"%% FAIL panic\n");
    end()
}
