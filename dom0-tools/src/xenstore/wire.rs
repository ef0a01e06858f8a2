//! The xenstore protocol: messages, their parts, and how errors and permissions are spelt.
//!
//! Xen `public/io/xs_wire.h`, `docs/misc/xenstore.txt`. Everything here is total: whatever bytes
//! a peer sends, the answer is a value or a refusal.

use std::fmt;

use hypercall_abi::Errno;
use hypercall_abi::io::xs_wire::{XENSTORE_PAYLOAD_MAX, XsType, XsdSockmsg};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of a message's header.
pub const HEADER: usize = size_of::<XsdSockmsg>();
/// The longest payload, in bytes, in either direction.
pub const PAYLOAD_MAX: usize = XENSTORE_PAYLOAD_MAX as usize;

/// One message, request, reply or event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: XsType,
    /// Chosen by the client, repeated in the reply; 0 in events.
    pub request: u32,
    /// The transaction, or 0.
    pub transaction: u32,
    /// At most [`PAYLOAD_MAX`] bytes.
    pub payload: Vec<u8>,
}

impl Message {
    /// The header as it goes over the wire.
    pub fn header(&self) -> [u8; HEADER] {
        let header = XsdSockmsg {
            r#type: self.kind,
            req_id: self.request,
            tx_id: self.transaction,
            len: u32::try_from(self.payload.len()).unwrap_or(u32::MAX),
        };
        let mut bytes = [0; HEADER];
        bytes.copy_from_slice(header.as_bytes());
        bytes
    }

    /// Header and payload in one piece.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.payload.len());
        bytes.extend_from_slice(&self.header());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// A peer announced a payload longer than [`PAYLOAD_MAX`]: the stream cannot be followed further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong(pub u32);

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(len) = self;
        write!(
            f,
            "a message of {len} bytes, more than the {PAYLOAD_MAX} allowed"
        )
    }
}

impl std::error::Error for TooLong {}

/// Puts messages together from a stream that comes in pieces of any size.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    header: [u8; HEADER],
    /// Bytes of the header that have come.
    have: usize,
    /// Bytes of payload still to come, once the header is whole.
    payload: Vec<u8>,
}

impl Assembler {
    /// How many bytes the message under way still needs before more is known of it: never 0.
    pub fn wants(&self) -> usize {
        if self.have < HEADER {
            HEADER - self.have
        } else {
            self.len().saturating_sub(self.payload.len()).max(1)
        }
    }

    /// The bytes of the message under way.
    pub fn partial(&self) -> Vec<u8> {
        let mut bytes = self.header[..self.have].to_vec();
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    fn parsed(&self) -> XsdSockmsg {
        XsdSockmsg::read_from_bytes(&self.header).unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.parsed().len as usize
    }

    /// Takes bytes from the front of `input`, up to the end of one message.
    ///
    /// # Errors
    /// [`TooLong`]: the peer breaks the protocol; nothing more can be understood from it.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Message>, TooLong> {
        if self.have < HEADER {
            let take = input.len().min(HEADER - self.have);
            let (now, later) = input.split_at(take);
            self.header[self.have..self.have + take].copy_from_slice(now);
            self.have += take;
            *input = later;
            if self.have < HEADER {
                return Ok(None);
            }
        }
        let header = self.parsed();
        let len = header.len as usize;
        if len > PAYLOAD_MAX {
            return Err(TooLong(header.len));
        }
        let take = input.len().min(len.saturating_sub(self.payload.len()));
        if take > 0 && self.payload.capacity() == 0 {
            self.payload.reserve_exact(len);
        }
        let (now, later) = input.split_at(take);
        self.payload.extend_from_slice(now);
        *input = later;
        if self.payload.len() < len {
            return Ok(None);
        }
        self.have = 0;
        Ok(Some(Message {
            kind: header.r#type,
            request: header.req_id,
            transaction: header.tx_id,
            payload: std::mem::take(&mut self.payload),
        }))
    }
}

/// The strings of a payload, each ended by a zero byte; what follows the last zero is not among
/// them.
pub fn strings(payload: &[u8]) -> Strings<'_> {
    Strings { rest: payload }
}

/// Iterator of [`strings`].
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    rest: &'a [u8],
}

impl<'a> Strings<'a> {
    /// What has not been taken.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == 0)?;
        let (string, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or(&[]);
        Some(string)
    }
}

/// The only string of a payload that must be one string with its zero byte at the very end.
pub fn only_string(payload: &[u8]) -> Option<&[u8]> {
    let (&last, string) = payload.split_last()?;
    (last == 0 && !string.contains(&0)).then_some(string)
}

/// A number as C's `atoi` reads it: leading blanks and sign, digits, anything behind ignored.
/// What does not fit is cut to 32 bits.
pub fn atoi(text: &[u8]) -> i32 {
    let start = text
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())
        .unwrap_or(text.len());
    let text = text.get(start..).unwrap_or(&[]);
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut value = 0i64;
    for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
        value = value
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'));
    }
    (if negative { -value } else { value }) as i32
}

/// The errors that have a name in the protocol.
const ERRORS: [(Errno, &str); 16] = [
    (Errno::EINVAL, "EINVAL"),
    (Errno::EACCES, "EACCES"),
    (Errno::EEXIST, "EEXIST"),
    (Errno::EISDIR, "EISDIR"),
    (Errno::ENOENT, "ENOENT"),
    (Errno::ENOMEM, "ENOMEM"),
    (Errno::ENOSPC, "ENOSPC"),
    (Errno::EIO, "EIO"),
    (Errno::ENOTEMPTY, "ENOTEMPTY"),
    (Errno::ENOSYS, "ENOSYS"),
    (Errno::EROFS, "EROFS"),
    (Errno::EBUSY, "EBUSY"),
    (Errno::EAGAIN, "EAGAIN"),
    (Errno::EISCONN, "EISCONN"),
    (Errno::E2BIG, "E2BIG"),
    (Errno::EPERM, "EPERM"),
];

/// How an error is spelt in a reply; one without a name becomes `EINVAL`.
pub fn error_name(errno: Errno) -> &'static str {
    ERRORS
        .iter()
        .find(|(known, _)| *known == errno)
        .map_or("EINVAL", |(_, name)| name)
}

/// The error that a reply's payload names; an unknown one counts as `EINVAL`.
pub fn error_from_name(payload: &[u8]) -> Errno {
    let name = strings(payload).next().unwrap_or(payload);
    ERRORS
        .iter()
        .find(|(_, known)| known.as_bytes() == name)
        .map_or(Errno::EINVAL, |(errno, _)| *errno)
}

/// What a permission allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Nothing.
    None,
    /// Reading value, children and permissions.
    Read,
    /// Writing the value, creating children, removing.
    Write,
    /// Both.
    Both,
}

impl Access {
    /// Whether it includes reading.
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    /// Whether it includes writing.
    pub fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }

    fn letter(self) -> char {
        match self {
            Self::None => 'n',
            Self::Read => 'r',
            Self::Write => 'w',
            Self::Both => 'b',
        }
    }
}

/// One entry of a node's permissions. The first names the owner, and what everybody may do who
/// is not named later; the others what one domain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Perm {
    /// The domain.
    pub domid: u32,
    /// What it may do (of the first entry: what all others may do).
    pub access: Access,
}

impl Perm {
    /// An entry.
    pub fn new(domid: u32, access: Access) -> Self {
        Self { domid, access }
    }

    /// An entry as spelt in the protocol: a letter (`n`, `r`, `w`, `b`) and a domain's number.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (&letter, number) = text.split_first()?;
        let access = match letter {
            b'n' => Access::None,
            b'r' => Access::Read,
            b'w' => Access::Write,
            b'b' => Access::Both,
            _ => return None,
        };
        let number = std::str::from_utf8(number).ok()?;
        let domid = number.parse::<u32>().ok()?;
        Some(Self { domid, access })
    }
}

impl fmt::Display for Perm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.access.letter(), self.domid)
    }
}

/// The name of a message type, as logs print it.
pub fn kind_name(kind: XsType) -> &'static str {
    match kind {
        XsType::CONTROL => "CONTROL",
        XsType::DIRECTORY => "DIRECTORY",
        XsType::READ => "READ",
        XsType::GET_PERMS => "GET_PERMS",
        XsType::WATCH => "WATCH",
        XsType::UNWATCH => "UNWATCH",
        XsType::TRANSACTION_START => "TRANSACTION_START",
        XsType::TRANSACTION_END => "TRANSACTION_END",
        XsType::INTRODUCE => "INTRODUCE",
        XsType::RELEASE => "RELEASE",
        XsType::GET_DOMAIN_PATH => "GET_DOMAIN_PATH",
        XsType::WRITE => "WRITE",
        XsType::MKDIR => "MKDIR",
        XsType::RM => "RM",
        XsType::SET_PERMS => "SET_PERMS",
        XsType::WATCH_EVENT => "WATCH_EVENT",
        XsType::ERROR => "ERROR",
        XsType::IS_DOMAIN_INTRODUCED => "IS_DOMAIN_INTRODUCED",
        XsType::RESUME => "RESUME",
        XsType::SET_TARGET => "SET_TARGET",
        XsType::RESET_WATCHES => "RESET_WATCHES",
        XsType::DIRECTORY_PART => "DIRECTORY_PART",
        _ => "**UNKNOWN**",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            kind: XsType::WRITE,
            request: 7,
            transaction: 9,
            payload: b"/a\0value".to_vec(),
        }
    }

    #[test]
    fn a_stream_in_any_pieces_gives_the_same_messages() {
        let bytes = [message().to_bytes(), message().to_bytes()].concat();
        for size in 1..bytes.len() {
            let mut assembler = Assembler::default();
            let mut got = Vec::new();
            for mut piece in bytes.chunks(size) {
                while !piece.is_empty() {
                    assert!(assembler.wants() > 0);
                    got.extend(assembler.feed(&mut piece).unwrap());
                }
            }
            assert_eq!(got, [message(), message()], "pieces of {size}");
            assert!(assembler.partial().is_empty());
        }
    }

    #[test]
    fn an_empty_payload_needs_no_further_byte() {
        let empty = Message {
            payload: Vec::new(),
            ..message()
        };
        let bytes = empty.to_bytes();
        let got = Assembler::default().feed(&mut bytes.as_slice()).unwrap();
        assert_eq!(got, Some(empty));
    }

    #[test]
    fn a_long_payload_is_refused_before_it_is_stored() {
        let mut header = message().header();
        header[12..].copy_from_slice(&4097u32.to_ne_bytes());
        let mut assembler = Assembler::default();
        assert_eq!(assembler.feed(&mut header.as_slice()), Err(TooLong(4097)));
    }

    #[test]
    fn strings_end_with_their_zero() {
        let mut all = strings(b"a\0\0b");
        assert_eq!(all.next(), Some(&b"a"[..]));
        assert_eq!(all.next(), Some(&b""[..]));
        assert_eq!(all.next(), None);
        assert_eq!(all.rest(), b"b");
        assert_eq!(only_string(b"a\0"), Some(&b"a"[..]));
        assert_eq!(only_string(b"\0"), Some(&b""[..]));
        assert_eq!(only_string(b"a"), None);
        assert_eq!(only_string(b"a\0b\0"), None);
        assert_eq!(only_string(b""), None);
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        assert_eq!(atoi(b" 12x"), 12);
        assert_eq!(atoi(b"-3"), -3);
        assert_eq!(atoi(b""), 0);
        assert_eq!(atoi(b"x"), 0);
        assert_eq!(atoi(b"+7"), 7);
        atoi(b"99999999999999999999999999");
        atoi(b"-99999999999999999999999999");
    }

    #[test]
    fn errors_have_names_both_ways() {
        for (errno, name) in ERRORS {
            assert_eq!(error_name(errno), name);
            assert_eq!(error_from_name(name.as_bytes()), errno);
            assert_eq!(error_from_name(format!("{name}\0").as_bytes()), errno);
        }
        assert_eq!(error_name(Errno::ESRCH), "EINVAL");
        assert_eq!(error_from_name(b"EWHAT\0"), Errno::EINVAL);
    }

    #[test]
    fn permissions_are_a_letter_and_a_number() {
        for text in ["n0", "r12", "w65535", "b1"] {
            assert_eq!(Perm::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        for text in ["", "n", "x1", "r1x", "r-1", "r 1", "r99999999999"] {
            assert_eq!(Perm::parse(text.as_bytes()), None, "{text}");
        }
    }
}
