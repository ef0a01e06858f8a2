//! `xl network-attach`, `network-list` and `network-detach`.

use serde_json::{Value, json};

use super::devices::{Detach, Failure, List, Listed, shown};
use crate::devices::{Device, Kind, Mac, NicSpec, nic};
use crate::xenstore::Client;

#[derive(Debug, clap::Args)]
pub(super) struct Attach {
    domain: String,
    /// The interface, in one word or several.
    nic: Vec<String>,
}

pub(super) fn attach(arguments: &Attach, dry: bool) -> Result<String, Failure> {
    let words: Vec<&str> = arguments.nic.iter().map(String::as_str).collect();
    let spec = NicSpec::parse_words(&words)?;
    let domid = super::devices::domain(&arguments.domain)?;
    if dry {
        return Ok(format!("vif: {}\n", shown(&describe(&spec))));
    }
    nic::attach(&Client::open()?, domid, &spec)?;
    Ok(String::new())
}

/// The shape of libxl's own description, as far as it applies.
fn describe(spec: &NicSpec) -> Value {
    json!({
        "devid": spec.devid,
        "mac": spec.mac.map(|mac| mac.to_string()),
        "bridge": spec.bridge,
        "ip": spec.ip,
        "script": spec.script,
        "ifname": spec.vifname,
        "gatewaydev": spec.gatewaydev,
        "mtu": spec.mtu,
        "rate_bytes_per_interval": spec.rate.map(|rate| rate.bytes),
        "rate_interval_usecs": spec.rate.map(|rate| rate.interval),
        "trusted": !spec.untrusted,
    })
}

pub(super) fn list(arguments: &List) -> Result<String, Failure> {
    let domain = |wanted: &str| super::devices::domain(wanted).map(Some);
    super::devices::list(arguments, Kind::Vif, header(), domain, show)
}

fn show(listed: &Listed<'_>) -> Result<(String, Value), Failure> {
    let device = listed.device;
    let mac = listed.known("mac")?;
    let mac = mac.unwrap_or_else(|| "00:00:00:00:00:00".to_owned());
    let (state, channel) = (listed.front("state")?, listed.front("event-channel")?);
    let (send, receive) = (listed.front("tx-ring-ref")?, listed.front("rx-ring-ref")?);
    let (devid, backend_domid) = (device.devid, device.backend_domid);
    let line = format!(
        "{devid:<3} {backend_domid:<2} {mac}{devid:>6} {state:>5} {channel:>6} \
         {send:>5}/{receive:<11} {:<30}\n",
        device.backend()
    );
    let value = json!({
        "domid": device.domid,
        "devid": devid,
        "mac": mac,
        "bridge": listed.known("bridge")?,
        "ip": listed.known("ip")?,
        "script": listed.known("script")?,
        "backend_domid": backend_domid,
        "backend": device.backend(),
        "state": state,
        "evtch": channel,
        "rref_tx": send,
        "rref_rx": receive,
    });
    Ok((line, value))
}

fn header() -> String {
    format!(
        "{:<3} {:<2} {:<17} {:<6} {:<5} {:<6} {:>5}/{:<5} {:<30}\n",
        "Idx", "BE", "Mac Addr.", "handle", "state", "evt-ch", "tx-", "rx-ring-ref", "BE-path"
    )
}

pub(super) fn detach(arguments: &Detach) -> Result<String, Failure> {
    let domid = super::devices::domain(&arguments.domain)?;
    let store = Client::open()?;
    let absent = || Failure::from(format!("Unknown device {}.", arguments.device));
    let wanted = Mac::parse(&arguments.device).ok();
    for device in Device::list(&store, domid, Kind::Vif)? {
        let mac = store.try_read_string(&format!("{}/mac", device.tools()))?;
        let mac = mac.and_then(|mac| Mac::parse(&mac).ok());
        let by_mac = wanted.is_some() && wanted == mac;
        if by_mac || arguments.device == device.devid.to_string() {
            nic::detach(&store, &device, arguments.force)?;
            return Ok(String::new());
        }
    }
    Err(absent())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_xl() {
        assert_eq!(
            header(),
            "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       \n"
        );
    }
}
