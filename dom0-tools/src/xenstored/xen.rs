//! The machine as the daemon meets it: domains through the hypervisor, rings and event channels
//! through the kernel's devices.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd};

use hypercall_abi::Errno;
use hypercall_abi::domctl::{XEN_DOMINF_DYING, XEN_DOMINF_SHUTDOWN};
use hypercall_abi::grant_table::GNTTAB_RESERVED_XENSTORE;
use hypercall_abi::xen::{DomId, Virq};

use crate::hypercall::Interface;
use crate::sys::evtchn::Evtchn;
use crate::sys::gntdev::{Gntdev, GrantedPage};
use crate::sys::log::Log;
use crate::sys::page::SharedPage;
use crate::sys::xenbus_backend;

use super::platform::{DomainState, Platform};
use super::ring::{Memory, Ring};

/// A ring's page.
#[derive(Debug)]
pub struct Mapping(Whose);

#[derive(Debug)]
enum Whose {
    /// The kernel's own.
    Own(SharedPage),
    /// A guest's.
    Granted(GrantedPage),
}

impl Mapping {
    fn page(&self) -> Option<&SharedPage> {
        match &self.0 {
            Whose::Own(page) => Some(page),
            Whose::Granted(granted) => granted.page(),
        }
    }
}

impl Memory for Mapping {
    fn load(&self, offset: usize) -> u32 {
        self.page().map_or(0, |page| page.load(offset))
    }

    fn store(&self, offset: usize, value: u32) {
        if let Some(page) = self.page() {
            page.store(offset, value);
        }
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        if let Some(page) = self.page() {
            page.read(offset, bytes);
        }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        if let Some(page) = self.page() {
            page.write(offset, bytes);
        }
    }
}

#[derive(Debug)]
struct Attached {
    ring: Ring<Mapping>,
    /// Our end of the event channel; 0 if it could not be bound.
    port: u32,
}

/// The machine.
#[derive(Debug)]
pub struct Xen {
    hypervisor: Option<Interface>,
    evtchn: Option<Evtchn>,
    gntdev: Option<Gntdev>,
    rings: BTreeMap<u32, Attached>,
    /// Whose our ports are.
    ports: BTreeMap<u32, u32>,
    /// The port that says that a domain may have changed.
    virq: Option<u32>,
    /// Where lines go.
    pub log: Log,
}

fn errno(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(Errno::EIO.0))
}

impl Xen {
    /// No machine at all: sockets only.
    pub fn none(log: Log) -> Self {
        Self {
            hypervisor: None,
            evtchn: None,
            gntdev: None,
            rings: BTreeMap::new(),
            ports: BTreeMap::new(),
            virq: None,
            log,
        }
    }

    /// Opens the devices; goes on with an event channel device that was open before.
    ///
    /// # Errors
    /// A device that is missing, by name.
    pub fn open(log: Log, evtchn: Option<OwnedFd>) -> Result<Self, String> {
        let named = |name: &str, error: io::Error| format!("cannot open {name}: {error}");
        let hypervisor = Interface::open().map_err(|error| error.to_string())?;
        let evtchn = match evtchn {
            Some(fd) => Evtchn::adopt(fd),
            None => Evtchn::open(),
        };
        let mut xen = Self::none(log);
        xen.evtchn = Some(evtchn.map_err(|error| named("/dev/xen/evtchn", error))?);
        xen.gntdev = Some(Gntdev::open().map_err(|error| named("/dev/xen/gntdev", error))?);
        xen.hypervisor = Some(hypervisor);
        xen.bind_virq()
            .map_err(|error| format!("cannot bind the interrupt for domain changes: {error}"))?;
        Ok(xen)
    }

    /// Asks to be told of changes of domains.
    ///
    /// # Errors
    /// What the hypervisor refuses: another xenstored may have the interrupt.
    pub fn bind_virq(&mut self) -> io::Result<()> {
        if let Some(evtchn) = &self.evtchn {
            self.virq = Some(evtchn.bind_virq(Virq::DOM_EXC.0)?);
        }
        Ok(())
    }

    /// Lets that interrupt go, for the program that follows.
    pub fn unbind_virq(&mut self) {
        if let (Some(evtchn), Some(port)) = (&self.evtchn, self.virq.take()) {
            let _ = evtchn.unbind(port);
        }
    }

    /// Maps the ring of our own kernel. Gives the port that it listens at.
    ///
    /// # Errors
    /// If this is not the domain where xenstored belongs.
    pub fn own_port(&self) -> Result<u32, String> {
        match xenbus_backend::open() {
            Ok((_, port)) => Ok(port),
            Err(error) => Err(format!("cannot open /dev/xen/xenbus_backend: {error}")),
        }
    }

    /// The event channel device, to wait for.
    pub fn evtchn(&self) -> Option<&Evtchn> {
        self.evtchn.as_ref()
    }

    /// The event channel device's descriptor, to be inherited.
    pub fn evtchn_fd(&self) -> Option<i32> {
        self.evtchn
            .as_ref()
            .map(|evtchn| evtchn.as_fd().as_raw_fd())
    }

    /// The domains whose ports have fired; `true` beside them if a domain may have changed.
    ///
    /// # Errors
    /// If the device fails.
    pub fn take_events(&mut self) -> io::Result<(Vec<u32>, bool)> {
        let Some(evtchn) = &self.evtchn else {
            return Ok((Vec::new(), false));
        };
        let (mut domains, mut changed) = (Vec::new(), false);
        for port in evtchn.pending()? {
            if Some(port) == self.virq {
                changed = true;
            } else if let Some(domid) = self.ports.get(&port) {
                domains.push(*domid);
            }
            evtchn.enable(port)?;
        }
        Ok((domains, changed))
    }

    fn mapping(&self, domid: u32) -> Result<Mapping, Errno> {
        if domid == 0 {
            let (page, _) = xenbus_backend::open().map_err(|error| errno(&error))?;
            return Ok(Mapping(Whose::Own(page)));
        }
        let gntdev = self.gntdev.as_ref().ok_or(Errno::ENOSYS)?;
        let granted = gntdev.map(domid, GNTTAB_RESERVED_XENSTORE);
        let granted = granted.map_err(|error| errno(&error))?;
        Ok(Mapping(Whose::Granted(granted)))
    }

    fn bind(&self, domid: u32, port: u32) -> Result<u32, Errno> {
        let evtchn = self.evtchn.as_ref().ok_or(Errno::ENOSYS)?;
        evtchn
            .bind_interdomain(domid, port)
            .map_err(|error| errno(&error))
    }

    fn keep(&mut self, domid: u32, mapping: Mapping, port: u32) {
        let ring = Ring::new(mapping);
        self.rings.insert(domid, Attached { ring, port });
        if port != 0 {
            self.ports.insert(port, domid);
        }
    }
}

impl Platform for Xen {
    type Page = Mapping;

    fn domain(&mut self, domid: u32) -> Option<DomainState> {
        let number = u16::try_from(domid).ok()?;
        let Some(hypervisor) = &self.hypervisor else {
            // Nobody to ask: whoever is named may exist.
            return Some(DomainState::default());
        };
        match hypervisor.domain(DomId(number)) {
            Ok(info) => info.map(|info| DomainState {
                shutdown: info.flags & XEN_DOMINF_SHUTDOWN != 0,
                dying: info.flags & XEN_DOMINF_DYING != 0,
            }),
            Err(error) => {
                // Better to keep a dead domain's nodes than to drop a living one's.
                self.log.line(&format!("domain {domid}: {error}"));
                Some(DomainState::default())
            }
        }
    }

    fn attach(&mut self, domid: u32, port: u32) -> Result<(), Errno> {
        let mapping = self.mapping(domid)?;
        let port = self.bind(domid, port)?;
        self.keep(domid, mapping, port);
        Ok(())
    }

    fn reattach(&mut self, domid: u32, local: Option<u32>, port: u32) -> Result<(), Errno> {
        let mapping = self.mapping(domid)?;
        let port = match local {
            Some(0) => return Err(Errno::ENOENT),
            Some(local) => local,
            None if domid == 0 => {
                let (_, port) = xenbus_backend::open().map_err(|error| errno(&error))?;
                self.bind(domid, port)?
            }
            None => self.bind(domid, port)?,
        };
        self.keep(domid, mapping, port);
        Ok(())
    }

    fn ring(&self, domid: u32) -> Option<&Ring<Mapping>> {
        self.rings.get(&domid).map(|attached| &attached.ring)
    }

    fn notify(&mut self, domid: u32) {
        if let (Some(evtchn), Some(attached)) = (&self.evtchn, self.rings.get(&domid)) {
            // A port that is closed at the other end concerns nobody any more.
            let _ = evtchn.notify(attached.port);
        }
    }

    fn local_port(&self, domid: u32) -> u32 {
        self.rings.get(&domid).map_or(0, |attached| attached.port)
    }

    fn rebind(&mut self, domid: u32, port: u32) {
        let (Some(evtchn), Some(attached)) = (&self.evtchn, self.rings.get_mut(&domid)) else {
            return;
        };
        if attached.port != 0 {
            let _ = evtchn.unbind(attached.port);
            self.ports.remove(&attached.port);
        }
        attached.port = evtchn.bind_interdomain(domid, port).unwrap_or(0);
        if attached.port != 0 {
            self.ports.insert(attached.port, domid);
        }
    }

    fn detach(&mut self, domid: u32) {
        let Some(attached) = self.rings.remove(&domid) else {
            return;
        };
        self.ports.remove(&attached.port);
        if let Some(evtchn) = &self.evtchn {
            let _ = evtchn.unbind(attached.port);
        }
    }

    fn reset_ring(&mut self, domid: u32) {
        if let Some(attached) = self.rings.get(&domid) {
            attached.ring.reset();
            if attached.ring.acknowledge_reconnect() {
                self.notify(domid);
            }
        }
    }

    fn ring_error(&mut self, domid: u32, error: u32) {
        if let Some(attached) = self.rings.get(&domid) {
            attached.ring.set_error(error);
            self.notify(domid);
        }
    }

    fn log(&mut self, line: &str) {
        self.log.line(line);
    }
}

/// Takes descriptors over that this process inherited, each by its number. To be called before
/// anything else is opened: what is not open now is not ours, whatever gets its number later.
pub(super) fn adopt(fds: impl Iterator<Item = i32>) -> BTreeMap<i32, OwnedFd> {
    let standard = |fd: &i32| *fd > 2;
    let mut adopted = BTreeMap::new();
    for fd in fds.filter(standard) {
        if !adopted.contains_key(&fd)
            && let Some(owned) = adopt_raw(fd)
        {
            adopted.insert(fd, owned);
        }
    }
    adopted
}

#[allow(unsafe_code)]
fn adopt_raw(fd: i32) -> Option<OwnedFd> {
    // SAFETY: named in the state that the same process wrote before it replaced its program; each
    // is adopted once, and nothing else in this process was told of it.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    if rustix::io::fcntl_getfd(&owned).is_err() {
        // Not open: nothing to close either.
        let _ = owned.into_raw_fd();
        return None;
    }
    Some(owned)
}
