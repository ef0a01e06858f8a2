//! Yield, block, poll, shut down.
//!
//! Xen public/sched.h.

use crate::GuestHandle;
use crate::macros::{abi_consts, abi_structs, open_enums};
use crate::xen::DomId;

open_enums! {
    /// Commands of `sched_op`.
    pub enum SchedOp(u32) "SCHEDOP_" {
        YIELD = 0;
        BLOCK = 1;
        SHUTDOWN = 2;
        POLL = 3;
        REMOTE_SHUTDOWN = 4;
        SHUTDOWN_CODE = 5;
        WATCHDOG = 6;
        PIN_OVERRIDE = 7;
    }

    /// Why a domain stopped.
    pub enum Shutdown(u32) "SHUTDOWN_" {
        POWEROFF = 0;
        REBOOT = 1;
        SUSPEND = 2;
        CRASH = 3;
        WATCHDOG = 4;
        SOFT_RESET = 5;
    }
}

abi_consts! {
    u32 {
        SHUTDOWN_MAX = 5;
    }
}

abi_structs! {
    /// `struct sched_shutdown`: the argument of [`SchedOp::SHUTDOWN`].
    pub struct SchedShutdown: "struct sched_shutdown", size 4 {
        0 => reason: Shutdown,
    }

    /// `struct sched_poll`: the argument of [`SchedOp::POLL`].
    pub struct SchedPoll: "struct sched_poll", size 24 {
        0 => ports: GuestHandle<u32>,
        8 => nr_ports: u32,
        12 => _hole0: [u8; 4] as "",
        16 => timeout: u64,
    }

    /// `struct sched_remote_shutdown`: the argument of [`SchedOp::REMOTE_SHUTDOWN`].
    pub struct SchedRemoteShutdown: "struct sched_remote_shutdown", size 8 {
        0 => domain_id: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => reason: Shutdown,
    }

    /// `struct sched_watchdog`: the argument of [`SchedOp::WATCHDOG`].
    pub struct SchedWatchdog: "struct sched_watchdog", size 8 {
        0 => id: u32,
        4 => timeout: u32,
    }

    /// `struct sched_pin_override`: the argument of [`SchedOp::PIN_OVERRIDE`].
    pub struct SchedPinOverride: "struct sched_pin_override", size 4 {
        0 => pcpu: i32,
    }
}
