//! Domains by name. Names live in xenstore only.

use std::time::Duration;

use hypercall_abi::domctl::DomctlGetdomaininfo;
use hypercall_abi::xen::DomId;

use crate::xenstore::client::socket_path;
use crate::xenstore::{Client, Error};

/// A daemon that does not answer must not keep the administrator from a list.
const PATIENCE: Duration = Duration::from_secs(2);

/// The source of names; without a xenstore only dom0 has one.
pub(super) struct Names {
    store: Option<Client>,
}

impl Names {
    pub(super) fn open() -> Self {
        let store = Client::connect(&socket_path());
        let store = store.and_then(|store| store.with_patience(PATIENCE));
        Self { store: store.ok() }
    }

    /// The name to print: `(null)` stands for none, as scripts know it.
    pub(super) fn of(&mut self, domain: DomId) -> String {
        self.known(domain).unwrap_or_else(|| "(null)".into())
    }

    fn known(&mut self, domain: DomId) -> Option<String> {
        let path = format!("/local/domain/{}/name", domain.0);
        let answer = self
            .store
            .as_ref()
            .map(|store| store.try_read_string(&path));
        let stored = match answer {
            Some(Ok(name)) => name,
            None | Some(Err(Error::Refused(..))) => None,
            Some(Err(_)) => {
                // Half an answer may be left in it.
                self.store = None;
                None
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xenstore::wire::{Assembler, Message};
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

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
            let mut bytes = vec![0; 16 + path.len()];
            theirs.read_exact(&mut bytes).unwrap();
            let request = Assembler::default().feed(&mut bytes.as_slice());
            let request = request.unwrap().unwrap();
            assert_eq!(request.payload, path);
            let payload = b"guest".to_vec();
            let answer = Message { payload, ..request };
            theirs.write_all(&answer.to_bytes()).unwrap();
            theirs
        });
        let patience = Duration::from_millis(50);
        let store = Client::over(ours.into()).with_patience(patience);
        let store = store.ok();
        let mut names = Names { store };
        assert_eq!(names.of(DomId(3)), "guest");
        // A store that does not answer is not asked again.
        let silent = server.join().unwrap();
        assert_eq!(names.of(DomId(4)), "(null)");
        assert!(names.store.is_none());
        drop(silent);
    }
}
