//! Packet filters for guests' interfaces (Linux `include/uapi/linux/netfilter/nf_tables.h`): a
//! guest that was given addresses sends with no others, and hidden networks go out under the
//! host's address. Each interface has a table of its own, so that taking it away is one request.

use std::io;

use super::link::{Net, mask, masked};
use crate::sys::netlink::{Message, Socket, flags};

const NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = NFTABLES << 8;
const DELTABLE: u16 = NFTABLES << 8 | 2;
const NEWCHAIN: u16 = NFTABLES << 8 | 3;
const NEWRULE: u16 = NFTABLES << 8 | 6;

/// What a table looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Routed IPv4.
    Ipv4,
    /// What passes bridges.
    Bridge,
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::Ipv4 => 2,
            Self::Bridge => 7,
        }
    }
}

/// What happens to packets that a rule is for.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Drop,
    Accept,
    Masquerade,
}

/// A part of a packet, from the network header or the transport header on.
#[derive(Clone, Copy, Debug)]
enum Header {
    Network,
    Transport,
}

/// A rule under construction: conditions, then what is done.
#[derive(Debug)]
struct Rule(Message);

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const UDP: u8 = 17;

/// Before anything else looks.
const PRIORITY_FIRST: i32 = -300;
const PRIORITY_SOURCE_NAT: i32 = 100;
const HOOK_PREROUTING: u32 = 0;
const HOOK_POSTROUTING: u32 = 4;

/// Lets a port of a bridge send with these addresses only, and ask for one.
///
/// # Errors
/// What the kernel refuses; it may have no packet filters.
pub fn restrict_bridged(table: &str, interface: &str, allowed: &[Net]) -> io::Result<()> {
    let family = Family::Bridge;
    let rule = || Rule::new(family, table, "from-guest").from(interface);
    let mut messages = begin(family, table);
    messages.push(chain(
        family,
        table,
        "from-guest",
        "filter",
        HOOK_PREROUTING,
        PRIORITY_FIRST,
    ));
    // Who has no address yet asks for one.
    messages.push(
        rule()
            .ethertype(ETHERTYPE_IPV4)
            .equals(Header::Network, 9, &[UDP], &[0xff])
            .equals(Header::Transport, 0, &[0, 68, 0, 67], &[0xff; 4])
            .then(Verdict::Accept),
    );
    for net in allowed {
        let bytes = net.bytes();
        let mask = mask(bytes.len(), net.bits);
        let bytes = masked(&bytes, net.bits);
        if net.address.is_ipv4() {
            let ip = rule().ethertype(ETHERTYPE_IPV4);
            messages.push(
                ip.equals(Header::Network, 12, &bytes, &mask)
                    .then(Verdict::Accept),
            );
            let arp = rule().ethertype(ETHERTYPE_ARP);
            messages.push(
                arp.equals(Header::Network, 14, &bytes, &mask)
                    .then(Verdict::Accept),
            );
        } else {
            let ip = rule().ethertype(ETHERTYPE_IPV6);
            messages.push(
                ip.equals(Header::Network, 8, &bytes, &mask)
                    .then(Verdict::Accept),
            );
        }
    }
    if allowed.iter().any(|net| net.address.is_ipv6()) {
        // Neighbours are found from addresses of the link, or from none at all.
        let link = rule().ethertype(ETHERTYPE_IPV6);
        let local = link.equals(Header::Network, 8, &[0xfe, 0x80], &[0xff, 0xc0]);
        messages.push(local.then(Verdict::Accept));
        let none = rule().ethertype(ETHERTYPE_IPV6);
        messages.push(
            none.equals(Header::Network, 8, &[0; 16], &[0xff; 16])
                .then(Verdict::Accept),
        );
    }
    messages.push(rule().then(Verdict::Drop));
    commit(messages)
}

/// Lets an interface that is routed send with these addresses only, and if `masquerade`, lets it
/// go out under the address of the host's interface, or of the one named.
///
/// # Errors
/// What the kernel refuses; it may have no packet filters.
pub fn restrict_routed(
    table: &str,
    interface: &str,
    allowed: &[Net],
    masquerade: bool,
    towards: Option<&str>,
) -> io::Result<()> {
    let family = Family::Ipv4;
    let mut messages = begin(family, table);
    messages.push(chain(
        family,
        table,
        "from-guest",
        "filter",
        HOOK_PREROUTING,
        PRIORITY_FIRST,
    ));
    let rule = || Rule::new(family, table, "from-guest").from(interface);
    let nets = || allowed.iter().filter(|net| net.address.is_ipv4());
    for net in nets() {
        let (bytes, mask) = (masked(&net.bytes(), net.bits), mask(4, net.bits));
        messages.push(
            rule()
                .equals(Header::Network, 12, &bytes, &mask)
                .then(Verdict::Accept),
        );
    }
    messages.push(
        rule()
            .equals(Header::Network, 9, &[UDP], &[0xff])
            .equals(Header::Transport, 0, &[0, 68, 0, 67], &[0xff; 4])
            .then(Verdict::Accept),
    );
    messages.push(rule().then(Verdict::Drop));
    if masquerade {
        messages.push(chain(
            family,
            table,
            "hide",
            "nat",
            HOOK_POSTROUTING,
            PRIORITY_SOURCE_NAT,
        ));
        for net in nets() {
            let (bytes, mask) = (masked(&net.bytes(), net.bits), mask(4, net.bits));
            let rule = Rule::new(family, table, "hide").equals(Header::Network, 12, &bytes, &mask);
            let rule = match towards {
                Some(name) => rule.to(name),
                None => rule.not_to_guests(),
            };
            messages.push(rule.then(Verdict::Masquerade));
        }
    }
    commit(messages)
}

/// Takes the rules of an interface away; that there are none is no error.
///
/// # Errors
/// What the kernel refuses.
pub fn release(table: &str) -> io::Result<()> {
    for family in [Family::Ipv4, Family::Bridge] {
        let message = nft(DELTABLE, flags::ACK, family.number()).text(1, table);
        let done = Socket::netfilter().and_then(|mut socket| socket.batch(batch(vec![message])));
        match done {
            Ok(_) => {}
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the kernel has no such table, or no packet filters at all.
#[must_use]
pub fn is_absent(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let absent = [
        Errno::NOENT,
        Errno::AFNOSUPPORT,
        Errno::PROTONOSUPPORT,
        Errno::OPNOTSUPP,
        Errno::INVAL,
    ];
    absent
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn commit(messages: Vec<Message>) -> io::Result<()> {
    Socket::netfilter()?.batch(batch(messages)).map(drop)
}

/// Messages that the kernel takes all or none of.
fn batch(messages: Vec<Message>) -> Vec<Message> {
    let [high, low] = NFTABLES.to_be_bytes();
    let mark = |kind| Message::new(kind, flags::REQUEST, &[0, 0, high, low]);
    let mut all = vec![mark(BATCH_BEGIN)];
    all.extend(messages);
    all.push(mark(BATCH_END));
    all
}

fn nft(kind: u16, how: u16, family: u8) -> Message {
    Message::new(kind, flags::REQUEST | how, &[family, 0, 0, 0])
}

/// A new, empty table, whatever one of this name held.
fn begin(family: Family, table: &str) -> Vec<Message> {
    let family = family.number();
    vec![
        nft(NEWTABLE, flags::CREATE, family).text(1, table),
        nft(DELTABLE, 0, family).text(1, table),
        nft(NEWTABLE, flags::CREATE | flags::ACK, family).text(1, table),
    ]
}

fn chain(family: Family, table: &str, name: &str, kind: &str, hook: u32, priority: i32) -> Message {
    nft(NEWCHAIN, flags::CREATE | flags::ACK, family.number())
        .text(1, table)
        .text(3, name)
        .nest(4)
        .attribute(1, &hook.to_be_bytes())
        .attribute(2, &priority.to_be_bytes())
        .end()
        .text(7, kind)
}

impl Rule {
    fn new(family: Family, table: &str, chain: &str) -> Self {
        let how = flags::CREATE | flags::APPEND | flags::ACK;
        let message = nft(NEWRULE, how, family.number())
            .text(1, table)
            .text(2, chain)
            .nest(4);
        Self(message)
    }

    /// An expression; `build` writes what it works on.
    fn expression(self, name: &str, build: impl FnOnce(Message) -> Message) -> Self {
        let message = self.0.nest(1).text(1, name).nest(2);
        Self(build(message).end().end())
    }

    fn meta(self, key: u32) -> Self {
        self.expression("meta", |message| {
            message
                .attribute(2, &key.to_be_bytes())
                .attribute(1, &1u32.to_be_bytes())
        })
    }

    fn compare(self, equal: bool, value: &[u8]) -> Self {
        self.expression("cmp", |message| {
            message
                .attribute(1, &1u32.to_be_bytes())
                .attribute(2, &u32::from(!equal).to_be_bytes())
                .nest(3)
                .attribute(1, value)
                .end()
        })
    }

    fn from(self, interface: &str) -> Self {
        self.meta(6).compare(true, &padded(interface))
    }

    fn to(self, interface: &str) -> Self {
        self.meta(7).compare(true, &padded(interface))
    }

    fn not_to_guests(self) -> Self {
        self.meta(7).compare(false, b"vif")
    }

    fn ethertype(self, value: [u8; 2]) -> Self {
        self.meta(1).compare(true, &value)
    }

    /// Some bytes of a header, under a mask.
    fn equals(self, header: Header, offset: u32, value: &[u8], mask: &[u8]) -> Self {
        let base: u32 = match header {
            Header::Network => 1,
            Header::Transport => 2,
        };
        let length = u32::try_from(value.len()).unwrap_or(0).to_be_bytes();
        let loaded = self.expression("payload", |message| {
            message
                .attribute(1, &1u32.to_be_bytes())
                .attribute(2, &base.to_be_bytes())
                .attribute(3, &offset.to_be_bytes())
                .attribute(4, &length)
        });
        let whole = mask.iter().all(|&byte| byte == 0xff);
        let under_mask = if whole {
            loaded
        } else {
            loaded.expression("bitwise", |message| {
                message
                    .attribute(1, &1u32.to_be_bytes())
                    .attribute(2, &1u32.to_be_bytes())
                    .attribute(3, &length)
                    .nest(4)
                    .attribute(1, mask)
                    .end()
                    .nest(5)
                    .attribute(1, &vec![0; mask.len()])
                    .end()
            })
        };
        under_mask.compare(true, value)
    }

    fn then(self, verdict: Verdict) -> Message {
        let code: u32 = match verdict {
            Verdict::Masquerade => {
                return self.expression("masq", |message| message).0.end();
            }
            Verdict::Drop => 0,
            Verdict::Accept => 1,
        };
        let rule = self.expression("immediate", |message| {
            message
                .attribute(1, &0u32.to_be_bytes())
                .nest(2)
                .nest(2)
                .attribute(1, &code.to_be_bytes())
                .end()
                .end()
        });
        rule.0.end()
    }
}

/// The name of an interface as it is compared: with zeros up to its greatest length.
fn padded(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (place, byte) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *place = byte;
    }
    bytes
}
