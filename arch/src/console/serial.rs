//! 16550-compatible serial ports and the `com1=` option.
//!
//! Register facts: TI PC16550D data sheet. Option syntax: Xen `docs/misc/xen-command-line`, `com1`.

use core::fmt;

use super::Sink;
use crate::hw::{self, Mmio};

/// The clock of a PC's UART in Hz; divided by 16 it is the highest baud rate.
pub const DEFAULT_CLOCK_HZ: u32 = 1_843_200;

/// Parity bit of each character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// No parity bit.
    None,
    /// Odd number of ones.
    Odd,
    /// Even number of ones.
    Even,
    /// Always one.
    Mark,
    /// Always zero.
    Space,
}

/// How to reach and program one serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialConfig {
    /// Bits per second; `None` keeps what firmware programmed (`auto`).
    pub baud: Option<u32>,
    /// Input clock in Hz.
    pub clock_hz: u32,
    /// Data bits, 5 to 8.
    pub data_bits: u8,
    /// Parity.
    pub parity: Parity,
    /// Stop bits, 1 or 2.
    pub stop_bits: u8,
    /// I/O port below 64 KiB, else a physical address.
    pub io_base: u64,
    /// Interrupt line (GSI); 0 means polled.
    pub irq: u8,
    /// Distance of registers as a power of two in bytes (device memory only).
    pub reg_shift: u8,
    /// Access width in bytes, 1 or 4 (device memory only).
    pub reg_width: u8,
}

impl SerialConfig {
    /// The PC's `com1` (index 0) or `com2`: firmware's speed, 8n1.
    pub const fn pc(index: usize) -> Self {
        let (io_base, irq) = if index == 0 { (0x3f8, 4) } else { (0x2f8, 3) };
        Self {
            baud: None,
            clock_hz: DEFAULT_CLOCK_HZ,
            data_bits: 8,
            parity: Parity::None,
            stop_bits: 1,
            io_base,
            irq,
            reg_shift: 0,
            reg_width: 1,
        }
    }
}

/// Why a `com1=` option or a port was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerialError {
    /// Not a number, or outside what UARTs can do.
    Baud,
    /// The clock is not a number or zero.
    Clock,
    /// Not 5 to 8.
    DataBits,
    /// None of n, o, e, m, s.
    Parity,
    /// Not 1 or 2.
    StopBits,
    /// Not a number, or zero.
    IoBase,
    /// Not a number below 256.
    Irq,
    /// A register layout other than width 1 or 4, shift 0 to 4.
    RegisterLayout,
    /// PCI serial cards are not supported.
    Pci,
    /// A `name=value` with an unknown name, or more fields than there are.
    UnknownField,
    /// No 16550 answers at the address.
    Missing,
}

impl fmt::Display for SerialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baud => "baud rate must be `auto` or a number from 50 to the clock divided by 16",
            Self::Clock => "clock must be a positive number",
            Self::DataBits => "data bits must be 5 to 8",
            Self::Parity => "parity must be n, o, e, m or s",
            Self::StopBits => "stop bits must be 1 or 2",
            Self::IoBase => "I/O base address must be a number above 0",
            Self::Irq => "interrupt must be a number below 256",
            Self::RegisterLayout => "reg-width must be 1 or 4 and reg-shift 0 to 4",
            Self::Pci => "PCI serial cards are not supported",
            Self::UnknownField => "unknown or surplus field",
            Self::Missing => "no 16550-compatible serial port answers there",
        })
    }
}

/// Parses a number as C's `strtoul(…, 0)` does for whole words.
fn number(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()
    } else if text.len() > 1 && text.starts_with('0') {
        u64::from_str_radix(text, 8).ok()
    } else {
        text.parse().ok()
    }
}

fn parse_baud(text: &str) -> Result<Option<u32>, SerialError> {
    if text == "auto" {
        Ok(None)
    } else {
        text.parse().map(Some).map_err(|_| SerialError::Baud)
    }
}

fn parse_parity(text: &str) -> Result<Parity, SerialError> {
    Ok(match text {
        "n" => Parity::None,
        "o" => Parity::Odd,
        "e" => Parity::Even,
        "m" => Parity::Mark,
        "s" => Parity::Space,
        _ => return Err(SerialError::Parity),
    })
}

fn parse_irq(text: &str) -> Result<u8, SerialError> {
    number(text)
        .and_then(|n| u8::try_from(n).ok())
        .ok_or(SerialError::Irq)
}

fn parse_base(text: &str) -> Result<u64, SerialError> {
    number(text).filter(|&n| n != 0).ok_or(SerialError::IoBase)
}

/// Parses the value of `com1=` (index 0) or `com2=`:
/// `<baud>|auto[/<base_baud>][,<DPS>[,<io-base>[,<irq>]]]`, then or instead `name=value` fields
/// (`baud clock-hz data-bits parity stop-bits io-base irq reg-shift reg-width`). Empty fields keep their default.
pub fn parse_option(index: usize, text: &str) -> Result<SerialConfig, SerialError> {
    let mut config = SerialConfig::pc(index);
    for (position, field) in text.split(',').enumerate() {
        if let Some((name, value)) = field.split_once('=') {
            named_field(&mut config, name, value)?;
        } else if !field.is_empty() {
            positional_field(&mut config, position, field)?;
        }
    }
    check(&config)?;
    Ok(config)
}

fn positional_field(
    config: &mut SerialConfig,
    position: usize,
    field: &str,
) -> Result<(), SerialError> {
    match position {
        0 => {
            let (baud, base) = field
                .split_once('/')
                .map_or((field, None), |(b, c)| (b, Some(c)));
            config.baud = parse_baud(baud)?;
            if let Some(base) = base {
                config.clock_hz = number(base)
                    .and_then(|n| u32::try_from(n).ok())
                    .and_then(|n| n.checked_mul(16))
                    .ok_or(SerialError::Clock)?;
            }
        }
        1 => {
            let mut chars = field.chars();
            config.data_bits = chars
                .next()
                .and_then(|c| c.to_digit(10))
                .map(|d| d as u8)
                .ok_or(SerialError::DataBits)?;
            let mut letter = [0; 4];
            config.parity = parse_parity(
                chars
                    .next()
                    .ok_or(SerialError::Parity)?
                    .encode_utf8(&mut letter),
            )?;
            config.stop_bits = chars.as_str().parse().map_err(|_| SerialError::StopBits)?;
        }
        2 if field.starts_with("pci") || field.starts_with("amt") => return Err(SerialError::Pci),
        2 => config.io_base = parse_base(field)?,
        3 if field == "msi" => return Err(SerialError::Pci),
        3 => config.irq = parse_irq(field)?,
        4 | 5 => return Err(SerialError::Pci),
        _ => return Err(SerialError::UnknownField),
    }
    Ok(())
}

fn named_field(config: &mut SerialConfig, name: &str, value: &str) -> Result<(), SerialError> {
    let small = |error| {
        number(value)
            .and_then(|n| u8::try_from(n).ok())
            .ok_or(error)
    };
    match name {
        "baud" => config.baud = parse_baud(value)?,
        "clock-hz" => {
            config.clock_hz = number(value)
                .and_then(|n| u32::try_from(n).ok())
                .ok_or(SerialError::Clock)?;
        }
        "data-bits" => config.data_bits = small(SerialError::DataBits)?,
        "parity" => config.parity = parse_parity(value)?,
        "stop-bits" => config.stop_bits = small(SerialError::StopBits)?,
        "io-base" => config.io_base = parse_base(value)?,
        "irq" => config.irq = parse_irq(value)?,
        "reg-shift" => config.reg_shift = small(SerialError::RegisterLayout)?,
        "reg-width" => config.reg_width = small(SerialError::RegisterLayout)?,
        "dev" | "port" | "bridge" => return Err(SerialError::Pci),
        _ => return Err(SerialError::UnknownField),
    }
    Ok(())
}

fn check(config: &SerialConfig) -> Result<(), SerialError> {
    if config.clock_hz < 16 * 50 {
        return Err(SerialError::Clock);
    }
    if let Some(baud) = config.baud
        && !(50..=config.clock_hz / 16).contains(&baud)
    {
        return Err(SerialError::Baud);
    }
    if !(5..=8).contains(&config.data_bits) {
        return Err(SerialError::DataBits);
    }
    if !(1..=2).contains(&config.stop_bits) {
        return Err(SerialError::StopBits);
    }
    if !matches!(config.reg_width, 1 | 4) || config.reg_shift > 4 {
        return Err(SerialError::RegisterLayout);
    }
    Ok(())
}

// Registers, in units of the register distance.
const DATA: u8 = 0;
const INTERRUPT_ENABLE: u8 = 1;
const FIFO_CONTROL: u8 = 2;
const LINE_CONTROL: u8 = 3;
const MODEM_CONTROL: u8 = 4;
const LINE_STATUS: u8 = 5;
const SCRATCH: u8 = 7;

const LCR_DIVISOR: u8 = 0x80;
const LSR_DATA_READY: u8 = 0x01;
const LSR_TRANSMIT_EMPTY: u8 = 0x20;
/// Bytes that fit once the transmitter reports empty.
const FIFO_DEPTH: u32 = 16;
/// Looks at the line status before a transmitter counts as stuck. A look takes about a microsecond on a real bus and half
/// of one in an emulator, so this is about half a minute: who reads an emulated or redirected port may be a busy program
/// that comes back only after a while, and what is dropped is lost for good.
const TRANSMIT_TRIES: u32 = if cfg!(target_os = "none") {
    40_000_000
} else {
    1000
};

enum Registers {
    Port(u16),
    Memory { window: Mmio, shift: u8, width: u8 },
}

impl Registers {
    fn read(&self, register: u8) -> u8 {
        match self {
            Self::Port(base) => hw::inb(base.wrapping_add(register.into())),
            Self::Memory {
                window,
                shift,
                width: 4,
            } => window.read32(usize::from(register) << shift) as u8,
            Self::Memory { window, shift, .. } => window.read8(usize::from(register) << shift),
        }
    }
    fn write(&self, register: u8, value: u8) {
        match self {
            Self::Port(base) => hw::outb(base.wrapping_add(register.into()), value),
            Self::Memory {
                window,
                shift,
                width: 4,
            } => window.write32(usize::from(register) << shift, value.into()),
            Self::Memory { window, shift, .. } => {
                window.write8(usize::from(register) << shift, value)
            }
        }
    }
}

/// A programmed serial port.
pub struct Uart {
    registers: Registers,
    irq: u8,
    /// Bytes that may be written before the status must be looked at again.
    room: u32,
    /// The transmitter did not become empty in time; only single looks until it does.
    stuck: bool,
    last_was_return: bool,
}

impl Uart {
    /// Programs the port: polled, FIFOs on, DTR and RTS set.
    pub fn open(config: &SerialConfig) -> Result<Self, SerialError> {
        check(config)?;
        let registers = match u16::try_from(config.io_base) {
            Ok(port) => Registers::Port(port),
            Err(_) => Registers::Memory {
                window: Mmio::map(config.io_base, 8 << config.reg_shift)
                    .ok_or(SerialError::Missing)?,
                shift: config.reg_shift,
                width: config.reg_width,
            },
        };
        // A port without a device floats high; a 16550 keeps what its scratch register is told.
        registers.write(INTERRUPT_ENABLE, 0);
        registers.write(SCRATCH, 0x5a);
        if registers.read(SCRATCH) != 0x5a || registers.read(INTERRUPT_ENABLE) & 0xf0 != 0 {
            return Err(SerialError::Missing);
        }
        let parity = match config.parity {
            Parity::None => 0,
            Parity::Odd => 0x08,
            Parity::Even => 0x18,
            Parity::Mark => 0x28,
            Parity::Space => 0x38,
        };
        let line = (config.data_bits - 5) | (config.stop_bits - 1) << 2 | parity;
        if let Some(baud) = config.baud {
            let divisor = divisor(config.clock_hz, baud);
            registers.write(LINE_CONTROL, line | LCR_DIVISOR);
            registers.write(DATA, divisor as u8);
            registers.write(INTERRUPT_ENABLE, (divisor >> 8) as u8);
        }
        registers.write(LINE_CONTROL, line);
        registers.write(FIFO_CONTROL, 0x07);
        registers.write(MODEM_CONTROL, 0x03);
        Ok(Self {
            registers,
            irq: config.irq,
            room: 0,
            stuck: false,
            last_was_return: false,
        })
    }

    /// The I/O ports (first, count) that the device occupies; `None` for one in memory.
    pub fn io_ports(&self) -> Option<(u16, u16)> {
        match self.registers {
            Registers::Port(base) => Some((base, 8)),
            Registers::Memory { .. } => None,
        }
    }

    /// The next received byte, if there is one.
    pub fn try_read(&mut self) -> Option<u8> {
        let status = self.registers.read(LINE_STATUS);
        (status != 0xff && status & LSR_DATA_READY != 0).then(|| self.registers.read(DATA))
    }

    /// Enables the receive interrupt and returns the line it uses; `None` when configured as polled.
    pub fn enable_receive_interrupt(&mut self) -> Option<u8> {
        if self.irq == 0 {
            return None;
        }
        // OUT2 gates the interrupt line on PCs.
        self.registers.write(MODEM_CONTROL, 0x0b);
        self.registers.write(INTERRUPT_ENABLE, 0x01);
        Some(self.irq)
    }

    fn send(&mut self, byte: u8) {
        if self.room == 0 {
            let tries = if self.stuck { 1 } else { TRANSMIT_TRIES };
            self.stuck =
                !(0..tries).any(|_| self.registers.read(LINE_STATUS) & LSR_TRANSMIT_EMPTY != 0);
            if self.stuck {
                return;
            }
            self.room = FIFO_DEPTH;
        }
        self.room -= 1;
        self.registers.write(DATA, byte);
    }
}

impl Sink for Uart {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' && !self.last_was_return {
                self.send(b'\r');
            }
            self.send(byte);
            self.last_was_return = byte == b'\r';
        }
    }
}

/// The divisor nearest to the wanted rate, at least 1.
fn divisor(clock_hz: u32, baud: u32) -> u16 {
    let step = u64::from(baud) * 16;
    let nearest = (u64::from(clock_hz) + step / 2) / step;
    nearest.clamp(1, 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_positional_option() {
        let c = parse_option(0, "115200,8n1,0x3f8,4").unwrap();
        assert_eq!(
            (c.baud, c.data_bits, c.parity, c.stop_bits, c.io_base, c.irq),
            (Some(115_200), 8, Parity::None, 1, 0x3f8, 4)
        );
        assert_eq!(divisor(c.clock_hz, 115_200), 1);
    }

    #[test]
    fn partial_options_keep_defaults() {
        assert_eq!(parse_option(1, "").unwrap(), SerialConfig::pc(1));
        let c = parse_option(0, "38400,7e2").unwrap();
        assert_eq!(
            (c.data_bits, c.parity, c.stop_bits, c.io_base),
            (7, Parity::Even, 2, 0x3f8)
        );
        let c = parse_option(1, "9600,,,0").unwrap();
        assert_eq!((c.baud, c.io_base, c.irq), (Some(9600), 0x2f8, 0));
        assert_eq!(parse_option(0, "auto,8n1").unwrap().baud, None);
    }

    #[test]
    fn clock_and_named_fields() {
        let c = parse_option(0, "1500000/1500000,8n1,0xfe032000").unwrap();
        assert_eq!((c.clock_hz, c.io_base), (24_000_000, 0xfe03_2000));
        let c = parse_option(
            0,
            "115200,8n1,reg-shift=2,reg-width=4,io-base=0xfedc9000,irq=10",
        )
        .unwrap();
        assert_eq!(
            (c.reg_shift, c.reg_width, c.io_base, c.irq),
            (2, 4, 0xfedc_9000, 10)
        );
        assert_eq!(divisor(24_000_000, 1_500_000), 1);
        assert_eq!(divisor(DEFAULT_CLOCK_HZ, 9600), 12);
    }

    #[test]
    fn refusals_name_the_field() {
        use SerialError::*;
        for (text, error) in [
            ("fast", Baud),
            ("0", Baud),
            ("115201", Baud),
            ("115200/x", Clock),
            ("115200/0", Clock),
            ("115200/4294967295", Clock),
            ("115200,4n1", DataBits),
            ("115200,n81", DataBits),
            ("115200,8x1", Parity),
            ("115200,8", Parity),
            ("115200,8n3", StopBits),
            ("115200,8n", StopBits),
            ("115200,8n1,com1", IoBase),
            ("115200,8n1,0", IoBase),
            ("115200,8n1,pci", Pci),
            ("115200,8n1,0x3f8,999", Irq),
            ("115200,8n1,0x3f8,4,1:0.0", Pci),
            ("115200,8n1,0x3f8,4,,,7", UnknownField),
            ("speed=3", UnknownField),
            ("reg-width=2", RegisterLayout),
        ] {
            assert_eq!(parse_option(0, text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_missing_port_is_refused_and_a_stuck_one_does_not_hang() {
        assert_eq!(
            Uart::open(&SerialConfig::pc(0)).err(),
            Some(SerialError::Missing)
        );
        let mut uart = Uart {
            registers: Registers::Port(0x3f8),
            irq: 4,
            room: 0,
            stuck: false,
            last_was_return: false,
        };
        crate::sim::set_port(0x3fd, 0);
        uart.write(b"x");
        assert!(uart.stuck);
        crate::sim::set_port(0x3fd, 0x60);
        crate::sim::clear_port_writes();
        uart.write(b"a\nb\r\n");
        let sent: Vec<u32> = crate::sim::port_writes()
            .into_iter()
            .filter(|w| w.0 == 0x3f8)
            .map(|w| w.1)
            .collect();
        assert_eq!(sent, b"a\r\nb\r\n".map(u32::from));
        assert_eq!(uart.try_read(), None);
    }
}
