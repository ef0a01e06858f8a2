//! The `log` back end: thresholds, the `(XEN)` prefix that tools and habits look for, ring and sinks.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use arch::boot::{BootInfo, FramebufferKind};
use arch::console::framebuffer::FramebufferInfo;
use arch::sync::SpinLock;

use crate::options::{Consoles, Level, Options, Timestamps};

/// Messages with this `log` target were caused by a guest: `guest_loglvl=` decides about them.
pub const GUEST: &str = "guest";

static HOST_LEVEL: AtomicU8 = AtomicU8::new(log::LevelFilter::Info as u8);
static GUEST_LEVEL: AtomicU8 = AtomicU8::new(log::LevelFilter::Off as u8);
/// Up to these levels, messages are printed at a bounded rate.
static HOST_LIMITED: AtomicU8 = AtomicU8::new(log::LevelFilter::Info as u8);
static GUEST_LIMITED: AtomicU8 = AtomicU8::new(log::LevelFilter::Warn as u8);
/// Say when (`console_timestamps`): a [`Timestamps`].
static TIMESTAMPS: AtomicU8 = AtomicU8::new(Timestamps::None as u8);
/// A person asked: print everything.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Runs `f` with every message printed.
pub fn asked(f: impl FnOnce()) {
    let before = ASKED.swap(true, Ordering::Relaxed);
    f();
    ASKED.store(before, Ordering::Relaxed);
}

/// So many messages of the limited levels ...
const BURST: u32 = 10;
/// ... in so many nanoseconds.
const PERIOD: u64 = 5_000_000_000;

/// The rate limit's state.
struct Rate {
    since: u64,
    printed: u32,
    dropped: u32,
}

static RATE: SpinLock<Rate> = SpinLock::new(Rate::new());

impl Rate {
    const fn new() -> Self {
        Self {
            since: 0,
            printed: 0,
            dropped: 0,
        }
    }

    /// Whether one more message may be printed now, and how many were dropped before it.
    fn admit(&mut self, now: u64) -> Option<u32> {
        if now.saturating_sub(self.since) >= PERIOD {
            self.since = now;
            self.printed = 0;
        }
        if self.printed == BURST {
            self.dropped += 1;
            return None;
        }
        self.printed += 1;
        Some(core::mem::take(&mut self.dropped))
    }
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        let (_, limited) = levels(metadata);
        metadata.level() as u8 <= limited || ASKED.load(Ordering::Relaxed)
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (always, _) = levels(record.metadata());
        if record.level() as u8 > always && !ASKED.load(Ordering::Relaxed) {
            let admitted = RATE.lock().admit(arch::clock::now());
            match admitted {
                None => return,
                Some(0) => {}
                Some(dropped) => print(format_args!("({dropped} messages were left out)")),
            }
        }
        print(*record.args());
    }

    fn flush(&self) {}
}

/// The levels for a message: printed always, and printed at a bounded rate.
fn levels(metadata: &log::Metadata<'_>) -> (u8, u8) {
    let (always, limited) = if metadata.target() == GUEST {
        (&GUEST_LEVEL, &GUEST_LIMITED)
    } else {
        (&HOST_LEVEL, &HOST_LIMITED)
    };
    (
        always.load(Ordering::Relaxed),
        limited.load(Ordering::Relaxed),
    )
}

fn print(args: fmt::Arguments<'_>) {
    let mut line = Line {
        bytes: [0; 512],
        used: 0,
    };
    line.begin();
    let _ = line.write_fmt(args);
    line.end();
}

/// A message under construction; a longer one is cut, so that no message needs memory.
struct Line {
    bytes: [u8; 512],
    used: usize,
}

impl Line {
    /// Starts with the prefix.
    fn begin(&mut self) {
        self.used = 0;
        let _ = self.write_str("(XEN) ");
        self.stamp(TIMESTAMPS.load(Ordering::Relaxed));
    }

    /// Says when, in Xen's forms.
    fn stamp(&mut self, form: u8) {
        const DATE: u8 = Timestamps::Date as u8;
        const DATE_MS: u8 = Timestamps::DateMs as u8;
        const BOOT: u8 = Timestamps::Boot as u8;
        const RAW: u8 = Timestamps::Raw as u8;
        let _ = match form {
            DATE | DATE_MS => {
                // Nothing before the clock runs, as there is nothing to say.
                let (seconds, ns) = arch::clock::wallclock_at_boot();
                if seconds == 0 {
                    return;
                }
                let since = arch::clock::now().saturating_add(ns.into());
                let (at, ms) = (seconds + since / 1_000_000_000, since / 1_000_000 % 1000);
                let d = arch::clock::rtc::DateTime::from_unix_seconds(at);
                let (y, m) = (d.year, d.month);
                let (day, h, min, s) = (d.day, d.hour, d.minute, d.second);
                if form == DATE {
                    write!(self, "[{y:04}-{m:02}-{day:02} {h:02}:{min:02}:{s:02}] ")
                } else {
                    write!(
                        self,
                        "[{y:04}-{m:02}-{day:02} {h:02}:{min:02}:{s:02}.{ms:03}] "
                    )
                }
            }
            BOOT => {
                let now = arch::clock::now() / 1000;
                write!(self, "[{:5}.{:06}] ", now / 1_000_000, now % 1_000_000)
            }
            RAW => write!(self, "[{:016x}] ", arch::cpu::rdtsc()),
            _ => Ok(()),
        };
    }

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
                self.begin();
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
    HOST_LIMITED.store(filter(options.log_level.limited) as u8, Ordering::Relaxed);
    GUEST_LEVEL.store(
        filter(options.guest_log_level.always) as u8,
        Ordering::Relaxed,
    );
    GUEST_LIMITED.store(
        filter(options.guest_log_level.limited) as u8,
        Ordering::Relaxed,
    );
    TIMESTAMPS.store(options.timestamps as u8, Ordering::Relaxed);
    super::DOM0_TO_RING.store(options.console_to_ring, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_admitted_and_then_a_pause_is_needed() {
        let mut rate = Rate::new();
        for i in 0..u64::from(BURST) {
            assert_eq!(rate.admit(i), Some(0));
        }
        assert_eq!(rate.admit(100), None);
        assert_eq!(rate.admit(PERIOD - 1), None);
        assert_eq!(rate.admit(PERIOD), Some(2));
        assert_eq!(rate.admit(PERIOD), Some(0));
    }

    #[test]
    fn levels_of_the_options_are_those_of_messages() {
        assert!(log::Level::Info as u8 <= filter(Level::Info) as u8);
        assert!(log::Level::Debug as u8 > filter(Level::Info) as u8);
        assert!(log::Level::Error as u8 > filter(Level::None) as u8);
    }
}
