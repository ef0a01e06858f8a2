//! Boot information of the three protocols: taken or refused, never a panic, and nothing but what was in memory is told.

use arch::boot::{BootInfo, Memory, parse};

/// Where the input lies in physical memory; the loader's structure begins there.
pub const BASE: u64 = 0x1000;
/// The magic numbers of multiboot1, multiboot2 and PVH (which its entry code makes up).
pub const PROTOCOLS: [u32; 3] = [0x2bad_b002, 0x36d7_6289, 0x336e_c578];

struct Ram<'a>(&'a [u8]);

impl Memory for Ram<'_> {
    fn read(&self, address: u64, out: &mut [u8]) -> bool {
        let from = address
            .checked_sub(BASE)
            .and_then(|at| usize::try_from(at).ok());
        let part = from.and_then(|at| self.0.get(at..at.checked_add(out.len())?));
        part.is_some_and(|part| {
            out.copy_from_slice(part);
            true
        })
    }
}

/// Runs one input: its first byte names the protocol, the rest is memory.
pub fn run(data: &[u8]) {
    let Some((&protocol, memory)) = data.split_first() else {
        return;
    };
    let magic = PROTOCOLS[usize::from(protocol) % PROTOCOLS.len()];
    let mut info = Box::new(BootInfo::new());
    if let Err(error) = parse(magic, BASE, &Ram(memory), &mut info) {
        assert!(!error.to_string().is_empty(), "a refusal says why");
        return;
    }
    let _ = (info.command_line(), info.loader_name(), info.memory());
    for module in info.modules() {
        let _ = info.module_command_line(module);
    }
    for range in info.reserved() {
        assert!(range.start <= range.end, "{range:?}");
    }
}
