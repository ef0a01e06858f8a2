//! Resetting the machine.

/// Resets by the chipset's reset register, then by the keyboard controller.
pub fn reboot() -> ! {
    crate::cpu::port::outb(0xcf9, 0x02);
    crate::cpu::port::outb(0xcf9, 0x06);
    crate::cpu::port::outb(0x64, 0xfe);
    crate::cpu::halt_forever()
}
