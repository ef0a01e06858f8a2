//! Loop devices: files as block devices (Linux `include/uapi/linux/loop.h`).

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{major, makedev, minor};
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};

const CONTROL: &str = "/dev/loop-control";
const LOOP_MAJOR: u32 = 7;
const LOOP_CLR_FD: Opcode = 0x4c01;
const LOOP_GET_STATUS64: Opcode = 0x4c05;
const LOOP_CONFIGURE: Opcode = 0x4c0a;
const LOOP_CTL_GET_FREE: Opcode = 0x4c82;

const READ_ONLY: u32 = 1;
/// The kernel takes the device down when its last user closes it.
const AUTOCLEAR: u32 = 4;
const DIRECT_IO: u32 = 16;

/// Somebody else may take the free device that we were told of; then there is another.
const ATTEMPTS: usize = 64;

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

const _: () = assert!(size_of::<Info>() == 232);

impl Info {
    const ZERO: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<Config>() == 304);

/// A loop device that we hold open. It goes away when nobody does.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    device: File,
    direct: bool,
}

impl LoopDevice {
    /// Makes a block device of a file, with direct I/O if its file system can.
    ///
    /// # Errors
    /// What the kernel refuses; the device driver may be missing.
    pub fn attach(image: &Path, read_only: bool) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(!read_only)
            .custom_flags(rustix::fs::OFlags::CLOEXEC.bits().cast_signed())
            .open(image)?;
        let control = OpenOptions::new().read(true).write(true).open(CONTROL)?;
        for _ in 0..ATTEMPTS {
            // SAFETY: this request takes no argument and gives a number.
            let number = unsafe { ioctl(&control, Plain(LOOP_CTL_GET_FREE)) }?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            make_node(&path, number)?;
            let device = OpenOptions::new()
                .read(true)
                .write(!read_only)
                .open(&path)?;
            for direct in [true, false] {
                match configure(&device, (&file, image), read_only, direct) {
                    Ok(()) => {
                        return Ok(Self {
                            path,
                            device,
                            direct,
                        });
                    }
                    // Taken meanwhile.
                    Err(Errno::BUSY) => break,
                    // Its file system has no direct I/O.
                    Err(Errno::INVAL | Errno::OPNOTSUPP) if direct => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        Err(Errno::BUSY.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes around the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Its major and minor number.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn number(&self) -> io::Result<(u32, u32)> {
        let device = self.device.metadata()?.rdev();
        Ok((major(device), minor(device)))
    }
}

/// The file behind a loop device, as its file system's device number and inode; `None` if there is
/// none, or it is no loop device.
#[must_use]
pub fn backing(device: &Path) -> Option<(u64, u64)> {
    let file = File::open(device).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.file_type().is_block_device() || major(metadata.rdev()) != LOOP_MAJOR {
        return None;
    }
    let mut info = Info::ZERO;
    // SAFETY: the request fills the structure, which is the one it takes.
    unsafe { ioctl(&file, Status(&mut info)) }.ok()?;
    // The kernel encodes the number as `stat` does not.
    Some((decode_device(info.device), info.inode))
}

/// Takes a loop device down, now or when its last user closes it.
///
/// # Errors
/// `ENXIO` if nothing is attached to it.
pub fn detach(device: &Path) -> io::Result<()> {
    let file = File::open(device)?;
    // SAFETY: this request takes no argument.
    unsafe { ioctl(&file, Plain(LOOP_CLR_FD)) }?;
    Ok(())
}

fn configure(
    device: &File,
    (file, image): (&File, &Path),
    read_only: bool,
    direct: bool,
) -> Result<(), Errno> {
    let mut info = Info::ZERO;
    info.flags =
        AUTOCLEAR | if read_only { READ_ONLY } else { 0 } | if direct { DIRECT_IO } else { 0 };
    // For people (`losetup -a`), as far as there is room before a zero.
    let name = image.as_os_str().as_encoded_bytes();
    let room = info.file_name.len() - 1;
    for (place, byte) in info.file_name.iter_mut().take(room).zip(name) {
        *place = *byte;
    }
    let config = Config {
        fd: file.as_raw_fd().cast_unsigned(),
        block_size: 0,
        info,
        reserved: [0; 8],
    };
    // SAFETY: the structure is the one that this request takes, and only reads.
    unsafe { ioctl(device, Configure(config)) }
}

/// Where no daemon makes device nodes, the driver's devices beyond the first few have none.
fn make_node(path: &Path, number: i32) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let device = makedev(LOOP_MAJOR, number.cast_unsigned());
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    match rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::BlockDevice,
        mode,
        device,
    ) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// `huge_encode_dev` of Linux to the form of `stat`.
fn decode_device(encoded: u64) -> u64 {
    let major = (encoded & 0x000f_ff00) >> 8;
    let minor = (encoded & 0xff) | ((encoded >> 12) & 0x000f_ff00);
    let word = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    makedev(word(major), word(minor))
}

/// A request without an argument.
struct Plain(Opcode);

// SAFETY: no memory is named; what the kernel returns is a number.
unsafe impl Ioctl for Plain {
    type Output = i32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        self.0
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<i32> {
        Ok(output)
    }
}

struct Configure(Config);

// SAFETY: the opcode takes a pointer to a `loop_config` and only reads it.
unsafe impl Ioctl for Configure {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CONFIGURE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

struct Status<'a>(&'a mut Info);

// SAFETY: the opcode takes a pointer to a `loop_info64` and fills it.
unsafe impl Ioctl for Status<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        LOOP_GET_STATUS64
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut *self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_loop_device_has_nothing_behind_it() {
        assert_eq!(backing(Path::new("/dev/null")), None);
        assert_eq!(backing(Path::new("/proc/self/status")), None);
        assert_eq!(backing(Path::new("/nowhere")), None);
    }

    #[test]
    fn device_numbers_are_those_of_stat() {
        assert_eq!(decode_device(0x0801), makedev(8, 1));
        assert_eq!(
            decode_device((300 << 8) | 0x34 | (0x12 << 20)),
            makedev(300, 0x1234)
        );
    }
}
