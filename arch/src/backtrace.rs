//! Who called whom: a walk along the frame pointers that all of the hypervisor's code keeps.
#![allow(unsafe_code)]

use core::fmt;

use crate::paging::{IMAGE_BASE, image_sections};
use crate::percpu::STACK_REGION;

/// Most frames of a trace.
const DEPTH: usize = 48;

/// A position in code, shown in full (`./x debug symbolize` finds the source line) and as `name+0x56` where the name
/// is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeAddress(pub u64);

impl fmt::Display for CodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)?;
        if in_text(self.0)
            && let Some((name, distance)) = crate::symbols::find((self.0 - IMAGE_BASE) as u32)
        {
            write!(f, " {name}+{distance:#x}")?;
        }
        Ok(())
    }
}

/// Whether an address lies in the hypervisor's code.
#[must_use]
pub fn in_text(address: u64) -> bool {
    let (start, range, _) = image_sections()[0];
    (start..start + range.len()).contains(&address)
}

/// The frames above a frame pointer: return addresses, innermost first.
///
/// Every frame must lie on the stack of the first one, above the last, so a broken chain ends the walk.
#[derive(Clone, Debug)]
pub struct Frames {
    rbp: u64,
    limit: u64,
    left: usize,
}

impl Frames {
    /// The frames above `rbp`, the frame pointer of an interrupted or the present function.
    #[must_use]
    pub fn from(rbp: u64) -> Self {
        Self {
            rbp,
            limit: (rbp | (STACK_REGION as u64 - 1)).wrapping_add(1),
            left: DEPTH,
        }
    }

    /// The frames of the caller.
    #[inline(always)]
    #[must_use]
    pub fn here() -> Self {
        #[cfg(target_os = "none")]
        {
            let rbp: u64;
            // SAFETY: only reads the frame pointer.
            unsafe {
                core::arch::asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags))
            };
            Self::from(rbp)
        }
        #[cfg(not(target_os = "none"))]
        Self {
            rbp: 0,
            limit: 0,
            left: 0,
        }
    }
}

impl Iterator for Frames {
    type Item = CodeAddress;

    fn next(&mut self) -> Option<CodeAddress> {
        let readable = self.rbp != 0
            && self.rbp.is_multiple_of(8)
            && self
                .rbp
                .checked_add(16)
                .is_some_and(|end| end <= self.limit)
            && crate::paging::is_stack(self.rbp);
        if self.left == 0 || !readable {
            return None;
        }
        self.left -= 1;
        let frame = self.rbp as *const u64;
        // SAFETY: two aligned words of a mapped page of one of our stacks, as just checked.
        let (next, address) = unsafe { (frame.read_volatile(), frame.add(1).read_volatile()) };
        // Frames go upwards only.
        self.rbp = if next > self.rbp && next < self.limit {
            next
        } else {
            0
        };
        in_text(address).then_some(CodeAddress(address))
    }
}

/// A trace that prints a line for each frame.
#[derive(Clone, Debug)]
pub struct Trace {
    rip: Option<u64>,
    frames: Frames,
}

impl Trace {
    /// Of an interrupted function, by its registers.
    #[must_use]
    pub fn of(rip: u64, rbp: u64) -> Self {
        Self {
            rip: Some(rip),
            frames: Frames::from(rbp),
        }
    }

    /// Of the caller.
    #[inline(always)]
    #[must_use]
    pub fn here() -> Self {
        Self {
            rip: None,
            frames: Frames::here(),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, address) in self
            .rip
            .map(CodeAddress)
            .into_iter()
            .chain(self.frames.clone())
            .enumerate()
        {
            write!(f, "\r\n  #{n:<2} {address}")?;
        }
        Ok(())
    }
}
