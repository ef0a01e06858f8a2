//! Instruction decoding: prefixes, opcode, ModRM and immediate of 64-bit mode instructions, for the few that are
//! emulated. Source: AMD APM 3, chapter 1 (instruction encoding).

use arch::addr::GuestVa;
use arch::entry::TrapFrame;

/// Longest instruction.
const MAX_LENGTH: usize = 15;

/// Opcode maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// One-byte opcodes.
    Primary,
    /// `0f xx`.
    Secondary,
}

/// A decoded instruction, up to what its opcode needs.
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    bytes: [u8; MAX_LENGTH],
    available: usize,
    /// Bytes consumed so far; the instruction's length once everything was taken.
    pub length: usize,
    /// Operand-size prefix.
    pub operand16: bool,
    /// Address-size prefix.
    pub address32: bool,
    /// REP/REPNE prefix.
    pub rep: bool,
    /// FS (4) or GS (5) override.
    pub segment: Option<u8>,
    /// REX byte, 0 if none.
    pub rex: u8,
    /// Which opcode map.
    pub map: Map,
    /// The opcode byte within its map.
    pub opcode: u8,
}

/// A ModRM operand pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModRm {
    /// The `reg` field with REX.R.
    pub reg: u8,
    /// The `r/m` operand: a register number, or nothing for memory.
    pub register: Option<u8>,
    /// The raw byte.
    pub raw: u8,
    /// Effective address, for memory operands.
    pub address: u64,
}

impl Instruction {
    /// Fetches and decodes prefixes and opcode at the guest's RIP. `None` if the bytes cannot be read or make no
    /// instruction.
    pub fn fetch(rip: u64) -> Option<Self> {
        let mut bytes = [0u8; MAX_LENGTH];
        let mut available = MAX_LENGTH;
        if arch::guest::copy_from(GuestVa::new(rip), &mut bytes).is_err() {
            // Up to the end of the page: the next one may be absent.
            available = (4096 - (rip & 4095) as usize).min(MAX_LENGTH);
            arch::guest::copy_from(GuestVa::new(rip), &mut bytes[..available]).ok()?;
        }
        Self::from_bytes(bytes, available)
    }

    /// Decodes prefixes and opcode from the first `available` bytes.
    pub fn from_bytes(bytes: [u8; MAX_LENGTH], available: usize) -> Option<Self> {
        let mut this = Self {
            bytes,
            available: available.min(MAX_LENGTH),
            length: 0,
            operand16: false,
            address32: false,
            rep: false,
            segment: None,
            rex: 0,
            map: Map::Primary,
            opcode: 0,
        };
        loop {
            let byte = this.take()?;
            match byte {
                0x66 => this.operand16 = true,
                0x67 => this.address32 = true,
                0xf2 | 0xf3 => this.rep = true,
                0x64 => this.segment = Some(4),
                0x65 => this.segment = Some(5),
                0x26 | 0x2e | 0x36 | 0x3e => {}
                // LOCK: emulated writes are atomic anyway.
                0xf0 => {}
                0x40..=0x4f => {
                    this.rex = byte;
                    this.opcode = this.take()?;
                    break;
                }
                _ => {
                    this.opcode = byte;
                    break;
                }
            }
        }
        if this.opcode == 0x0f {
            this.map = Map::Secondary;
            this.opcode = this.take()?;
        }
        Some(this)
    }

    fn take(&mut self) -> Option<u8> {
        if self.length >= self.available {
            return None;
        }
        self.length += 1;
        Some(self.bytes[self.length - 1])
    }

    /// Takes a sign-extended immediate or displacement of 1, 2 or 4 bytes.
    pub fn immediate(&mut self, size: usize) -> Option<u64> {
        let mut value = 0u64;
        for n in 0..size {
            value |= u64::from(self.take()?) << (8 * n);
        }
        let shift = 64 - 8 * size as u32;
        Some(((value << shift) as i64 >> shift) as u64)
    }

    /// Operand size in bytes for opcodes that are not byte-sized.
    pub fn operand_size(&self) -> usize {
        match (self.rex & 8 != 0, self.operand16) {
            (true, _) => 8,
            (false, true) => 2,
            (false, false) => 4,
        }
    }

    /// Takes ModRM, SIB and displacement. `immediate_size`: bytes that follow (RIP-relative addresses count from the
    /// end of the instruction).
    pub fn modrm(&mut self, frame: &TrapFrame, immediate_size: usize) -> Option<ModRm> {
        let raw = self.take()?;
        let reg = raw >> 3 & 7 | (self.rex & 4) << 1;
        let (mode, rm) = (raw >> 6, raw & 7);
        if mode == 3 {
            return Some(ModRm {
                reg,
                register: Some(rm | (self.rex & 1) << 3),
                raw,
                address: 0,
            });
        }
        let mut address;
        let mut rip_relative = false;
        if rm == 4 {
            let sib = self.take()?;
            let index = sib >> 3 & 7 | (self.rex & 2) << 2;
            let base = sib & 7 | (self.rex & 1) << 3;
            let scaled = if index == 4 {
                0
            } else {
                register(frame, index) << (sib >> 6)
            };
            address = if sib & 7 == 5 && mode == 0 {
                self.immediate(4)?
            } else {
                register(frame, base)
            };
            address = address.wrapping_add(scaled);
        } else if rm == 5 && mode == 0 {
            address = self.immediate(4)?;
            rip_relative = true;
        } else {
            address = register(frame, rm | (self.rex & 1) << 3);
        }
        let displacement = match mode {
            1 => self.immediate(1)?,
            2 => self.immediate(4)?,
            _ => 0,
        };
        address = address.wrapping_add(displacement);
        if rip_relative {
            address = address
                .wrapping_add(frame.rip)
                .wrapping_add((self.length + immediate_size) as u64);
        }
        if self.address32 {
            address &= 0xffff_ffff;
        }
        Some(ModRm {
            reg,
            register: None,
            raw,
            address,
        })
    }
}

/// Reads general register `number` (0 rax .. 15 r15).
pub fn register(frame: &TrapFrame, number: u8) -> u64 {
    match number & 15 {
        0 => frame.rax,
        1 => frame.rcx,
        2 => frame.rdx,
        3 => frame.rbx,
        4 => frame.rsp,
        5 => frame.rbp,
        6 => frame.rsi,
        7 => frame.rdi,
        8 => frame.r8,
        9 => frame.r9,
        10 => frame.r10,
        11 => frame.r11,
        12 => frame.r12,
        13 => frame.r13,
        14 => frame.r14,
        _ => frame.r15,
    }
}

/// General register `number` for writing.
pub fn register_mut(frame: &mut TrapFrame, number: u8) -> &mut u64 {
    match number & 15 {
        0 => &mut frame.rax,
        1 => &mut frame.rcx,
        2 => &mut frame.rdx,
        3 => &mut frame.rbx,
        4 => &mut frame.rsp,
        5 => &mut frame.rbp,
        6 => &mut frame.rsi,
        7 => &mut frame.rdi,
        8 => &mut frame.r8,
        9 => &mut frame.r9,
        10 => &mut frame.r10,
        11 => &mut frame.r11,
        12 => &mut frame.r12,
        13 => &mut frame.r13,
        14 => &mut frame.r14,
        _ => &mut frame.r15,
    }
}

/// Reads `size` bytes of register `number`; without REX the byte registers 4..=7 are ah, ch, dh, bh.
pub fn read_sized(frame: &TrapFrame, number: u8, size: usize, rex: u8) -> u64 {
    if size == 1 && rex == 0 && (4..8).contains(&number) {
        return register(frame, number - 4) >> 8 & 0xff;
    }
    register(frame, number) & mask(size)
}

/// Writes `size` bytes of register `number` as the processor would: 4 bytes clear the upper half.
pub fn write_sized(frame: &mut TrapFrame, number: u8, size: usize, rex: u8, value: u64) {
    if size == 1 && rex == 0 && (4..8).contains(&number) {
        let r = register_mut(frame, number - 4);
        *r = *r & !0xff00 | (value & 0xff) << 8;
        return;
    }
    let r = register_mut(frame, number);
    *r = match size {
        8 => value,
        4 => value & 0xffff_ffff,
        _ => *r & !mask(size) | value & mask(size),
    };
}

/// All ones in the low `size` bytes.
pub const fn mask(size: usize) -> u64 {
    if size >= 8 {
        u64::MAX
    } else {
        (1 << (8 * size)) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(code: &[u8]) -> Instruction {
        let mut bytes = [0; MAX_LENGTH];
        bytes[..code.len()].copy_from_slice(code);
        Instruction::from_bytes(bytes, code.len()).expect("decodes")
    }

    #[test]
    fn mov_to_memory_with_sib_and_displacement() {
        // mov [rbx + rcx*8 + 0x10], rdx
        let mut i = decode(&[0x48, 0x89, 0x54, 0xcb, 0x10]);
        let frame = TrapFrame {
            rbx: 0x1000,
            rcx: 3,
            ..Default::default()
        };
        let m = i.modrm(&frame, 0).expect("modrm");
        assert_eq!((m.reg, m.register, m.address), (2, None, 0x1000 + 24 + 16));
        assert_eq!((i.opcode, i.operand_size(), i.length), (0x89, 8, 5));
    }

    #[test]
    fn rip_relative_counts_the_immediate() {
        // movq $1, 0x20(%rip): 48 c7 05 20 00 00 00 01 00 00 00
        let mut i = decode(&[0x48, 0xc7, 0x05, 0x20, 0, 0, 0, 1, 0, 0, 0]);
        let frame = TrapFrame {
            rip: 0x40_0000,
            ..Default::default()
        };
        let m = i.modrm(&frame, 4).expect("modrm");
        assert_eq!(m.address, 0x40_0000 + 11 + 0x20);
        assert_eq!(i.immediate(4), Some(1));
        assert_eq!(i.length, 11);
    }

    #[test]
    fn endless_prefixes_and_truncation_end() {
        assert!(Instruction::from_bytes([0x66; MAX_LENGTH], MAX_LENGTH).is_none());
        assert!(Instruction::from_bytes([0x0f; MAX_LENGTH], 1).is_none());
        let mut i = decode(&[0x89]);
        assert!(i.modrm(&TrapFrame::default(), 0).is_none());
    }

    #[test]
    fn sized_registers_follow_the_processor() {
        let mut f = TrapFrame {
            rax: u64::MAX,
            ..Default::default()
        };
        write_sized(&mut f, 0, 4, 0, 5);
        assert_eq!(f.rax, 5);
        f.rax = u64::MAX;
        write_sized(&mut f, 4, 1, 0, 0x12);
        assert_eq!(f.rax, 0xffff_ffff_ffff_12ff);
        assert_eq!(read_sized(&f, 4, 1, 0), 0x12);
    }
}
