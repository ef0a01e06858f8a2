//! The `log` back end: thresholds, the `(XEN)` prefix that tools and habits look for, ring and sinks.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, Ordering};

use arch::boot::{BootInfo, FramebufferKind};
use arch::console::framebuffer::FramebufferInfo;

use crate::options::{Consoles, Level, Options};

/// Messages with this `log` target were caused by a guest: `guest_loglvl=` decides about them.
pub const GUEST: &str = "guest";

static HOST_LEVEL: AtomicU8 = AtomicU8::new(log::LevelFilter::Info as u8);
static GUEST_LEVEL: AtomicU8 = AtomicU8::new(log::LevelFilter::Warn as u8);

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        let level = if metadata.target() == GUEST {
            &GUEST_LEVEL
        } else {
            &HOST_LEVEL
        };
        metadata.level() as u8 <= level.load(Ordering::Relaxed)
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut line = Line {
            bytes: [0; 512],
            used: 0,
        };
        let _ = line.write_str("(XEN) ");
        let _ = line.write_fmt(*record.args());
        line.end();
    }

    fn flush(&self) {}
}

/// A message under construction; a longer one is cut, so that no message needs memory.
struct Line {
    bytes: [u8; 512],
    used: usize,
}

impl Line {
    fn end(&mut self) {
        let used = self.used.min(self.bytes.len() - 1);
        self.bytes[used] = b'\n';
        super::write_message(&self.bytes[..=used]);
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if byte == b'\n' {
                self.end();
                self.used = 0;
                for &b in b"(XEN) " {
                    self.bytes[self.used] = b;
                    self.used += 1;
                }
            } else if self.used < self.bytes.len() - 1 {
                self.bytes[self.used] = byte;
                self.used += 1;
            }
        }
        Ok(())
    }
}

const fn filter(level: Level) -> log::LevelFilter {
    match level {
        Level::None => log::LevelFilter::Off,
        Level::Error => log::LevelFilter::Error,
        Level::Warning => log::LevelFilter::Warn,
        Level::Info => log::LevelFilter::Info,
        Level::Debug => log::LevelFilter::Trace,
    }
}

/// Attaches the serial ports that the options name and starts logging.
pub fn start(options: &Options) {
    for (index, config) in options.serial.iter().enumerate() {
        let flag = if index == 0 {
            Consoles::COM1
        } else {
            Consoles::COM2
        };
        if !options.console.contains(flag) {
            continue;
        }
        if let Some(config) = config {
            // A port that does not answer leaves the others to say so.
            let _ = arch::console::attach_serial(index, config);
        }
    }
    HOST_LEVEL.store(filter(options.log_level.always) as u8, Ordering::Relaxed);
    GUEST_LEVEL.store(
        filter(options.guest_log_level.always) as u8,
        Ordering::Relaxed,
    );
    super::input::configure(options.switch_char, options.input_to_hypervisor);
    static LOGGER: Logger = Logger;
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
}

/// Attaches the screen, if the options name it; once device memory can be mapped.
pub fn attach_screen(options: &Options, info: &BootInfo) {
    if !options.console.contains(Consoles::VGA) {
        return;
    }
    let attached = match &info.framebuffer {
        Some(screen) => match screen.kind {
            FramebufferKind::Rgb { red, green, blue } => {
                arch::console::attach_framebuffer(&FramebufferInfo {
                    address: screen.address.get(),
                    pitch: screen.pitch,
                    width: screen.width,
                    height: screen.height,
                    bits_per_pixel: screen.bpp,
                    channels: [red, green, blue],
                })
            }
            _ => arch::console::attach_vga(),
        },
        None => arch::console::attach_vga(),
    };
    if !attached {
        log::debug!("the screen cannot be used as a console");
    }
}
