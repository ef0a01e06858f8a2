//! Network interfaces: from a specification to a connected backend, and back.
//!
//! `vif-bridge`, `vif-route` and `vif-nat` are done here, by netlink, as Xen's scripts of these
//! names do; every other script is the user's and is run.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use hypercall_abi::io::xenbus::XenbusState;

use super::error::{Cause, Error};
use super::layout::{Device, Entries, Kind};
use super::link::{self, Change, Links, Net};
use super::nic_spec::{DEFAULT_MTU, NicSpec};
use super::{Mac, domain_by_name, firewall, script, xenbus};
use crate::xenstore::Client;

/// The bridge that is meant where none is named.
pub const DEFAULT_BRIDGE: &str = "xenbr0";
/// What ports of bridges bear, so that bridges do not take over the address of a port.
const PORT_MAC: [u8; 6] = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff];
/// Routes to guests are worse than any other to the same place.
const METRIC: u32 = 1000;

/// How an interface meets the host's network.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    Bridge,
    Route,
    Nat,
    Script(std::path::PathBuf),
}

impl Mode {
    /// Xen's own scripts by name, with or without their usual place, are done here.
    fn of(script: Option<&str>) -> Self {
        let path = script::path_of(script.unwrap_or("vif-bridge"));
        let own = path.parent() == Some(Path::new(script::DIRECTORY));
        match path.file_name().and_then(|name| name.to_str()) {
            Some("vif-bridge") if own => Self::Bridge,
            Some("vif-route") if own => Self::Route,
            Some("vif-nat") if own => Self::Nat,
            _ => Self::Script(path),
        }
    }
}

/// Attaches an interface: when this returns, it is where it belongs in the host's network.
///
/// # Errors
/// [`Error`]; then nothing of the interface is left.
pub fn attach(store: &Client, domid: u32, spec: &NicSpec) -> Result<Device, Error> {
    let unnumbered = |cause: Cause| Error::new("vif", cause);
    let _lock = super::lock().map_err(unnumbered)?;
    let taken = Device::list(store, domid, Kind::Vif).map_err(|error| unnumbered(error.into()))?;
    let next = taken.last().map_or(0, |device| device.devid + 1);
    let devid = spec.devid.unwrap_or(next);
    let fail = |cause| Error::new(format!("vif {devid}"), cause);
    if taken.iter().any(|device| device.devid == devid) {
        return Err(fail(Cause::Exists));
    }
    if spec.emulated {
        let words = "type=ioemu is for HVM guests: a PV guest has no emulated cards";
        return Err(fail(Cause::Unsupported(words.to_owned())));
    }
    let backend_domid = match &spec.backend {
        Some(name) => domain_by_name(store, name).map_err(fail)?,
        None => 0,
    };
    let device = Device {
        kind: Kind::Vif,
        backend_kind: Kind::Vif.name().to_owned(),
        domid,
        backend_domid,
        devid,
    };
    connect(store, &device, spec).map_err(|cause| {
        // The first error is the one to report.
        let _ = remove(store, &device, true);
        fail(cause)
    })?;
    Ok(device)
}

fn connect(store: &Client, device: &Device, spec: &NicSpec) -> Result<(), Cause> {
    let mode = Mode::of(spec.script.as_deref());
    let local = device.backend_domid == 0;
    let bridge = match (&spec.bridge, &mode) {
        (None, Mode::Bridge) if local => default_bridge(),
        (named, _) => named.clone().unwrap_or_else(|| DEFAULT_BRIDGE.to_owned()),
    };
    if local && mode == Mode::Bridge {
        check_bridge(&bridge)?;
    }
    let mac = match spec.mac {
        Some(mac) => mac,
        None => Mac::generate().map_err(|error| Cause::Target("/dev/urandom".into(), error))?,
    };
    let nets = addresses(spec)?;
    let (back, front, read_only) = entries(device, spec, mac, &bridge);
    store.transaction(|tx| device.write(tx, &back, &front, &read_only))?;
    xenbus::wait_for_backend(store, device)?;
    if !local {
        return Ok(());
    }
    let interface = interface(device);
    let (index, _) = link::wait_for(&interface, xenbus::PATIENCE)?;
    match mode {
        Mode::Script(path) => {
            let gateway = spec.gatewaydev.as_deref().unwrap_or_default();
            let environment = [("netdev", gateway), ("vif", interface.as_str())];
            let arguments = ["online", "type_if=vif"];
            return script::run(store, device, &path, &arguments, &environment);
        }
        Mode::Bridge => join_bridge(store, device, spec, index, &bridge, &nets)?,
        Mode::Route => route(device, spec, index, &nets)?,
        Mode::Nat => hide(device, spec, index, &nets)?,
    }
    store.write(&format!("{}/hotplug-status", device.backend()), "connected")?;
    Ok(())
}

/// What the kernel calls the host's end at first.
fn interface(device: &Device) -> String {
    format!("vif{}.{}", device.domid, device.devid)
}

/// The table of packet filters of an interface, whatever it is called meanwhile.
fn table(device: &Device) -> String {
    format!("oxen-{}", interface(device))
}

fn default_bridge() -> String {
    let bridges = link::bridges();
    let usual = bridges.iter().any(|name| name == DEFAULT_BRIDGE);
    let first = bridges.into_iter().next().filter(|_| !usual);
    first.unwrap_or_else(|| DEFAULT_BRIDGE.to_owned())
}

fn check_bridge(name: &str) -> Result<(), Cause> {
    if link::is_bridge(name) {
        return Ok(());
    }
    let known = link::bridges();
    Err(Cause::Unsupported(match known.as_slice() {
        [] => format!(
            "there is no bridge `{name}', nor any other: `ip link add {name} type bridge' makes one"
        ),
        _ => format!(
            "there is no bridge `{name}'; bridge= could name {}",
            known.join(", ")
        ),
    }))
}

/// The guest's addresses. What is none is an error here: packets would be dropped for it.
fn addresses(spec: &NicSpec) -> Result<Vec<Net>, Cause> {
    let texts = spec.ip.iter().flat_map(|text| text.split_whitespace());
    texts
        .map(|text| Net::parse(text).ok_or_else(|| Cause::Unknown("IP address", text.to_owned())))
        .collect()
}

fn network(what: &str) -> impl Fn(std::io::Error) -> Cause + use<> {
    let what = what.to_owned();
    move |error| Cause::Network(what.clone(), error)
}

/// Names the interface as wanted, without an address of its own, down.
fn prepare(
    links: &mut Links,
    device: &Device,
    spec: &NicSpec,
    index: u32,
) -> Result<String, Cause> {
    let first = interface(device);
    let name = spec.vifname.clone().unwrap_or_else(|| first.clone());
    let change = Change {
        up: Some(false),
        name: (name != first).then_some(name.as_str()),
        ..Change::default()
    };
    links
        .change(index, &change)
        .and_then(|()| links.flush_addresses(index))
        .map_err(network(&format!("interface {name}")))?;
    Ok(name)
}

fn join_bridge(
    store: &Client,
    device: &Device,
    spec: &NicSpec,
    index: u32,
    bridge: &str,
    nets: &[Net],
) -> Result<(), Cause> {
    let mut links = Links::open()?;
    let name = prepare(&mut links, device, spec, index)?;
    let (master, bridge_mtu) = links
        .find(bridge)
        .map_err(network(&format!("bridge {bridge}")))?;
    let mtu = spec.mtu.unwrap_or(bridge_mtu);
    let broken = network(&format!("{name} in bridge {bridge}"));
    // Not every bridge lets its ports have their own.
    let _ = links.change(
        index,
        &Change {
            mac: Some(PORT_MAC),
            ..Change::default()
        },
    );
    links
        .change(
            index,
            &Change {
                mtu: Some(mtu),
                ..Change::default()
            },
        )
        .map_err(&broken)?;
    store.write(&format!("{}/mtu", device.frontend()), mtu.to_string())?;
    if !nets.is_empty() {
        filtered(
            firewall::restrict_bridged(&table(device), &name, nets),
            &name,
        )?;
    }
    links
        .change(
            index,
            &Change {
                master: Some(master),
                ..Change::default()
            },
        )
        .and_then(|()| {
            links.change(
                index,
                &Change {
                    up: Some(true),
                    ..Change::default()
                },
            )
        })
        .map_err(&broken)
}

/// A kernel without packet filters is told of, but does not keep the guest from its network, as
/// with Xen's scripts.
fn filtered(done: std::io::Result<()>, name: &str) -> Result<(), Cause> {
    match done {
        Err(error) if firewall::is_absent(&error) => {
            super::warn(&format!(
                "{name}: the guest may use any address: the kernel has no packet filters for it \
                 ({error})"
            ));
            Ok(())
        }
        other => other.map_err(network(&format!("packet filters of {name}"))),
    }
}

/// The guest's packets are routed, under its own addresses.
fn route(device: &Device, spec: &NicSpec, index: u32, nets: &[Net]) -> Result<(), Cause> {
    let mut links = Links::open()?;
    let own = match &spec.gatewaydev {
        Some(gateway) => {
            let broken = network(&format!("interface {gateway}"));
            let (index, _) = links.find(gateway).map_err(&broken)?;
            links
                .addresses(index)
                .map_err(&broken)?
                .first()
                .map(|net| net.address)
        }
        None => links
            .find("eth0")
            .and_then(|(index, _)| links.addresses(index))
            .ok()
            .and_then(|nets| nets.first().map(|net| net.address)),
    };
    let name = prepare(&mut links, device, spec, index)?;
    bring_up(&mut links, device, &name, spec, index, own, nets)?;
    link::set_ipv4(&format!("conf/{name}/proxy_arp"), "1")?;
    if !nets.is_empty() {
        filtered(
            firewall::restrict_routed(&table(device), &name, nets, false, None),
            &name,
        )?;
    }
    Ok(())
}

/// The guest's packets go out under the host's address.
fn hide(device: &Device, spec: &NicSpec, index: u32, nets: &[Net]) -> Result<(), Cause> {
    let mut links = Links::open()?;
    let name = prepare(&mut links, device, spec, index)?;
    let guest = match nets.first() {
        Some(Net {
            address: IpAddr::V4(address),
            ..
        }) => *address,
        Some(other) => {
            let words = format!("vif-nat hides IPv4 networks only, not {}", other.address);
            return Err(Cause::Unsupported(words));
        }
        None => address_of(device),
    };
    let nets: Vec<Net> = match nets {
        [] => vec![Net {
            address: guest.into(),
            bits: 32,
        }],
        // The network's size is the guest's affair; here it is one host.
        _ => nets.iter().map(|net| Net { bits: 32, ..*net }).collect(),
    };
    let own = router_of(guest);
    bring_up(
        &mut links,
        device,
        &name,
        spec,
        index,
        Some(own.into()),
        &nets,
    )?;
    let towards = spec.gatewaydev.as_deref();
    let hidden = firewall::restrict_routed(&table(device), &name, &nets, true, towards);
    hidden.map_err(network(&format!("address translation for {name}")))
}

/// The address of a guest that was given none, as Xen's `vif-nat` chooses it.
fn address_of(device: &Device) -> Ipv4Addr {
    let [_, _, high, low] = device.domid.to_be_bytes();
    let last = u8::try_from(device.devid + 1).unwrap_or(u8::MAX);
    Ipv4Addr::new(10, high, low, last)
}

/// The host's end of a hidden guest's link, as Xen's `vif-nat` chooses it.
fn router_of(guest: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, d] = guest.octets();
    Ipv4Addr::new(a, b, c, d.wrapping_add(127))
}

fn bring_up(
    links: &mut Links,
    device: &Device,
    name: &str,
    spec: &NicSpec,
    index: u32,
    own: Option<IpAddr>,
    nets: &[Net],
) -> Result<(), Cause> {
    let broken = network(&format!("interface {name}"));
    let change = Change {
        up: Some(true),
        mtu: spec.mtu,
        ..Change::default()
    };
    links.change(index, &change).map_err(&broken)?;
    if let Some(address) = own {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        links
            .add_address(index, Net { address, bits })
            .map_err(&broken)?;
    }
    for net in nets {
        let metric = Some(METRIC + device.devid);
        links
            .add_route(index, *net, own, metric)
            .map_err(network(&format!("route to {} through {name}", net.address)))?;
    }
    link::set_ipv4("ip_forward", "1")
}

/// What backend and frontend find in xenstore.
fn entries(device: &Device, spec: &NicSpec, mac: Mac, bridge: &str) -> (Entries, Entries, Entries) {
    let initialising = u32::from(XenbusState::INITIALISING).to_string();
    let script = script::path_of(spec.script.as_deref().unwrap_or("vif-bridge"));
    let mut back = vec![
        ("frontend-id", device.domid.to_string()),
        ("online", "1".to_owned()),
        ("state", initialising.clone()),
        ("script", script.to_string_lossy().into_owned()),
    ];
    let optional = [
        ("vifname", &spec.vifname),
        ("ip", &spec.ip),
        ("gatewaydev", &spec.gatewaydev),
    ];
    back.push(("mac", mac.to_string()));
    for (name, value) in optional {
        back.extend(value.clone().map(|value| (name, value)));
    }
    if let Some(rate) = spec.rate {
        back.push(("rate", format!("{},{}", rate.bytes, rate.interval)));
    }
    let mtu = spec.mtu.unwrap_or(DEFAULT_MTU);
    if mtu != DEFAULT_MTU {
        back.push(("mtu", mtu.to_string()));
    }
    back.extend([
        ("bridge", bridge.to_owned()),
        ("handle", device.devid.to_string()),
        ("type", "vif".to_owned()),
        // The backend waits with connecting until it is where it belongs.
        ("hotplug-status", String::new()),
    ]);
    let front = vec![
        ("backend-id", device.backend_domid.to_string()),
        ("state", initialising),
        ("handle", device.devid.to_string()),
        ("mac", mac.to_string()),
        ("trusted", if spec.untrusted { "0" } else { "1" }.to_owned()),
    ];
    (back, front, vec![("mtu", mtu.to_string())])
}

/// Detaches an interface.
///
/// # Errors
/// [`Cause::Timeout`] if the guest keeps it.
pub fn detach(store: &Client, device: &Device, force: bool) -> Result<(), Error> {
    let fail = |cause| Error::new(format!("vif {}", device.devid), cause);
    remove(store, device, force).map_err(fail)
}

/// Takes an interface out, whatever state it is in.
pub(super) fn remove(store: &Client, device: &Device, force: bool) -> Result<(), Cause> {
    let named = store.try_read_string(&format!("{}/script", device.tools()))?;
    let gateway = store.try_read_string(&format!("{}/gatewaydev", device.tools()))?;
    super::close(store, device, force)?;
    if device.backend_domid == 0
        && let Some(named) = named
    {
        if let Mode::Script(path) = Mode::of(Some(&named)) {
            let interface = interface(device);
            let gateway = gateway.unwrap_or_default();
            let environment = [("netdev", gateway.as_str()), ("vif", interface.as_str())];
            let arguments = ["offline", "type_if=vif"];
            // As with Xen's tools, a failure here does not bring the interface back.
            if let Err(error) = script::run(store, device, &path, &arguments, &environment) {
                super::warn(&error.to_string());
            }
        } else if let Err(error) = firewall::release(&table(device)) {
            super::warn(&format!("packet filters of {}: {error}", interface(device)));
        }
    }
    device.erase(store)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(domid: u32, devid: u32) -> Device {
        Device {
            kind: Kind::Vif,
            backend_kind: "vif".to_owned(),
            domid,
            backend_domid: 0,
            devid,
        }
    }

    #[test]
    fn xens_own_scripts_are_done_here_and_others_are_run() {
        assert_eq!(Mode::of(None), Mode::Bridge);
        assert_eq!(Mode::of(Some("vif-route")), Mode::Route);
        assert_eq!(Mode::of(Some("/etc/xen/scripts/vif-nat")), Mode::Nat);
        let own = Mode::of(Some("/usr/local/bin/vif-bridge"));
        assert!(matches!(own, Mode::Script(_)));
        assert!(matches!(Mode::of(Some("vif-openvswitch")), Mode::Script(_)));
    }

    #[test]
    fn hidden_guests_get_the_addresses_that_xen_gives_them() {
        let guest = address_of(&device(258, 1));
        assert_eq!(guest, Ipv4Addr::new(10, 1, 2, 2));
        assert_eq!(router_of(guest), Ipv4Addr::new(10, 1, 2, 129));
    }

    #[test]
    fn the_entries_are_those_of_libxl() {
        let spec = NicSpec::parse("rate=1MB/s@20ms,ip=10.0.0.2,mtu=9000,vifname=web").unwrap();
        let mac = Mac::parse("00:16:3e:00:00:01").unwrap();
        let (back, front, read_only) = entries(&device(3, 0), &spec, mac, "br0");
        let names = |entries: &Entries| {
            entries
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            names(&back),
            "frontend-id online state script mac vifname ip rate mtu bridge handle type hotplug-status"
        );
        assert_eq!(names(&front), "backend-id state handle mac trusted");
        assert_eq!(read_only, [("mtu", "9000".to_owned())]);
        assert!(back.contains(&("rate", "20000,20000".to_owned())));
        assert!(back.contains(&("script", "/etc/xen/scripts/vif-bridge".to_owned())));
    }
}
