//! The page tables that a PV vCPU runs on.

use arch::addr::Mfn;
use arch::tlb::{self, contexts::Space};

use crate::domain::Context;
use crate::pv::PvState;

/// A vCPU's two address spaces. Each is a validated L4 on which the vCPU holds a type reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    kernel: Option<Mfn>,
    user: Option<Mfn>,
    /// What is loaded to get there from the other mode, by [`Space`].
    values: [u64; 2],
}

impl Tables {
    /// In use in guest kernel mode.
    #[inline]
    pub const fn kernel(&self) -> Option<Mfn> {
        self.kernel
    }

    /// In use in guest user mode.
    #[inline]
    pub const fn user(&self) -> Option<Mfn> {
        self.user
    }

    /// Both, for whoever takes their references.
    pub fn all(&self) -> impl Iterator<Item = Mfn> {
        [self.kernel, self.user].into_iter().flatten()
    }

    /// Exchanges the kernel's table, with its reference. If the vCPU runs, [`activate`] follows.
    pub fn set_kernel(&mut self, table: Option<Mfn>) -> Option<Mfn> {
        self.values[Space::Kernel as usize] = value(Space::Kernel, table);
        core::mem::replace(&mut self.kernel, table)
    }

    /// Exchanges the user's table, with its reference. If the vCPU runs, [`user_table_changed`] follows.
    pub fn set_user(&mut self, table: Option<Mfn>) -> Option<Mfn> {
        self.values[Space::User as usize] = value(Space::User, table);
        core::mem::replace(&mut self.user, table)
    }

    /// The L4 for a mode. Guest user mode without tables of its own must never be entered; the caller checks.
    pub fn for_mode(&self, kernel_mode: bool) -> Option<Mfn> {
        if kernel_mode { self.kernel } else { self.user }
    }
}

fn value(space: Space, table: Option<Mfn>) -> u64 {
    table.map_or(0, |l4| tlb::entry_value(space, l4))
}

/// Loads the vCPU's tables on this CPU, those of the mode that it is in. The references are already held. Nothing of
/// tables that it had before can be used any more.
#[allow(unsafe_code)]
pub fn activate(state: &PvState) {
    let Tables { kernel, user, .. } = state.tables;
    if state.tables.for_mode(state.kernel_mode).is_some() {
        // SAFETY: a `Tables` entry is a validated L4, which carries the hypervisor's slots and cannot be freed or change
        // type while the vCPU's type reference on it is held.
        unsafe { tlb::load_tables(kernel, user, Space::of_mode(state.kernel_mode)) };
    }
}

/// Loads tables that no guest owns: the vCPU that ran here may go elsewhere, or go for good.
pub fn leave() {
    tlb::leave_tables();
}

/// Loads the calling vCPU's tables again, after they were exchanged.
pub fn activate_tables(cx: &Context) {
    activate(&cx.vcpu.pv().state());
}

/// The calling vCPU, in kernel mode, has another user table, or wants its user's translations forgotten.
pub fn user_table_changed() {
    tlb::flush_unused(Space::User);
}

/// Goes from guest kernel to guest user mode or back: page tables and GS base. The caller made sure that the other
/// mode has tables.
#[inline]
#[allow(unsafe_code)]
pub fn toggle_mode(state: &mut PvState) {
    state.kernel_mode = !state.kernel_mode;
    arch::guest_cpu::swap_gs();
    let value = state.tables.values[Space::of_mode(state.kernel_mode) as usize];
    // SAFETY: as in `activate`, which this vCPU came through; exchanged since then were only tables that the setters
    // name, whose callers do as they say.
    unsafe { tlb::enter(value) };
}
