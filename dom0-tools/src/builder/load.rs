//! Brings a kernel into the domain's memory while it comes out of the decompressor: the whole of
//! it is nowhere else, and what is behind its last segment is not even unpacked.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::elf::{Header, Notes, Parsed, Segment};
use super::{PAGE, Window};

/// Bytes per piece on their way from the decompressor.
const PIECE: usize = 1 << 20;
/// Pieces under way: what bounds the memory.
const PIECES: usize = 4;
/// The most bytes of notes that are looked at.
const MOST_NOTES: u64 = 1 << 20;

/// Why a kernel was not loaded.
#[derive(Debug)]
pub enum LoadError<E> {
    /// Its bytes do not unpack.
    Unpack(io::Error),
    /// It is no kernel, or broken.
    Broken(String),
    /// No copy into the domain's memory.
    Copy(io::Error),
    /// It is not wanted any more.
    Cancelled,
    /// The memory was not to be had.
    Open(E),
}

/// A kernel in the domain's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The entry in the file's header.
    pub entry: u64,
    /// What the kernel says of itself.
    pub notes: Notes,
    /// The guest frame behind its last byte.
    pub end: u64,
}

/// The decompressor's end of the pipe.
#[derive(Debug)]
pub struct Feeder {
    full: SyncSender<io::Result<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
}

/// The loader's end of the pipe.
#[derive(Debug)]
pub struct Pieces {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
}

/// A pipe with bounded memory, whose pieces are used again.
pub fn pipe() -> (Feeder, Pieces) {
    let (full_sender, full) = sync_channel(PIECES);
    let (empty, empty_receiver) = channel();
    for _ in 0..PIECES {
        // The other end is in this very function.
        let _ = empty.send(Vec::new());
    }
    let feeder = Feeder {
        full: full_sender,
        empty: empty_receiver,
    };
    (feeder, Pieces { full, empty })
}

impl Feeder {
    /// Unpacks until the end, an error, or nobody wants more.
    pub fn run(self, reader: io::Result<Box<dyn Read + Send + '_>>) {
        let mut reader = match reader {
            Ok(reader) => reader,
            Err(error) => {
                let _ = self.full.send(Err(error));
                return;
            }
        };
        while let Ok(mut piece) = self.empty.recv() {
            if piece.is_empty() {
                // Zeroed by the system, as far as it is touched.
                piece = vec![0; PIECE];
            }
            piece.resize(PIECE, 0);
            match fill(&mut reader, &mut piece) {
                Ok(0) => return,
                Ok(len) => {
                    piece.truncate(len);
                    if self.full.send(Ok(piece)).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let _ = self.full.send(Err(error));
                    return;
                }
            }
        }
    }
}

/// Reads until `piece` is full or there is no more.
fn fill(reader: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < piece.len() {
        match reader.read(&mut piece[done..]) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Loads what comes through the pipe. `open` maps the domain's frames from the first to before the
/// second. `paddr_offset` is what the kernel's notes will say it is, usually 0; the notes come
/// last, so the caller compares. `cancel`, once true, ends it.
///
/// # Errors
/// See [`LoadError`].
pub fn load<W: Window, E>(
    pieces: &Pieces,
    paddr_offset: u64,
    cancel: &AtomicBool,
    open: impl FnOnce(u64, u64) -> Result<W, E>,
) -> Result<Loaded, LoadError<E>> {
    let broken = |why: &str| LoadError::Broken(why.to_owned());
    let mut first = Vec::new();
    let header = loop {
        match Header::parse(&first).map_err(LoadError::Broken)? {
            Parsed::Header(header) => break header,
            Parsed::Needs(_) => match pieces.full.recv() {
                Ok(piece) => first.extend_from_slice(&piece.map_err(LoadError::Unpack)?),
                Err(_) => return Err(broken("it ends within its headers")),
            },
        }
    };
    let place = |segment: &Segment| segment.paddr.checked_sub(paddr_offset);
    let starts = header.load.iter().map(place);
    let start = starts.min().flatten();
    let start = start.ok_or_else(|| broken("a segment is below its own offset"))?;
    let ends = header.load.iter().map(|segment| {
        // Neither sum overflows: the parser saw to it.
        segment.paddr - paddr_offset + segment.memory_len
    });
    let end = ends.max().unwrap_or(0);
    let (base, end) = (start / PAGE, end.div_ceil(PAGE));
    let mut window = open(base, end).map_err(LoadError::Open)?;
    let base = base * PAGE;

    let mut notes = Vec::new();
    for segment in &header.notes {
        if segment.file_len > MOST_NOTES {
            return Err(broken("its notes are too long"));
        }
        notes.push(Vec::with_capacity(segment.file_len as usize));
    }
    let wanted = header.load.iter().chain(&header.notes);
    let wanted_end = wanted
        .map(|segment| segment.offset + segment.file_len)
        .max();
    let wanted_end = wanted_end.unwrap_or(0);

    let mut take = |position: u64, piece: &[u8]| -> io::Result<()> {
        for segment in &header.load {
            if let Some((at, part)) = overlap(segment, position, piece) {
                window.write(segment.paddr - paddr_offset - base + at, part)?;
            }
        }
        for (segment, note) in header.notes.iter().zip(&mut notes) {
            if let Some((_, part)) = overlap(segment, position, piece) {
                note.extend_from_slice(part);
            }
        }
        Ok(())
    };
    take(0, &first).map_err(LoadError::Copy)?;
    let mut position = first.len() as u64;
    drop(first);
    while position < wanted_end {
        if cancel.load(Ordering::Relaxed) {
            return Err(LoadError::Cancelled);
        }
        let Ok(piece) = pieces.full.recv() else {
            return Err(broken("it is shorter than its headers say"));
        };
        let piece = piece.map_err(LoadError::Unpack)?;
        take(position, &piece).map_err(LoadError::Copy)?;
        position += piece.len() as u64;
        // It is no matter if the decompressor is through.
        let _ = pieces.empty.send(piece);
    }
    for segment in &header.load {
        let at = segment.paddr - paddr_offset - base + segment.file_len;
        let len = segment.memory_len - segment.file_len;
        window.zero(at, len).map_err(LoadError::Copy)?;
    }
    let mut found = Notes::default();
    for note in &notes {
        found.add(note);
    }
    Ok(Loaded {
        entry: header.entry,
        notes: found,
        end,
    })
}

/// What of a piece at `position` in the file belongs to a segment, and where in the segment.
fn overlap<'a>(segment: &Segment, position: u64, piece: &'a [u8]) -> Option<(u64, &'a [u8])> {
    let start = segment.offset.max(position);
    let end = (segment.offset + segment.file_len).min(position + piece.len() as u64);
    if start >= end {
        return None;
    }
    let part = piece.get((start - position) as usize..(end - position) as usize)?;
    Some((start - segment.offset, part))
}
