//! VCPUOP_initialise and setvcpucontext: a vCPU's first state from a `vcpu_guest_context`.

use core::sync::atomic::Ordering;

use arch::addr::Mfn;
use hypercall_abi::Errno;
use hypercall_abi::arch_x86::VcpuGuestContext;

use crate::domain::{Domain, Vcpu};
use crate::fail::Fail;
use crate::mm::{self, PageType, TypedRef};
use crate::pv::bounce::flags;
use crate::pv::{
    Callback, GDT_FRAMES, PvState, canonical, code_address_ok, descriptor, emulate, hypercalls,
};

/// `VGCF_I387_VALID` (public arch-x86/xen.h).
const I387_VALID: u64 = 1 << 0;
/// `VGCF_in_kernel` (public arch-x86/xen.h).
const IN_KERNEL: u64 = 1 << 2;
/// `VGCF_syscall_disables_events`.
const SYSCALL_MASKS: u64 = 1 << 4;
/// `VGCF_failsafe_disables_events`.
const FAILSAFE_MASKS: u64 = 1 << 3;

/// The frame that a CR3 image of the ABI names (`xen_cr3_to_pfn`, the identity for 64-bit guests).
const fn cr3_frame(cr3: u64) -> Mfn {
    Mfn::new(cr3 >> 12 & 0xff_ffff_ffff)
}

/// Checks what needs no look at the domain's memory. `EINVAL`.
fn check(vcpu: &Vcpu, context: &VcpuGuestContext) -> Result<(), Errno> {
    let regs = &context.user_regs;
    let bases = [
        context.fs_base,
        context.gs_base_kernel,
        context.gs_base_user,
        context.kernel_sp,
        regs.rsp,
    ];
    let entries = [
        context.event_callback_eip,
        context.failsafe_callback_eip,
        context.syscall_callback_eip,
        regs.rip,
    ];
    let ldt_fits = context.ldt_ents <= 8192
        && context.ldt_base & 4095 == 0
        && arch::guest::range_ok(
            arch::addr::GuestVa::new(context.ldt_base),
            context.ldt_ents as usize * 8,
        );
    let gates = context.trap_ctxt.iter().all(|t| code_address_ok(t.address));
    if !bases.into_iter().all(canonical)
        || !entries.into_iter().all(code_address_ok)
        || !gates
        || !ldt_fits
        || context.gdt_ents > u64::from(descriptor::GUEST_GDT_ENTRIES)
        || vcpu.id == 0 && !hypercalls::assists_valid(context.vm_assist)
    {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Whether an initialised vCPU already has the tables that the context names. Others it cannot get.
fn same_tables(state: &PvState, context: &VcpuGuestContext) -> bool {
    let kernel = state.tables.kernel() == Some(cr3_frame(context.ctrlreg[3]));
    let user = match state.tables.user() {
        None => context.ctrlreg[1] == 0 && context.flags & IN_KERNEL != 0,
        Some(mfn) => mfn == cr3_frame(context.ctrlreg[1]),
    };
    let frames = (state.gdt_entries as usize).div_ceil(512);
    let gdt = u64::from(state.gdt_entries) == context.gdt_ents
        && state
            .gdt
            .iter()
            .zip(&context.gdt_frames)
            .take(frames)
            .all(|(have, &want)| have.get() == want);
    let ldt = u64::from(state.ldt_entries) == context.ldt_ents
        && (state.ldt_entries == 0 || state.ldt_base == context.ldt_base);
    kernel && user && gdt && ldt
}

/// Gives a vCPU that does not run its state. `EINVAL` for addresses, selectors or tables that a guest may not have or if
/// the domain is dying, `EOPNOTSUPP` for other tables than an initialised vCPU has, `ERESTART` to be called again with the
/// same context: the validation of a table was long.
pub fn initialise_vcpu(
    domain: &Domain,
    vcpu: &Vcpu,
    context: &VcpuGuestContext,
) -> Result<(), Fail> {
    check(vcpu, context)?;
    let regs = &context.user_regs;
    let fresh = !vcpu.initialised.load(Ordering::Acquire);

    // References first: page tables, then the GDT; nothing is kept if one of them fails.
    let mut tables = None;
    if fresh {
        if context.flags & IN_KERNEL == 0 && context.ctrlreg[1] == 0 {
            return Err(Errno::EINVAL.into());
        }
        let kernel = mm::get_page_and_type(cr3_frame(context.ctrlreg[3]), domain, PageType::L4)?;
        let user = match context.ctrlreg[1] {
            0 => None,
            cr3 => Some(mm::get_page_and_type(cr3_frame(cr3), domain, PageType::L4)?),
        };
        tables = Some((kernel, user));
    }
    let mut state = vcpu.pv().state();
    // The teardown takes this lock after it has said so, and then takes the references away.
    if domain.is_dying() {
        return Err(Errno::EINVAL.into());
    }
    match tables {
        None if !same_tables(&state, context) => return Err(Errno::EOPNOTSUPP.into()),
        None => {}
        Some((kernel, user)) => {
            let frames = (context.gdt_ents as usize).div_ceil(512).min(GDT_FRAMES);
            let gdt = context.gdt_frames.map(Mfn::new);
            descriptor::set_gdt(
                domain,
                &mut state,
                &gdt[..frames.min(gdt.len())],
                context.gdt_ents as u32,
            )?;
            state.tables.set_kernel(Some(kernel.into_raw()));
            state.tables.set_user(user.map(TypedRef::into_raw));
            state.ldt_base = context.ldt_base;
            state.ldt_entries = context.ldt_ents as u32;
        }
    }
    if vcpu.id == 0 && fresh {
        domain
            .pv()
            .vm_assist
            .store(context.vm_assist, Ordering::Relaxed);
    }
    state.kernel_mode = context.flags & IN_KERNEL != 0;
    // Linux gives its further CPUs their right to ports here, not through set_iopl.
    state.iopl = (regs.rflags >> 12 & 3) as u8;
    state.kernel_ss = (context.kernel_ss | 3) & 0xffff;
    state.kernel_sp = context.kernel_sp;
    for (slot, info) in state.traps.iter_mut().zip(&context.trap_ctxt) {
        *slot = if code_address_ok(info.address) {
            hypercalls::gate(info)
        } else {
            Default::default()
        };
    }
    state.event_callback = Callback {
        rip: context.event_callback_eip,
        mask_events: true,
    };
    state.failsafe_callback = Callback {
        rip: context.failsafe_callback_eip,
        mask_events: context.flags & FAILSAFE_MASKS != 0,
    };
    state.syscall_callback = Callback {
        rip: context.syscall_callback_eip,
        mask_events: context.flags & SYSCALL_MASKS != 0,
    };
    state.segments = arch::guest_cpu::Segments {
        ds: regs.ds,
        es: regs.es,
        fs: regs.fs,
        gs: regs.gs,
        fs_base: context.fs_base,
        gs_base_kernel: context.gs_base_kernel,
        gs_base_user: context.gs_base_user,
    };
    state.frame = arch::entry::TrapFrame {
        r15: regs.r15,
        r14: regs.r14,
        r13: regs.r13,
        r12: regs.r12,
        rbp: regs.rbp,
        rbx: regs.rbx,
        r11: regs.r11,
        r10: regs.r10,
        r9: regs.r9,
        r8: regs.r8,
        rax: regs.rax,
        rcx: regs.rcx,
        rdx: regs.rdx,
        rsi: regs.rsi,
        rdi: regs.rdi,
        error_code: 0,
        vector: 0,
        rip: regs.rip,
        cs: u64::from(regs.cs | 3),
        rflags: (regs.rflags & !(flags::IOPL | flags::VM)) | flags::IF | 2,
        rsp: regs.rsp,
        ss: u64::from(regs.ss | 3),
    };
    if context.flags & I387_VALID != 0 {
        state.xstate.set_legacy(&context.fpu_ctxt.x);
    } else {
        state.xstate.reset();
    }
    // First: what the debug registers may be depends on CR4.DE.
    state.cr4 = emulate::guest_cr4(context.ctrlreg[4]);
    state.debug = [0; 8];
    for register in [0, 1, 2, 3, 6, 7] {
        // One that a guest may not have stays as it is after a reset.
        let _ = hypercalls::keep_debug(&mut state, register, context.debugreg[register as usize]);
    }
    state.task_switched = context.ctrlreg[0] & 8 != 0;
    Ok(())
}

/// Takes a vCPU's page tables and descriptor tables away. It does not run any more, and the domain is dying.
pub fn release_vcpu(domain: &Domain, vcpu: &Vcpu) {
    let tables = {
        let mut state = vcpu.pv().state();
        descriptor::drop_ldt(domain, &mut state);
        descriptor::drop_gdt(&mut state);
        state.ldt_entries = 0;
        core::mem::take(&mut state.tables)
    };
    // What is long to release is left to the domain's teardown.
    for table in tables.all() {
        drop(TypedRef::from_raw(table));
    }
}
