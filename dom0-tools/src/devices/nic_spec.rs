//! What a configuration says of a network interface: `xl-network-configuration(5)` of Xen 4.17.

use super::disk_spec::SpecError;
use super::mac::Mac;

/// A limit on what the guest sends: credit that is filled up every interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes of credit.
    pub bytes: u64,
    /// Microseconds until it is filled up again.
    pub interval: u32,
}

/// How often credit is filled up if the rate does not say, in microseconds.
const DEFAULT_INTERVAL: u32 = 50_000;
/// What an interface has without `mtu=`.
pub const DEFAULT_MTU: u32 = 1500;
/// Linux refuses longer names of interfaces.
const LONGEST_IFNAME: usize = 15;

/// A network interface as configured. What is not given is for the host's defaults to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NicSpec {
    /// Its address; generated if not given.
    pub mac: Option<Mac>,
    /// The bridge it becomes a port of.
    pub bridge: Option<String>,
    /// The interface towards the network that it is routed to.
    pub gatewaydev: Option<String>,
    /// The guest's addresses: with `vif-bridge` the only ones it may use, else where it is routed.
    pub ip: Option<String>,
    /// `vif-bridge`, `vif-route`, `vif-nat`, or a program of the user's.
    pub script: Option<String>,
    /// Name or number of the backend's domain, if not dom0.
    pub backend: Option<String>,
    /// What dom0 calls its end, if not `vifDOMAIN.DEVICE`.
    pub vifname: Option<String>,
    /// The card that an HVM guest would see.
    pub model: Option<String>,
    /// `type=ioemu`: emulated too, in HVM guests.
    pub emulated: bool,
    /// Limit on what the guest sends.
    pub rate: Option<Rate>,
    /// Device number, if not the next free one.
    pub devid: Option<u32>,
    /// Largest packet.
    pub mtu: Option<u32>,
    /// The guest should not trust the backend.
    pub untrusted: bool,
}

impl NicSpec {
    /// Reads a specification; the empty one is an interface with all the defaults.
    ///
    /// # Errors
    /// [`SpecError`] names the part at fault.
    pub fn parse(spec: &str) -> Result<Self, SpecError> {
        Self::parse_words(&[spec])
    }

    /// Reads a specification in several words, as `xl network-attach` takes it.
    ///
    /// # Errors
    /// [`SpecError`] names the part at fault.
    pub fn parse_words(words: &[&str]) -> Result<Self, SpecError> {
        let mut nic = Self::default();
        let parts = words.iter().flat_map(|word| word.split(','));
        for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
            nic.take(part).map_err(|what| SpecError {
                what,
                spec: words.join(" "),
            })?;
        }
        Ok(nic)
    }

    fn take(&mut self, part: &str) -> Result<(), String> {
        let Some((key, value)) = part.split_once('=') else {
            match part {
                "trusted" => self.untrusted = false,
                "untrusted" => self.untrusted = true,
                _ => return Err(format!("unknown parameter `{part}'")),
            }
            return Ok(());
        };
        let (key, value) = (key.trim_end(), value.trim_start());
        // An empty value is none: the default applies.
        let text = || (!value.is_empty()).then(|| value.to_owned());
        match key {
            "mac" => {
                self.mac = match value {
                    "" => None,
                    _ => Some(Mac::parse(value).map_err(|unfit| unfit.to_string())?),
                }
            }
            "type" => match value {
                "vif" | "netfront" => self.emulated = false,
                "ioemu" => self.emulated = true,
                _ => return Err(format!("unknown type `{value}': vif or ioemu")),
            },
            "bridge" => self.bridge = interface("bridge", value)?,
            "gatewaydev" | "netdev" => self.gatewaydev = interface(key, value)?,
            "vifname" => self.vifname = interface("vifname", value)?,
            "ip" => self.ip = text(),
            "script" => self.script = text(),
            "backend" => self.backend = text(),
            "model" => self.model = text(),
            "rate" => self.rate = Some(Rate::parse(value)?),
            "devid" => self.devid = Some(number("devid", value, 0, u32::from(u16::MAX))?),
            "mtu" => self.mtu = Some(number("mtu", value, 68, 65_535)?),
            "accel" => {}
            _ if key.starts_with("colo_") || key == "forwarddev" => {
                return Err(format!("{key} is not supported"));
            }
            _ => return Err(format!("unknown parameter `{key}'")),
        }
        Ok(())
    }
}

impl Rate {
    /// Reads `AMOUNT[GB|MB|KB|B|Gb|Mb|Kb|b]/s[@INTERVAL[us|ms|s]]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (amount, interval) = match text.split_once('@') {
            Some((amount, interval)) => (amount, Some(interval)),
            None => (text, None),
        };
        let shape = || format!("`{text}' is no rate: as 10Mb/s, 250KB/s or 1MB/s@20ms");
        let large = || format!("rate `{text}' is too large");
        let unit = amount.strip_suffix("/s").ok_or_else(shape)?;
        let (unit, bits) = match (unit.strip_suffix('b'), unit.strip_suffix('B')) {
            (Some(unit), _) => (unit, true),
            (None, Some(unit)) => (unit, false),
            (None, None) => return Err(shape()),
        };
        let (digits, scale) = match unit.bytes().last() {
            Some(b'G') => (&unit[..unit.len() - 1], 1_000_000_000),
            Some(b'M') => (&unit[..unit.len() - 1], 1_000_000),
            Some(b'K') => (&unit[..unit.len() - 1], 1_000),
            _ => (unit, 1),
        };
        let amount = u64::from(digits_only(digits).ok_or_else(shape)??);
        if amount == 0 {
            return Err(format!("rate `{text}' lets nothing through"));
        }
        let per_second = amount * scale / if bits { 8 } else { 1 };
        let interval = match interval {
            None => DEFAULT_INTERVAL,
            Some(text) => {
                let (digits, scale) = if let Some(digits) = text.strip_suffix("us") {
                    (digits, 1)
                } else if let Some(digits) = text.strip_suffix("ms") {
                    (digits, 1_000)
                } else {
                    (text.strip_suffix('s').unwrap_or(text), 1_000_000)
                };
                let count: u32 = digits_only(digits).ok_or_else(shape)??;
                count
                    .checked_mul(scale)
                    .filter(|&us| us > 0)
                    .ok_or_else(large)?
            }
        };
        let bytes = per_second
            .checked_mul(u64::from(interval))
            .ok_or_else(large)?
            / 1_000_000;
        Ok(Self { bytes, interval })
    }
}

/// A number without sign; the outer failure is one of shape, the inner one of size.
fn digits_only(text: &str) -> Option<Result<u32, String>> {
    let shaped = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    shaped.then(|| text.parse().map_err(|_| format!("`{text}' is too large")))
}

fn number(key: &str, value: &str, least: u32, most: u32) -> Result<u32, String> {
    match digits_only(value) {
        Some(Ok(number)) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!(
            "{key} `{value}' is no number from {least} to {most}"
        )),
    }
}

/// The name of an interface, as Linux would take it.
fn interface(key: &str, value: &str) -> Result<Option<String>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let fits = value.len() <= LONGEST_IFNAME
        && value != "."
        && value != ".."
        && value
            .bytes()
            .all(|c| c.is_ascii_graphic() && c != b'/' && c != b':');
    if !fits {
        return Err(format!(
            "{key} `{value}' is no name for an interface: up to {LONGEST_IFNAME} characters, no \
             blank, slash or colon"
        ));
    }
    Ok(Some(value.to_owned()))
}

/// For fuzzers: reads any bytes; must only ever answer.
pub fn fuzz(data: &[u8]) {
    let _ = NicSpec::parse(&String::from_utf8_lossy(data));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(spec: &str) -> NicSpec {
        NicSpec::parse(spec).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn every_parameter_has_its_place() {
        assert_eq!(parse(""), NicSpec::default());
        let nic = parse(
            "mac=00:16:3E:74:3d:76, bridge=br0,ip=10.0.0.1 10.0.0.2, script=vif-mine,vifname=web0,\
             model=e1000,rate=10Mb/s,devid=3,mtu=9000,untrusted,backend=net,type=vif,gatewaydev=eth0",
        );
        assert_eq!(nic.mac, Some(Mac::parse("00:16:3e:74:3d:76").unwrap()));
        assert_eq!(nic.bridge.as_deref(), Some("br0"));
        assert_eq!(nic.ip.as_deref(), Some("10.0.0.1 10.0.0.2"));
        assert_eq!(nic.script.as_deref(), Some("vif-mine"));
        assert_eq!(nic.vifname.as_deref(), Some("web0"));
        assert_eq!(nic.gatewaydev.as_deref(), Some("eth0"));
        assert_eq!((nic.devid, nic.mtu), (Some(3), Some(9000)));
        assert!(nic.untrusted && !nic.emulated);
        let rate = Rate {
            bytes: 62_500,
            interval: 50_000,
        };
        assert_eq!(nic.rate, Some(rate));
        let words = NicSpec::parse_words(&["bridge=br0", "mac=00:16:3e:00:00:01"]).unwrap();
        assert_eq!(words, parse("bridge=br0,mac=00:16:3e:00:00:01"));
        assert_eq!(parse("bridge="), NicSpec::default());
    }

    #[test]
    fn rates_are_counted_as_xl_counts_them() {
        for (text, bytes, interval) in [
            ("10Mb/s", 62_500, 50_000),
            ("250KB/s", 12_500, 50_000),
            ("1MB/s@20ms", 20_000, 20_000),
            ("1MB/s@1", 1_000_000, 1_000_000),
            ("1MB/s@1s", 1_000_000, 1_000_000),
            ("8b/s@5us", 0, 5),
            ("2Gb/s", 12_500_000, 50_000),
        ] {
            assert_eq!(Rate::parse(text), Ok(Rate { bytes, interval }), "{text}");
        }
        for text in [
            "",
            "10",
            "10M/s",
            "10MB",
            "-1B/s",
            "1MB/s@",
            "1MB/s@5m",
            "0B/s",
            "5000000000B/s",
            "1GB/s@9999999s",
            "4294967295GB/s@4294s",
            "1MB/s@0",
        ] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn refusals_name_the_part_at_fault() {
        for (spec, words) in [
            ("mac=00:16:3e", "is no MAC address"),
            ("mac=ff:ff:ff:ff:ff:ff", "multicast"),
            (
                "bridge=a-name-that-is-far-too-long",
                "no name for an interface",
            ),
            ("vifname=a/b", "no name for an interface"),
            ("colour=red", "unknown parameter `colour'"),
            ("sparkling", "unknown parameter `sparkling'"),
            ("mtu=12", "from 68 to 65535"),
            ("devid=-1", "devid `-1'"),
            ("type=token-ring", "unknown type `token-ring'"),
            ("forwarddev=eth1", "not supported"),
        ] {
            let message = NicSpec::parse(spec).expect_err(spec).to_string();
            assert!(message.contains(words), "{spec}: {message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            fuzz(text.as_bytes());
        }

        #[test]
        fn rate_like_text_is_answered(text in "[0-9]{0,25}[GMK]?[Bb]?/s(@[0-9]{0,25}[mu]?s?)?") {
            let _ = Rate::parse(&text);
        }
    }
}
