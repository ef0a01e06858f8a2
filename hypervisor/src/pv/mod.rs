//! PV guests: entry logic, bounce frames, emulation.

use alloc::boxed::Box;

use arch::sync::{SpinGuard, SpinLock};

pub use tables::Tables;

/// What a PV domain has beyond `Domain`.
#[derive(Default)]
pub struct PvDomain {}

/// What a PV vCPU has beyond `Vcpu`.
pub struct PvVcpu {
    state: SpinLock<Box<PvState>>,
}

impl PvVcpu {
    /// Reset state.
    pub fn new() -> Self {
        Self {
            state: SpinLock::new(Box::default()),
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

/// Register and control state of a PV vCPU.
pub struct PvState {
    /// In guest kernel (else guest user) mode.
    pub kernel_mode: bool,
    /// Current page tables, with the references they hold.
    pub tables: Tables,
    /// Linear address of the LDT.
    pub ldt_base: u64,
    /// Entries in the LDT.
    pub ldt_entries: u32,
}

impl Default for PvState {
    fn default() -> Self {
        Self {
            kernel_mode: true,
            tables: Tables::default(),
            ldt_base: 0,
            ldt_entries: 0,
        }
    }
}

pub mod tables {
    //! The page tables that a PV vCPU runs on.

    use arch::addr::Mfn;

    use crate::domain::Context;

    /// A vCPU's two address spaces. Each is a validated L4 on which the vCPU holds a type reference.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Tables {
        /// In use in guest kernel mode.
        pub kernel: Option<Mfn>,
        /// In use in guest user mode.
        pub user: Option<Mfn>,
    }

    impl Tables {
        /// The L4 for a mode.
        pub fn for_mode(&self, kernel_mode: bool) -> Option<Mfn> {
            if kernel_mode { self.kernel } else { self.user }
        }
    }

    /// Loads CR3 for the calling vCPU again, after its tables were exchanged.
    pub fn activate_tables(_cx: &Context) {}
}

pub mod descriptor {
    //! The guest's GDT and LDT.

    use hypercall_abi::Errno;

    use super::PvState;
    use crate::domain::{Context, Domain};
    use crate::fail::Fail;

    /// Drops the LDT pages and their references.
    pub fn drop_ldt(_domain: &Domain, _state: &mut PvState) {}

    /// Makes the vCPU's GDT and LDT live on this CPU.
    pub fn load(_state: &mut PvState) {}

    /// MMUEXT_SET_LDT: pages are loaded when first used.
    pub fn set_ldt(cx: &Context, base: u64, entries: u64) -> Result<(), Fail> {
        if entries > 8192 || base & 4095 != 0 {
            return Err(Errno::EINVAL.into());
        }
        let mut state = cx.vcpu.pv().state();
        state.ldt_base = base;
        state.ldt_entries = entries as u32;
        Ok(())
    }
}
