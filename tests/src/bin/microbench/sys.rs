//! The system calls under measurement, without anything in between.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
use std::io;

/// The time stamp counter.
pub fn ticks() -> u64 {
    // SAFETY: reads a register; every x86-64 processor has it and Linux leaves it to programs.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A system call with next to no work of its own.
pub fn getppid() {
    // SAFETY: has no arguments and no effect. `libc` caches nothing here.
    let _ = unsafe { libc::getppid() };
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Executes that many instructions, or up to 63 fewer.
pub fn execute(instructions: u64) {
    // SAFETY: counts a register down, 64 instructions at a time: an emulator is slow with loops that are shorter.
    unsafe {
        core::arch::asm!(
            "2: .nops 62, 1",
            "dec {count}",
            "jnz 2b",
            count = inlateout(reg) (instructions / 64).max(1) => _,
            options(nomem, nostack)
        );
    }
}

/// Success if that many bytes were moved.
fn all(done: isize, wanted: usize) -> io::Result<()> {
    match usize::try_from(done) {
        Ok(done) if done == wanted => Ok(()),
        Ok(_) => Err(io::Error::other("fewer bytes than asked for")),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

const PAGE: usize = 4096;

/// Private anonymous pages of this process, none of them present at first.
pub struct Mapping {
    start: *mut c_void,
    length: usize,
}

impl Mapping {
    /// Maps that many pages.
    pub fn anonymous(pages: usize) -> io::Result<Self> {
        let length = pages * PAGE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory in use.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapping = Self { start, length };
        // SAFETY: advice about our own mapping. Huge pages would take the faults away.
        checked(unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) })?;
        Ok(mapping)
    }

    /// Writes to one page of a writable mapping.
    pub fn touch(&self, page: usize) {
        assert!(page * PAGE < self.length);
        // SAFETY: inside our mapping, as just asserted; nobody holds a reference into it.
        unsafe { self.start.cast::<u8>().add(page * PAGE).write_volatile(1) };
    }

    /// Writes the first bytes of it to a file.
    pub fn write_to(&self, file: c_int, bytes: u64, offset: u64) -> io::Result<()> {
        let length = (bytes as usize).min(self.length);
        // SAFETY: the kernel reads our own mapping, within its length.
        let done = unsafe { libc::pwrite(file, self.start, length, offset as libc::off_t) };
        all(done, length)
    }

    /// Fills the first bytes of it, which must be writable, from a file.
    pub fn read_from(&self, file: c_int, bytes: u64, offset: u64) -> io::Result<()> {
        let length = (bytes as usize).min(self.length);
        // SAFETY: the kernel writes to our own mapping, within its length; nobody holds a reference into it.
        let done = unsafe { libc::pread(file, self.start, length, offset as libc::off_t) };
        all(done, length)
    }

    /// Makes it writable or read-only.
    pub fn protect(&self, writable: bool) -> io::Result<()> {
        let protection = if writable {
            libc::PROT_READ | libc::PROT_WRITE
        } else {
            libc::PROT_READ
        };
        // SAFETY: our own mapping; while it is read-only nobody writes to it.
        checked(unsafe { libc::mprotect(self.start, self.length, protection) }).map(drop)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, to which no reference exists.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

/// A child process.
pub struct Pid(libc::pid_t);

impl Pid {
    /// Waits for its successful end.
    pub fn wait(self) -> io::Result<()> {
        let mut status = 0;
        // SAFETY: `status` is valid for the call.
        checked(unsafe { libc::waitpid(self.0, &raw mut status, 0) })?;
        if status == 0 {
            Ok(())
        } else {
            Err(io::Error::other(format!("child ended with {status:#x}")))
        }
    }
}

/// Runs `child` in a new process, which exits with its result.
pub fn fork(child: impl FnOnce() -> c_int) -> io::Result<Pid> {
    // SAFETY: this program has a single thread, so the child's copy of everything is consistent.
    let pid = checked(unsafe { libc::fork() })?;
    if pid == 0 {
        let status = child();
        // SAFETY: ends the child without running what the parent will run at its end.
        unsafe { libc::_exit(status) };
    }
    Ok(Pid(pid))
}

/// Starts a program with one argument, by way of `vfork`.
pub fn vfork_exec(program: &CStr, argument: &CStr) -> io::Result<Pid> {
    let arguments = [program.as_ptr(), argument.as_ptr(), std::ptr::null()];
    let environment: [*const c_char; 1] = [std::ptr::null()];
    let mut pid = 0;
    // SAFETY: all pointers are valid for the call and both lists end in null. `posix_spawn` is
    // the C library's sound way to use `vfork`.
    let error = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            std::ptr::null(),
            std::ptr::null(),
            arguments.as_ptr().cast(),
            environment.as_ptr().cast(),
        )
    };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    Ok(Pid(pid))
}

/// Both ends of a pipe.
pub struct Pipe {
    pub reader: c_int,
    pub writer: c_int,
}

/// A new pipe; it lives as long as the program.
pub fn pipe() -> io::Result<Pipe> {
    let mut ends = [0; 2];
    // SAFETY: `ends` takes two descriptors.
    checked(unsafe { libc::pipe(ends.as_mut_ptr()) })?;
    let [reader, writer] = ends;
    Ok(Pipe { reader, writer })
}

/// Reads exactly as many bytes as fit.
pub fn read(file: c_int, bytes: &mut [u8]) -> io::Result<()> {
    // SAFETY: the buffer is valid for its length.
    let count = unsafe { libc::read(file, bytes.as_mut_ptr().cast(), bytes.len()) };
    if count == bytes.len() as isize {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Writes all bytes.
pub fn write(file: c_int, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the buffer is valid for its length.
    let count = unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
    if count == bytes.len() as isize {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Opens a device for reading and writing; it stays open as long as the program runs.
pub fn open(path: &CStr) -> io::Result<c_int> {
    // SAFETY: `path` is a valid string.
    checked(unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) })
}

extern "C" fn handler(_: c_int) {}

/// Installs a handler that does nothing.
pub fn ignore_usr1_in_a_handler() -> io::Result<()> {
    let handler: extern "C" fn(c_int) = handler;
    // SAFETY: the handler touches nothing, so it may run at any time.
    let old = unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    if old == libc::SIG_ERR {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Sends ourselves the signal; it is handled before this returns.
pub fn signal_self() -> io::Result<()> {
    // SAFETY: SIGUSR1 has a handler.
    checked(unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) }).map(drop)
}

/// Lets timers of this process expire exactly when asked.
pub fn no_timer_slack() -> io::Result<()> {
    const NANOSECONDS: c_ulong = 1;
    // SAFETY: takes a number.
    checked(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, NANOSECONDS) }).map(drop)
}

/// Sleeps for less than a second.
pub fn sleep(nanoseconds: u32) -> io::Result<()> {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds.into(),
    };
    // SAFETY: `time` is valid for the call; the remaining time is not asked for.
    let error = unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            0,
            &raw const time,
            std::ptr::null_mut(),
        )
    };
    if error == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

// Linux include/uapi/xen/privcmd.h and evtchn.h: requests of these devices are
// _IOC(_IOC_NONE, letter, number, size).
const fn request(letter: u8, number: c_ulong, size: usize) -> c_ulong {
    ((size as c_ulong) << 16) | ((letter as c_ulong) << 8) | number
}

/// `struct privcmd_hypercall`.
#[repr(C)]
struct Hypercall {
    number: u64,
    arguments: [u64; 5],
}

/// `HYPERVISOR_xen_version(XENVER_version)`: the hypercall with the least work.
pub fn hypercall_xen_version(privcmd: c_int) -> io::Result<()> {
    const XEN_VERSION: u64 = 17;
    const XENVER_VERSION: u64 = 0;
    let call = Hypercall {
        number: XEN_VERSION,
        arguments: [XENVER_VERSION, 0, 0, 0, 0],
    };
    let request = request(b'P', 0, size_of::<Hypercall>());
    // SAFETY: the driver reads one `Hypercall`; this one has no pointer in its arguments.
    checked(unsafe { libc::ioctl(privcmd, request, &raw const call) }).map(drop)
}

/// A new port that the domain may bind to.
pub fn evtchn_bind_unbound(device: c_int, remote_domain: u32) -> io::Result<u32> {
    let argument = [remote_domain];
    // SAFETY: the driver reads one 32-bit number.
    let port = checked(unsafe { libc::ioctl(device, request(b'E', 2, 4), &raw const argument) })?;
    Ok(port.unsigned_abs())
}

/// Binds to another port.
pub fn evtchn_bind_interdomain(
    device: c_int,
    remote_domain: u32,
    remote_port: u32,
) -> io::Result<u32> {
    let argument = [remote_domain, remote_port];
    // SAFETY: the driver reads two 32-bit numbers.
    let port = checked(unsafe { libc::ioctl(device, request(b'E', 1, 8), &raw const argument) })?;
    Ok(port.unsigned_abs())
}

/// Sends an event.
pub fn evtchn_notify(device: c_int, port: u32) -> io::Result<()> {
    let argument = [port];
    // SAFETY: the driver reads one 32-bit number.
    checked(unsafe { libc::ioctl(device, request(b'E', 4, 4), &raw const argument) }).map(drop)
}

/// Takes events that are already there: binding sends one.
pub fn evtchn_drain(device: c_int) -> io::Result<()> {
    const MILLISECONDS: c_int = 10;
    let mut wanted = libc::pollfd {
        fd: device,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: `wanted` is valid for the call.
    while checked(unsafe { libc::poll(&raw mut wanted, 1, MILLISECONDS) })? > 0 {
        let mut port = [0; 4];
        read(device, &mut port)?;
        write(device, &port)?;
    }
    Ok(())
}
