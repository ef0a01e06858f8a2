//! Who may do what: one table for every hypercall, with the decisions of Xen's dummy security module (Xen public headers;
//! the behaviour of a Xen built without FLASK). Handlers ask [`check`]; nothing else compares privileges.
//!
//! What a hypercall does to the caller alone needs no rule beyond [`Privilege::Anybody`]. Operations that this hypervisor
//! refuses whoever asks are in the table too: the caller's rights are looked at first, so that a refusal tells an
//! unprivileged domain nothing about the host.

use hypercall_abi::Errno;
use hypercall_abi::domctl::DomctlCmd;
use hypercall_abi::event_channel::EvtchnOp;
use hypercall_abi::grant_table::GnttabOp;
use hypercall_abi::memory::XenMem;
use hypercall_abi::physdev::{PHYSDEVOP_IRQ_UNMASK_NOTIFY, PhysdevOp};
use hypercall_abi::pmu::PmuOp;
use hypercall_abi::sched::SchedOp;
use hypercall_abi::version::XenVer;
use hypercall_abi::versions::stable::GET_DOMAIN_STATE;
use hypercall_abi::xen::Hypercall;

use crate::domain::{Domain, DomainId};

/// What a caller must be. The kinds are ordered from the most open to the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// Every domain: the operation is about the caller itself, or both sides' consent is checked elsewhere (grant entries,
    /// unbound ports).
    Anybody,
    /// The domain that the operation is about, its device model, or a controlling domain.
    Target,
    /// The domain that runs xenstore, or a controlling domain.
    Xenstore,
    /// The target's device model, or a controlling domain. No domain is another's device model yet (domctl `set_target` is
    /// refused), so this is [`Self::Control`] until one can be.
    DeviceModel,
    /// A controlling domain: dom0.
    Control,
    /// The domain that owns the hardware: dom0.
    Hardware,
}

/// The rules of one hypercall: what its named operations need, and what all others need.
pub struct Rules {
    /// Which hypercall.
    pub hypercall: Hypercall,
    /// Operations with a rule of their own.
    pub operations: &'static [(u32, Privilege)],
    /// Operations without one, unknown numbers among them.
    pub others: Privilege,
}

use Privilege::{Anybody, Control, DeviceModel, Hardware, Target, Xenstore};

const fn all(hypercall: Hypercall, others: Privilege) -> Rules {
    Rules {
        hypercall,
        operations: &[],
        others,
    }
}

/// The table.
pub static TABLE: &[Rules] = &[
    // A PV guest's own traps, tables, registers and time.
    all(Hypercall::SET_TRAP_TABLE, Anybody),
    all(Hypercall::SET_GDT, Anybody),
    all(Hypercall::STACK_SWITCH, Anybody),
    all(Hypercall::SET_CALLBACKS, Anybody),
    all(Hypercall::FPU_TASKSWITCH, Anybody),
    all(Hypercall::SCHED_OP_COMPAT, Anybody),
    all(Hypercall::SET_DEBUGREG, Anybody),
    all(Hypercall::GET_DEBUGREG, Anybody),
    all(Hypercall::UPDATE_DESCRIPTOR, Anybody),
    all(Hypercall::MULTICALL, Anybody),
    all(Hypercall::SET_TIMER_OP, Anybody),
    all(Hypercall::VM_ASSIST, Anybody),
    all(Hypercall::IRET, Anybody),
    all(Hypercall::VCPU_OP, Anybody),
    all(Hypercall::SET_SEGMENT_BASE, Anybody),
    all(Hypercall::NMI_OP, Anybody),
    all(Hypercall::CALLBACK_OP, Anybody),
    // Page tables: whose tables, and whose frames they may map. Frames of `DOMID_IO` are the frame's own rule.
    all(Hypercall::MMU_UPDATE, Target),
    all(Hypercall::MMUEXT_OP, Target),
    all(Hypercall::UPDATE_VA_MAPPING, Target),
    all(Hypercall::UPDATE_VA_MAPPING_OTHERDOMAIN, Target),
    Rules {
        hypercall: Hypercall::MEMORY_OP,
        operations: &[
            (XenMem::INCREASE_RESERVATION.0, Target),
            (XenMem::DECREASE_RESERVATION.0, Target),
            (XenMem::POPULATE_PHYSMAP.0, Target),
            (XenMem::EXCHANGE.0, Target),
            (XenMem::MAXIMUM_RAM_PAGE.0, Anybody),
            (XenMem::CURRENT_RESERVATION.0, Target),
            (XenMem::MAXIMUM_RESERVATION.0, Target),
            (XenMem::MAXIMUM_GPFN.0, Target),
            (XenMem::MACHPHYS_MFN_LIST.0, Anybody),
            (XenMem::MACHPHYS_COMPAT_MFN_LIST.0, Anybody),
            (XenMem::MACHPHYS_MAPPING.0, Anybody),
            (XenMem::ADD_TO_PHYSMAP.0, Target),
            (XenMem::ADD_TO_PHYSMAP_BATCH.0, Target),
            (XenMem::REMOVE_FROM_PHYSMAP.0, Target),
            (XenMem::MEMORY_MAP.0, Anybody),
            (XenMem::MACHINE_MEMORY_MAP.0, Control),
            (XenMem::SET_MEMORY_MAP.0, Target),
            (XenMem::SET_POD_TARGET.0, Control),
            (XenMem::GET_POD_TARGET.0, Control),
            (XenMem::GET_SHARING_FREED_PAGES.0, Anybody),
            (XenMem::GET_SHARING_SHARED_PAGES.0, Anybody),
            (XenMem::PAGING_OP.0, DeviceModel),
            (XenMem::ACCESS_OP.0, DeviceModel),
            (XenMem::SHARING_OP.0, DeviceModel),
            (XenMem::CLAIM_PAGES.0, Control),
            (XenMem::RESERVED_DEVICE_MEMORY_MAP.0, Anybody),
            (XenMem::ACQUIRE_RESOURCE.0, DeviceModel),
            (XenMem::GET_VNUMAINFO.0, Target),
        ],
        others: Control,
    },
    Rules {
        hypercall: Hypercall::EVENT_CHANNEL_OP,
        operations: &[
            (EvtchnOp::ALLOC_UNBOUND.0, Target),
            (EvtchnOp::STATUS.0, Target),
            (EvtchnOp::RESET.0, Target),
        ],
        others: Anybody,
    },
    Rules {
        hypercall: Hypercall::GRANT_TABLE_OP,
        operations: &[
            (GnttabOp::SETUP_TABLE.0, Target),
            (GnttabOp::QUERY_SIZE.0, Target),
            (GnttabOp::GET_STATUS_FRAMES.0, Target),
            (GnttabOp::GET_VERSION.0, Target),
        ],
        others: Anybody,
    },
    Rules {
        hypercall: Hypercall::SCHED_OP,
        operations: &[
            (SchedOp::REMOTE_SHUTDOWN.0, DeviceModel),
            (SchedOp::PIN_OVERRIDE.0, Hardware),
        ],
        others: Anybody,
    },
    all(Hypercall::CONSOLE_IO, Control),
    Rules {
        hypercall: Hypercall::XEN_VERSION,
        operations: &[
            (XenVer::VERSION.0, Anybody),
            (XenVer::EXTRAVERSION.0, Anybody),
            (XenVer::COMPILE_INFO.0, Anybody),
            (XenVer::CAPABILITIES.0, Anybody),
            (XenVer::CHANGESET.0, Anybody),
            (XenVer::PLATFORM_PARAMETERS.0, Anybody),
            (XenVer::GET_FEATURES.0, Anybody),
            (XenVer::PAGESIZE.0, Anybody),
            (XenVer::GUEST_HANDLE.0, Anybody),
            (XenVer::COMMANDLINE.0, Control),
            (XenVer::BUILD_ID.0, Control),
        ],
        // Unknown numbers are answered as such to everybody.
        others: Anybody,
    },
    Rules {
        hypercall: Hypercall::PHYSDEV_OP,
        operations: &[
            // Interrupts that were given to the caller, and its own rights to ports.
            (PhysdevOp::EOI.0, Anybody),
            (PhysdevOp::PIRQ_EOI_GMFN_V1.0, Anybody),
            (PhysdevOp::PIRQ_EOI_GMFN_V2.0, Anybody),
            (PHYSDEVOP_IRQ_UNMASK_NOTIFY, Anybody),
            (PhysdevOp::IRQ_STATUS_QUERY.0, Anybody),
            (PhysdevOp::SET_IOPL.0, Anybody),
            (PhysdevOp::SET_IOBITMAP.0, Anybody),
            (PhysdevOp::GET_FREE_PIRQ.0, Anybody),
            (PhysdevOp::MAP_PIRQ.0, DeviceModel),
            (PhysdevOp::UNMAP_PIRQ.0, DeviceModel),
            (PhysdevOp::APIC_READ.0, Control),
            (PhysdevOp::APIC_WRITE.0, Control),
            (PhysdevOp::ALLOC_IRQ_VECTOR.0, Control),
            (PhysdevOp::SETUP_GSI.0, Control),
            (PhysdevOp::MANAGE_PCI_ADD.0, Control),
            (PhysdevOp::MANAGE_PCI_REMOVE.0, Control),
            (PhysdevOp::MANAGE_PCI_ADD_EXT.0, Control),
            (PhysdevOp::RESTORE_MSI.0, Control),
            (PhysdevOp::RESTORE_MSI_EXT.0, Control),
            (PhysdevOp::PCI_DEVICE_ADD.0, Control),
            (PhysdevOp::PCI_DEVICE_REMOVE.0, Control),
            (PhysdevOp::PREPARE_MSIX.0, Control),
            (PhysdevOp::RELEASE_MSIX.0, Control),
            (PhysdevOp::PCI_MMCFG_RESERVED.0, Control),
            (PhysdevOp::DBGP_OP.0, Hardware),
        ],
        // Unknown numbers are answered as such to everybody.
        others: Anybody,
    },
    all(Hypercall::PLATFORM_OP, Control),
    all(Hypercall::SYSCTL, Control),
    Rules {
        hypercall: Hypercall::DOMCTL,
        operations: &[
            (DomctlCmd::GETDOMAININFO.0, Xenstore),
            (GET_DOMAIN_STATE.0, Xenstore),
            (DomctlCmd::MEMORY_MAPPING.0, DeviceModel),
            (DomctlCmd::IOPORT_MAPPING.0, DeviceModel),
            (DomctlCmd::BIND_PT_IRQ.0, DeviceModel),
            (DomctlCmd::UNBIND_PT_IRQ.0, DeviceModel),
        ],
        others: Control,
    },
    // What is off is unknown to everybody, except where Xen looks at the caller first.
    all(Hypercall::KEXEC_OP, Anybody),
    all(Hypercall::HYPFS_OP, Anybody),
    all(Hypercall::XENOPROF_OP, Anybody),
    Rules {
        hypercall: Hypercall::XENPMU_OP,
        operations: &[
            (PmuOp::INIT.0, Anybody),
            (PmuOp::FINISH.0, Anybody),
            (PmuOp::LVTPC_SET.0, Anybody),
            (PmuOp::FLUSH.0, Anybody),
        ],
        others: Control,
    },
    all(Hypercall::XSM_OP, Anybody),
    all(Hypercall::ARGO_OP, Anybody),
    all(Hypercall::HVM_OP, Anybody),
    all(Hypercall::DM_OP, Anybody),
    all(Hypercall::TMEM_OP, Anybody),
    // Xen: mca, known to dom0 only.
    all(Hypercall::ARCH_0, Control),
];

/// What an operation needs. Hypercalls without a line are for controlling domains.
pub fn required(hypercall: Hypercall, operation: u32) -> Privilege {
    let Some(rules) = TABLE.iter().find(|r| r.hypercall == hypercall) else {
        return Control;
    };
    rules
        .operations
        .iter()
        .find(|(op, _)| *op == operation)
        .map_or(rules.others, |(_, privilege)| *privilege)
}

/// Whether `caller` is what an operation needs; `target`: the domain it is about, if it is about one.
pub fn allowed(privilege: Privilege, caller: &Domain, target: Option<&Domain>) -> bool {
    match privilege {
        Anybody => true,
        Target => target.is_some_and(|t| core::ptr::eq(t, caller)) || caller.privileged,
        Xenstore => caller.is_xenstore() || caller.privileged,
        DeviceModel | Control => caller.privileged,
        Hardware => caller.id == DomainId::DOM0,
    }
}

/// `EPERM` unless `caller` may do the operation to `target`. A refusal is one line at `guest_loglvl=all`.
pub fn check(
    caller: &Domain,
    hypercall: Hypercall,
    operation: u32,
    target: Option<&Domain>,
) -> Result<(), Errno> {
    let privilege = required(hypercall, operation);
    if allowed(privilege, caller, target) {
        return Ok(());
    }
    log::debug!(
        target: "guest",
        "d{} refused {hypercall:?} operation {operation}: needs {privilege:?}{}{}",
        caller.id.0,
        if target.is_some() { " of d" } else { "" },
        target.map_or(Text(None), |t| Text(Some(t.id.0))),
    );
    Err(Errno::EPERM)
}

/// A domain's number, if there is one.
struct Text(Option<u16>);

impl core::fmt::Display for Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.map_or(Ok(()), |id| write!(f, "{id}"))
    }
}
