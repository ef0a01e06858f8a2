//! gzip, zstd and lz4: framing here, the work in crates.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::crc::crc32;
use super::lzma::Failure;

/// Finds the deflate data behind a gzip header (RFC 1952).
fn gzip_body(data: &[u8]) -> Option<&[u8]> {
    let (header, mut rest) = data.split_first_chunk::<10>()?;
    let [0x1f, 0x8b | 0x9e, 8, flags, ..] = *header else {
        return None;
    };
    if flags & 4 != 0 {
        let (len, extra) = rest.split_first_chunk()?;
        rest = extra.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&b| b == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & 2 != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

/// Decodes one gzip member into `out`; the size reached.
pub fn gzip(data: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    let body = gzip_body(data).ok_or("bad header")?;
    let mut state = alloc::boxed::Box::new(DecompressorOxide::new());
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, used, written) = decompress(&mut state, body, out, 0, flags);
    match status {
        TINFLStatus::Done => {}
        TINFLStatus::HasMoreOutput => return Err("larger than announced"),
        TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => {
            return Err("ends too early");
        }
        _ => return Err("bad deflate data"),
    }
    let tail = body.get(used..).unwrap_or_default();
    let crc = tail.first_chunk().ok_or("ends too early")?;
    if u32::from_le_bytes(*crc) != crc32(&out[..written]) {
        return Err("checksum of the unpacked data");
    }
    Ok(written)
}

/// Largest window that is accepted: what `zstd --ultra -22` uses, as Linux does.
const ZSTD_WINDOW: u64 = 128 << 20;

/// Decodes one zstd frame into `out`; the size reached.
pub fn zstd(data: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW);
    let mut input = data;
    decoder.init(&mut input).map_err(|_| "bad frame header")?;
    let mut pos = 0;
    loop {
        decoder
            .decode_blocks(&mut input, BlockDecodingStrategy::UptoBytes(1 << 20))
            .map_err(|_| "bad block")?;
        let room = out.get_mut(pos..).unwrap_or_default();
        pos += ruzstd::io::Read::read(&mut decoder, room).map_err(|_| "bad block")?;
        if decoder.is_finished() {
            break;
        }
        if pos == out.len() && decoder.can_collect() > 0 {
            return Err("larger than announced");
        }
    }
    let room = out.get_mut(pos..).unwrap_or_default();
    pos += ruzstd::io::Read::read(&mut decoder, room).map_err(|_| "bad block")?;
    if decoder.can_collect() > 0 {
        return Err("larger than announced");
    }
    if let Some(stored) = decoder.get_checksum_from_data()
        && decoder.get_calculated_checksum() != Some(stored)
    {
        return Err("checksum of the unpacked data");
    }
    Ok(pos)
}

/// The content size that a zstd frame header names.
pub fn zstd_size(data: &[u8]) -> Option<u64> {
    let mut decoder = ruzstd::decoding::FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW);
    decoder.init(data).ok()?;
    Some(decoder.content_size()).filter(|&size| size != 0)
}

/// First bytes of lz4's legacy frames (`lz4 -l`), which the kernel's build uses.
pub const LZ4_LEGACY: [u8; 4] = 0x184c_2102u32.to_le_bytes();
/// Unpacked size of every legacy block but the last.
const LZ4_BLOCK: usize = 8 << 20;

/// Decodes a legacy lz4 stream into `out`; the size reached.
pub fn lz4(data: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    let mut rest = data.strip_prefix(&LZ4_LEGACY).ok_or("bad header")?;
    let mut pos = 0;
    while let Some((size, body)) = rest.split_first_chunk() {
        let size = u32::from_le_bytes(*size);
        // A second stream may follow directly.
        if size.to_le_bytes() == LZ4_LEGACY {
            rest = body;
            continue;
        }
        let (block, after) = body
            .split_at_checked(size as usize)
            .ok_or("ends too early")?;
        rest = after;
        let end = out.len().min(pos + LZ4_BLOCK);
        pos +=
            lz4_flex::block::decompress_into(block, &mut out[pos..end]).map_err(|_| "bad block")?;
    }
    if rest.is_empty() {
        Ok(pos)
    } else {
        Err("ends too early")
    }
}
