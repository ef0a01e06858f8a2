//! The pair of 8259A interrupt controllers: moved out of the exceptions' way and masked for good.

use crate::hw::outb;

/// Masks all sixteen lines. They are also given vectors of their own, because a masked 8259 can still raise its
/// spurious interrupt 7.
pub(super) fn mask_8259(present: bool) {
    if !present {
        return;
    }
    let base = super::vectors::FIRST_DYNAMIC;
    for (command, data, vector, wiring) in [(0x20, 0x21, base, 4), (0xa0, 0xa1, base + 8, 2)] {
        outb(data, 0xff);
        outb(command, 0x11);
        outb(data, vector);
        outb(data, wiring);
        outb(data, 0x01);
        outb(data, 0xff);
    }
}
