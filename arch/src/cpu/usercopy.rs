//! Copies to and from guest virtual memory through the loaded page tables, faults fixed up by the exception table.
//! Callers (`guest`) have checked that the range is clear of the hypervisor's slots.
#![allow(unsafe_code)]

use core::arch::asm;
use core::mem::offset_of;

use crate::addr::GuestVa;
use crate::entry::TrapFrame;
use crate::guest::Fault;

unsafe extern "C" {
    fn oxen_usercopy(dst: *mut u8, src: *const u8, len: usize) -> usize;
    fn oxen_user_read8(src: u64, out: *mut u64) -> u64;
    fn oxen_user_write_words(dst: u64, words: *const u64, count: usize) -> usize;
}

pub(crate) fn copy_from(va: GuestVa, out: &mut [u8]) -> Result<(), Fault> {
    if out.len() == 8 {
        let mut word = 0u64;
        // SAFETY: a fault on the guest side is fixed up; `word` is ours.
        if unsafe { oxen_user_read8(va.get(), &mut word) } != 0 {
            return Err(Fault);
        }
        out.copy_from_slice(&word.to_ne_bytes());
        return Ok(());
    }
    // SAFETY: the destination is a Rust buffer of that length; the source is outside the hypervisor's slots, so it
    // can alias nothing of ours, and a fault on it is fixed up.
    match unsafe { oxen_usercopy(out.as_mut_ptr(), va.get() as *const u8, out.len()) } {
        0 => Ok(()),
        _ => Err(Fault),
    }
}

pub(crate) fn copy_to(va: GuestVa, data: &[u8]) -> Result<(), Fault> {
    // SAFETY: as in `copy_from` with the roles exchanged.
    match unsafe { oxen_usercopy(va.get() as *mut u8, data.as_ptr(), data.len()) } {
        0 => Ok(()),
        _ => Err(Fault),
    }
}

pub(crate) fn write_words(va: GuestVa, words: &[u64]) -> Result<(), Fault> {
    // SAFETY: as in `copy_to`.
    match unsafe { oxen_user_write_words(va.get(), words.as_ptr(), words.len()) } {
        0 => Ok(()),
        _ => Err(Fault),
    }
}

/// A three-byte NOP that becomes CLAC or STAC (the byte) when SMAP is switched on, as in the entry code.
macro_rules! smap_site {
    ($byte:literal) => {
        concat!(
            "661: .byte 0x0f, 0x1f, 0x00\n",
            ".pushsection .smap_sites, \"a\", @progbits\n",
            ".quad 661b, ",
            $byte,
            "\n.popsection"
        )
    };
}

/// One access to guest memory that may fault, numbered for the exception table, which leads to label 29.
macro_rules! guarded {
    ($instruction:expr) => {
        concat!(
            "22: ",
            $instruction,
            "\n.pushsection .ex_table, \"a\", @progbits\n.balign 8\n.quad 22b, 29f\n.popsection"
        )
    };
}

/// Stores a trap frame's words: rcx and r11, the error code if there is one, and from `rest` on those of an interrupt frame.
/// Any of them may be the first on a page that the guest has not mapped.
macro_rules! put_frame {
    ($va:ident, $frame:ident, $cs:ident, $rflags:ident, rest: $rest:literal $(, error_code: $code:ident)?) => {{
        let failed: u32;
        // SAFETY: the destination is outside the hypervisor's slots (checked by the caller), so it can alias nothing of
        // ours, and a fault on it is fixed up at 29; the frame is only read, at the compiler's offsets.
        unsafe {
            asm!(
                "xor {f:e}, {f:e}",
                smap_site!("0xcb"),
                "mov {t}, [{from} + {rcx}]",
                guarded!("mov [{b}], {t}"),
                "mov {t}, [{from} + {r11}]",
                guarded!("mov [{b} + 8], {t}"),
                $(guarded!(concat!("mov [{b} + 16], {", stringify!($code), "}")),)?
                "mov {t}, [{from} + {rip}]",
                guarded!("mov [{b} + {rest}], {t}"),
                guarded!("mov [{b} + {rest} + 8], {cs}"),
                guarded!("mov [{b} + {rest} + 16], {rflags}"),
                "mov {t}, [{from} + {rsp}]",
                guarded!("mov [{b} + {rest} + 24], {t}"),
                "movzx {t:e}, word ptr [{from} + {ss}]",
                guarded!("mov [{b} + {rest} + 32], {t}"),
                "28:",
                smap_site!("0xca"),
                ".pushsection .text.fixup, \"ax\", @progbits",
                "29: mov {f:e}, 1",
                "jmp 28b",
                ".popsection",
                $($code = in(reg) u64::from($code),)?
                b = in(reg) $va.get(),
                from = in(reg) $frame,
                cs = in(reg) $cs,
                rflags = in(reg) $rflags,
                f = out(reg) failed,
                t = out(reg) _,
                rest = const $rest,
                rcx = const offset_of!(TrapFrame, rcx),
                r11 = const offset_of!(TrapFrame, r11),
                rip = const offset_of!(TrapFrame, rip),
                rsp = const offset_of!(TrapFrame, rsp),
                ss = const offset_of!(TrapFrame, ss),
                options(nostack)
            );
        }
        failed
    }};
}

/// Writes the frame of a trap to a guest's stack: one store for each word and no loop, because every trap of a guest comes
/// through here.
#[inline(always)]
pub(crate) fn write_trap_frame(
    va: GuestVa,
    frame: &TrapFrame,
    error_code: Option<u32>,
    cs: u64,
    rflags: u64,
) -> Result<(), Fault> {
    let failed = match error_code {
        Some(code) => put_frame!(va, frame, cs, rflags, rest: 24, error_code: code),
        None => put_frame!(va, frame, cs, rflags, rest: 16),
    };
    if failed == 0 { Ok(()) } else { Err(Fault) }
}

/// Reads an `iret_context`: one load each for its nine words, five of them on to the frame, for the same reason.
#[inline(always)]
pub(crate) fn read_iret_context(va: GuestVa, frame: &mut TrapFrame) -> Result<[u64; 4], Fault> {
    let failed: u32;
    let (rax, r11, rcx, flags): (u64, u64, u64, u64);
    // SAFETY: only reads guest memory, into registers, and writes the five words of the frame from `rip` on, whose offsets
    // are the compiler's; a fault is fixed up at 29.
    unsafe {
        asm!(
            "xor {f:e}, {f:e}",
            smap_site!("0xcb"),
            guarded!("mov {t}, [{b} + 32]"),
            "mov [{to} + {rip}], {t}",
            guarded!("mov {t}, [{b} + 40]"),
            "mov [{to} + {cs}], {t}",
            guarded!("mov {t}, [{b} + 48]"),
            "mov [{to} + {rflags}], {t}",
            guarded!("mov {t}, [{b} + 56]"),
            "mov [{to} + {rsp}], {t}",
            guarded!("mov {t}, [{b} + 64]"),
            "mov [{to} + {ss}], {t}",
            guarded!("mov {rax}, [{b}]"),
            guarded!("mov {r11}, [{b} + 8]"),
            guarded!("mov {rcx}, [{b} + 16]"),
            guarded!("mov {flags}, [{b} + 24]"),
            "28:",
            smap_site!("0xca"),
            ".pushsection .text.fixup, \"ax\", @progbits",
            "29: mov {f:e}, 1",
            "jmp 28b",
            ".popsection",
            b = in(reg) va.get(),
            to = in(reg) frame,
            f = out(reg) failed,
            t = out(reg) _,
            rax = out(reg) rax,
            r11 = out(reg) r11,
            rcx = out(reg) rcx,
            flags = out(reg) flags,
            rip = const offset_of!(TrapFrame, rip),
            cs = const offset_of!(TrapFrame, cs),
            rflags = const offset_of!(TrapFrame, rflags),
            rsp = const offset_of!(TrapFrame, rsp),
            ss = const offset_of!(TrapFrame, ss),
            options(nostack)
        );
    }
    if failed == 0 {
        Ok([rax, r11, rcx, flags])
    } else {
        Err(Fault)
    }
}
