//! Kernel images and command lines as a boot loader could pass them: refused or taken, never a panic, and never more memory
//! than the limit.

use hypervisor::loader::{Image, Kernel};
use hypervisor::options::Options;

/// No image of a test unpacks to more.
const LIMIT: u64 = 1 << 20;

/// Runs one input.
pub fn run(data: &[u8]) {
    if let Ok(image) = Image::locate(data)
        && let Ok(plain) = image.unpack(LIMIT)
    {
        assert!(plain.len() as u64 <= LIMIT.max(data.len() as u64));
        let _ = Kernel::parse(&plain);
    }
    if let Ok(kernel) = Kernel::parse(data) {
        for (_, segment) in kernel.segments() {
            let _ = segment;
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Options::parse(text);
    }
}
