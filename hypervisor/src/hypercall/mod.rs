//! The hypercall table and multicall.

mod multicall;

use arch::cpu::speculation;
use hypercall_abi::Errno;
use hypercall_abi::xen::Hypercall;

use crate::domain::Context;
use crate::fail::{Args, Handler, Return};
use crate::{console, control, event_channel, grant_table, irq, mm, pv, sched, time};

/// Numbers in the table.
const COUNT: usize = 64;

/// What an unused or withheld number answers.
fn unknown(_cx: &Context, _args: Args) -> Return {
    Err(Errno::ENOSYS.into())
}

const fn table() -> [Handler; COUNT] {
    let mut table: [Handler; COUNT] = [unknown; COUNT];
    let entries: &[(Hypercall, Handler)] = &[
        (Hypercall::SET_TRAP_TABLE, pv::hypercalls::do_set_trap_table),
        (Hypercall::MMU_UPDATE, mm::do_mmu_update),
        (Hypercall::SET_GDT, pv::descriptor::do_set_gdt),
        (Hypercall::STACK_SWITCH, pv::hypercalls::do_stack_switch),
        (Hypercall::SET_CALLBACKS, pv::hypercalls::do_set_callbacks),
        (Hypercall::FPU_TASKSWITCH, pv::hypercalls::do_fpu_taskswitch),
        (Hypercall::SCHED_OP_COMPAT, sched::do_sched_op_compat),
        (Hypercall::PLATFORM_OP, control::do_platform_op),
        (Hypercall::SET_DEBUGREG, pv::hypercalls::do_set_debugreg),
        (Hypercall::GET_DEBUGREG, pv::hypercalls::do_get_debugreg),
        (
            Hypercall::UPDATE_DESCRIPTOR,
            pv::descriptor::do_update_descriptor,
        ),
        (Hypercall::MEMORY_OP, mm::do_memory_op),
        (Hypercall::MULTICALL, multicall::do_multicall),
        (Hypercall::UPDATE_VA_MAPPING, mm::do_update_va_mapping),
        (Hypercall::SET_TIMER_OP, time::do_set_timer_op),
        (Hypercall::XEN_VERSION, control::do_xen_version),
        (Hypercall::CONSOLE_IO, console::do_console_io),
        (Hypercall::GRANT_TABLE_OP, grant_table::do_grant_table_op),
        (Hypercall::VM_ASSIST, pv::hypercalls::do_vm_assist),
        (
            Hypercall::UPDATE_VA_MAPPING_OTHERDOMAIN,
            mm::do_update_va_mapping_otherdomain,
        ),
        (Hypercall::IRET, pv::iret::do_iret),
        (Hypercall::VCPU_OP, sched::do_vcpu_op),
        (
            Hypercall::SET_SEGMENT_BASE,
            pv::hypercalls::do_set_segment_base,
        ),
        (Hypercall::MMUEXT_OP, mm::do_mmuext_op),
        (Hypercall::XSM_OP, control::do_xsm_op),
        (Hypercall::NMI_OP, pv::hypercalls::do_nmi_op),
        (Hypercall::SCHED_OP, sched::do_sched_op),
        (Hypercall::CALLBACK_OP, pv::hypercalls::do_callback_op),
        (Hypercall::XENOPROF_OP, control::do_xenoprof_op),
        (
            Hypercall::EVENT_CHANNEL_OP,
            event_channel::do_event_channel_op,
        ),
        (Hypercall::PHYSDEV_OP, irq::do_physdev_op),
        (Hypercall::SYSCTL, control::do_sysctl),
        (Hypercall::DOMCTL, control::do_domctl),
        (Hypercall::KEXEC_OP, control::do_kexec_op),
        (Hypercall::XENPMU_OP, control::do_xenpmu_op),
        (Hypercall::ARGO_OP, control::do_argo_op),
        (Hypercall::HYPFS_OP, control::do_hypfs_op),
        (Hypercall::HVM_OP, control::do_hvm_op),
        (Hypercall::DM_OP, control::do_dm_op),
        (Hypercall::TMEM_OP, control::do_tmem_op),
        // Xen: mca.
        (Hypercall::ARCH_0, control::do_mca),
    ];
    let mut i = 0;
    while i < entries.len() {
        table[entries[i].0.0 as usize] = entries[i].1;
        i += 1;
    }
    table
}

static TABLE: [Handler; COUNT] = table();

/// Runs hypercall `number` for the calling vCPU. `ENOSYS` for numbers without a handler.
#[inline]
pub fn dispatch(cx: &Context, number: u64, args: Args) -> Return {
    match speculation::get(&TABLE, number as usize) {
        Some(handler) => handler(cx, args),
        None => Err(Errno::ENOSYS.into()),
    }
}
