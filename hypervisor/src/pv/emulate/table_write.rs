//! Writes of a guest kernel to its page tables, which are mapped read-only: Linux updates entries of pinned tables
//! with ordinary instructions here and there (exchange for a batch's end, and, or, bit operations for flags).

use arch::addr::GuestVa;
use arch::entry::TrapFrame;

use super::decode::{Instruction, Map, mask, read_sized, write_sized};
use crate::domain::Context;

/// RFLAGS that an arithmetic instruction sets and the emulated ones may: CF, PF, ZF, SF, OF.
const CF: u64 = 1;
const PF: u64 = 1 << 2;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const OF: u64 = 1 << 11;

/// Tries against concurrent changes of the entry before the instruction is simply executed again.
const ATTEMPTS: usize = 8;

/// What an instruction does to the `size` bytes at its memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Store(u64),
    And(u64),
    Or(u64),
    Xor(u64),
    /// Exchange with register.
    Exchange(u8),
    /// Exchange and add with register.
    ExchangeAdd(u8),
    /// Compare rax with memory, store register if equal.
    CompareExchange(u8),
    /// Bit number, operation (0 set, 1 reset, 2 complement).
    Bit(u32, u8),
}

fn decode(i: &mut Instruction, frame: &TrapFrame) -> Option<(Effect, usize, u64)> {
    let wide = i.operand_size();
    let byte_or_wide = |opcode: u8| if opcode & 1 == 0 { 1 } else { wide };
    let (map, opcode) = (i.map, i.opcode);
    let immediate_size = match (map, opcode) {
        (Map::Primary, 0xc6 | 0x80 | 0x83) | (Map::Secondary, 0xba) => 1,
        (Map::Primary, 0xc7 | 0x81) => wide.min(4),
        _ => 0,
    };
    let m = i.modrm(frame, immediate_size)?;
    if m.register.is_some() || i.segment.is_some() {
        return None;
    }
    let immediate = if immediate_size > 0 {
        i.immediate(immediate_size)?
    } else {
        0
    };
    let reg = |size| read_sized(frame, m.reg, size, i.rex);
    let mut address = m.address;
    let (effect, size) = match (map, opcode) {
        (Map::Primary, 0x88 | 0x89) => (
            Effect::Store(reg(byte_or_wide(opcode))),
            byte_or_wide(opcode),
        ),
        (Map::Primary, 0xc6 | 0xc7) if m.reg & 7 == 0 => {
            (Effect::Store(immediate), byte_or_wide(opcode))
        }
        (Map::Secondary, 0xc3) => (Effect::Store(reg(wide)), wide),
        (Map::Primary, 0x86 | 0x87) => (Effect::Exchange(m.reg), byte_or_wide(opcode)),
        (Map::Primary, 0x20 | 0x21) => {
            (Effect::And(reg(byte_or_wide(opcode))), byte_or_wide(opcode))
        }
        (Map::Primary, 0x08 | 0x09) => {
            (Effect::Or(reg(byte_or_wide(opcode))), byte_or_wide(opcode))
        }
        (Map::Primary, 0x30 | 0x31) => {
            (Effect::Xor(reg(byte_or_wide(opcode))), byte_or_wide(opcode))
        }
        (Map::Primary, 0x80 | 0x81 | 0x83) => {
            let size = if opcode == 0x80 { 1 } else { wide };
            let effect = match m.raw >> 3 & 7 {
                1 => Effect::Or(immediate),
                4 => Effect::And(immediate),
                6 => Effect::Xor(immediate),
                _ => return None,
            };
            (effect, size)
        }
        (Map::Secondary, 0xb0 | 0xb1) => (Effect::CompareExchange(m.reg), byte_or_wide(opcode)),
        (Map::Secondary, 0xc0 | 0xc1) => (Effect::ExchangeAdd(m.reg), byte_or_wide(opcode)),
        (Map::Secondary, 0xab | 0xb3 | 0xbb) => {
            // The bit offset is signed and reaches beyond the operand.
            let bits = 8 * wide as i64;
            let shift = 64 - 8 * wide as u32;
            let offset = (reg(wide) << shift) as i64 >> shift;
            address = address.wrapping_add((offset.div_euclid(bits) * wide as i64) as u64);
            let operation = match opcode {
                0xab => 0,
                0xb3 => 1,
                _ => 2,
            };
            (Effect::Bit(offset.rem_euclid(bits) as u32, operation), wide)
        }
        (Map::Secondary, 0xba) if m.raw >> 3 & 7 >= 5 => (
            Effect::Bit(
                immediate as u32 & (8 * wide as u32 - 1),
                (m.raw >> 3 & 7) - 5,
            ),
            wide,
        ),
        _ => return None,
    };
    Some((effect, size, address))
}

/// Emulates the write at the guest's RIP, if it is one to a page table that the guest owns. False: it is not, or it is
/// refused; the page fault is the guest's.
pub fn page_table_write(cx: &Context, frame: &mut TrapFrame, fault: GuestVa) -> bool {
    emulate(cx, frame, fault).is_some()
}

fn emulate(cx: &Context, frame: &mut TrapFrame, fault: GuestVa) -> Option<()> {
    let mut i = Instruction::fetch(frame.rip)?;
    let (effect, size, address) = decode(&mut i, frame)?;
    let within = (address & 7) as usize;
    // The write must be the one that faulted and stay within one entry.
    if fault.get() < address
        || fault.get() >= address.wrapping_add(size as u64)
        || within + size > 8
    {
        return None;
    }
    let entry = GuestVa::new(address & !7);
    if crate::mm::read_only_device_at(cx, entry) {
        // A store there is dropped; nothing else makes sense.
        if !matches!(effect, Effect::Store(_)) {
            return None;
        }
        frame.rip = frame.rip.wrapping_add(i.length as u64);
        return Some(());
    }
    let shift = 8 * within as u32;
    let field = mask(size);
    for _ in 0..ATTEMPTS {
        let mut word = [0u8; 8];
        arch::guest::copy_from(entry, &mut word).ok()?;
        let old_entry = u64::from_ne_bytes(word);
        let old = old_entry >> shift & field;
        let new = match effect {
            Effect::Store(value) => value,
            Effect::And(value) => old & value,
            Effect::Or(value) => old | value,
            Effect::Xor(value) => old ^ value,
            Effect::Exchange(r) => read_sized(frame, r, size, i.rex),
            Effect::ExchangeAdd(r) => old.wrapping_add(read_sized(frame, r, size, i.rex)),
            Effect::CompareExchange(r) if old == frame.rax & field => {
                read_sized(frame, r, size, i.rex)
            }
            Effect::CompareExchange(_) => old,
            Effect::Bit(bit, 0) => old | 1 << bit,
            Effect::Bit(bit, 1) => old & !(1 << bit),
            Effect::Bit(bit, _) => old ^ 1 << bit,
        } & field;
        let new_entry = old_entry & !(field << shift) | new << shift;
        // The entry may have changed (A and D bits, another vCPU): then once more with what is there now.
        if !crate::mm::emulate_pte_write(cx, entry, old_entry, new_entry).ok()? {
            continue;
        }
        let flags = &mut frame.rflags;
        match effect {
            Effect::And(_) | Effect::Or(_) | Effect::Xor(_) => {
                *flags &= !(CF | OF | PF | ZF | SF);
                *flags |= if new == 0 { ZF } else { 0 };
                *flags |= if new >> (8 * size - 1) & 1 != 0 {
                    SF
                } else {
                    0
                };
                *flags |= if (new as u8).count_ones().is_multiple_of(2) {
                    PF
                } else {
                    0
                };
            }
            Effect::Bit(bit, _) => *flags = *flags & !CF | (old >> bit & 1),
            Effect::CompareExchange(_) => {
                let equal = old == frame.rax & field;
                frame.rflags = frame.rflags & !ZF | if equal { ZF } else { 0 };
                if !equal {
                    write_sized(frame, 0, size, 1, old);
                }
            }
            Effect::Exchange(r) | Effect::ExchangeAdd(r) => write_sized(frame, r, size, i.rex, old),
            Effect::Store(_) => {}
        }
        frame.rip = frame.rip.wrapping_add(i.length as u64);
        return Some(());
    }
    // Others keep changing it: the guest faults again, after interrupts had their turn.
    Some(())
}
