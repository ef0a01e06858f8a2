//! The Linux x86 boot protocol's image (Linux Documentation/arch/x86/boot.rst): where the payload is.

use super::{LoadError, bytes};

const SETUP_SECTS: u64 = 0x1f1;
const BOOT_FLAG: u64 = 0x1fe;
const HEADER: u64 = 0x202;
const VERSION: u64 = 0x206;
const PAYLOAD_OFFSET: u64 = 0x248;
const PAYLOAD_LENGTH: u64 = 0x24c;

/// Where a bzImage keeps its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The compressed kernel, without the size behind it.
    pub data: &'a [u8],
    /// All of the payload.
    pub whole: &'a [u8],
    /// Unpacked size in bytes: the build appends it to every compressed payload.
    pub unpacked: u32,
}

/// The payload if `image` is a bzImage; `None` if it is something else.
pub fn payload(image: &[u8]) -> Result<Option<Payload<'_>>, LoadError> {
    let what = "bzImage header";
    if bytes::u16(image, BOOT_FLAG, what) != Ok(0xaa55)
        || bytes::array(image, HEADER, what) != Ok(*b"HdrS")
    {
        return Ok(None);
    }
    let version = bytes::u16(image, VERSION, what)?;
    if version < 0x208 {
        return Err(LoadError::OldProtocol(version));
    }
    // A zero stands for four, by the protocol's history.
    let sectors = match bytes::array::<1>(image, SETUP_SECTS, what)?[0] {
        0 => 4,
        n => u64::from(n),
    };
    let offset = (sectors + 1) * 512 + u64::from(bytes::u32(image, PAYLOAD_OFFSET, what)?);
    let length = u64::from(bytes::u32(image, PAYLOAD_LENGTH, what)?);
    let data = bytes::slice(image, offset, length, "bzImage payload")?;
    let whole = data;
    let Some((data, size)) = whole.split_last_chunk() else {
        return Err(LoadError::Truncated {
            what: "bzImage payload",
            needed: 4,
            present: length,
        });
    };
    Ok(Some(Payload {
        data,
        whole,
        unpacked: u32::from_le_bytes(*size),
    }))
}
