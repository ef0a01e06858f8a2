//! Descriptor tables: GDT and LDT windows, TSS, IDT, and the MSRs of SYSCALL, for each CPU's area
//! (docs/architecture.md, "Per-pCPU area").
#![allow(unsafe_code)]

mod area;
mod gdt;
mod idt;
#[cfg(test)]
mod tests;

pub use area::{AreaError, create_area};
pub use gdt::{Descriptor, map_ldt_page, set_gdt_window, set_ldt_window};

/// Interrupt stack table entries, 1-based as in the IDT.
pub mod ist {
    /// Non-maskable interrupt.
    pub const NMI: u8 = 1;
    /// Machine check.
    pub const MACHINE_CHECK: u8 = 2;
    /// Double fault.
    pub const DOUBLE_FAULT: u8 = 3;
    /// Debug exception.
    pub const DEBUG: u8 = 4;
}

/// Whether a CPU's area was made.
#[must_use]
pub fn has_area(cpu: usize) -> bool {
    area::exists(cpu)
}

/// Loads this CPU's tables and SYSCALL set-up. Its area must exist ([`create_area`]); from now on faults reach
/// `oxen_trap`. The boot CPU fills the shared IDT on the way.
///
/// # Panics
/// If the area of `cpu` does not exist (a hypervisor bug).
pub fn load(cpu: usize) {
    assert!(area::exists(cpu), "CPU {cpu} has no area");
    #[cfg(target_os = "none")]
    {
        if cpu == 0 {
            idt::fill();
        }
        gdt::load(cpu);
        idt::load();
        area::load_syscall(cpu);
    }
}

/// Continues on CPU 0's own main stack, with guard pages around it; the boot stack is not used again.
#[cfg(target_os = "none")]
pub fn continue_on_main_stack(f: fn() -> !) -> ! {
    extern "C" fn go(f: *const fn() -> !) -> ! {
        // SAFETY: points to the copy below.
        unsafe { f.read()() }
    }
    let top = crate::percpu::info_address(0);
    // On the old stack, which stays mapped.
    let copy = f;
    // SAFETY: the area's stack is mapped and unused; nothing of the old stack is needed any more, as `f` captures
    // nothing and never returns.
    unsafe {
        core::arch::asm!(
            "mov rsp, {top}", "xor ebp, ebp", "call {go}", "ud2",
            top = in(reg) top, go = sym go, in("rdi") &raw const copy, options(noreturn)
        )
    }
}

/// On the host there is one stack.
#[cfg(not(target_os = "none"))]
pub fn continue_on_main_stack(f: fn() -> !) -> ! {
    f()
}
