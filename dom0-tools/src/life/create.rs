//! Makes a domain, or leaves nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hypercall_abi::domctl::{DomctlCreatedomain, DomctlGetdomaininfo, Scheduler, XEN_DOMINF_DYING};
use hypercall_abi::xen::DomId;

use super::lock::Lock;
use super::{Error, Tools, destroy, find, json, memory, store, userdata};
use crate::builder::{self, Request, XenTarget};
use crate::config::cpus::Cpus;
use crate::config::domain::{Domain, Kind, TscMode, Uuid};
use crate::config::syntax::{Settings, Value};
use crate::devices::{self, Mac};
use crate::sys::log;

/// "As the hypervisor thinks right", for numbers of frames.
const DEFAULT_FRAMES: i32 = -1;
/// `XEN_SYSCTL_PHYSCAP_gnttab_v2`.
const GRANTS_V2: u32 = 1 << 9;

/// A domain to be made.
#[derive(Debug)]
pub struct Plan {
    /// What was configured, with what was left open filled in: UUID, MAC addresses.
    pub config: Domain,
    /// Its identity.
    pub uuid: Uuid,
    /// The same as text, for restarts.
    pub text: String,
}

impl Plan {
    /// From a configuration's text and what came with it on the command line.
    ///
    /// # Errors
    /// The configuration's.
    pub fn new(
        path: &Path,
        text: &str,
        overrides: &[String],
        warnings: &mut Vec<crate::config::Error>,
    ) -> Result<Self, Error> {
        let settings = crate::config::syntax::parse_with(path, text, overrides)?;
        let mut config = Domain::from_settings(&settings, warnings)?;
        let random = |error| Error::Other(format!("no random numbers: {error}"));
        let uuid = match config.uuid {
            Some(uuid) => uuid,
            None => Uuid::random().map_err(random)?,
        };
        let mut specs = raw_nics(&settings, config.nics.len());
        for (nic, spec) in config.nics.iter_mut().zip(&mut specs) {
            if nic.mac.is_none() {
                let mac = Mac::generate().map_err(random)?;
                nic.mac = Some(mac);
                let comma = if spec.trim().is_empty() { "" } else { "," };
                spec.push_str(&format!("{comma}mac={mac}"));
            }
        }
        // A restart happens in another directory.
        config.kernel = absolute(&config.kernel);
        config.ramdisk = config.ramdisk.as_deref().map(absolute);
        let mut text = complete(text, overrides, uuid, &specs);
        text += &format!("kernel = {}\n", quoted(&config.kernel.to_string_lossy()));
        if let Some(ramdisk) = &config.ramdisk {
            text += &format!("ramdisk = {}\n", quoted(&ramdisk.to_string_lossy()));
        }
        Ok(Self { config, uuid, text })
    }

    /// The plan of a domain that exists, from the text kept of it.
    ///
    /// # Errors
    /// That there is none.
    pub fn of_existing(domain: DomId, uuid: Uuid) -> Result<Self, Error> {
        Self::of_kept(domain, uuid, &Self::kept(domain, uuid)?)
    }

    /// The text kept of a domain.
    ///
    /// # Errors
    /// That there is none.
    pub fn kept(domain: DomId, uuid: Uuid) -> Result<String, Error> {
        let path = userdata::path(domain, uuid, userdata::TEXT);
        let read = userdata::read(domain, uuid, userdata::TEXT);
        let failed = |why: String| Error::Other(format!("{}: {why}", path.display()));
        let text = read.map_err(|error| failed(error.to_string()))?;
        let text = text.ok_or_else(|| failed("no configuration was kept".into()))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The plan from such a text.
    ///
    /// # Errors
    /// The configuration's.
    pub fn of_kept(domain: DomId, uuid: Uuid, text: &str) -> Result<Self, Error> {
        let path = userdata::path(domain, uuid, userdata::TEXT);
        Self::new(&path, text, &[], &mut Vec::new())
    }
}

/// The interfaces as they were written, as many as there are.
fn raw_nics(settings: &Settings, count: usize) -> Vec<String> {
    let mut specs: Vec<String> = match settings.all.get("vif").map(|setting| &setting.value) {
        Some(Value::List(list)) => list
            .iter()
            .map(|value| match value {
                Value::Text(text) => text.clone(),
                Value::List(_) => String::new(),
            })
            .collect(),
        Some(Value::Text(text)) => vec![text.clone()],
        None => Vec::new(),
    };
    specs.resize(count, String::new());
    specs
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// As a string of the configuration's language.
pub(crate) fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

/// The text with everything in it that was not: settings behind it win.
fn complete(text: &str, overrides: &[String], uuid: Uuid, nics: &[String]) -> String {
    let mut whole = text.to_owned();
    if !whole.ends_with('\n') {
        whole.push('\n');
    }
    for word in overrides {
        let settings = crate::config::syntax::parse(Path::new(""), word);
        match (settings, word.split_once('=')) {
            // A word that needed quotes, as the parser of overrides found before.
            (Err(_), Some((key, value))) => whole += &format!("{key}={}\n", quoted(value)),
            _ => whole += &format!("{word}\n"),
        }
    }
    whole += &format!("uuid = \"{uuid}\"\n");
    if !nics.is_empty() {
        let nics: Vec<String> = nics.iter().map(|nic| quoted(nic)).collect();
        whole += &format!("vif = [ {} ]\n", nics.join(", "));
    }
    whole
}

/// Makes the domain, paused, with its devices. On any error, and if `interrupted` becomes true
/// before it is done, nothing of it is left.
///
/// # Errors
/// Why it could not be made.
pub fn create(
    tools: &mut Tools,
    plan: &Plan,
    interrupted: &Arc<AtomicBool>,
) -> Result<DomId, Error> {
    let config = &plan.config;
    if config.kind != Kind::Pv {
        return Err(Error::Other(format!(
            "type \"{}\" is not supported yet: only PV guests (type = \"pv\")",
            config.kind.name()
        )));
    }
    let _lock = Lock::take()?;
    find::check_free(tools, &config.name)?;
    if let Some(other) = holder(&tools.xen.domains()?, plan.uuid) {
        return Err(Error::UuidInUse(plan.uuid, other));
    }
    let pages = config.memory / 4;
    let mut request = Request::open(
        &config.kernel,
        config.ramdisk.as_deref(),
        config.command_line.clone(),
        pages,
    )?;
    request.cancel = interrupted.clone();
    memory::provide(tools, config.memory)?;
    let pool = match &config.pool {
        None => 0,
        Some(pool) => pool_number(tools, pool)?,
    };
    let domain = tools.xen.create_domain(DomctlCreatedomain {
        handle: plan.uuid.0,
        max_vcpus: config.max_vcpus,
        max_evtchn_port: config.event_channels,
        max_grant_frames: frames(config.max_grant_frames),
        max_maptrack_frames: frames(config.max_maptrack_frames),
        grant_opts: match config.max_grant_version {
            Some(version) => version,
            None if tools.xen.physinfo()?.capabilities & GRANTS_V2 != 0 => 2,
            None => 1,
        },
        cpupool_id: pool,
        ..Default::default()
    })?;
    // From here on there is something to take back.
    let done = fill(tools, plan, domain, request, interrupted);
    match done {
        Ok(()) if interrupted.load(Ordering::Relaxed) => {
            destroy::destroy(tools, domain)?;
            Err(Error::Interrupted)
        }
        Ok(()) => Ok(domain),
        Err(error) => {
            if let Err(second) = destroy::destroy(tools, domain) {
                log::complain(&format!(
                    "xl: while taking the half-made domain back: {second}"
                ));
            }
            match interrupted.load(Ordering::Relaxed) {
                true => Err(Error::Interrupted),
                false => Err(error),
            }
        }
    }
}

/// The domain that has a UUID. What is left of a dead one (somebody still has its pages mapped) does
/// not keep it from its successor.
fn holder(domains: &[DomctlGetdomaininfo], uuid: Uuid) -> Option<DomId> {
    let mut living = domains
        .iter()
        .filter(|info| info.flags & XEN_DOMINF_DYING == 0);
    let found = living.find(|info| info.handle == uuid.0);
    found.map(|info| info.domain)
}

fn frames(configured: Option<u32>) -> i32 {
    configured.map_or(DEFAULT_FRAMES, |frames| {
        i32::try_from(frames).unwrap_or(i32::MAX)
    })
}

fn pool_number(tools: &Tools, wanted: &str) -> Result<u32, Error> {
    if let Ok(number) = wanted.parse() {
        return Ok(number);
    }
    for number in tools.store.try_list("/local/pool")? {
        let name = tools
            .store
            .try_read_string(&format!("/local/pool/{number}/name"))?;
        if name.as_deref() == Some(wanted) {
            return number
                .parse()
                .map_err(|_| Error::Other(format!("cpupool {wanted} has no number")));
        }
    }
    match wanted {
        "Pool-0" => Ok(0),
        _ => Err(Error::Other(format!(
            "there is no cpupool \"{wanted}\" (xl cpupool-list)"
        ))),
    }
}

fn fill(
    tools: &mut Tools,
    plan: &Plan,
    domain: DomId,
    mut request: Request,
    interrupted: &AtomicBool,
) -> Result<(), Error> {
    let config = &plan.config;
    let still_wanted = || match interrupted.load(Ordering::Relaxed) {
        true => Err(Error::Interrupted),
        false => Ok(()),
    };
    store::make_domain(
        &tools.store,
        domain,
        plan.uuid,
        &config.name,
        config.kind.name(),
    )?;
    tools.xen.set_max_vcpus(domain, config.max_vcpus)?;
    pin(tools, domain, config)?;
    tools
        .xen
        .set_max_memory(domain, config.memory + memory::EXTRA)?;
    tools.xen.set_memory_map(domain, config.max_memory)?;
    let offset = config.time_offset + if config.local_time { zone()? } else { 0 };
    if offset != 0 {
        tools.xen.set_time_offset(domain, offset)?;
    }
    // A domain begins with the default.
    if config.tsc_mode != TscMode::Default {
        tools.xen.set_tsc_mode(domain, config.tsc_mode.number())?;
    }
    let served_by = |daemon: &str| -> Result<DomId, Error> {
        let path = format!("/tool/{daemon}/domid");
        let value = tools.store.try_read_string(&path)?;
        Ok(DomId(
            value.and_then(|value| value.parse().ok()).unwrap_or(0),
        ))
    };
    request.store_domain = served_by("xenstored")?;
    request.console_domain = served_by("xenconsoled")?;
    request.store_port = tools.xen.unbound_port(domain, request.store_domain)?;
    request.console_port = tools.xen.unbound_port(domain, request.console_domain)?;
    still_wanted()?;

    let target = XenTarget {
        xen: &tools.xen,
        domain,
    };
    let built = builder::build(&target, &request)?;
    still_wanted()?;
    if config.weight.is_some() || config.cap.is_some() {
        let scheduler = scheduler_of(tools, domain)?;
        tools
            .xen
            .set_share(domain, scheduler, config.weight, config.cap)?;
    }
    store::introduce(
        &tools.store,
        domain,
        plan.uuid,
        config,
        built,
        request.store_port,
    )?;
    let number = u32::from(domain.0);
    devices::attach_all(&mut tools.store, number, &config.disks, &config.nics)?;
    store::add_console(
        &tools.store,
        domain,
        built.console_frame,
        request.console_port,
    )?;
    let files = userdata::write(domain, plan.uuid, userdata::TEXT, plan.text.as_bytes());
    files
        .and_then(|()| {
            let text = json::pretty(&json::config(config, plan.uuid));
            userdata::write(domain, plan.uuid, userdata::JSON, text.as_bytes())
        })
        .map_err(|error| Error::Other(format!("files in /var/lib/xen: {error}")))?;
    Ok(())
}

/// By how many seconds this host's time zone is ahead of UTC now. A host without a zone is at UTC.
fn zone() -> Result<i64, Error> {
    if !Path::new("/etc/localtime").exists() {
        return Ok(0);
    }
    let zone = tz::TimeZone::local();
    let now = zone.and_then(|zone| Ok(zone.find_current_local_time_type()?.ut_offset()));
    let failed = |error| Error::Other(format!("localtime: the host's time zone: {error}"));
    now.map(i64::from).map_err(failed)
}

/// Who schedules in a domain's pool.
fn scheduler_of(tools: &Tools, domain: DomId) -> Result<Scheduler, Error> {
    let cpus = tools.xen.physinfo()?.max_cpu_id.saturating_add(1);
    let info = tools.xen.domain(domain)?;
    let info = info.ok_or_else(|| Error::NoDomain(domain.0.to_string()))?;
    // A hypervisor may be built without pools.
    let pools = tools.xen.pools(cpus).unwrap_or_default();
    let pool = pools.into_iter().find(|pool| pool.id == info.cpupool);
    match pool {
        Some(pool) => Ok(pool.scheduler),
        None => Ok(tools.xen.scheduler()?),
    }
}

/// The affinities that are configured: one list for all vCPUs, or one each.
fn pin(tools: &Tools, domain: DomId, config: &Domain) -> Result<(), Error> {
    if config.cpus.is_empty() && config.cpus_soft.is_empty() {
        return Ok(());
    }
    let count = tools.xen.physinfo()?.max_cpu_id.saturating_add(1);
    let of = |lists: &[String], vcpu: u32, key: &str| -> Result<Option<Vec<u8>>, Error> {
        let list = match lists {
            [] => None,
            [all] => Some(all),
            each => each.get(vcpu as usize),
        };
        let Some(list) = list else {
            return Ok(None);
        };
        let cpus = Cpus::parse(list, count);
        let cpus = cpus.map_err(|cause| Error::Other(format!("{key}: {cause}")))?;
        Ok(Some(cpus.bits(count)))
    };
    for vcpu in 0..config.max_vcpus {
        let hard = of(&config.cpus, vcpu, "cpus")?;
        let soft = of(&config.cpus_soft, vcpu, "cpus_soft")?;
        if hard.is_some() || soft.is_some() {
            tools
                .xen
                .set_affinity(domain, vcpu, hard.as_deref(), soft.as_deref(), false)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_is_that_of_the_clock() {
        // What this machine's own `date` says, whatever that is.
        let Ok(date) = std::process::Command::new("date").arg("+%z").output() else {
            return;
        };
        let text = String::from_utf8_lossy(&date.stdout).trim().to_owned();
        let (sign, digits) = text.split_at(1);
        let number: i64 = digits.parse().unwrap();
        let seconds = number / 100 * 3600 + number % 100 * 60;
        let expected = if sign == "-" { -seconds } else { seconds };
        assert_eq!(zone().unwrap(), expected);
    }

    #[test]
    fn the_uuid_of_a_dead_domain_is_free() {
        let uuid = Uuid([7; 16]);
        let domain = |number, flags| DomctlGetdomaininfo {
            domain: DomId(number),
            handle: uuid.0,
            flags,
            ..Default::default()
        };
        assert_eq!(holder(&[domain(3, XEN_DOMINF_DYING)], uuid), None);
        let both = [domain(3, XEN_DOMINF_DYING), domain(4, 0)];
        assert_eq!(holder(&both, uuid), Some(DomId(4)));
        assert_eq!(holder(&both, Uuid([8; 16])), None);
    }

    #[test]
    fn a_restart_finds_the_same_identity_and_overrides() {
        let text = "name='a'\nkernel='k'\nvif=['bridge=br0','']\nmemory=64";
        let overrides = ["memory=128", "extra=a b", "extra+= c"].map(str::to_owned);
        let mut warnings = Vec::new();
        let plan = Plan::new(Path::new("t"), text, &overrides, &mut warnings).unwrap();
        let again = Plan::new(Path::new("t"), &plan.text, &[], &mut warnings).unwrap();
        assert_eq!(again.uuid, plan.uuid);
        assert_eq!(again.config.memory, 128 * 1024);
        assert_eq!(plan.config.command_line, "a b c");
        assert_eq!(again.config.command_line, "a b c");
        let macs = |plan: &Plan| {
            plan.config
                .nics
                .iter()
                .map(|nic| nic.mac)
                .collect::<Vec<_>>()
        };
        assert_eq!(macs(&again), macs(&plan));
        assert!(macs(&plan).iter().all(Option::is_some));
        assert_eq!(again.config.nics[0].bridge.as_deref(), Some("br0"));
    }
}
