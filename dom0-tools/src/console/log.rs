//! A log of what a console said: appended to, begun anew when it has grown too large.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Kept beside the log that is being written: `.1` is the youngest.
const KEPT: u32 = 5;

/// What logs are to look like.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Each line begins with the time.
    pub timestamps: bool,
    /// Escape characters are made harmless for terminals.
    pub replace_escape: bool,
    /// Bytes after which a log is put aside and begun anew; 0: never.
    pub limit: u64,
}

/// An open log.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    size: u64,
    style: Style,
    line_begins: bool,
}

impl Log {
    /// Opens a log to append to it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path, style: Style) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let file = File::options().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        let mut log = Self {
            path: path.to_owned(),
            file,
            size,
            style,
            line_begins: true,
        };
        if style.timestamps {
            log.write(b"Logfile Opened\n")?;
        }
        Ok(log)
    }

    /// Opens the file anew: somebody may have put it aside (`logrotate`).
    ///
    /// # Errors
    /// Those of the file system.
    pub fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path, self.style)?;
        Ok(())
    }

    /// Appends what a console said.
    ///
    /// # Errors
    /// Those of the file system; what was said is lost to the log then.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let styled = self.styled(bytes);
        let limit = self.style.limit;
        if limit > 0 && self.size > 0 && self.size + styled.len() as u64 > limit {
            self.rotate()?;
        }
        self.file.write_all(&styled)?;
        self.size += styled.len() as u64;
        Ok(())
    }

    fn styled(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut styled = Vec::with_capacity(bytes.len());
        let time = self.style.timestamps.then(|| format!("[{}] ", now()));
        for &byte in bytes {
            if let Some(time) = &time {
                // Guests end lines with a return too, in either order.
                if self.line_begins && byte == b'\r' {
                    continue;
                }
                if self.line_begins {
                    styled.extend_from_slice(time.as_bytes());
                }
                self.line_begins = byte == b'\n';
            }
            let escape = byte == 0x1b && self.style.replace_escape;
            styled.push(if escape { b'.' } else { byte });
        }
        styled
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..KEPT).rev() {
            // Not there: nothing to move.
            let _ = fs::rename(numbered(number), numbered(number + 1));
        }
        fs::rename(&self.path, numbered(1))?;
        self.file = File::options().create(true).append(true).open(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

/// The time in UTC, as `YYYY-MM-DD HH:MM:SS`.
fn now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    date(since.as_secs())
}

fn date(seconds: u64) -> String {
    let (mut days, time) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = 365 + u64::from(leap(year));
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!(
        "{year:04}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02}",
        days + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style {
        timestamps: false,
        replace_escape: false,
        limit: 0,
    };

    fn place(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("oxen-log-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        directory.join("guest-x.log")
    }

    #[test]
    fn logs_grow_and_are_put_aside() {
        let path = place("rotate");
        let mut log = Log::open(&path, Style { limit: 10, ..PLAIN }).unwrap();
        for number in 0..8 {
            log.write(format!("line {number}\n").as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "line 7\n");
        let older = |number| fs::read_to_string(format!("{}.{number}", path.display()));
        assert_eq!(older(1).unwrap(), "line 6\n");
        assert_eq!(older(5).unwrap(), "line 2\n");
        assert!(older(6).is_err());
        fs::remove_file(&path).unwrap();
        log.reopen().unwrap();
        log.write(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn lines_carry_the_time_and_escapes_are_harmless() {
        let path = place("style");
        let style = Style {
            timestamps: true,
            replace_escape: true,
            limit: 0,
        };
        let mut log = Log::open(&path, style).unwrap();
        log.write(b"one\r\ntw").unwrap();
        log.write(b"o\n\r\x1b[1mthree").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| &line[22..]).collect();
        assert_eq!(lines, ["Logfile Opened", "one", "two", ".[1mthree"]);
        assert!(text.lines().all(|line| line.starts_with("[20")), "{text}");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(date(1_735_689_599), "2024-12-31 23:59:59");
    }
}
