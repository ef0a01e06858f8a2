//! Netlink: messages to the kernel's network configuration and their answers (Linux
//! `include/uapi/linux/netlink.h`). What the messages say is their senders' business.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send,
    socket_with,
};

/// Flags of a message's header.
pub mod flags {
    /// It is a request.
    pub const REQUEST: u16 = 1;
    /// An answer is wanted even if all went well.
    pub const ACK: u16 = 4;
    /// All objects are asked for.
    pub const DUMP: u16 = 0x300;
    /// Fail if the object is there.
    pub const EXCL: u16 = 0x200;
    /// Replace the object if it is there.
    pub const REPLACE: u16 = 0x100;
    /// Make the object.
    pub const CREATE: u16 = 0x400;
    /// Add the object behind the others.
    pub const APPEND: u16 = 0x800;
}

const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;
/// Larger than any answer but those of dumps, which come in pieces of at most 32 KiB.
const RECEIVE: usize = 64 << 10;
/// The kernel answers at once, unless something is very wrong.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// A message under construction: a header, a fixed structure, attributes.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Vec<u8>,
    open: Vec<usize>,
}

impl Message {
    /// A message of this type, with the fixed structure that the type has.
    #[must_use]
    pub fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        let mut message = Self {
            bytes,
            open: Vec::new(),
        };
        message.pad();
        message
    }

    /// Appends an attribute.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// Appends a text with the zero byte at its end.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Opens an attribute that holds others.
    #[must_use]
    pub fn nest(mut self, kind: u16) -> Self {
        const NESTED: u16 = 1 << 15;
        self.open.push(self.bytes.len());
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        self
    }

    /// Closes the attribute opened last.
    #[must_use]
    pub fn end(mut self) -> Self {
        if let Some(start) = self.open.pop() {
            let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
            if let Some(place) = self.bytes.get_mut(start..start + 2) {
                place.copy_from_slice(&length.to_ne_bytes());
            }
        }
        self
    }

    fn wants_answer(&self) -> bool {
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]);
        flags & (flags::ACK | flags::DUMP) != 0
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        while !self.open.is_empty() {
            self = self.end();
        }
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// A message that came: its type and all that follows the header.
#[derive(Clone, Debug)]
pub struct Received {
    /// The type.
    pub kind: u16,
    /// The fixed structure and the attributes.
    pub body: Vec<u8>,
    sequence: u32,
}

impl Received {
    /// The value of the first attribute of this kind behind a fixed structure of `fixed` bytes.
    #[must_use]
    pub fn attribute(&self, fixed: usize, kind: u16) -> Option<&[u8]> {
        const KIND: u16 = 0x3fff;
        let mut rest = self.body.get(fixed.next_multiple_of(4)..)?;
        while let Some((head, _)) = rest.split_at_checked(4) {
            let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
            let found = u16::from_ne_bytes([head[2], head[3]]) & KIND;
            let value = rest.get(4..length)?;
            if found == kind {
                return Some(value);
            }
            rest = rest.get(length.next_multiple_of(4)..)?;
        }
        None
    }
}

/// A connection to one of the kernel's families.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// For links, addresses and routes.
    ///
    /// # Errors
    /// If the kernel has no such family, or we may not.
    pub fn route() -> io::Result<Self> {
        Self::open(None, 0)
    }

    /// For links, addresses and routes; what happens to links is told unasked.
    ///
    /// # Errors
    /// As [`Self::route`].
    pub fn link_events() -> io::Result<Self> {
        Self::open(None, 1)
    }

    /// For packet filters.
    ///
    /// # Errors
    /// As [`Self::route`].
    pub fn netfilter() -> io::Result<Self> {
        Self::open(Some(netlink::NETFILTER), 0)
    }

    /// No protocol is number 0: routes.
    fn open(protocol: Option<Protocol>, groups: u32) -> io::Result<Self> {
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends a request and waits until the kernel has done it, or refused.
    ///
    /// # Errors
    /// The kernel's refusal; a broken socket.
    pub fn request(&mut self, message: Message) -> io::Result<()> {
        self.ask(message).map(drop)
    }

    /// Sends a request and collects what is answered.
    ///
    /// # Errors
    /// The kernel's refusal; a broken socket.
    pub fn ask(&mut self, message: Message) -> io::Result<Vec<Received>> {
        self.batch(vec![message])
    }

    /// Sends messages as one datagram; the first refusal among the answers is the result. The last
    /// that asks for an answer is waited for.
    ///
    /// # Errors
    /// The kernel's refusal; a broken socket.
    pub fn batch(&mut self, messages: Vec<Message>) -> io::Result<Vec<Received>> {
        let mut bytes = Vec::new();
        let first = self.sequence.wrapping_add(1);
        let mut last = first;
        for message in messages {
            self.sequence = self.sequence.wrapping_add(1);
            if message.wants_answer() {
                last = self.sequence;
            }
            bytes.extend(message.finish(self.sequence));
        }
        send(&self.fd, &bytes, SendFlags::empty())?;
        let mut answers = Vec::new();
        loop {
            for received in self.receive(Some(&PATIENCE))? {
                // What is not an answer to these messages came unasked.
                if received.sequence.wrapping_sub(first) > last.wrapping_sub(first) {
                    continue;
                }
                match received.kind {
                    ERROR => {
                        acknowledged(&received)?;
                        if received.sequence == last {
                            return Ok(answers);
                        }
                    }
                    DONE => return Ok(answers),
                    _ => answers.push(received),
                }
            }
        }
    }

    /// What the kernel says unasked, within a time; nothing when that is over.
    ///
    /// # Errors
    /// A broken socket.
    pub fn events(&mut self, timeout: Duration) -> io::Result<Vec<Received>> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        match self.receive(Some(&timeout)) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(Vec::new()),
            // More came than the socket holds: the caller looks at the world instead.
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) =>
            {
                Ok(Vec::new())
            }
            other => other,
        }
    }

    fn receive(&mut self, timeout: Option<&Timespec>) -> io::Result<Vec<Received>> {
        if poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], timeout)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the kernel does not answer",
            ));
        }
        let mut bytes = vec![0; RECEIVE];
        let (length, _) = recv(&self.fd, &mut bytes[..], RecvFlags::empty())?;
        bytes.truncate(length);
        Ok(messages(&bytes))
    }
}

/// Zero is success; everything else is an error number, negated.
fn acknowledged(received: &Received) -> io::Result<()> {
    let number = received
        .body
        .first_chunk()
        .map_or(0, |b| i32::from_ne_bytes(*b));
    match number.checked_neg() {
        Some(errno) if errno > 0 => Err(io::Error::from_raw_os_error(errno)),
        _ => Ok(()),
    }
}

/// The messages in a datagram; one that is cut off is left out.
fn messages(mut bytes: &[u8]) -> Vec<Received> {
    let mut found = Vec::new();
    while let Some(header) = bytes.first_chunk::<HEADER>() {
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let length = usize::try_from(word(0)).unwrap_or(usize::MAX);
        let Some(body) = bytes.get(HEADER..length) else {
            break;
        };
        found.push(Received {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            body: body.to_vec(),
            sequence: word(8),
        });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_reads_back_as_it_was_built() {
        let bytes = Message::new(16, flags::REQUEST | flags::ACK, &[1, 2, 3, 4])
            .text(3, "lo")
            .nest(18)
            .text(1, "bridge")
            .end()
            .attribute(4, &1500u32.to_ne_bytes())
            .finish(7);
        assert_eq!(bytes.len() % 4, 0);
        let [received] = messages(&bytes).try_into().unwrap();
        assert_eq!((received.kind, received.sequence), (16, 7));
        assert_eq!(received.attribute(4, 3), Some(&b"lo\0"[..]));
        assert_eq!(received.attribute(4, 4), Some(&1500u32.to_ne_bytes()[..]));
        assert_eq!(received.attribute(4, 18).unwrap().len(), 4 + 8);
        assert_eq!(received.attribute(4, 5), None);
    }

    proptest! {
        #[test]
        fn any_datagram_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            for received in messages(&bytes) {
                let _ = received.attribute(4, 1);
                let _ = acknowledged(&received);
            }
        }
    }
}
