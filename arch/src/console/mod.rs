//! Where the hypervisor's characters go and come from: serial ports, VGA text, a linear frame buffer.
//!
//! [`write`] reaches every attached sink; the screens are detached when dom0 takes them over. No sink can hang the
//! machine: waiting for a transmitter is bounded, and a port that is not there is refused when it is attached.

pub mod framebuffer;
pub mod serial;
mod text;
pub mod vga;

use framebuffer::{Framebuffer, FramebufferInfo};
use serial::{SerialConfig, SerialError, Uart};
use vga::VgaText;

use crate::sync::SpinLock;

/// Something that shows characters. Line ends are `\n`; a sink adds what its medium needs.
pub trait Sink {
    /// Shows the bytes; never fails and never waits without bound.
    fn write(&mut self, bytes: &[u8]);
}

/// Number of serial ports (`com1`, `com2`).
pub const SERIAL_PORTS: usize = 2;

struct Consoles {
    serial: [Option<Uart>; SERIAL_PORTS],
    vga: Option<VgaText>,
    framebuffer: Option<Framebuffer>,
}

static CONSOLES: SpinLock<Consoles> = SpinLock::new(Consoles {
    serial: [const { None }; SERIAL_PORTS],
    vga: None,
    framebuffer: None,
});

/// Programs serial port `index` (0 is `com1`) and attaches it. The port is not attached when the device does not answer.
pub fn attach_serial(index: usize, config: &SerialConfig) -> Result<(), SerialError> {
    let uart = Uart::open(config)?;
    let mut consoles = CONSOLES.lock();
    *consoles.serial.get_mut(index).ok_or(SerialError::Missing)? = Some(uart);
    Ok(())
}

/// Attaches the 80x25 VGA text screen. False when its memory cannot be mapped.
pub fn attach_vga() -> bool {
    let Some(vga) = VgaText::open() else {
        return false;
    };
    CONSOLES.lock().vga = Some(vga);
    true
}

/// Attaches the boot loader's linear frame buffer as a text console. False when it cannot be used (see
/// [`Framebuffer::open`]).
pub fn attach_framebuffer(info: &FramebufferInfo) -> bool {
    let Some(framebuffer) = Framebuffer::open(info) else {
        return false;
    };
    CONSOLES.lock().framebuffer = Some(framebuffer);
    true
}

/// Detaches the screens: dom0 owns them from now on.
pub fn detach_screens() {
    let mut consoles = CONSOLES.lock();
    consoles.vga = None;
    consoles.framebuffer = None;
}

impl Consoles {
    fn write(&mut self, bytes: &[u8], screens: bool) {
        for uart in self.serial.iter_mut().flatten() {
            uart.write(bytes);
        }
        if screens {
            if let Some(vga) = &mut self.vga {
                vga.write(bytes);
            }
            if let Some(framebuffer) = &mut self.framebuffer {
                framebuffer.write(bytes);
            }
        }
    }
}

/// Writes to every attached sink.
pub fn write(bytes: &[u8]) {
    #[cfg(not(target_os = "none"))]
    crate::sim::console_output(bytes);
    CONSOLES.lock().write(bytes, true);
}

/// Writes to the serial ports only (dom0's console output after it owns the screen).
pub fn write_serial(bytes: &[u8]) {
    #[cfg(not(target_os = "none"))]
    crate::sim::console_output(bytes);
    CONSOLES.lock().write(bytes, false);
}

/// Writes from a panic or NMI: waits only shortly for the lock, whose holder may be the very code that failed, and
/// then goes to the serial ports without it.
#[allow(unsafe_code)]
pub fn write_emergency(bytes: &[u8]) {
    for _ in 0..1_000_000 {
        if let Some(mut consoles) = CONSOLES.try_lock() {
            consoles.write(bytes, true);
            return;
        }
        core::hint::spin_loop();
    }
    // SAFETY: the machine is going down and the holder of the lock does not come back (it panicked, or was stopped by
    // the panicking CPU); at worst characters are mixed. The state behind the lock is plain numbers.
    unsafe { CONSOLES.force_unlock() };
    if let Some(mut consoles) = CONSOLES.try_lock() {
        consoles.write(bytes, false);
    }
}

/// The next received byte of any serial port, if there is one.
pub fn read() -> Option<u8> {
    let mut consoles = CONSOLES.lock();
    consoles
        .serial
        .iter_mut()
        .flatten()
        .find_map(Uart::try_read)
}

/// Lets the serial ports interrupt when bytes arrive. Each returned item is the ISA interrupt line to route.
pub fn enable_receive_interrupts() -> [Option<u8>; SERIAL_PORTS] {
    let mut consoles = CONSOLES.lock();
    let mut lines = [None; SERIAL_PORTS];
    for (line, uart) in lines.iter_mut().zip(&mut consoles.serial) {
        *line = uart.as_mut().and_then(Uart::enable_receive_interrupt);
    }
    lines
}

/// The I/O ports (first, count) that attached serial ports use: dom0 must not get them.
pub fn serial_port_ranges() -> [Option<(u16, u16)>; SERIAL_PORTS] {
    let consoles = CONSOLES.lock();
    let mut ranges = [None; SERIAL_PORTS];
    for (range, uart) in ranges.iter_mut().zip(&consoles.serial) {
        *range = uart.as_ref().and_then(Uart::io_ports);
    }
    ranges
}
