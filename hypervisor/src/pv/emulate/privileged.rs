//! Privileged instructions of a guest kernel (and port I/O of guest user mode), which fault in ring 3.

use arch::addr::GuestVa;
use arch::entry::TrapFrame;

use super::decode::{Instruction, Map, mask, register, register_mut, write_sized};
use super::{cpuid, io, msr};
use crate::domain::Context;
use crate::pv::hypercalls::{get_debug, set_debug};

/// Emulates the instruction at the guest's RIP, which raised #GP. `Ok(false)`: it is not one that the guest may
/// execute, and the #GP is its own.
pub fn privileged(cx: &Context, frame: &mut TrapFrame) -> Result<bool, &'static str> {
    let Some(mut instruction) = Instruction::fetch(frame.rip) else {
        return Ok(false);
    };
    let (kernel, counts) = {
        let state = cx.vcpu.pv().state();
        // The counter may be read unless the guest kernel forbids it to its user mode.
        (
            state.kernel_mode,
            state.kernel_mode || state.cr4 & CR4_TSD == 0,
        )
    };
    let done = match (instruction.map, instruction.opcode) {
        (Map::Primary, 0x6c..=0x6f) => return string_io(cx, frame, &instruction),
        (Map::Primary, 0xe4..=0xe7 | 0xec..=0xef) => port_io(cx, frame, &mut instruction),
        (Map::Secondary, 0xa2) => {
            cpuid::execute(cx, frame);
            Some(())
        }
        (Map::Primary, 0xfa | 0xfb) if io::iopl_ok(cx) => Some(()),
        // RDTSC
        (Map::Secondary, 0x31) if counts => {
            split(frame, cx.vcpu.tsc.read());
            Some(())
        }
        (Map::Secondary, 0x01) if !kernel && counts => rdtscp(cx, frame, &mut instruction),
        _ if !kernel => None,
        (Map::Secondary, opcode) => secondary(cx, frame, &mut instruction, opcode),
        // HLT: until the next event.
        (Map::Primary, 0xf4) => {
            crate::sched::block(cx);
            Some(())
        }
        _ => None,
    };
    if done.is_some() {
        frame.rip = frame.rip.wrapping_add(instruction.length as u64);
    }
    Ok(done.is_some())
}

fn secondary(cx: &Context, frame: &mut TrapFrame, i: &mut Instruction, opcode: u8) -> Option<()> {
    match opcode {
        // CLTS
        0x06 => {
            cx.vcpu.pv().state().task_switched = false;
            arch::guest_cpu::set_task_switched(false);
        }
        // INVD and WBINVD: only for a domain that drives devices, and never without writing back.
        0x08 | 0x09 => {
            if cx.domain.privileged {
                arch::guest_cpu::write_back_caches();
            }
        }
        // MOV from control register
        0x20 => {
            let m = i.modrm(frame, 0)?;
            let state = cx.vcpu.pv().state();
            let value = match m.reg {
                0 => cr0(state.task_switched),
                2 => {
                    drop(state);
                    cx.vcpu
                        .info
                        .get()
                        .map_or(0, |s| s.frame.read_u64(s.offset + 16))
                }
                3 => state.tables.kernel().map_or(0, |l4| l4.addr().get()),
                4 => state.cr4 | CR4_FIXED,
                _ => return None,
            };
            *register_mut(frame, m.register?) = value;
        }
        // MOV to control register
        0x22 => {
            let m = i.modrm(frame, 0)?;
            let value = register(frame, m.register?);
            let mut state = cx.vcpu.pv().state();
            match m.reg {
                0 => {
                    // Everything but TS is fixed.
                    if (value ^ cr0(false)) & !CR0_TS != 0 {
                        return None;
                    }
                    state.task_switched = value & CR0_TS != 0;
                    arch::guest_cpu::set_task_switched(state.task_switched);
                }
                2 => {
                    drop(state);
                    if let Some(s) = cx.vcpu.info.get() {
                        s.frame.write_u64(s.offset + 16, value);
                    }
                }
                4 => {
                    state.cr4 = guest_cr4(value);
                    arch::cpu::set_guest_cr4(state.cr4 | cx.vcpu.tsc.cr4());
                }
                _ => return None,
            }
        }
        // MOV from and to debug register
        0x21 => {
            let m = i.modrm(frame, 0)?;
            let value = get_debug(&cx.vcpu.pv().state(), m.reg.into()).ok()?;
            *register_mut(frame, m.register?) = value;
        }
        0x23 => {
            let m = i.modrm(frame, 0)?;
            let value = register(frame, m.register?);
            set_debug(&mut cx.vcpu.pv().state(), m.reg.into(), value).ok()?;
        }
        // WRMSR, RDMSR
        0x30 => {
            let value = frame.rdx << 32 | frame.rax & 0xffff_ffff;
            msr::write(cx, frame.rcx as u32, value)?;
        }
        0x32 => split(frame, msr::read(cx, frame.rcx as u32)?),
        0x01 => {
            let before = *i;
            let m = i.modrm(frame, 0)?;
            match (m.raw, m.register) {
                (RDTSCP, _) => {
                    *i = before;
                    rdtscp(cx, frame, i)?;
                }
                // XSETBV
                (0xd1, _) => {
                    let value = frame.rdx << 32 | frame.rax & 0xffff_ffff;
                    if frame.rcx as u32 != 0 || !xcr0_valid(value) {
                        return None;
                    }
                    cx.vcpu.pv().state().xstate.xcr0 = value;
                    arch::guest_cpu::set_xcr0(value);
                }
                // INVLPG
                (raw, None) if raw >> 3 & 7 == 7 => {
                    if arch::guest::range_ok(GuestVa::new(m.address), 1) {
                        arch::tlb::flush_local(Some(m.address));
                    }
                }
                // LMSW: only TS can change, and only be set.
                (raw, Some(r)) if raw >> 3 & 7 == 6 => {
                    let value = register(frame, r);
                    if value & 1 == 0 {
                        return None;
                    }
                    let mut state = cx.vcpu.pv().state();
                    state.task_switched = value & CR0_TS != 0;
                    arch::guest_cpu::set_task_switched(state.task_switched);
                }
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

/// RDTSCP, where the guest has it or else RDPID, which shows the same.
fn rdtscp(cx: &Context, frame: &mut TrapFrame, i: &mut Instruction) -> Option<()> {
    if i.modrm(frame, 0)?.raw != RDTSCP || !msr::has_tsc_aux(&cx.domain, cx.vcpu.id) {
        return None;
    }
    split(frame, cx.vcpu.tsc.read());
    frame.rcx = cx.vcpu.pv().state().tsc_aux.into();
    Some(())
}

/// The ModRM byte that makes 0f 01 RDTSCP.
const RDTSCP: u8 = 0xf9;
const CR0_TS: u64 = 8;
const CR4_TSD: u64 = 1 << 2;
/// CR4 bits that every PV guest sees set: PAE, and what the hypervisor keeps on for it (OSFXSR, OSXMMEXCPT).
const CR4_FIXED: u64 = 1 << 5 | 1 << 9 | 1 << 10;
/// CR4 bits that a PV guest may control: TSD, DE, FSGSBASE, OSXSAVE.
const CR4_GUEST: u64 = 1 << 2 | 1 << 3 | 1 << 16 | 1 << 18;

/// What of a CR4 image a guest may choose.
pub const fn guest_cr4(value: u64) -> u64 {
    value & CR4_GUEST
}

/// The guest's view of CR0: PE, MP, ET, NE, WP, AM, PG and its TS.
fn cr0(task_switched: bool) -> u64 {
    0x8005_0033 | if task_switched { CR0_TS } else { 0 }
}

/// Whether XCR0 may hold this: x87 always, AVX only with SSE, groups complete, nothing unsupported.
/// Source: Intel SDM 1, 13.3.
pub fn xcr0_valid(value: u64) -> bool {
    const X87: u64 = 1;
    const SSE: u64 = 1 << 1;
    const AVX: u64 = 1 << 2;
    const MPX: u64 = 3 << 3;
    const AVX512: u64 = 7 << 5;
    const AMX: u64 = 3 << 17;
    value & X87 != 0
        && value & !arch::guest_cpu::xcr0_supported() == 0
        && (value & AVX == 0 || value & SSE != 0)
        && (value & MPX == 0 || value & MPX == MPX)
        && (value & AVX512 == 0 || (value & AVX512 == AVX512 && value & AVX != 0))
        && (value & AMX == 0 || value & AMX == AMX)
}

fn split(frame: &mut TrapFrame, value: u64) {
    frame.rax = value & 0xffff_ffff;
    frame.rdx = value >> 32;
}

fn port_io(cx: &Context, frame: &mut TrapFrame, i: &mut Instruction) -> Option<()> {
    let opcode = i.opcode;
    let size = if opcode & 1 == 0 {
        1
    } else {
        i.operand_size().min(4)
    };
    let port = if opcode < 0xe8 {
        i.immediate(1)? as u8 as u16
    } else {
        frame.rdx as u16
    };
    if opcode & 2 == 0 {
        let value = io::read(cx, port, size)?;
        write_sized(frame, 0, size, 1, value.into());
    } else {
        io::write(cx, port, size, (frame.rax & mask(size)) as u32)?;
    }
    Some(())
}

/// Iterations of a repeated string instruction per entry, so that it stays short.
const STRING_BATCH: u64 = 64;

fn string_io(cx: &Context, frame: &mut TrapFrame, i: &Instruction) -> Result<bool, &'static str> {
    let size = if i.opcode & 1 == 0 {
        1
    } else {
        i.operand_size().min(4)
    };
    let input = i.opcode & 2 == 0;
    let count = if i.rep {
        frame.rcx.min(STRING_BATCH)
    } else {
        1
    };
    let step = if frame.rflags & 1 << 10 == 0 {
        size as u64
    } else {
        (size as u64).wrapping_neg()
    };
    for _ in 0..count {
        let address = if input { frame.rdi } else { frame.rsi };
        let mut buffer = [0u8; 4];
        if !input && arch::guest::copy_from(GuestVa::new(address), &mut buffer[..size]).is_err() {
            return page_fault(cx, frame, address, false);
        }
        let port = frame.rdx as u16;
        if input {
            let Some(value) = io::read(cx, port, size) else {
                return Ok(false);
            };
            if arch::guest::copy_to(GuestVa::new(address), &value.to_le_bytes()[..size]).is_err() {
                return page_fault(cx, frame, address, true);
            }
            frame.rdi = frame.rdi.wrapping_add(step);
        } else {
            if io::write(cx, port, size, u32::from_le_bytes(buffer)).is_none() {
                return Ok(false);
            }
            frame.rsi = frame.rsi.wrapping_add(step);
        }
        if i.rep {
            frame.rcx -= 1;
        }
    }
    if !i.rep || frame.rcx == 0 {
        frame.rip = frame.rip.wrapping_add(i.length as u64);
    }
    Ok(true)
}

fn page_fault(
    cx: &Context,
    frame: &mut TrapFrame,
    address: u64,
    write: bool,
) -> Result<bool, &'static str> {
    let code = if write { crate::pv::trap::pf::WRITE } else { 0 };
    crate::pv::trap::inject_page_fault(cx, frame, address, code)?;
    Ok(true)
}
