//! Profiling, as far as numbers go: obsolete.
//!
//! Xen public/xenoprof.h.

use crate::macros::{abi_consts, abi_structs, open_enums};

open_enums! {
    /// `XENOPROF_*`.
    pub enum XenoprofOp(u32) "XENOPROF_" {
        INIT = 0;
        RESET_ACTIVE_LIST = 1;
        RESET_PASSIVE_LIST = 2;
        SET_ACTIVE = 3;
        SET_PASSIVE = 4;
        RESERVE_COUNTERS = 5;
        COUNTER = 6;
        SETUP_EVENTS = 7;
        ENABLE_VIRQ = 8;
        START = 9;
        STOP = 10;
        DISABLE_VIRQ = 11;
        RELEASE_COUNTERS = 12;
        SHUTDOWN = 13;
        GET_BUFFER = 14;
        SET_BACKTRACE = 15;
        GET_IBS_CAPS = 16;
        IBS_COUNTER = 17;
        LAST_OP = 17;
    }
}

abi_consts! {
    u32 {
        MAX_OPROF_EVENTS = 32;
        MAX_OPROF_DOMAINS = 25;
        XENOPROF_CPU_TYPE_SIZE = 64;
    }
    u64 {
        XENOPROF_ESCAPE_CODE = u64::MAX;
    }
    u32 {
        XENOPROF_TRACE_BEGIN = 1;
    }
}

abi_structs! {
    /// `struct event_log`.
    pub struct EventLog: "struct event_log", size 16 {
        0 => eip: u64,
        8 => mode: u8,
        9 => event: u8,
        10 => _hole0: [u8; 6] as "",
    }

    /// `struct xenoprof_buf`.
    pub struct XenoprofBuf: "struct xenoprof_buf", size 64 {
        0 => event_head: u32,
        4 => event_tail: u32,
        8 => event_size: u32,
        12 => vcpu_id: u32,
        16 => xen_samples: u64,
        24 => kernel_samples: u64,
        32 => user_samples: u64,
        40 => lost_samples: u64,
        48 => event_log: [EventLog; 1],
    }

    /// `struct xenoprof_init`: the argument of [`XenoprofOp::INIT`].
    pub struct XenoprofInit: "struct xenoprof_init", size 72 {
        0 => num_events: i32,
        4 => is_primary: i32,
        8 => cpu_type: [u8; 64],
    }

    /// `struct xenoprof_get_buffer`: the argument of [`XenoprofOp::GET_BUFFER`].
    pub struct XenoprofGetBuffer: "struct xenoprof_get_buffer", size 24 {
        0 => max_samples: i32,
        4 => nbuf: i32,
        8 => bufsize: i32,
        12 => _hole0: [u8; 4] as "",
        16 => buf_gmaddr: u64,
    }

    /// `struct xenoprof_counter`: the argument of [`XenoprofOp::COUNTER`].
    pub struct XenoprofCounter: "struct xenoprof_counter", size 48 {
        0 => ind: u32,
        4 => _hole0: [u8; 4] as "",
        8 => count: u64,
        16 => enabled: u32,
        20 => event: u32,
        24 => hypervisor: u32,
        28 => kernel: u32,
        32 => user: u32,
        36 => _hole1: [u8; 4] as "",
        40 => unit_mask: u64,
    }

    /// `struct xenoprof_passive`.
    pub struct XenoprofPassive: "struct xenoprof_passive", size 24 {
        0 => domain_id: u16,
        2 => _hole0: [u8; 2] as "",
        4 => max_samples: i32,
        8 => nbuf: i32,
        12 => bufsize: i32,
        16 => buf_gmaddr: u64,
    }

    /// `struct xenoprof_ibs_counter`: the argument of [`XenoprofOp::IBS_COUNTER`].
    pub struct XenoprofIbsCounter: "struct xenoprof_ibs_counter", size 48 {
        0 => op_enabled: u64,
        8 => fetch_enabled: u64,
        16 => max_cnt_fetch: u64,
        24 => max_cnt_op: u64,
        32 => rand_en: u64,
        40 => dispatched_ops: u64,
    }
}
