//! The end of a domain, with all that was made for it.

use hypercall_abi::Errno;
use hypercall_abi::xen::DomId;

use super::{Error, Tools, store, userdata};
use crate::config::domain::Uuid;
use crate::{devices, hypercall};

/// Ends a domain at once, whoever made it, and removes what belongs to it. Goes on behind errors.
///
/// # Errors
/// The first of them.
pub fn destroy(tools: &mut Tools, domain: DomId) -> Result<(), Error> {
    let info = tools.xen.domain(domain)?;
    let info = info.ok_or_else(|| Error::NoDomain(domain.0.to_string()))?;
    let uuid = Uuid(info.handle);
    // It must not use what is taken from it. One that is dying already refuses.
    let _ = tools.xen.pause_domain(domain);
    let mut outcome: Result<(), Error> = Ok(());
    if let Err(error) = devices::release_all(&mut tools.store, u32::from(domain.0)) {
        outcome = outcome.and(Err(error.into()));
    }
    match tools.xen.destroy_domain(domain) {
        // Gone in the meantime.
        Ok(()) | Err(hypercall::Error::Refused(_, Errno::ESRCH)) => {}
        Err(error) => outcome = outcome.and(Err(error.into())),
    }
    if let Err(error) = store::erase(&tools.store, domain, uuid) {
        outcome = outcome.and(Err(error.into()));
    }
    if let Err(error) = userdata::remove(domain, uuid) {
        outcome = outcome.and(Err(Error::Other(format!("files in /var/lib/xen: {error}"))));
    }
    outcome
}
