//! Context switches between PV vCPUs, pending work, and the idle loop.

use core::sync::atomic::Ordering;

use arch::entry::TrapFrame;

use crate::domain::Context;
use crate::percpu::{PerCpu, work};
use crate::pv::{descriptor, tables};
use crate::{sched, time};

/// Does what is pending on this CPU; on return either a guest is current and `frame` is its, or nothing is runnable
/// was found and something new is pending (the caller loops).
pub fn do_pending(cpu: &PerCpu, frame: &mut TrapFrame) {
    loop {
        let pending = cpu.pending.swap(0, Ordering::SeqCst);
        if pending & work::TIMER != 0 {
            time::run_expired(cpu);
        }
        if pending & work::DEFERRED != 0 {
            crate::irq::run_deferred();
            crate::console::run_deferred();
        }
        if pending & work::RESCHEDULE != 0 || cpu.current.borrow().is_none() {
            match sched::pick_next(cpu) {
                Some(next) => switch_to(cpu, frame, next),
                None => {
                    if let Some(previous) = save_current(cpu, frame) {
                        // Its page tables may be freed as soon as others may run it.
                        tables::leave();
                        left(cpu, &previous);
                    }
                    sched::idle::idle(cpu);
                    continue;
                }
            }
        }
        if cpu.pending.load(Ordering::SeqCst) == 0 {
            return;
        }
    }
}

/// The vCPU that ran here stops running: its registers go where another CPU can find them. Its page tables are still
/// loaded; the caller loads others before it says so with [`left`].
fn save_current(cpu: &PerCpu, frame: &TrapFrame) -> Option<Context> {
    let previous = cpu.current.borrow_mut().take()?;
    time::switching_out(&previous.domain, &previous.vcpu);
    save(&previous, frame);
    Some(previous)
}

/// Nothing of `previous` is loaded here any more: other CPUs may run it, or tear it down.
fn left(cpu: &PerCpu, previous: &Context) {
    sched::context_saved(cpu, &previous.vcpu);
}

fn switch_to(cpu: &PerCpu, frame: &mut TrapFrame, next: Context) {
    {
        let current = cpu.current.borrow();
        if current
            .as_ref()
            .is_some_and(|c| core::ptr::eq(&*c.vcpu, &*next.vcpu))
        {
            return;
        }
    }
    let previous = save_current(cpu, frame);
    if cpu.last_domain.replace(next.domain.unique_id) != next.domain.unique_id {
        crate::speculation::between_domains();
    }
    load(&next, frame);
    if let Some(previous) = previous {
        left(cpu, &previous);
    }
    time::update_vcpu_time(&next.vcpu);
    *cpu.current.borrow_mut() = Some(next);
    crate::time::vcpu_entered(&cpu.current.borrow().as_ref().expect("just set").vcpu);
}

fn save(cx: &Context, frame: &TrapFrame) {
    let mut state = cx.vcpu.pv().state();
    let state = &mut **state;
    state.frame = *frame;
    arch::guest_cpu::save_segments(&mut state.segments, state.kernel_mode);
    state.xstate.save();
}

fn load(cx: &Context, frame: &mut TrapFrame) {
    let mut state = cx.vcpu.pv().state();
    let state = &mut **state;
    // The domain's mappings may be cached by this CPU from now on.
    cx.domain.mem.dirty_cpus.insert(arch::percpu::cpu_id());
    descriptor::load(state);
    tables::activate(state);
    *frame = state.frame;
    if !arch::guest_cpu::load_segments(&state.segments, state.kernel_mode) {
        log::debug!(
            "d{}v{}: a data selector could not be loaded",
            cx.domain.id.0,
            cx.vcpu.id
        );
    }
    arch::percpu::set_tsc_aux(state.tsc_aux);
    arch::cpu::speculation::set_guest_control(state.speculation_control);
    state.xstate.load();
    arch::guest_cpu::set_task_switched(state.task_switched);
    load_debug(&state.debug);
    arch::cpu::set_guest_cr4(state.cr4 | cx.vcpu.tsc.cr4());
}

fn load_debug(debug: &[u64; 8]) {
    // DR7 with a breakpoint enabled is rare: then, and to switch it off again, the registers are loaded.
    if debug[7] & 0xff != 0 {
        for (n, &value) in debug.iter().enumerate().take(4) {
            arch::guest_cpu::write_debug(n, value);
        }
        arch::guest_cpu::write_debug(7, debug[7]);
    } else {
        arch::guest_cpu::write_debug(7, 0);
    }
}
