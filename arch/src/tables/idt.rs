//! The interrupt descriptor table, one for all CPUs (Intel SDM 3A, 6.14.1).

#[cfg(any(test, target_os = "none"))]
use super::ist;

/// The IST stack of a vector; 0: none.
#[cfg(any(test, target_os = "none"))]
pub(super) const fn ist_of(vector: u8) -> u8 {
    match vector {
        1 => ist::DEBUG,
        2 => ist::NMI,
        8 => ist::DOUBLE_FAULT,
        18 => ist::MACHINE_CHECK,
        _ => 0,
    }
}

/// Who may use the vector with INT: breakpoint, overflow, and the system call of 32-bit programs.
#[cfg(any(test, target_os = "none"))]
pub(super) const fn dpl_of(vector: u8) -> u8 {
    match vector {
        3 | 4 | 0x80 => 3,
        _ => 0,
    }
}

/// An interrupt gate to `target` with the hypervisor's code selector.
#[cfg(any(test, target_os = "none"))]
pub(super) const fn gate(target: u64, ist: u8, dpl: u8) -> [u64; 2] {
    let low = (target & 0xffff)
        | crate::entry::selector::HYPERVISOR_CS << 16
        | (ist as u64) << 32
        | 0xe << 40
        | (dpl as u64) << 45
        | 1 << 47
        | (target >> 16 & 0xffff) << 48;
    [low, target >> 32]
}

#[cfg(target_os = "none")]
mod bare {
    use super::{dpl_of, gate, ist_of};

    #[repr(C, align(4096))]
    struct Idt([[u64; 2]; 256]);

    static mut IDT: Idt = Idt([[0; 2]; 256]);

    /// Fills the table: boot CPU, before it or any other CPU loads it.
    pub(in crate::tables) fn fill() {
        for vector in 0..=255u8 {
            let entry = gate(
                crate::entry::stub_address(vector),
                ist_of(vector),
                dpl_of(vector),
            );
            // SAFETY: the boot CPU alone, before the table is loaded anywhere.
            unsafe { (&raw mut IDT.0[usize::from(vector)]).write_volatile(entry) };
        }
    }

    /// Loads IDTR.
    pub(in crate::tables) fn load() {
        #[repr(C, packed)]
        struct Pointer {
            limit: u16,
            base: u64,
        }
        let pointer = Pointer {
            limit: 4095,
            base: (&raw const IDT) as u64,
        };
        // SAFETY: the table is filled and static.
        unsafe {
            core::arch::asm!("lidt [{}]", in(reg) &pointer, options(readonly, nostack, preserves_flags))
        };
    }
}
#[cfg(target_os = "none")]
pub(super) use bare::{fill, load};
