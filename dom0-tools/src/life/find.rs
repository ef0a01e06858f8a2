//! Domains by number and name.

use hypercall_abi::domctl::DomctlGetdomaininfo;
use hypercall_abi::xen::DomId;

use super::{Error, Tools, store};

/// The domain that an administrator means by a number or a name.
///
/// # Errors
/// [`Error::NoDomain`].
pub fn domain(tools: &Tools, wanted: &str) -> Result<DomctlGetdomaininfo, Error> {
    let missing = || Error::NoDomain(wanted.to_owned());
    if !wanted.is_empty() && wanted.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = wanted.parse().map_err(|_| missing())?;
        return tools.xen.domain(DomId(number))?.ok_or_else(missing);
    }
    for info in tools.xen.domains()? {
        if name(tools, info.domain)?.as_deref() == Some(wanted) {
            return Ok(info);
        }
    }
    Err(missing())
}

/// A domain other than dom0.
///
/// # Errors
/// [`Error::NoDomain`]; that it is dom0.
pub fn guest(tools: &Tools, wanted: &str) -> Result<DomctlGetdomaininfo, Error> {
    let info = domain(tools, wanted)?;
    if info.domain == DomId(0) {
        return Err(Error::Other("not possible for dom0".into()));
    }
    Ok(info)
}

/// A domain's name; dom0 has one even without xenstore's knowing.
///
/// # Errors
/// xenstore's.
pub fn name(tools: &Tools, domain: DomId) -> Result<Option<String>, Error> {
    let path = format!("{}/name", store::path(domain));
    let name = tools.store.try_read_string(&path)?;
    Ok(name.or_else(|| (domain == DomId(0)).then(|| "Domain-0".into())))
}

/// That nobody else has a name.
///
/// # Errors
/// [`Error::NameInUse`].
pub fn check_free(tools: &Tools, wanted: &str) -> Result<(), Error> {
    match domain(tools, wanted) {
        Ok(info) => Err(Error::NameInUse(wanted.to_owned(), info.domain)),
        Err(Error::NoDomain(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
