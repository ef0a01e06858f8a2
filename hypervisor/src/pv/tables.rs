//! The page tables that a PV vCPU runs on.

use arch::addr::Mfn;

use crate::domain::Context;
use crate::pv::PvState;

/// A vCPU's two address spaces. Each is a validated L4 on which the vCPU holds a type reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// In use in guest kernel mode.
    pub kernel: Option<Mfn>,
    /// In use in guest user mode.
    pub user: Option<Mfn>,
}

impl Tables {
    /// The L4 for a mode. Guest user mode without tables of its own must never be entered; the caller checks.
    pub fn for_mode(&self, kernel_mode: bool) -> Option<Mfn> {
        if kernel_mode { self.kernel } else { self.user }
    }
}

/// Loads CR3 for the mode that the vCPU is in. The references are already held.
pub fn activate(state: &PvState) {
    if let Some(l4) = state.tables.for_mode(state.kernel_mode) {
        load(l4);
    }
}

#[allow(unsafe_code)]
fn load(l4: Mfn) {
    // SAFETY: a `Tables` entry is a validated L4, which carries the hypervisor's slots and cannot be freed or change
    // type while the vCPU's type reference on it is held.
    unsafe { arch::guest_cpu::load_cr3(l4.addr().get()) };
}

/// Loads tables that no guest owns: the vCPU that ran here may go elsewhere, or go for good.
#[allow(unsafe_code)]
pub fn leave() {
    // SAFETY: the idle tables carry the hypervisor's slots and are never freed.
    unsafe { arch::guest_cpu::load_cr3(arch::paging::idle_cr3()) };
}

/// Loads CR3 for the calling vCPU again, after its tables were exchanged.
pub fn activate_tables(cx: &Context) {
    activate(&cx.vcpu.pv().state());
}

/// Goes from guest kernel to guest user mode or back: page tables and GS base. The caller made sure that the other
/// mode has tables.
pub fn toggle_mode(state: &mut PvState) {
    state.kernel_mode = !state.kernel_mode;
    arch::guest_cpu::swap_gs();
    activate(state);
}
