//! Debug keys: what the hypervisor says when asked on the console or by `xl debug-keys`.

use crate::domain::Vcpu;
use crate::host::host;
use crate::{event_channel, irq, sched};

/// A key and what it does.
struct Key {
    key: u8,
    does: &'static str,
    act: fn(),
}

const KEYS: &[Key] = &[
    Key {
        key: b'0',
        does: "registers of dom0's vCPUs that do not run",
        act: registers,
    },
    Key {
        key: b'd',
        does: "what each CPU runs, and where Oxen is on this one",
        act: cpus,
    },
    Key {
        key: b'e',
        does: "event channels",
        act: events,
    },
    Key {
        key: b'f',
        does: "check all counts, accounts and bindings",
        act: crate::audit::report,
    },
    Key {
        key: b'h',
        does: "show the debug keys",
        act: help,
    },
    Key {
        key: b'i',
        does: "physical interrupts",
        act: interrupts,
    },
    Key {
        key: b'k',
        does: "count what is held for domains",
        act: crate::audit::holdings::report,
    },
    Key {
        key: b'm',
        does: "memory",
        act: memory,
    },
    Key {
        key: b'q',
        does: "domains and vCPUs",
        act: domains,
    },
    Key {
        key: b'r',
        does: "scheduler",
        act: scheduler,
    },
    Key {
        key: b'R',
        does: "reboot the machine",
        act: reboot,
    },
    Key {
        key: b't',
        does: "clock",
        act: clock,
    },
];

/// Runs the action of a key; unknown keys say so. What was asked for is printed whatever `loglvl=` says.
pub fn key(key: u8) {
    super::logger::asked(|| match KEYS.iter().find(|k| k.key == key) {
        Some(k) => {
            log::info!("'{}' pressed -> {}", k.key as char, k.does);
            (k.act)();
        }
        None if key.is_ascii_graphic() => {
            log::info!("'{}' is no debug key; 'h' shows them", key as char)
        }
        None => {}
    });
}

fn help() {
    for k in KEYS {
        log::info!(" {} : {}", k.key as char, k.does);
    }
}

fn memory() {
    let mm = &host().mm;
    log::info!(
        "{} MiB in all, {} MiB free, {} pages promised to claims, {} NUMA node(s)",
        mm.total_pages() >> 8,
        mm.free_pages() >> 8,
        mm.buddy.statistics().claimed,
        mm.buddy.nodes()
    );
    own_memory();
    for node in 0..mm.buddy.nodes() {
        log::info!(" node {node}: {} pages free", mm.buddy.free_on_node(node));
    }
    for bits in [24, 30, 32, 36, 40] {
        log::info!(" below 2^{bits}: {} pages free", mm.buddy.free_below(bits));
    }
    host().domains.for_each(|d| {
        log::info!(
            " d{}: {} pages of at most {}",
            d.id.0,
            d.mem.tot_pages(),
            d.mem.max_pages()
        )
    });
}

/// What the hypervisor's own memory is.
fn own_memory() {
    let usage = crate::mm::usage();
    log::info!(
        " the hypervisor: {} KiB, and {} KiB kept free for it",
        usage.total() << 2,
        host().mm.reserve() << 2
    );
    for (what, pages) in usage.parts() {
        log::info!("  {what}: {} KiB", pages << 2);
    }
    let (pool, used) = arch::heap::early_pool();
    log::info!(
        "  (early heap, in the image: {} KiB of {} KiB used)",
        used >> 10,
        pool >> 10
    );
}

fn state(v: &Vcpu) -> &'static str {
    if v.down.load(core::sync::atomic::Ordering::Acquire) {
        "down"
    } else if !v.runnable() {
        "paused"
    } else if v.sched.on_cpu().is_some() {
        "running"
    } else if v.sched.is_blocked() {
        "blocked"
    } else {
        "waiting"
    }
}

fn domains() {
    host().domains.for_each(|d| {
        log::info!(
            "d{}{}: {} pages, {} vCPU(s), {} ABI{}{}",
            d.id.0,
            if d.privileged { " (privileged)" } else { "" },
            d.mem.tot_pages(),
            d.vcpus().len(),
            if d.events.uses_fifo() {
                "FIFO"
            } else {
                "2-level"
            },
            if d.is_dying() { ", dying" } else { "" },
            if d.shutdown.lock().is_some() {
                ", shut down"
            } else {
                ""
            },
        );
        let now = arch::clock::now();
        for v in d.vcpus() {
            let info = v.sched.info(now);
            log::info!(
                " v{}: {}, CPU {}, {} ms run, upcall {}{}",
                v.id,
                state(v),
                info.cpu,
                info.cpu_time / 1_000_000,
                if v.upcall_pending() {
                    "pending"
                } else {
                    "not pending"
                },
                if v.upcall_masked() { ", masked" } else { "" },
            );
        }
    });
}

fn scheduler() {
    let now = arch::clock::now();
    for cpu in host().sched.online().iter() {
        let idle = sched::idle_time(cpu).unwrap_or(0);
        log::info!(
            "CPU {cpu}: idle {} ms of {} ms",
            idle / 1_000_000,
            now / 1_000_000
        );
        host().domains.for_each(|d| {
            for v in d.vcpus() {
                let info = v.sched.info(now);
                if info.cpu == cpu && matches!(state(v), "running" | "waiting") {
                    log::info!(" d{}v{}: {}", d.id.0, v.id, state(v));
                }
            }
        });
    }
}

fn cpus() {
    let online = host().sched.online();
    host().domains.for_each(|d| {
        for v in d.vcpus() {
            if let Some(cpu) = v.sched.on_cpu() {
                log::info!("CPU {cpu}: d{}v{}", d.id.0, v.id);
            }
        }
    });
    log::info!("{} CPU(s) in service", online.count());
    log::info!(
        "CPU {} in Oxen:{}",
        arch::percpu::cpu_id(),
        arch::backtrace::Trace::here()
    );
}

fn registers() {
    let Ok(dom0) = host().domains.get(crate::domain::DomainId::DOM0) else {
        log::info!("there is no dom0");
        return;
    };
    for v in dom0.vcpus() {
        if let Some(cpu) = v.sched.on_cpu() {
            log::info!("d0v{}: runs on CPU {cpu}", v.id);
            continue;
        }
        let pv = v.pv().state();
        let (f, kernel) = (pv.frame, pv.kernel_mode);
        drop(pv);
        log::info!(
            "d0v{}: {}, in {} mode",
            v.id,
            state(v),
            if kernel { "kernel" } else { "user" }
        );
        log::info!(
            " rip {:#x} rsp {:#x} rflags {:#x} cs {:#x} ss {:#x}",
            f.rip,
            f.rsp,
            f.rflags,
            f.cs,
            f.ss
        );
        log::info!(
            " rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}",
            f.rax,
            f.rbx,
            f.rcx,
            f.rdx
        );
        log::info!(
            " rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}",
            f.rsi,
            f.rdi,
            f.rbp,
            f.r8
        );
        log::info!(
            " r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}",
            f.r9,
            f.r10,
            f.r11,
            f.r12
        );
        log::info!(" r13 {:016x} r14 {:016x} r15 {:016x}", f.r13, f.r14, f.r15);
    }
}

fn events() {
    host().domains.for_each(|d| {
        log::info!("d{}: port [pending masked] vCPU", d.id.0);
        event_channel::dump::for_each(d, |line| log::info!(" {line}"));
    });
}

fn interrupts() {
    irq::for_each(|line| log::info!(" {line}"));
    log::info!(
        "{} spurious, {} found in service on idle CPUs",
        host().irqs.spurious(),
        irq::leftovers()
    );
}

fn clock() {
    log::info!(
        "{} ns since boot, TSC {} Hz, {}",
        arch::clock::now(),
        arch::clock::tsc_hz(),
        if arch::clock::tsc_stable() {
            "stable"
        } else {
            "unstable"
        }
    );
    if let Some(calibration) = arch::clock::calibration() {
        log::info!("{calibration:?}");
    }
}

fn reboot() {
    crate::shutdown::restart();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_sorted_for_the_help() {
        for pair in KEYS.windows(2) {
            let order = |k: &Key| (k.key.to_ascii_lowercase(), !k.key.is_ascii_lowercase());
            assert!(order(&pair[0]) <= order(&pair[1]), "{}", pair[1].does);
            assert_ne!(pair[0].key, pair[1].key);
        }
    }
}
