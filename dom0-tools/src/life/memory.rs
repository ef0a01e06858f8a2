//! Memory for domains: how much is free, dom0's share, and changes while they run.

use std::time::{Duration, Instant};

use hypercall_abi::domctl::DomctlGetdomaininfo;
use hypercall_abi::xen::DomId;

use super::{Error, Tools, store};

/// KiB beyond a guest's memory that libxl lets it have.
pub const EXTRA: u64 = 1024;
/// KiB that the hypervisor wants for a domain beside its memory: page tables, structures.
const OVERHEAD: u64 = 4096;
/// How long dom0 may take to give memory back.
const PATIENCE: Duration = Duration::from_secs(30);
/// KiB below which dom0 is never pressed.
const LEAST_DOM0: u64 = 128 * 1024;

/// Whether `xl.conf` asks to take memory from dom0 for new domains. Without a word it is not done:
/// a dom0 of fixed size is the recommended way.
pub fn autoballoon() -> bool {
    let text = std::fs::read_to_string("/etc/xen/xl.conf").unwrap_or_default();
    let settings = crate::config::syntax::parse("/etc/xen/xl.conf".as_ref(), &text);
    let value = settings.ok().and_then(|settings| {
        let setting = settings.all.get("autoballoon")?;
        match &setting.value {
            crate::config::syntax::Value::Text(text) => Some(text.clone()),
            crate::config::syntax::Value::List(_) => None,
        }
    });
    matches!(value.as_deref(), Some("on" | "1"))
}

/// Sees to it that `kib` of memory are free, taking from dom0 if that is wanted.
///
/// # Errors
/// That there is not as much.
pub fn provide(tools: &Tools, kib: u64) -> Result<(), Error> {
    let needed = kib + OVERHEAD;
    let free = || -> Result<u64, Error> {
        let info = tools.xen.physinfo()?;
        let pages = info.free_pages + info.scrub_pages;
        Ok(pages.saturating_sub(info.outstanding_pages) * 4)
    };
    let mut have = free()?;
    if have >= needed {
        return Ok(());
    }
    let short = |have: u64, hint: &str| {
        Error::Other(format!(
            "not enough free memory: the domain needs {} MiB, {} are free{hint}",
            needed.div_ceil(1024),
            have / 1024
        ))
    };
    if !autoballoon() {
        let hint = "; make room with xl mem-set, or set autoballoon=\"on\" in /etc/xen/xl.conf";
        return Err(short(have, hint));
    }
    let dom0 = tools.xen.domain(DomId(0))?;
    let dom0 = dom0.map_or(0, |info| info.tot_pages * 4);
    let target = dom0.saturating_sub(needed - have);
    if target < LEAST_DOM0 {
        return Err(short(have, ", and dom0 has no more to give"));
    }
    let path = format!("{}/memory/target", store::path(DomId(0)));
    tools.store.write(&path, target.to_string())?;
    let start = Instant::now();
    while have < needed {
        if start.elapsed() > PATIENCE {
            return Err(short(have, ", and dom0 does not give more in time"));
        }
        std::thread::sleep(Duration::from_millis(50));
        have = free()?;
    }
    Ok(())
}

/// Parses a size: KiB after `k`, MiB after `m` or nothing, GiB after `g`, TiB after `t`, bytes
/// after `b`. In KiB.
pub fn parse_size(text: &str) -> Option<u64> {
    let end = text
        .find(|next: char| !next.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: u64 = digits.parse().ok()?;
    match unit.to_ascii_lowercase().as_str() {
        "b" => Some(number >> 10),
        "k" => Some(number),
        "" | "m" => number.checked_mul(1 << 10),
        "g" => number.checked_mul(1 << 20),
        "t" => number.checked_mul(1 << 30),
        _ => None,
    }
}

fn static_max(tools: &Tools, info: &DomctlGetdomaininfo) -> Result<u64, Error> {
    let path = format!("{}/memory/static-max", store::path(info.domain));
    let value = tools.store.try_read_string(&path)?;
    // dom0 has none written.
    Ok(value
        .and_then(|value| value.parse().ok())
        .unwrap_or(u64::MAX))
}

/// Asks a domain to grow or shrink to `kib`, and holds it to that.
///
/// # Errors
/// That it may not have as much; xenstore's, the hypervisor's.
pub fn set_target(tools: &Tools, info: &DomctlGetdomaininfo, kib: u64) -> Result<(), Error> {
    let most = static_max(tools, info)?;
    if kib > most {
        return Err(Error::Other(format!(
            "{} MiB are more than the domain's maximum of {} MiB (xl mem-max, maxmem=)",
            kib / 1024,
            most / 1024
        )));
    }
    if info.domain == DomId(0) && kib < LEAST_DOM0 {
        return Err(Error::Other(format!(
            "{} MiB are too little for dom0",
            kib / 1024
        )));
    }
    let path = format!("{}/memory/target", store::path(info.domain));
    // Room first, so that the guest's wish for more is not refused.
    tools.xen.set_max_memory(info.domain, kib + EXTRA)?;
    tools.store.write(&path, kib.to_string())?;
    Ok(())
}

/// Sets the most memory that a domain may ever have.
///
/// # Errors
/// That it has more already; xenstore's, the hypervisor's.
pub fn set_max(tools: &Tools, info: &DomctlGetdomaininfo, kib: u64) -> Result<(), Error> {
    let target = tools
        .store
        .try_read_string(&format!("{}/memory/target", store::path(info.domain)))?;
    let target = target
        .and_then(|value| value.parse::<u64>().ok())
        .unwrap_or(0);
    if kib < target {
        return Err(Error::Other(format!(
            "{} MiB are less than the domain's memory, {} MiB (xl mem-set)",
            kib / 1024,
            target / 1024
        )));
    }
    tools.xen.set_max_memory(info.domain, kib + EXTRA)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_mebibytes_unless_said() {
        assert_eq!(parse_size("256"), Some(256 << 10));
        assert_eq!(parse_size("256M"), Some(256 << 10));
        assert_eq!(parse_size("1g"), Some(1 << 20));
        assert_eq!(parse_size("1024k"), Some(1024));
        assert_eq!(parse_size("4096b"), Some(4));
        assert_eq!(parse_size(""), None);
        assert_eq!(parse_size("1x"), None);
        assert_eq!(parse_size("99999999999999999999"), None);
    }
}
