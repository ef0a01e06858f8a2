//! The ways into and out of the hypervisor: exceptions, interrupts, SYSCALL, SYSENTER.
//!
//! Every entry from a guest leaves a complete [`TrapFrame`] at the very top of the pCPU's main stack, right below
//! `CpuInfo`, and calls one of four functions of the `oxen` binary with it; when they return, the frame is what
//! the guest continues with. They are: `oxen_trap(&mut TrapFrame)` for exceptions and interrupts, from guests
//! (frame at the top of the stack) and from the hypervisor itself; `oxen_syscall(&mut TrapFrame)`;
//! `oxen_sysenter(&mut TrapFrame)`, whose frame has neither the guest's RIP nor its RSP;
//! `oxen_iret_fault(&mut TrapFrame)` when the guest's frame cannot be returned to (bad selectors).
#![allow(unsafe_code)]

#[cfg(target_os = "none")]
mod asm;
#[cfg(target_os = "none")]
pub use asm::{
    clear_buffers_on_exit, patch_smap, start, stub_address, syscall_entry_address,
    syscall32_entry_address, sysenter_entry_address,
};

/// The simulated machine has no buffers.
#[cfg(not(target_os = "none"))]
pub fn clear_buffers_on_exit() {}

/// Register state of an interrupted context. Same order as the public `cpu_user_regs` up to `ss`, which the
/// hardware and the entry code fill in; data segment selectors are saved only at context switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// Hardware error code, or 0.
    pub error_code: u32,
    /// Vector, or [`VECTOR_SYSCALL`].
    pub vector: u32,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

const _: () = assert!(size_of::<TrapFrame>() == 0xa8);

/// `vector` of a frame that came through SYSCALL: its rcx and r11 are free to be lost on return.
pub const VECTOR_SYSCALL: u32 = 0x100;

impl TrapFrame {
    /// Whether the frame belongs to a guest (ring 3) rather than to the hypervisor.
    pub const fn from_guest(&self) -> bool {
        self.cs & 3 != 0
    }

    /// Takes away what a frame that holds a guest's unchecked words could do: it leads to the guest's ring, with flat
    /// selectors, interrupts on and no privilege of I/O.
    #[cold]
    pub fn disarm(&mut self) {
        /// With the bit that is always set.
        const HARMLESS: u64 = INTERRUPT_FLAG | 1 << 1;
        (self.cs, self.ss) = (selector::GUEST_CS64, selector::GUEST_SS);
        self.rflags = HARMLESS;
    }
}

/// The part of `CpuInfo` that entry code touches.
#[derive(Debug)]
#[repr(C)]
pub struct EntryBlock {
    /// RSP of the guest at SYSCALL, parked until the frame is built.
    pub saved_rsp: u64,
    _reserved: [u64; 31],
}

impl Default for EntryBlock {
    fn default() -> Self {
        Self::new()
    }
}

impl EntryBlock {
    /// As it is before the first entry.
    pub const fn new() -> Self {
        Self {
            saved_rsp: 0,
            _reserved: [0; 31],
        }
    }
}

const _: () = assert!(size_of::<EntryBlock>() == 256);

/// IF in RFLAGS: always set while a guest runs.
pub const INTERRUPT_FLAG: u64 = 1 << 9;

/// Bits that SYSCALL clears in RFLAGS (IA32_FMASK): TF, IF, DF, IOPL, NT, RF, VM, AC.
pub const SYSCALL_FLAG_MASK: u64 = 0x0007_7700;

/// Selectors of the ABI (public arch-x86/xen-x86_64.h) that SYSRET and entry code need.
pub mod selector {
    /// Ring-3 64-bit code (`FLAT_RING3_CS64`).
    pub const GUEST_CS64: u64 = 0xe033;
    /// Ring-3 stack and data (`FLAT_RING3_SS64`).
    pub const GUEST_SS: u64 = 0xe02b;
    /// Ring-3 compatibility code (`FLAT_RING3_CS32`).
    pub const GUEST_CS32: u64 = 0xe023;
    /// The hypervisor's code.
    pub const HYPERVISOR_CS: u64 = 0xe008;
    /// IA32_STAR for SYSCALL to [`HYPERVISOR_CS`] and SYSRET to [`GUEST_CS64`].
    pub const STAR: u64 = (GUEST_CS32 << 48) | (HYPERVISOR_CS << 32);
}
