//! PV guests: how they are entered and left, what their traps become, what the hypervisor does in place of
//! instructions that ring 3 may not execute.
//!
//! Guest kernel and guest user both run in ring 3, told apart by [`PvState::kernel_mode`] and by their page tables.

pub mod bounce;
pub mod descriptor;
pub mod emulate;
pub mod entry;
pub mod hypercall_page;
pub mod hypercalls;
pub mod init;
pub mod iret;
pub mod switch;
pub mod tables;
pub mod trap;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use arch::addr::Mfn;
use arch::entry::TrapFrame;
use arch::sync::{SpinGuard, SpinLock};

pub use hypercall_page::fill as hypercall_page;
pub use init::initialise_vcpu;
pub use tables::Tables;

/// What a PV domain has beyond `Domain`.
#[derive(Default)]
pub struct PvDomain {
    /// Enabled `VMASST_TYPE_*`, one bit each.
    pub vm_assist: AtomicU64,
    /// The last value written to the PCI configuration address port.
    pub pci_address: AtomicU32,
}

impl PvDomain {
    /// A domain with no assists.
    pub const fn new() -> Self {
        Self {
            vm_assist: AtomicU64::new(0),
            pci_address: AtomicU32::new(0),
        }
    }
}

/// What a PV vCPU has beyond `Vcpu`.
pub struct PvVcpu {
    state: SpinLock<Box<PvState>>,
    /// Virtual NMIs, [`nmi`] bits.
    nmi: AtomicU8,
}

/// The states of a vCPU's virtual NMI.
mod nmi {
    /// One waits to be delivered.
    pub const PENDING: u8 = 1 << 0;
    /// One is being handled: until the next iret hypercall no other is delivered.
    pub const BLOCKED: u8 = 1 << 1;
}

impl PvVcpu {
    /// Reset state: nothing registered, nothing loaded.
    pub fn new() -> Self {
        let mut state = Box::<PvState>::default();
        state.xstate.prepare();
        Self {
            state: SpinLock::new(state),
            nmi: AtomicU8::new(0),
        }
    }

    /// Makes a virtual NMI pending; the caller kicks the vCPU. False if one is pending already.
    pub fn raise_nmi(&self) -> bool {
        self.nmi.fetch_or(nmi::PENDING, Ordering::SeqCst) & nmi::PENDING == 0
    }

    /// Whether a virtual NMI is to be delivered now.
    #[inline]
    pub fn nmi_deliverable(&self) -> bool {
        // Ordered after what was said before, such as that the vCPU waits.
        self.nmi.load(Ordering::SeqCst) == nmi::PENDING
    }

    /// The pending virtual NMI was taken; `handled` if a handler of the guest runs now.
    fn nmi_taken(&self, handled: bool) {
        if handled {
            self.nmi.fetch_or(nmi::BLOCKED, Ordering::SeqCst);
        }
        self.nmi.fetch_and(!nmi::PENDING, Ordering::SeqCst);
    }

    /// The guest returned from a handler: virtual NMIs may come again.
    #[inline]
    fn nmi_done(&self) {
        if self.nmi.load(Ordering::Relaxed) != 0 {
            self.nmi.fetch_and(!nmi::BLOCKED, Ordering::SeqCst);
        }
    }

    /// The vCPU's state. The pCPU that runs the vCPU takes this for moments; others only when it does not run.
    pub fn state(&self) -> SpinGuard<'_, Box<PvState>> {
        self.state.lock()
    }
}

impl Default for PvVcpu {
    fn default() -> Self {
        Self::new()
    }
}

/// A registered guest entry point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Callback {
    /// Guest virtual address; 0: none.
    pub rip: u64,
    /// Mask upcalls on entry.
    pub mask_events: bool,
}

/// One entry of the guest's virtual IDT (public `trap_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrapGate {
    /// Handler; 0: none.
    pub rip: u64,
    /// Code selector, RPL forced to 3.
    pub cs: u16,
    /// Least privileged ring that may raise it by software (`TI_GET_DPL`).
    pub dpl: u8,
    /// An interrupt gate: upcalls are masked on entry (`TI_GET_IF`).
    pub mask_events: bool,
}

/// Most frames of a guest GDT (public `FIRST_RESERVED_GDT_PAGE`).
pub const GDT_FRAMES: usize = 14;

/// Register and control state of a PV vCPU. `frame` and `segments` are live only while it does not run.
pub struct PvState {
    /// General registers while descheduled.
    pub frame: TrapFrame,
    /// Data segments and their bases while descheduled.
    pub segments: arch::guest_cpu::Segments,
    /// In guest kernel (else guest user) mode.
    pub kernel_mode: bool,
    /// Current page tables, with the references they hold.
    pub tables: Tables,
    /// Guest kernel stack: selector and pointer (stack_switch).
    pub kernel_ss: u64,
    /// See `kernel_ss`.
    pub kernel_sp: u64,
    /// Virtual IDT. Its entry for NMIs is the only one there is: registering a callback for them fills it.
    pub traps: [TrapGate; 256],
    /// Event upcall entry.
    pub event_callback: Callback,
    /// Entry for frames that could not be returned to.
    pub failsafe_callback: Callback,
    /// Entry for SYSCALL from guest user mode.
    pub syscall_callback: Callback,
    /// Entry for SYSCALL from 32-bit guest user mode.
    pub syscall32_callback: Callback,
    /// Entry for SYSENTER.
    pub sysenter_callback: Callback,
    /// GDT frames, each with a segment-descriptor type reference.
    pub gdt: [Mfn; GDT_FRAMES],
    /// Entries in the GDT; 0: none set.
    pub gdt_entries: u32,
    /// Linear address of the LDT.
    pub ldt_base: u64,
    /// Entries in the LDT.
    pub ldt_entries: u32,
    /// LDT pages faulted in so far, each with a segment-descriptor type reference.
    pub ldt_frames: [Mfn; 16],
    /// Debug registers 0..=3, 6, 7 (4 and 5 unused).
    pub debug: [u64; 8],
    /// What the guest believes CR0.TS is.
    pub task_switched: bool,
    /// What the guest believes CR4 is, beyond the fixed bits.
    pub cr4: u64,
    /// What RDTSCP and RDPID show beside the time.
    pub tsc_aux: u32,
    /// What the guest wants of SPEC_CTRL.
    pub speculation_control: u64,
    /// Virtual IOPL (physdev set_iopl), 0..=3.
    pub iopl: u8,
    /// I/O permission bitmap: guest address of the bitmap and number of ports in it.
    pub io_bitmap: (u64, u32),
    /// Extended state (XSAVE image) while descheduled.
    pub xstate: arch::guest_cpu::ExtendedState,
    /// The error, if the last return to the guest failed (for diagnosis).
    pub failsafe_count: u32,
}

impl Default for PvState {
    fn default() -> Self {
        Self {
            frame: TrapFrame::default(),
            segments: arch::guest_cpu::Segments::default(),
            kernel_mode: true,
            tables: Tables::default(),
            kernel_ss: 0,
            kernel_sp: 0,
            traps: [TrapGate::default(); 256],
            event_callback: Callback::default(),
            failsafe_callback: Callback::default(),
            syscall_callback: Callback::default(),
            syscall32_callback: Callback::default(),
            sysenter_callback: Callback::default(),
            gdt: [Mfn::INVALID; GDT_FRAMES],
            gdt_entries: 0,
            ldt_base: 0,
            ldt_entries: 0,
            ldt_frames: [Mfn::INVALID; 16],
            debug: [0; 8],
            task_switched: false,
            cr4: 0,
            tsc_aux: 0,
            speculation_control: 0,
            iopl: 0,
            io_bitmap: (0, 0),
            xstate: arch::guest_cpu::ExtendedState::default(),
            failsafe_count: 0,
        }
    }
}

/// Whether a guest may use this as a code address: canonical and outside the hypervisor's slots.
pub const fn code_address_ok(rip: u64) -> bool {
    rip < 0x0000_8000_0000_0000 || rip >= arch::guest::HYPERVISOR_END
}

/// Whether a guest may use this as a base address: canonical.
pub const fn canonical(address: u64) -> bool {
    let top = address as i64 >> 47;
    top == 0 || top == -1
}

impl PvDomain {
    /// Whether an assist (a `VMASST_TYPE_*` number) is on.
    pub fn assisted(&self, kind: u32) -> bool {
        self.vm_assist.load(Ordering::Relaxed) >> kind & 1 != 0
    }

    /// Whether the guest's IOPL is that of its RFLAGS images (`VMASST_TYPE_architectural_iopl`).
    pub fn architectural_iopl(&self) -> bool {
        self.assisted(hypercall_abi::xen::VmAssistType::ARCHITECTURAL_IOPL.0)
    }
}
