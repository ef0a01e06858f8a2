//! A running virtual machine: its serial console, its monitor, its end.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine::{Parts, Plan};
use crate::paths;

/// How long a guest may show no progress on its console. Judged by the CPU time that QEMU got, so
/// that a busy host is not taken for a hanging guest; the limit on the wall catches one that sleeps.
#[derive(Clone, Copy)]
pub struct Patience {
    /// CPU time of QEMU since the last output.
    pub busy: Duration,
    /// Time since the last output.
    pub idle: Duration,
}

/// For boots and tests; the longest silence of a healthy boot is the kernel's decompression.
pub const USUAL: Patience = Patience {
    busy: Duration::from_secs(120),
    idle: Duration::from_secs(240),
};

/// For what happens within seconds or never.
pub const SHORT: Patience = Patience {
    busy: Duration::from_secs(30),
    idle: Duration::from_secs(60),
};

/// A virtual machine; dropping it ends it.
pub struct Guest {
    child: Child,
    serial: UnixStream,
    log: Arc<Mutex<Log>>,
    folder: PathBuf,
    sockets: PathBuf,
    /// How much of the console `wait` has already passed by.
    passed: usize,
    /// CPU time that it has used, as last looked at.
    used: Duration,
}

#[derive(Default)]
struct Log {
    text: String,
    closed: bool,
}

/// What [`Guest::wait`] saw.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// The text.
    Text,
    /// The machine is gone: powered off or reset.
    Ended,
}

impl Guest {
    /// Starts the machine. `name` is the folder below `target/oxen/runs` that takes its logs.
    pub fn start(plan: &Plan, parts: &Parts, name: &str) -> Result<Self> {
        let folder = paths::output().join("runs").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        // Short, because the path of a socket has at most 107 bytes.
        let sockets = std::env::temp_dir().join(format!("oxen-{}-{name}", std::process::id()));
        fs::create_dir_all(&sockets)?;
        let serial_path = sockets.join("serial");
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(plan.arguments(parts, &folder)?)
            .arg("-chardev")
            .arg(format!(
                "socket,id=serial,server=on,wait=on,path={}",
                serial_path.display()
            ))
            .args(["-serial", "chardev:serial", "-monitor"])
            .arg(format!(
                "unix:{},server=on,wait=off",
                sockets.join("monitor").display()
            ));
        fs::write(folder.join("command"), format!("{qemu:?}\n"))?;
        let messages = fs::File::create(folder.join("qemu.log"))?;
        let mut child = qemu
            .stdin(Stdio::null())
            .stdout(messages.try_clone()?)
            .stderr(messages)
            .spawn()
            .context("cannot start qemu-system-x86_64")?;
        let serial = match connect(&serial_path, &mut child) {
            Ok(serial) => serial,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                let messages = fs::read_to_string(folder.join("qemu.log")).unwrap_or_default();
                return Err(error.context(messages));
            }
        };
        let log = Arc::new(Mutex::new(Log::default()));
        let reader = serial.try_clone()?;
        let sink = Arc::clone(&log);
        // Not QEMU's `logfile=`: when the socket is full, that takes the character that must be sent again twice.
        let file = fs::File::create(folder.join("serial.log"))?;
        thread::spawn(move || collect(reader, &sink, file));
        Ok(Self {
            child,
            serial,
            log,
            folder,
            sockets,
            passed: 0,
            used: Duration::ZERO,
        })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // The collector cannot panic between two states of the log.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything on the serial console so far.
    pub fn text(&self) -> String {
        self.log().text.clone()
    }

    /// The folder with this machine's logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Types into the serial console.
    pub fn type_in(&mut self, text: &str) -> Result<()> {
        self.serial
            .write_all(text.as_bytes())
            .context("the serial console is closed")
    }

    /// One command of QEMU's monitor and its answer.
    pub fn monitor(&self, command: &str) -> Result<String> {
        let mut stream = UnixStream::connect(self.sockets.join("monitor"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let until_prompt = |stream: &mut UnixStream| -> Result<String> {
            let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
            while !text.ends_with(b"(qemu) ") {
                let count = stream
                    .read(&mut buffer)
                    .context("QEMU's monitor does not answer")?;
                if count == 0 {
                    break;
                }
                text.extend_from_slice(buffer.get(..count).unwrap_or_default());
            }
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        until_prompt(&mut stream)?;
        stream.write_all(format!("{command}\n").as_bytes())?;
        let answer = until_prompt(&mut stream)?;
        Ok(answer
            .split_once('\n')
            .map_or("", |(_, rest)| rest)
            .trim_end_matches("(qemu) ")
            .to_owned())
    }

    /// Waits until a text is on the console, after the one waited for before, or the machine is gone.
    pub fn wait(&mut self, text: &str, patience: Patience) -> Result<Seen> {
        let mut length = 0;
        let (mut since, mut busy_since) = (Instant::now(), self.busy());
        loop {
            let (now, found, closed) = {
                let log = self.log();
                let rest = log.text.get(self.passed..).unwrap_or_default();
                let found = rest.find(text).filter(|_| !text.is_empty());
                (log.text.len(), found, log.closed)
            };
            if let Some(at) = found {
                self.passed += at + text.len();
                return Ok(Seen::Text);
            }
            if self.child.try_wait()?.is_some() && closed {
                return Ok(Seen::Ended);
            }
            if now != length {
                (length, since, busy_since) = (now, Instant::now(), self.busy());
            }
            self.used = self.busy().max(self.used);
            let (busy, idle) = (self.used.saturating_sub(busy_since), since.elapsed());
            if busy > patience.busy || idle > patience.idle {
                bail!(
                    "no progress for {} s ({} s of CPU time); last line: {}",
                    idle.as_secs(),
                    busy.as_secs(),
                    last_line(&self.log().text)
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end of the machine.
    pub fn wait_end(&mut self, patience: Patience) -> Result<ExitStatus> {
        self.wait("", patience)?;
        Ok(self.child.wait()?)
    }

    /// How QEMU ended, for a machine that went without a word: its status, what it said, and whether a
    /// triple fault was the cause.
    pub fn how_it_ended(&mut self) -> String {
        let mut how = match self.child.try_wait() {
            Ok(Some(status)) => format!("QEMU ended with {status}"),
            Ok(None) => "QEMU still runs".to_owned(),
            Err(error) => format!("QEMU's status is not known: {error}"),
        };
        let read = |name| fs::read(self.folder.join(name)).unwrap_or_default();
        let said = String::from_utf8_lossy(&read("qemu.log")).into_owned();
        // What it always says: what it cannot emulate, and that it waits for the console.
        let said: Vec<&str> = said
            .lines()
            .filter(|line| !line.contains("warning: ") && !line.contains("info: "))
            .collect();
        if !said.is_empty() {
            how.push_str(&format!(" and said: {}", said.join(" / ")));
        }
        if String::from_utf8_lossy(&read("qemu-debug.log")).contains("Triple fault") {
            how.push_str(", after a triple fault");
        }
        how
    }

    /// Whether the machine is still there.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU time that the machine had used when it was last waited for.
    pub fn used(&self) -> Duration {
        self.used
    }

    /// CPU time that QEMU has used, all threads; zero when it has ended.
    fn busy(&self) -> Duration {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // Fields after the name in parentheses: state is the first, utime and stime are 12 and 13.
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        const TICK_MILLISECONDS: u64 = 10;
        Duration::from_millis(ticks * TICK_MILLISECONDS)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.sockets);
        // Scratch disks are large and of no use afterwards.
        if let Ok(folder) = fs::read_dir(&self.folder) {
            for entry in folder.filter_map(Result::ok) {
                if entry
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "img" || extension == "fd")
                {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }
}

fn connect(path: &Path, child: &mut Child) -> Result<UnixStream> {
    let began = Instant::now();
    loop {
        if let Ok(stream) = UnixStream::connect(path) {
            return Ok(stream);
        }
        if let Some(status) = child.try_wait()? {
            bail!("QEMU ended at once: {status}");
        }
        if began.elapsed() > Duration::from_secs(30) {
            bail!("QEMU does not open its serial console");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn collect(mut serial: UnixStream, log: &Mutex<Log>, mut file: fs::File) {
    let mut buffer = [0; 4096];
    loop {
        let count = serial.read(&mut buffer).unwrap_or(0);
        // The file is for people; the test is judged by what is in memory.
        let _ = file.write_all(buffer.get(..count).unwrap_or_default());
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if count == 0 {
            log.closed = true;
            return;
        }
        // Bytes that are not text (firmware's line drawing) do not matter to anyone who searches.
        for &byte in buffer.get(..count).unwrap_or_default() {
            match byte {
                b'\r' | 0 => {}
                byte if byte.is_ascii() => log.text.push(char::from(byte)),
                _ => log.text.push('?'),
            }
        }
    }
}

fn last_line(text: &str) -> &str {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("(nothing at all)")
}
