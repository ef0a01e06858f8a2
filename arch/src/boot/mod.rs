//! From the boot loader to `oxen_boot`.
//!
//! Three protocols bring Oxen up: multiboot2 (GRUB, BIOS and EFI), multiboot1 (QEMU's `-kernel`, GRUB Legacy stanzas)
//! and PVH. Whatever they tell is copied into one [`BootInfo`] before any memory is given out.
#![allow(unsafe_code)]

mod early;
mod efi;
#[cfg(target_os = "none")]
mod entry;
mod info;
mod memory;
mod memory_map;
mod multiboot1;
mod multiboot2;
mod pvh;
#[cfg(test)]
mod tests;

use core::fmt;

pub use early::EarlyMemory;
pub use efi::{SystemTable, system_table};
pub use info::{
    BootInfo, BootModule, Framebuffer, FramebufferKind, MAX_MODULES, MAX_REGIONS, Protocol, Text,
};
pub use memory::{Memory, Physical};
pub use memory_map::{PhysRange, Region, RegionKind};

/// Why the loader's information cannot be used. The text names the cause for the person at the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// No protocol has this magic number.
    UnknownLoader(u32),
    /// The named structure does not fit its frame, or lies outside memory that can be read.
    Truncated(&'static str),
    /// The named field has a value that the protocol does not allow.
    Malformed(&'static str),
    /// More of the named thing than Oxen has room for.
    TooMany(&'static str),
    /// The loader gave no memory map.
    NoMemoryMap,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnknownLoader(magic) => {
                write!(
                    f,
                    "started by an unknown boot protocol (magic {magic:#x}); use multiboot2, multiboot or PVH"
                )
            }
            Self::Truncated(what) => write!(
                f,
                "the boot loader's {what} is truncated or not in readable memory"
            ),
            Self::Malformed(what) => write!(f, "the boot loader's {what} is malformed"),
            Self::TooMany(what) => write!(f, "the boot loader passed too many {what}"),
            Self::NoMemoryMap => write!(f, "the boot loader passed no memory map"),
        }
    }
}

/// Reads what a loader left at physical `address`; `magic` says which protocol it speaks.
///
/// # Errors
/// See [`BootError`]; `info` is then partly filled and must not be used.
pub fn parse(
    magic: u32,
    address: u64,
    memory: &dyn Memory,
    info: &mut BootInfo,
) -> Result<(), BootError> {
    match magic {
        0x2bad_b002 => multiboot1::parse(address, memory, info)?,
        0x36d7_6289 => multiboot2::parse_at(address, memory, info)?,
        0x336e_c578 => pvh::parse(address, memory, info)?,
        other => return Err(BootError::UnknownLoader(other)),
    }
    info.finish(memory)
}

#[cfg(target_os = "none")]
static mut BOOT_INFO: BootInfo = BootInfo::new();

#[cfg(target_os = "none")]
unsafe extern "C" {
    /// The hypervisor's entry, defined by [`crate::entry_points!`].
    #[allow(
        improper_ctypes,
        reason = "both sides are Rust; a reference is an address"
    )]
    safe fn oxen_boot(info: &'static mut BootInfo) -> !;
}

/// Called by the entry code on the boot stack, in the higher half, with the loader's magic and information address.
#[cfg(target_os = "none")]
extern "C" fn boot_entry(magic: u32, address: u32) -> ! {
    // SAFETY: runs once, on the only CPU, before anyone else can name the static.
    let info: &'static mut BootInfo = unsafe { (&raw mut BOOT_INFO).as_mut() }.expect("a static");
    // SAFETY: the early tables map the first 4 GiB at the direct map's base; nothing else owns memory yet.
    let memory = unsafe { Physical::new(1 << 32) };
    crate::percpu::init_boot_cpu();
    if crate::cpu::features().smap {
        // SAFETY: the early tables map the text writable, and this is the only CPU.
        unsafe { crate::entry::patch_smap() };
    }
    crate::cpu::control::init();
    if let Err(error) = parse(magic, u64::from(address), &memory, info) {
        crate::boot::early_print(format_args!("Oxen: {error}; halted.\r\n"));
        crate::cpu::halt_forever();
    }
    oxen_boot(info)
}

/// Prints on COM1 (115200 baud as the firmware left it) with no set-up at all: for failures before there is a console.
#[cfg(target_os = "none")]
pub fn early_print(args: fmt::Arguments<'_>) {
    struct Com1;
    impl fmt::Write for Com1 {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                for _ in 0..100_000 {
                    if crate::cpu::port::inb(0x3fd) & 0x20 != 0 {
                        break;
                    }
                }
                crate::cpu::port::outb(0x3f8, byte);
            }
            Ok(())
        }
    }
    let _ = fmt::Write::write_fmt(&mut Com1, args);
}

/// On the hosted backend: standard error.
#[cfg(not(target_os = "none"))]
pub fn early_print(args: fmt::Arguments<'_>) {
    std::eprint!("{args}");
}

/// Names the hypervisor's entry points to this crate:
/// `boot`: `fn(&'static mut BootInfo) -> !` on the boot CPU; `ap`: `fn(usize) -> !` on every further one (its number);
/// `trap`, `syscall`, `sysenter`, `iret_fault`: `fn(&mut TrapFrame)`, see [`crate::entry`].
#[macro_export]
macro_rules! entry_points {
    (boot = $boot:path, ap = $ap:path, trap = $trap:path, syscall = $syscall:path, sysenter = $sysenter:path,
     iret_fault = $iret:path $(,)?) => {
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn oxen_boot(info: &'static mut $crate::boot::BootInfo) -> ! {
            $boot(info)
        }
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn oxen_ap_boot(cpu: usize) -> ! {
            $ap(cpu)
        }
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn oxen_trap(frame: &mut $crate::entry::TrapFrame) {
            $trap(frame)
        }
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn oxen_syscall(frame: &mut $crate::entry::TrapFrame) {
            $syscall(frame)
        }
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn oxen_sysenter(frame: &mut $crate::entry::TrapFrame) {
            $sysenter(frame)
        }
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        extern "C" fn oxen_iret_fault(frame: &mut $crate::entry::TrapFrame) {
            $iret(frame)
        }
    };
}
