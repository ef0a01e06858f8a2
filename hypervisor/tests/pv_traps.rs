//! The ways of a PV guest into the hypervisor and back, as the entry code calls them: SYSCALL, the iret hypercall, virtual
//! NMIs. What must be on the guest kernel's stack is the public ABI's (see `pv::bounce`).

#[path = "../fuzz/src/lib.rs"]
#[allow(
    dead_code,
    reason = "shared with the fuzz targets, which use other parts"
)]
mod fuzz;

use arch::addr::GuestVa;
use arch::entry::{TrapFrame, VECTOR_SYSCALL, selector};
use fuzz::machine::{self, BUFFER, Machine, SELF, finish};
use hypercall_abi::callback::{CallbackOp, CallbackRegister, CallbackType};
use hypercall_abi::xen::{Hypercall, MmuextOp, MmuextOpArg, VmAssistType};
use hypervisor::domain::Context;
use hypervisor::fail::Args;
use hypervisor::pv::{Callback, TrapGate, emulate::msr, entry, hypercalls};
use hypervisor::{percpu, speculation};

const HANDLER: u64 = 0xffff_ffff_8100_0000;
const HANDLER32: u64 = 0xffff_ffff_8200_0000;
const UNDEFINED: u64 = 0xffff_ffff_8300_0000;
const NMI: u64 = 0xffff_ffff_8400_0000;
const STACK: u64 = BUFFER + 0x2000;
const IF: u64 = 1 << 9;
const DF: u64 = 1 << 10;
const TF: u64 = 1 << 8;
const NT: u64 = 1 << 14;

/// A machine whose guest runs, with handlers, in user mode.
fn guest() -> (Machine, Context) {
    let machine = machine::new(1);
    let cx = machine.domains[1].clone();
    let kernel = cx.vcpu.pv().state().tables.kernel().expect("set");
    let mut op = MmuextOpArg {
        cmd: MmuextOp::NEW_USER_BASEPTR,
        ..Default::default()
    };
    op.arg1.set_mfn(kernel.get());
    hypervisor::guest::write(hypercall_abi::GuestHandle::new(BUFFER), 0, &op).expect("mapped");
    finish(Args([BUFFER, 1, 0, SELF, 0, 0]), |args| {
        hypervisor::mm::do_mmuext_op(&cx, args)
    })
    .expect("user page tables");
    {
        let mut state = cx.vcpu.pv().state();
        state.kernel_mode = false;
        state.kernel_sp = STACK;
        state.syscall_callback = Callback {
            rip: HANDLER,
            mask_events: true,
        };
        state.syscall32_callback.rip = HANDLER32;
        state.traps[2] = TrapGate {
            rip: NMI,
            ..Default::default()
        };
        state.traps[6] = TrapGate {
            rip: UNDEFINED,
            ..Default::default()
        };
    }
    cx.vcpu.set_upcall_mask(false);
    percpu::with(|cpu| {
        cpu.pending.store(0, std::sync::atomic::Ordering::SeqCst);
        *cpu.current.borrow_mut() = Some(cx.clone());
    });
    (machine, cx)
}

/// What the entry code makes of SYSCALL.
fn syscall_frame() -> TrapFrame {
    TrapFrame {
        rax: 39,
        rcx: 0x40_1002,
        r11: 0x246 | DF,
        rip: 0x40_1002,
        cs: selector::GUEST_CS64,
        rflags: 0x246 | DF,
        rsp: 0x7fff_0000,
        ss: selector::GUEST_SS,
        vector: VECTOR_SYSCALL,
        ..TrapFrame::default()
    }
}

fn stack(at: u64, words: usize) -> Vec<u64> {
    let mut bytes = vec![0; words * 8];
    arch::guest::copy_from(GuestVa::new(at), &mut bytes).expect("mapped");
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight"));
    bytes.chunks_exact(8).map(word).collect()
}

#[test]
fn a_system_call_reaches_the_guest_kernel() {
    let (_machine, cx) = guest();
    let mut frame = syscall_frame();
    entry::syscall(&mut frame);
    assert_eq!((frame.rip, frame.rsp), (HANDLER, STACK - 7 * 8));
    assert_eq!(
        (frame.cs, frame.ss),
        (selector::GUEST_CS64, selector::GUEST_SS)
    );
    assert_eq!(frame.rflags & DF, 0, "the ABI's SYSCALL mask");
    assert_eq!((frame.rax, frame.vector), (39, VECTOR_SYSCALL));
    let words = stack(frame.rsp, 7);
    let expected = [
        0x40_1002,
        0x246 | DF,
        0x40_1002,
        0xe033,
        0x246 | DF,
        0x7fff_0000,
        0xe02b,
    ];
    assert_eq!(words, expected);
    assert!(cx.vcpu.pv().state().kernel_mode);
    assert!(cx.vcpu.upcall_masked(), "the callback asked for it");
}

#[test]
fn a_system_call_from_compatibility_mode_has_its_own_callback() {
    let (_machine, cx) = guest();
    let mut frame = syscall_frame();
    frame.cs = selector::GUEST_CS32;
    entry::syscall(&mut frame);
    assert_eq!(frame.rip, HANDLER32);
    assert_eq!(stack(frame.rsp, 4)[3], 0xe023);
    // Without one it is an undefined opcode, at the instruction.
    {
        let mut state = cx.vcpu.pv().state();
        state.kernel_mode = false;
        state.syscall32_callback = Callback::default();
    }
    let mut frame = syscall_frame();
    frame.cs = selector::GUEST_CS32;
    entry::syscall(&mut frame);
    assert_eq!(frame.rip, UNDEFINED);
    assert_eq!(stack(frame.rsp, 3)[2], 0x40_1000);
}

/// What the entry code makes of SYSENTER.
fn sysenter_frame() -> TrapFrame {
    TrapFrame {
        cs: selector::GUEST_CS32,
        rip: 0,
        rflags: 0x246 | NT,
        rsp: 0,
        ..syscall_frame()
    }
}

#[test]
fn xsa_339_sysenter_with_nt_is_a_system_call_and_no_fault() {
    let (_machine, cx) = guest();
    cx.vcpu.pv().state().sysenter_callback = Callback {
        rip: HANDLER32,
        mask_events: true,
    };
    let mut frame = sysenter_frame();
    entry::sysenter(&mut frame);
    assert_eq!((frame.rip, frame.rsp), (HANDLER32, STACK - 7 * 8));
    assert_eq!(frame.rflags & NT, 0, "the handler runs without");
    let words = stack(frame.rsp, 7);
    assert_eq!(words[2..], [0, 0xe023, 0x246 | NT, 0, 0xe02b]);
    assert!(cx.vcpu.pv().state().kernel_mode);
    assert!(cx.vcpu.upcall_masked(), "the callback asked for it");
}

#[test]
fn sysenter_without_a_callback_is_one_general_protection_fault() {
    let (_machine, cx) = guest();
    cx.vcpu.pv().state().traps[13] = TrapGate {
        rip: UNDEFINED,
        ..Default::default()
    };
    let mut frame = sysenter_frame();
    entry::sysenter(&mut frame);
    assert_eq!((frame.rip, frame.rsp), (UNDEFINED, STACK - 8 * 8));
    assert_eq!(stack(frame.rsp, 4)[2..], [0, 0], "error code, rip");
}

#[test]
fn sysenter_of_a_guest_kernel_ends_that_guest() {
    let (_machine, cx) = guest();
    {
        let mut state = cx.vcpu.pv().state();
        state.kernel_mode = true;
        state.sysenter_callback.rip = HANDLER32;
    }
    entry::sysenter(&mut sysenter_frame());
    assert!(cx.domain.shutdown.lock().is_some());
}

#[test]
fn the_virtual_iopl_shows_only_where_it_is_the_architectures() {
    let (_machine, cx) = guest();
    cx.vcpu.pv().state().iopl = 3;
    let mut frame = syscall_frame();
    entry::syscall(&mut frame);
    assert_eq!(stack(frame.rsp, 5)[4] >> 12 & 3, 0);
    cx.vcpu.pv().state().kernel_mode = false;
    let bit = 1 << VmAssistType::ARCHITECTURAL_IOPL.0;
    let assists = &cx.domain.pv().vm_assist;
    assists.store(bit, std::sync::atomic::Ordering::SeqCst);
    let mut frame = syscall_frame();
    entry::syscall(&mut frame);
    assert_eq!(stack(frame.rsp, 5)[4] >> 12 & 3, 3);
}

#[test]
fn xsa_202_interrupts_are_on_whatever_the_guest_asks_for() {
    let (_machine, cx) = guest();
    for (flags, masked) in [(0x46, true), (0x246, false)] {
        for cs in [0x33, 0xe030] {
            cx.vcpu.pv().state().kernel_mode = true;
            let f = iret([0, 0, 0, 0, HANDLER, cs, flags, STACK, 0xe02b]);
            assert_eq!(f.rflags & IF, IF, "{cs:#x} {flags:#x}");
            assert_eq!(cx.vcpu.upcall_masked(), masked);
        }
    }
}

#[test]
fn xsa_204_a_traced_system_call_is_entered_untraced() {
    let (_machine, _cx) = guest();
    let mut frame = syscall_frame();
    (frame.r11, frame.rflags) = (0x246 | TF, 0x246 | TF);
    entry::syscall(&mut frame);
    assert_eq!(frame.rflags & TF, 0, "the handler is not traced");
    // The program is, when it goes on.
    assert_eq!(stack(frame.rsp, 5)[4], 0x246 | TF);
}

/// A kernel that guards its branches does not call the page of stubs.
#[test]
fn xsa_466_a_hypercall_needs_no_hypercall_page() {
    let (_machine, cx) = guest();
    for rip in [0x40_1002, HANDLER, 0xffff_ffff_ffff_fff0] {
        cx.vcpu.pv().state().kernel_mode = true;
        let mut frame = syscall_frame();
        frame.rax = Hypercall::XEN_VERSION.0.into();
        (frame.rdi, frame.rip, frame.rcx, frame.rsp) = (0, rip, rip, STACK);
        entry::syscall(&mut frame);
        assert_eq!((frame.rip, frame.rax), (rip, 4 << 16 | 17));
    }
}

/// An iret hypercall with this context (rax, r11, rcx, flags, rip, cs, rflags, rsp, ss).
fn iret(context: [u64; 9]) -> TrapFrame {
    machine::put(0x1000, &context);
    let mut frame = syscall_frame();
    frame.rax = Hypercall::IRET.0.into();
    frame.rsp = BUFFER + 0x1000;
    entry::syscall(&mut frame);
    frame
}

#[test]
fn iret_goes_back_to_user_mode() {
    let (_machine, cx) = guest();
    cx.vcpu.pv().state().kernel_mode = true;
    // IOPL and VM in the image are not the guest's to have; IF is the upcall mask.
    let f = iret([7, 11, 13, 0, 0x40_2000, 0x33, 0x2_3046, 0x7fff_1000, 0x2b]);
    assert_eq!((f.rax, f.r11, f.rcx, f.rip), (7, 11, 13, 0x40_2000));
    assert_eq!((f.cs, f.ss, f.rsp), (0x33, 0x2b, 0x7fff_1000));
    assert_eq!((f.rflags, f.vector), (0x46 | IF, 0));
    assert!(cx.vcpu.upcall_masked());
    assert!(!cx.vcpu.pv().state().kernel_mode);
    // A promised return from SYSCALL: rcx and r11 are lost, selectors are flat.
    cx.vcpu.pv().state().kernel_mode = true;
    let f = iret([7, 11, 13, 0x100, 0x40_2000, 0x33, 0x246, 0x7fff_1000, 0x2b]);
    assert_eq!((f.cs, f.ss), (selector::GUEST_CS64, selector::GUEST_SS));
    assert_eq!(f.vector, VECTOR_SYSCALL);
    assert!(!cx.vcpu.upcall_masked());
}

#[test]
fn xsa_213_iret_ends_the_multicall_that_it_is_in() {
    let (_machine, cx) = guest();
    cx.vcpu.pv().state().kernel_mode = true;
    let untouched = 0x5555;
    let entry = |op: Hypercall, args: [u64; 2]| {
        let [a, b] = args;
        [u64::from(op.0), untouched, a, b, 0, 0, 0, 0]
    };
    let list = [
        entry(Hypercall::STACK_SWITCH, [0xe02b, STACK]),
        entry(Hypercall::IRET, [0; 2]),
        entry(Hypercall::STACK_SWITCH, [0xe02b, BUFFER]),
    ];
    machine::put(0, list.as_flattened());
    let context: [u64; 9] = [7, 11, 13, 0, 0x40_2000, 0x33, 0x246, 0x7fff_1000, 0x2b];
    machine::put(0x1000, &context);
    let mut frame = syscall_frame();
    frame.rax = Hypercall::MULTICALL.0.into();
    (frame.rdi, frame.rsi) = (BUFFER, 3);
    frame.rsp = BUFFER + 0x1000;
    entry::syscall(&mut frame);
    // In user mode, with the registers that the frame names; nothing ran after that.
    assert!(!cx.vcpu.pv().state().kernel_mode);
    assert_eq!((frame.rax, frame.rip), (7, 0x40_2000));
    assert_eq!(cx.vcpu.pv().state().kernel_sp, STACK);
    let results = [0, 1, 2].map(|entry| stack(BUFFER + entry * 64 + 8, 1)[0]);
    assert_eq!(results, [0, untouched, untouched]);
}

#[test]
fn an_iret_that_fails_halfway_leads_nowhere_but_to_the_guest() {
    let ring_0 = [HANDLER, 0xe008, 0x3002, STACK, 0];
    let harmless = |f: &TrapFrame| {
        assert_eq!((f.cs, f.ss), (selector::GUEST_CS64, selector::GUEST_SS));
        assert_eq!(f.rflags, IF | 2);
    };
    // The first words are not there, those that matter are.
    let (_machine, cx) = guest();
    cx.vcpu.pv().state().kernel_mode = true;
    machine::put(0, &ring_0);
    let mut frame = syscall_frame();
    frame.rax = Hypercall::IRET.0.into();
    frame.rsp = BUFFER - 4 * 8;
    entry::syscall(&mut frame);
    harmless(&frame);
    assert!(cx.domain.shutdown.lock().is_some());
    // To user mode, which has no page tables.
    let (_machine, cx) = guest();
    cx.vcpu.pv().state().kernel_mode = true;
    cx.vcpu.pv().state().tables.set_user(None);
    harmless(&iret([0, 0, 0, 0, HANDLER, 0x33, 0x3002, STACK, 0]));
    assert!(cx.domain.shutdown.lock().is_some());
}

#[test]
fn iret_within_the_kernel_stays_there() {
    let (_machine, cx) = guest();
    cx.vcpu.pv().state().kernel_mode = true;
    let f = iret([0, 0, 0, 0, HANDLER, 0xe030, 0x246, STACK, 0xe02b]);
    assert_eq!((f.rip, f.cs), (HANDLER, 0xe033));
    assert!(cx.vcpu.pv().state().kernel_mode);
}

#[test]
fn a_virtual_nmi_comes_once_until_its_handler_returns() {
    let (_machine, cx) = guest();
    cx.vcpu.pv().state().kernel_mode = true;
    let version = || {
        let mut frame = syscall_frame();
        frame.rax = Hypercall::XEN_VERSION.0.into();
        (frame.rdi, frame.rsp) = (0, STACK);
        entry::syscall(&mut frame);
        frame.rip
    };
    assert_eq!(version(), 0x40_1002);
    assert!(cx.vcpu.pv().raise_nmi());
    assert!(!cx.vcpu.pv().raise_nmi(), "one is pending already");
    assert_eq!(version(), NMI);
    assert!(cx.vcpu.pv().raise_nmi());
    assert_eq!(version(), 0x40_1002, "its handler runs");
    let f = iret([0, 0, 0, 0, HANDLER, 0xe030, 0x246, STACK, 0xe02b]);
    assert_eq!(f.rip, NMI, "after the return it comes");
}

/// However it was registered: Linux does it for its first vCPU by callback_op, for others in their trap table.
#[test]
fn the_callback_for_nmis_is_their_entry_in_the_trap_table() {
    let (_machine, cx) = guest();
    let entry = || cx.vcpu.pv().state().traps[2];
    let call = |op: CallbackOp, register: CallbackRegister| {
        hypervisor::guest::write(hypercall_abi::GuestHandle::new(BUFFER), 0, &register)
            .expect("mapped");
        hypercalls::do_callback_op(&cx, Args([op.0.into(), BUFFER, 0, 0, 0, 0]))
    };
    let register = CallbackRegister {
        r#type: CallbackType::NMI,
        address: HANDLER,
        ..Default::default()
    };
    assert!(call(CallbackOp::REGISTER, register).is_ok());
    let gate = entry();
    assert_eq!((gate.rip, gate.dpl, gate.mask_events), (HANDLER, 0, true));
    // An address of the hypervisor's changes nothing.
    let hypervisor = CallbackRegister {
        address: arch::guest::HYPERVISOR_START,
        ..register
    };
    assert!(call(CallbackOp::REGISTER, hypervisor).is_err());
    assert_eq!(entry(), gate);
    assert!(call(CallbackOp::UNREGISTER, register).is_ok());
    assert_eq!(entry(), TrapGate::default());
}

#[test]
fn an_nmi_that_nobody_handles_keeps_no_event_waiting() {
    let (_machine, cx) = guest();
    {
        let mut state = cx.vcpu.pv().state();
        (state.kernel_mode, state.traps[2].rip) = (true, 0);
        state.event_callback.rip = UNDEFINED;
    }
    assert!(cx.vcpu.pv().raise_nmi());
    cx.vcpu.set_upcall_pending();
    let mut frame = syscall_frame();
    frame.rax = Hypercall::XEN_VERSION.0.into();
    (frame.rdi, frame.rsp) = (0, STACK);
    entry::syscall(&mut frame);
    assert_eq!(frame.rip, UNDEFINED);
    assert!(cx.vcpu.upcall_masked());
}

#[test]
fn an_emulated_counter_is_read_by_instruction() {
    let (_machine, cx) = guest();
    let op = hypercall_abi::domctl::DomctlTscInfo {
        tsc_mode: 1,
        gtsc_khz: 5_000_000,
        elapsed_nsec: 60_000_000_000,
        ..Default::default()
    };
    cx.domain.tsc.set(&op).expect("a mode");
    let fault = |code: &[u8]| {
        let mut bytes = [0x90; 8];
        bytes[..code.len()].copy_from_slice(code);
        machine::put(0x800, &[u64::from_le_bytes(bytes), 0]);
        let mut frame = TrapFrame {
            vector: 13,
            rip: BUFFER + 0x800,
            ..syscall_frame()
        };
        entry::trap(&mut frame);
        frame
    };
    let ticks = |f: &TrapFrame| f.rdx << 32 | f.rax;
    for kernel in [false, true] {
        cx.vcpu.pv().state().kernel_mode = kernel;
        // RDTSC
        let f = fault(&[0x0f, 0x31]);
        assert_eq!(f.rip, BUFFER + 0x802);
        assert!(ticks(&f) >= 300_000_000_000);
        assert!(msr::read(&cx, 0x10).expect("there") > ticks(&f));
        // RDTSCP
        if msr::has_tsc_aux(&cx.domain, 0) {
            cx.vcpu.pv().state().tsc_aux = 77;
            let f = fault(&[0x0f, 0x01, 0xf9]);
            assert_eq!((f.rip, f.rcx), (BUFFER + 0x803, 77));
            assert!(ticks(&f) >= 300_000_000_000);
        }
    }
    // User mode may be forbidden to look.
    {
        let mut state = cx.vcpu.pv().state();
        (state.kernel_mode, state.cr4) = (false, 1 << 2);
        state.traps[13].rip = UNDEFINED;
    }
    assert_eq!(fault(&[0x0f, 0x31]).rip, UNDEFINED);
}

#[test]
fn tsc_aux_is_32_bits_of_the_guests_own() {
    const TSC_AUX: u32 = 0xc000_0103;
    let (_machine, cx) = guest();
    if msr::read(&cx, TSC_AUX).is_none() {
        // This processor has neither RDTSCP nor RDPID.
        assert_eq!(msr::write(&cx, TSC_AUX, 1), None);
        return;
    }
    assert_eq!(msr::write(&cx, TSC_AUX, 0x1_0000_0000), None);
    assert_eq!(msr::write(&cx, TSC_AUX, 0x1003), Some(()));
    assert_eq!(msr::read(&cx, TSC_AUX), Some(0x1003));
}

#[test]
fn xsa_333_speculation_registers_are_there_as_cpuid_says() {
    const SPEC_CTRL: u32 = 0x48;
    const PRED_CMD: u32 = 0x49;
    const ARCH_CAPABILITIES: u32 = 0x10a;
    const IBRS: u64 = 1 << 0;
    const STIBP: u64 = 1 << 1;
    const SSBD: u64 = 1 << 2;
    let (_machine, cx) = guest();
    speculation::apply(&speculation::Plan {
        control: Some(0),
        guest_control: IBRS | STIBP | SSBD,
        ..Default::default()
    });
    // Neither is shown, so neither exists.
    arch::sim::set_cpuid(7, 0, [0; 4]);
    arch::sim::set_cpuid(0x8000_0008, 0, [0; 4]);
    assert_eq!(msr::read(&cx, SPEC_CTRL), None);
    assert_eq!(msr::write(&cx, SPEC_CTRL, 0), None);
    assert_eq!(msr::write(&cx, PRED_CMD, 1), None);
    // IBRSB, ARCH_CAPS and SSBD, without STIBP.
    arch::sim::set_cpuid(7, 0, [0, 0, 0, 1 << 26 | 1 << 29 | 1 << 31]);
    assert_eq!(msr::read(&cx, SPEC_CTRL), Some(0));
    assert_eq!(msr::write(&cx, SPEC_CTRL, IBRS | SSBD), Some(()));
    assert_eq!(msr::read(&cx, SPEC_CTRL), Some(IBRS | SSBD));
    assert_eq!(arch::cpu::msr::read(SPEC_CTRL), IBRS | SSBD, "at once");
    for refused in [STIBP, 1 << 10, u64::MAX] {
        assert_eq!(msr::write(&cx, SPEC_CTRL, refused), None, "{refused:#x}");
    }
    assert_eq!(msr::write(&cx, PRED_CMD, 1), Some(()));
    assert_eq!(arch::cpu::msr::read(PRED_CMD), 1, "the barrier is done");
    assert_eq!(msr::write(&cx, PRED_CMD, 0), Some(()));
    assert_eq!(msr::write(&cx, PRED_CMD, 3), None);
    assert_eq!(msr::read(&cx, PRED_CMD), None, "write-only");
    // What no guest has is not shown either.
    let shown = hypervisor::pv::emulate::cpuid::leaf(7, 0, false, 0).edx;
    assert_eq!(shown, 1 << 26 | 1 << 31);
    assert_eq!(msr::read(&cx, ARCH_CAPABILITIES), None);
    // AMD shows the barrier elsewhere.
    arch::sim::set_cpuid(7, 0, [0; 4]);
    arch::sim::set_cpuid(0x8000_0008, 0, [0, 1 << 12, 0, 0]);
    assert_eq!(msr::write(&cx, PRED_CMD, 1), Some(()));
    assert_eq!(msr::read(&cx, SPEC_CTRL), None);
}
