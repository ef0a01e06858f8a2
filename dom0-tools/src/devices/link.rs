//! Network interfaces of dom0: found, named, put in bridges, given addresses and routes (Linux
//! `include/uapi/linux/if_link.h`, `rtnetlink.h`).

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::Cause;
use crate::sys::netlink::{Message, Received, Socket, flags};

const NEWLINK: u16 = 16;
const GETLINK: u16 = 18;
const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const GETADDR: u16 = 22;
const NEWROUTE: u16 = 24;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFINFO: usize = 16;
const IFF_UP: u32 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFADDR: usize = 8;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// A connection for questions about links, and changes of them.
#[derive(Debug)]
pub struct Links(Socket);

/// What to change about a link; what is not set stays.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    /// Up or down.
    pub up: Option<bool>,
    /// Its MAC address.
    pub mac: Option<[u8; 6]>,
    /// Another name.
    pub name: Option<&'a str>,
    /// Largest packet.
    pub mtu: Option<u32>,
    /// The bridge, by index, that it becomes a port of; 0 for none.
    pub master: Option<u32>,
}

/// An address and how many of its bits name the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    /// The address.
    pub address: IpAddr,
    /// Bits of it.
    pub bits: u8,
}

impl Net {
    /// Reads `ADDRESS` or `ADDRESS/BITS`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { address, bits })
    }

    /// The address as bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match self.address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        }
    }

    fn family(&self) -> u8 {
        if self.address.is_ipv4() {
            AF_INET
        } else {
            AF_INET6
        }
    }
}

impl Links {
    /// Opens the connection.
    ///
    /// # Errors
    /// If the kernel has no network, or we may not change it.
    pub fn open() -> Result<Self, Cause> {
        let socket = Socket::route();
        socket
            .map(Self)
            .map_err(|error| Cause::Network("the network's configuration".to_owned(), error))
    }

    /// A link's index and MTU.
    ///
    /// # Errors
    /// `ENODEV` if there is none of this name.
    pub fn find(&mut self, name: &str) -> io::Result<(u32, u32)> {
        let message = Message::new(GETLINK, flags::REQUEST | flags::ACK, &[0; IFINFO])
            .text(IFLA_IFNAME, name);
        let answers = self.0.ask(message)?;
        let link = answers.iter().find(|answer| answer.kind == NEWLINK);
        link.and_then(|link| Some((index_of(link)?, mtu_of(link)?)))
            .ok_or_else(|| rustix::io::Errno::NODEV.into())
    }

    /// Changes a link.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn change(&mut self, index: u32, change: &Change<'_>) -> io::Result<()> {
        let (flags_set, mask) = match change.up {
            Some(true) => (IFF_UP, IFF_UP),
            Some(false) => (0, IFF_UP),
            None => (0, 0),
        };
        let mut message = Message::new(
            NEWLINK,
            flags::REQUEST | flags::ACK,
            &ifinfo(index, flags_set, mask),
        );
        if let Some(mac) = change.mac {
            message = message.attribute(IFLA_ADDRESS, &mac);
        }
        if let Some(name) = change.name {
            message = message.text(IFLA_IFNAME, name);
        }
        if let Some(mtu) = change.mtu {
            message = message.attribute(IFLA_MTU, &mtu.to_ne_bytes());
        }
        if let Some(master) = change.master {
            message = message.attribute(IFLA_MASTER, &master.to_ne_bytes());
        }
        self.0.request(message)
    }

    /// The IPv4 addresses of a link, the first one first.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn addresses(&mut self, index: u32) -> io::Result<Vec<Net>> {
        let how = flags::REQUEST | flags::DUMP;
        let fixed = [AF_INET, 0, 0, 0, 0, 0, 0, 0];
        let answers = self.0.ask(Message::new(GETADDR, how, &fixed))?;
        let address = |answer: &Received| {
            let at: [u8; 4] = answer.body.get(4..8)?.try_into().ok()?;
            let value = answer
                .attribute(IFADDR, IFA_LOCAL)
                .or_else(|| answer.attribute(IFADDR, IFA_ADDRESS))?;
            let value: [u8; 4] = value.try_into().ok()?;
            (u32::from_ne_bytes(at) == index).then(|| {
                Some(Net {
                    address: IpAddr::from(value),
                    bits: *answer.body.get(1)?,
                })
            })?
        };
        Ok(answers.iter().filter_map(address).collect())
    }

    /// Gives a link an address.
    ///
    /// # Errors
    /// What the kernel refuses; that the link has it already is none.
    pub fn add_address(&mut self, index: u32, net: Net) -> io::Result<()> {
        let how = flags::REQUEST | flags::ACK | flags::CREATE | flags::EXCL;
        let message = address_message(NEWADDR, how, index, net);
        match self.0.request(message) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Takes all IPv4 addresses from a link.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn flush_addresses(&mut self, index: u32) -> io::Result<()> {
        for net in self.addresses(index)? {
            let how = flags::REQUEST | flags::ACK;
            self.0.request(address_message(DELADDR, how, index, net))?;
        }
        Ok(())
    }

    /// Routes a network to a link, from this address of ours if one is given.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn add_route(
        &mut self,
        index: u32,
        to: Net,
        source: Option<IpAddr>,
        metric: Option<u32>,
    ) -> io::Result<()> {
        const TABLE_MAIN: u8 = 254;
        const PROTOCOL_BOOT: u8 = 3;
        const SCOPE_UNIVERSE: u8 = 0;
        const SCOPE_LINK: u8 = 253;
        const UNICAST: u8 = 1;
        let how = flags::REQUEST | flags::ACK | flags::CREATE | flags::REPLACE;
        let family = to.family();
        let scope = if to.address.is_ipv4() {
            SCOPE_LINK
        } else {
            SCOPE_UNIVERSE
        };
        let fixed = [
            family,
            to.bits,
            0,
            0,
            TABLE_MAIN,
            PROTOCOL_BOOT,
            scope,
            UNICAST,
            0,
            0,
            0,
            0,
        ];
        let mut message = Message::new(NEWROUTE, how, &fixed)
            .attribute(RTA_DST, &masked(&to.bytes(), to.bits))
            .attribute(RTA_OIF, &index.to_ne_bytes());
        if let Some(metric) = metric {
            message = message.attribute(RTA_PRIORITY, &metric.to_ne_bytes());
        }
        if let Some(source) = source.filter(|source| source.is_ipv4() == to.address.is_ipv4()) {
            let source = Net {
                address: source,
                bits: 0,
            };
            message = message.attribute(RTA_PREFSRC, &source.bytes());
        }
        self.0.request(message)
    }
}

/// Waits until there is a link of this name; the kernel says when.
///
/// # Errors
/// [`Cause::Timeout`]; a broken connection.
pub fn wait_for(name: &str, patience: Duration) -> Result<(u32, u32), Cause> {
    let broken = |error| Cause::Network(format!("interface {name}"), error);
    // Listening begins before the look, so that nothing falls between them.
    let mut events = Socket::link_events().map_err(broken)?;
    let mut links = Links::open()?;
    let end = Instant::now() + patience;
    loop {
        match links.find(name) {
            Ok(found) => return Ok(found),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {
            }
            Err(error) => return Err(broken(error)),
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let seen = format!("it has made no interface {name}");
            return Err(Cause::Timeout("the backend", seen));
        }
        events.events(left).map_err(broken)?;
    }
}

/// The bridges of this host, by name.
#[must_use]
pub fn bridges() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("bridge").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Whether an interface is a bridge.
#[must_use]
pub fn is_bridge(name: &str) -> bool {
    Path::new("/sys/class/net")
        .join(name)
        .join("bridge")
        .exists()
}

/// Sets a switch of the kernel's IPv4 (`ip-sysctl`).
///
/// # Errors
/// Those of writing the file.
pub fn set_ipv4(name: &str, value: &str) -> Result<(), Cause> {
    let path = Path::new("/proc/sys/net/ipv4").join(name);
    fs::write(&path, value).map_err(|error| Cause::Target(path, error))
}

/// An address with the bits behind the network's cleared.
#[must_use]
pub fn masked(bytes: &[u8], bits: u8) -> Vec<u8> {
    let mask = mask(bytes.len(), bits);
    bytes
        .iter()
        .zip(mask)
        .map(|(byte, mask)| byte & mask)
        .collect()
}

/// A mask of this many bytes with this many bits set.
#[must_use]
pub fn mask(length: usize, bits: u8) -> Vec<u8> {
    let bits = usize::from(bits);
    let byte = |at: usize| match bits.saturating_sub(at * 8) {
        set @ 0..8 => !(0xffu8 >> set),
        _ => 0xff,
    };
    (0..length).map(byte).collect()
}

fn ifinfo(index: u32, flags: u32, mask: u32) -> [u8; IFINFO] {
    let mut fixed = [0; IFINFO];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..16].copy_from_slice(&mask.to_ne_bytes());
    fixed
}

fn address_message(kind: u16, how: u16, index: u32, net: Net) -> Message {
    let [a, b, c, d] = index.to_ne_bytes();
    let bytes = net.bytes();
    Message::new(kind, how, &[net.family(), net.bits, 0, 0, a, b, c, d])
        .attribute(IFA_LOCAL, &bytes)
        .attribute(IFA_ADDRESS, &bytes)
}

fn index_of(link: &Received) -> Option<u32> {
    Some(u32::from_ne_bytes(link.body.get(4..8)?.try_into().ok()?))
}

fn mtu_of(link: &Received) -> Option<u32> {
    let value = link.attribute(IFINFO, IFLA_MTU)?;
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_masked() {
        let net = Net::parse("10.1.2.3/20").unwrap();
        assert_eq!(masked(&net.bytes(), net.bits), [10, 1, 0, 0]);
        assert_eq!(Net::parse("10.1.2.3").unwrap().bits, 32);
        assert_eq!(Net::parse("fe80::1").unwrap().bits, 128);
        for text in [
            "",
            "10.0.0",
            "10.0.0.1/33",
            "::/129",
            "10.0.0.1/",
            "10.0.0.1/-1",
        ] {
            assert_eq!(Net::parse(text), None, "{text}");
        }
        assert_eq!(mask(4, 0), [0; 4]);
        assert_eq!(mask(4, 9), [255, 128, 0, 0]);
        assert_eq!(mask(4, 32), [255; 4]);
    }

    #[test]
    fn the_loopback_is_found_and_others_are_not() {
        let mut links = Links::open().unwrap();
        assert!(links.find("lo").is_ok_and(|(index, _)| index > 0));
        let error = links.find("nosuchlink0").unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::NODEV.raw_os_error())
        );
        assert!(wait_for("lo", Duration::ZERO).is_ok());
        let error = wait_for("nosuchlink0", Duration::from_millis(1)).unwrap_err();
        assert!(error.to_string().contains("nosuchlink0"), "{error}");
    }

    /// Runs a test of this module, marked as ignored, in a network of its own; `false` if this
    /// machine lets us have none.
    fn in_own_network(test: &str) -> bool {
        let program = std::env::current_exe().unwrap();
        let possible = |command: &mut std::process::Command| {
            command.output().is_ok_and(|output| output.status.success())
        };
        if !possible(std::process::Command::new("unshare").args(["-rnm", "true"])) {
            eprintln!("no network namespaces here: not tested");
            return false;
        }
        let sysfs = "mount -t sysfs sysfs /sys && exec \"$0\" \"$@\"";
        let output = std::process::Command::new("unshare")
            .args(["-rnm", "sh", "-c", sysfs])
            .arg(program)
            .args(["--ignored", "--exact", test])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
        true
    }

    fn create(links: &mut Links, name: &str, kind: &str) -> io::Result<()> {
        const IFLA_LINKINFO: u16 = 18;
        const IFLA_INFO_KIND: u16 = 1;
        let how = flags::REQUEST | flags::ACK | flags::CREATE | flags::EXCL;
        links.0.request(
            Message::new(NEWLINK, how, &[0; IFINFO])
                .text(IFLA_IFNAME, name)
                .nest(IFLA_LINKINFO)
                .text(IFLA_INFO_KIND, kind)
                .end(),
        )
    }

    #[test]
    fn ports_addresses_and_routes_are_set() {
        in_own_network("devices::link::tests::in_a_network_of_its_own");
    }

    #[test]
    #[ignore = "needs a network of its own: run by the test above"]
    fn in_a_network_of_its_own() {
        let mut links = Links::open().unwrap();
        if let Err(error) = create(&mut links, "br7", "bridge") {
            eprintln!("no bridges here ({error}): not tested");
            return;
        }
        create(&mut links, "port0", "dummy")
            .or_else(|_| create(&mut links, "port0", "ifb"))
            .unwrap();
        assert_eq!(bridges(), ["br7"]);
        assert!(is_bridge("br7") && !is_bridge("port0"));
        let (bridge, _) = links.find("br7").unwrap();
        let (port, mtu) = wait_for("port0", Duration::ZERO).unwrap();
        assert_eq!(mtu, 1500);
        let change = Change {
            name: Some("web0"),
            mtu: Some(1400),
            up: Some(false),
            ..Change::default()
        };
        links.change(port, &change).unwrap();
        assert_eq!(links.find("web0").unwrap(), (port, 1400));
        links
            .change(
                port,
                &Change {
                    master: Some(bridge),
                    ..Change::default()
                },
            )
            .unwrap();
        assert!(Path::new("/sys/class/net/br7/brif/web0").exists());
        links
            .change(
                port,
                &Change {
                    master: Some(0),
                    up: Some(true),
                    ..Change::default()
                },
            )
            .unwrap();
        let net = Net::parse("10.9.8.7/24").unwrap();
        links.add_address(port, net).unwrap();
        links.add_address(port, net).unwrap();
        assert_eq!(links.addresses(port).unwrap(), [net]);
        let to = Net::parse("10.0.3.4").unwrap();
        links
            .add_route(port, to, Some(net.address), Some(1000))
            .unwrap();
        let routes = fs::read_to_string("/proc/net/route").unwrap();
        assert!(routes.contains("web0\t0403000A"), "{routes}");
        links.flush_addresses(port).unwrap();
        assert_eq!(links.addresses(port).unwrap(), []);
        filters();
    }

    fn filters() {
        use crate::devices::firewall;
        let nets = [
            Net::parse("10.0.3.4").unwrap(),
            Net::parse("10.0.4.0/22").unwrap(),
        ];
        let absent = |done: io::Result<()>| match done {
            Err(error) if firewall::is_absent(&error) => {
                eprintln!("no packet filters of this kind here ({error})");
                true
            }
            done => {
                done.unwrap();
                false
            }
        };
        // Twice: what is there is replaced.
        for _ in 0..2 {
            absent(firewall::restrict_routed(
                "oxen-t", "web0", &nets, true, None,
            ));
            absent(firewall::restrict_routed(
                "oxen-t",
                "web0",
                &nets,
                true,
                Some("eth0"),
            ));
            let bridged = [nets[0], nets[1], Net::parse("2001:db8::/32").unwrap()];
            absent(firewall::restrict_bridged("oxen-t", "web0", &bridged));
        }
        firewall::release("oxen-t").unwrap();
        firewall::release("oxen-t").unwrap();
    }
}
