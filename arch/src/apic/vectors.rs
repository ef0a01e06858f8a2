//! Interrupt vectors: who has which number, and the per-CPU map from device vectors to interrupts.
//!
//! A local APIC serves higher vectors first, in classes of sixteen. What keeps the machine going (shootdowns, the
//! timer) therefore sits above all devices. Devices get `0x20..=0xef` except [`GUEST_INT80`], per pCPU.

use core::sync::atomic::{AtomicU16, Ordering};

/// First vector for devices; the ones below are the processor's exceptions.
pub const FIRST_DYNAMIC: u8 = 0x20;
/// Last vector for devices.
pub const LAST_DYNAMIC: u8 = 0xef;
/// PV guests' 32-bit system call gate: never given to a device.
pub const GUEST_INT80: u8 = 0x80;
/// Xen's traditional 32-bit hypercall gate: never given to a device.
pub const GUEST_INT82: u8 = 0x82;

/// The deadline timer of this CPU expired.
pub const TIMER: u8 = 0xf8;
/// Another CPU raised work for this one (reschedule, upcall).
pub const EVENT_CHECK: u8 = 0xfa;
/// Another CPU wants a function run here.
pub const CALL_FUNCTION: u8 = 0xfb;
/// Another CPU asks for a TLB shootdown.
pub const TLB_SHOOTDOWN: u8 = 0xfc;
/// The local APIC reports an error.
pub const ERROR: u8 = 0xfe;
/// The local APIC withdrew an interrupt; no end-of-interrupt is due.
pub const SPURIOUS: u8 = 0xff;

/// No interrupt has this number.
const NOBODY: u16 = u16::MAX;

/// One CPU's map from vector to interrupt number. Reading needs no lock; changes are serialised by the caller.
#[derive(Debug)]
pub struct VectorMap([AtomicU16; 256]);

impl Default for VectorMap {
    fn default() -> Self {
        Self::new()
    }
}

impl VectorMap {
    /// All free.
    pub const fn new() -> Self {
        Self([const { AtomicU16::new(NOBODY) }; 256])
    }

    /// The interrupt that owns a vector here.
    #[inline]
    pub fn irq(&self, vector: u8) -> Option<u16> {
        let irq = self.0[usize::from(vector)].load(Ordering::Acquire);
        (irq != NOBODY).then_some(irq)
    }

    /// Gives a free vector to `irq`, spreading over priority classes. `None` when all are taken.
    pub fn allocate(&self, irq: u16) -> Option<u8> {
        // Steps of 16 walk through the classes first: a class holds few pending interrupts in old APICs.
        let candidates = (0..16).flat_map(|low| {
            (FIRST_DYNAMIC..=LAST_DYNAMIC)
                .step_by(16)
                .map(move |class| class + low)
        });
        let vector = candidates
            .into_iter()
            .find(|&v| usable(v) && self.irq(v).is_none())?;
        self.0[usize::from(vector)].store(irq, Ordering::Release);
        Some(vector)
    }

    /// Gives the first of `count` (a power of two, at most 32) consecutive, aligned free vectors to interrupts `irq`,
    /// `irq + 1`, ... as multi-message MSI needs. `None` when there is no such block.
    pub fn allocate_block(&self, irq: u16, count: u8) -> Option<u8> {
        if !count.is_power_of_two() || count > 32 {
            return None;
        }
        let free =
            |first: u8| (0..count).all(|n| usable(first + n) && self.irq(first + n).is_none());
        let first = (FIRST_DYNAMIC..=LAST_DYNAMIC + 1 - count)
            .step_by(count.into())
            .find(|&first| free(first))?;
        for n in 0..count {
            self.0[usize::from(first + n)].store(irq.checked_add(n.into())?, Ordering::Release);
        }
        Some(first)
    }

    /// Frees a vector.
    pub fn free(&self, vector: u8) {
        self.0[usize::from(vector)].store(NOBODY, Ordering::Release);
    }
}

fn usable(vector: u8) -> bool {
    (FIRST_DYNAMIC..=LAST_DYNAMIC).contains(&vector) && !matches!(vector, GUEST_INT80 | GUEST_INT82)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_out_every_device_vector_once() {
        let map = VectorMap::new();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(v) = map.allocate(7) {
            assert!(usable(v) && seen.insert(v));
        }
        assert_eq!(seen.len(), 0xf0 - 0x20 - 2);
        assert_eq!(map.allocate_block(7, 1), None);
        map.free(0x41);
        assert_eq!(
            (map.irq(0x41), map.allocate(9), map.irq(0x41)),
            (None, Some(0x41), Some(9))
        );
    }

    #[test]
    fn blocks_are_aligned_and_avoid_the_gates() {
        let map = VectorMap::new();
        let mut blocks = 0;
        while let Some(v) = map.allocate_block(100, 8) {
            assert!(v % 8 == 0 && v != 0x80);
            assert_eq!(map.irq(v + 7), Some(107));
            blocks += 1;
        }
        assert_eq!(blocks, 25);
        assert_eq!(map.allocate_block(0, 3), None);
        assert_eq!(map.allocate_block(0, 64), None);
    }
}
