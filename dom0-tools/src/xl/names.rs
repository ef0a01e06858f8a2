//! Domains by name. Names live in xenstore only.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use hypercall_abi::domctl::DomctlGetdomaininfo;
use hypercall_abi::io::xs_wire::{XENSTORE_PAYLOAD_MAX, XsType, XsdSockmsg};
use hypercall_abi::xen::DomId;
use zerocopy::{FromZeros as _, IntoBytes as _};

/// Where xenstored of dom0 listens.
const SOCKET: &str = "/run/xenstored/socket";
/// A daemon that does not answer must not keep the administrator from a list.
const PATIENCE: Duration = Duration::from_secs(2);

/// The source of names; without a xenstore only dom0 has one.
pub(super) struct Names {
    store: Option<UnixStream>,
}

impl Names {
    pub(super) fn open() -> Self {
        let store = UnixStream::connect(SOCKET).ok().filter(|store| {
            store.set_read_timeout(Some(PATIENCE)).is_ok()
                && store.set_write_timeout(Some(PATIENCE)).is_ok()
        });
        Self { store }
    }

    /// The name to print: `(null)` stands for none, as scripts know it.
    pub(super) fn of(&mut self, domain: DomId) -> String {
        self.known(domain).unwrap_or_else(|| "(null)".into())
    }

    fn known(&mut self, domain: DomId) -> Option<String> {
        let path = format!("/local/domain/{}/name", domain.0);
        let answer = self.store.as_mut().map(|store| read(store, &path));
        let stored = match answer {
            Some(Ok(name)) => name,
            Some(Err(_)) => {
                // Half an answer may be left in it.
                self.store = None;
                None
            }
            None => None,
        };
        stored.or_else(|| (domain == DomId(0)).then(|| "Domain-0".into()))
    }

    /// The domain that an administrator means by a number or a name.
    ///
    /// # Errors
    /// The message to print.
    pub(super) fn find<'a>(
        &mut self,
        wanted: &str,
        all: &'a [DomctlGetdomaininfo],
    ) -> Result<&'a DomctlGetdomaininfo, String> {
        if !wanted.is_empty() && wanted.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = wanted.parse::<u16>().map(DomId);
            return all
                .iter()
                .find(|info| Ok(info.domain) == number)
                .ok_or_else(|| format!("Error: Domain '{wanted}' does not exist."));
        }
        all.iter()
            .find(|info| self.known(info.domain).is_some_and(|name| name == wanted))
            .ok_or_else(|| format!("{wanted} is an invalid domain identifier (rc=-6)"))
    }
}

/// The value at `path`; `None` if the store has none for us.
fn read(
    store: &mut (impl std::io::Read + std::io::Write),
    path: &str,
) -> std::io::Result<Option<String>> {
    let len = u32::try_from(path.len() + 1).map_err(std::io::Error::other)?;
    let request = XsdSockmsg {
        r#type: XsType::READ,
        len,
        ..Default::default()
    };
    store.write_all(&[request.as_bytes(), path.as_bytes(), &[0]].concat())?;
    let mut answer = XsdSockmsg::new_zeroed();
    store.read_exact(answer.as_mut_bytes())?;
    if answer.len > XENSTORE_PAYLOAD_MAX {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut value = vec![0; answer.len as usize];
    store.read_exact(&mut value)?;
    let is_value = answer.r#type == XsType::READ;
    Ok(is_value.then(|| String::from_utf8_lossy(&value).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    fn domain(number: u16) -> DomctlGetdomaininfo {
        DomctlGetdomaininfo {
            domain: DomId(number),
            ..Default::default()
        }
    }

    #[test]
    fn without_a_store_only_dom0_has_a_name() {
        let mut names = Names { store: None };
        assert_eq!(names.of(DomId(0)), "Domain-0");
        assert_eq!(names.of(DomId(3)), "(null)");
        let all = [domain(0), domain(3)];
        assert_eq!(names.find("3", &all), Ok(&all[1]));
        assert_eq!(names.find("Domain-0", &all), Ok(&all[0]));
        let error = names.find("70000", &all).unwrap_err();
        assert_eq!(error, "Error: Domain '70000' does not exist.");
        assert!(names.find("guest", &all).is_err());
    }

    #[test]
    fn names_are_read_from_the_store() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || {
            let path = b"/local/domain/3/name\0";
            let mut request = vec![0; 16 + path.len()];
            theirs.read_exact(&mut request).unwrap();
            assert_eq!(&request[16..], path);
            let answer = XsdSockmsg {
                r#type: XsType::READ,
                len: 5,
                ..Default::default()
            };
            theirs.write_all(answer.as_bytes()).unwrap();
            theirs.write_all(b"guest").unwrap();
        });
        let mut names = Names { store: Some(ours) };
        assert_eq!(names.of(DomId(3)), "guest");
        server.join().unwrap();
        // The store has gone.
        assert_eq!(names.of(DomId(4)), "(null)");
    }
}
