//! Debug keys: what the hypervisor says when asked on the console or by `xl debug-keys`.

use crate::host::host;

struct Key {
    key: u8,
    does: &'static str,
    act: fn(),
}

const KEYS: &[Key] = &[
    Key {
        key: b'h',
        does: "show this help",
        act: help,
    },
    Key {
        key: b'm',
        does: "memory",
        act: memory,
    },
    Key {
        key: b'f',
        does: "check every page's reference and type counts",
        act: audit,
    },
    Key {
        key: b'q',
        does: "domains and vCPUs",
        act: domains,
    },
    Key {
        key: b't',
        does: "clock",
        act: clock,
    },
    Key {
        key: b'R',
        does: "reboot the machine",
        act: reboot,
    },
];

/// Runs the action of a key; unknown keys say so.
pub fn key(key: u8) {
    match KEYS.iter().find(|k| k.key == key) {
        Some(k) => {
            log::info!("'{}' pressed: {}", k.key as char, k.does);
            (k.act)();
        }
        None if key.is_ascii_graphic() => {
            log::info!("'{}' is no debug key; 'h' shows them", key as char)
        }
        None => {}
    }
}

fn help() {
    for k in KEYS {
        log::info!(" {} : {}", k.key as char, k.does);
    }
}

fn memory() {
    let mm = &host().mm;
    log::info!(
        "memory: {} pages in all, {} free",
        mm.total_pages(),
        mm.free_pages()
    );
    host().domains.for_each(|d| {
        log::info!(
            " d{}: {} pages of at most {}",
            d.id.0,
            d.mem.tot_pages(),
            d.mem.max_pages()
        )
    });
}

/// Pages that the event channels or grants keep references to are among the differences.
fn audit() {
    let differences = crate::mm::audit::audit(&[]);
    log::info!(
        "{} pages differ from what refers to them",
        differences.len()
    );
    for difference in differences.iter().take(16) {
        log::info!(" {difference}");
    }
}

fn domains() {
    host().domains.for_each(|d| {
        log::info!(
            "d{}: {} pages, {} vCPUs{}",
            d.id.0,
            d.mem.tot_pages(),
            d.vcpus().len(),
            if d.is_dying() { ", dying" } else { "" }
        );
        for v in d.vcpus() {
            log::info!(
                " v{}: {}upcall {}{}",
                v.id,
                if v.runnable() { "up, " } else { "down, " },
                if v.upcall_pending() {
                    "pending"
                } else {
                    "none"
                },
                if v.upcall_masked() { ", masked" } else { "" },
            );
        }
    });
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
}

fn reboot() {
    arch::power::reboot();
}
