//! VCPUOP_initialise and setvcpucontext: a vCPU's first state from a `vcpu_guest_context`.

use arch::addr::Mfn;
use hypercall_abi::Errno;
use hypercall_abi::arch_x86::VcpuGuestContext;

use crate::domain::{Domain, Vcpu};
use crate::fail::Fail;
use crate::mm::{self, PageType};
use crate::pv::bounce::flags;
use crate::pv::{Callback, GDT_FRAMES, canonical, code_address_ok, descriptor, hypercalls};

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

/// Gives a vCPU that does not run its state. `EINVAL` for addresses or selectors that a guest may not have,
/// `EBUSY`/`Continue` as page-table validation reports.
pub fn initialise_vcpu(
    domain: &Domain,
    vcpu: &Vcpu,
    context: &VcpuGuestContext,
) -> Result<(), Fail> {
    let regs = &context.user_regs;
    let bases = [
        context.fs_base,
        context.gs_base_kernel,
        context.gs_base_user,
    ];
    let entries = [
        context.event_callback_eip,
        context.failsafe_callback_eip,
        context.syscall_callback_eip,
        regs.rip,
    ];
    if !bases.into_iter().all(canonical)
        || !entries.into_iter().all(code_address_ok)
        || context.gdt_ents > u64::from(descriptor::GUEST_GDT_ENTRIES)
        || context.ldt_ents > 8192
    {
        return Err(Errno::EINVAL.into());
    }

    // References first: page tables, then the GDT; nothing is kept if one of them fails.
    let kernel = cr3_frame(context.ctrlreg[3]);
    let kernel_ref = mm::get_page_and_type(kernel, domain, PageType::L4)?;
    let user = match context.ctrlreg[1] {
        0 => None,
        cr3 => Some(mm::get_page_and_type(
            cr3_frame(cr3 & !1),
            domain,
            PageType::L4,
        )?),
    };
    let mut state = vcpu.pv().state();
    let frames = (context.gdt_ents as usize).div_ceil(512);
    let mut gdt = [Mfn::INVALID; GDT_FRAMES];
    for (slot, &raw) in gdt
        .iter_mut()
        .zip(&context.gdt_frames[..frames.min(GDT_FRAMES)])
    {
        *slot = Mfn::new(raw);
    }
    descriptor::set_gdt(domain, &mut state, &gdt[..frames], context.gdt_ents as u32)?;

    state.tables.kernel = Some(kernel_ref.into_raw());
    state.tables.user = user.map(|u| u.into_raw());
    state.ldt_base = context.ldt_base;
    state.ldt_entries = context.ldt_ents as u32;
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
    state.xstate.set_legacy(&context.fpu_ctxt.x);
    state.debug = [0; 8];
    state.task_switched = context.ctrlreg[0] & 8 != 0;
    Ok(())
}
