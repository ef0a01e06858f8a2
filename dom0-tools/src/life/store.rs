//! Where a domain is in xenstore, as libxl of Xen 4.17 lays it out.

use hypercall_abi::xen::DomId;

use crate::builder::Built;
use crate::config::domain::{Domain, Uuid};
use crate::xenstore::{Access, Client, Error, Perm, Transaction};

/// Bytes that a console's daemon keeps for a guest whose output nobody reads.
const CONSOLE_LIMIT: u32 = 1_048_576;
/// `XenbusStateInitialising`.
const INITIALISING: &str = "1";

/// The domain's own directory.
pub fn path(domain: DomId) -> String {
    format!("/local/domain/{}", domain.0)
}

/// What the tools alone may write.
pub fn tools_path(domain: DomId) -> String {
    format!("/libxl/{}", domain.0)
}

/// What outlives a reboot in place.
pub fn vm_path(uuid: Uuid) -> String {
    format!("/vm/{uuid}")
}

fn make(tx: &Transaction<'_>, path: &str, perms: &[Perm]) -> Result<(), Error> {
    tx.mkdir(path)?;
    tx.set_perms(path, perms)
}

/// Makes the directories of a new domain.
///
/// # Errors
/// xenstore's.
pub fn make_domain(
    store: &Client,
    domain: DomId,
    uuid: Uuid,
    name: &str,
    kind: &str,
) -> Result<(), Error> {
    let guest = u32::from(domain.0);
    let readable = [Perm::new(0, Access::None), Perm::new(guest, Access::Read)];
    let writable = [Perm::new(guest, Access::None)];
    let hidden = [Perm::new(0, Access::None)];
    let (own, tools, vm) = (path(domain), tools_path(domain), vm_path(uuid));
    store.transaction(|tx| {
        for path in [&own, &vm] {
            tx.rm_if_present(path)?;
            make(tx, path, &readable)?;
        }
        tx.rm_if_present(&tools)?;
        make(tx, &tools, &hidden)?;
        make(tx, &format!("{tools}/device"), &hidden)?;
        tx.write(&format!("{own}/vm"), &vm)?;
        tx.write(&format!("{own}/name"), name)?;
        for folder in ["cpu", "memory", "device", "control"] {
            make(tx, &format!("{own}/{folder}"), &readable)?;
        }
        let writables = [
            "device/suspend/event-channel",
            "control/shutdown",
            "control/feature-poweroff",
            "control/feature-reboot",
            "control/feature-suspend",
            "control/sysrq",
            "data",
            "drivers",
            "feature",
            "attr",
            "error",
        ];
        for node in writables {
            make(tx, &format!("{own}/{node}"), &writable)?;
        }
        tx.write(&format!("{vm}/uuid"), uuid.to_string())?;
        tx.write(&format!("{vm}/name"), name)?;
        let features = ["multiprocessor-suspend", "xs_reset_watches"];
        for feature in features {
            tx.write(&format!("{own}/control/platform-feature-{feature}"), "1")?;
        }
        tx.write(&format!("{tools}/type"), kind)
    })
}

/// Writes what a built domain has, and tells xenstore of it.
///
/// # Errors
/// xenstore's.
pub fn introduce(
    store: &Client,
    domain: DomId,
    uuid: Uuid,
    config: &Domain,
    built: Built,
    store_port: u32,
) -> Result<(), Error> {
    let (own, vm) = (path(domain), vm_path(uuid));
    store.transaction(|tx| {
        let numbers = [
            ("memory/static-max", config.max_memory),
            ("memory/target", config.memory),
            ("memory/videoram", 0),
            ("domid", u64::from(domain.0)),
            ("store/port", u64::from(store_port)),
            ("store/ring-ref", built.store_frame),
        ];
        for (node, value) in numbers {
            tx.write(&format!("{own}/{node}"), value.to_string())?;
        }
        for vcpu in 0..config.max_vcpus {
            let state = if vcpu < config.vcpus {
                "online"
            } else {
                "offline"
            };
            tx.write(&format!("{own}/cpu/{vcpu}/availability"), state)?;
        }
        tx.write(&format!("{vm}/image/ostype"), "linux")?;
        let kernel = config.kernel.to_string_lossy();
        tx.write(&format!("{vm}/image/kernel"), kernel.as_bytes())?;
        if let Some(ramdisk) = &config.ramdisk {
            let ramdisk = ramdisk.to_string_lossy();
            tx.write(&format!("{vm}/image/ramdisk"), ramdisk.as_bytes())?;
        }
        tx.write(&format!("{vm}/image/cmdline"), &config.command_line)?;
        tx.write(&format!("{vm}/start_time"), now())
    })?;
    store.introduce(u32::from(domain.0), built.store_frame, store_port)
}

/// Seconds and hundredths since 1970.
fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    format!("{}.{:02}", now.as_secs(), now.subsec_millis() / 10)
}

/// Writes the console: the guest finds it by its start info, the daemon here.
///
/// # Errors
/// xenstore's.
pub fn add_console(store: &Client, domain: DomId, frame: u64, port: u32) -> Result<(), Error> {
    let number = domain.0;
    let frontend = format!("{}/console", path(domain));
    let backend = format!("/local/domain/0/backend/console/{number}/0");
    let tools = format!("{}/device/console/0", tools_path(domain));
    let guest = u32::from(number);
    let readable = [Perm::new(0, Access::None), Perm::new(guest, Access::Read)];
    let writable = [Perm::new(guest, Access::None), Perm::new(0, Access::Read)];
    store.transaction(|tx| {
        tx.rm_if_present(&tools)?;
        tx.rm_if_present(&frontend)?;
        make(tx, &frontend, &readable)?;
        tx.write(&format!("{frontend}/backend"), &backend)?;
        tx.write(&format!("{frontend}/backend-id"), "0")?;
        tx.set_perms(&format!("{frontend}/backend-id"), &writable)?;
        let entries = [
            ("limit", CONSOLE_LIMIT.to_string()),
            ("type", "xenconsoled".into()),
            ("output", "pty".into()),
            ("tty", String::new()),
            ("port", port.to_string()),
            ("ring-ref", frame.to_string()),
        ];
        for (name, value) in &entries {
            tx.write(&format!("{frontend}/{name}"), value)?;
            tx.set_perms(&format!("{frontend}/{name}"), &readable)?;
        }
        tx.rm_if_present(&backend)?;
        make(tx, &backend, &readable)?;
        let entries = [
            ("frontend-id", number.to_string()),
            ("online", "1".into()),
            ("state", INITIALISING.into()),
            ("protocol", "vt100".into()),
        ];
        tx.write(&format!("{backend}/frontend"), &frontend)?;
        tx.write(&format!("{tools}/frontend"), &frontend)?;
        tx.write(&format!("{tools}/backend"), &backend)?;
        for (name, value) in &entries {
            tx.write(&format!("{backend}/{name}"), value)?;
            tx.write(&format!("{tools}/{name}"), value)?;
        }
        Ok(())
    })
}

/// Removes all of a domain. Missing parts are no error.
///
/// # Errors
/// The first of xenstore's.
pub fn erase(store: &Client, domain: DomId, uuid: Uuid) -> Result<(), Error> {
    let tools = tools_path(domain);
    // Backends that devices' own removal does not know: of the console, of stock tools' devices.
    let mut backends = Vec::new();
    for kind in store.try_list(&format!("{tools}/device"))? {
        for device in store.try_list(&format!("{tools}/device/{kind}"))? {
            let path = format!("{tools}/device/{kind}/{device}/backend");
            backends.extend(store.try_read_string(&path)?);
        }
    }
    let ours = |path: &&String| path.starts_with("/local/domain/");
    for backend in backends.iter().filter(ours) {
        store.rm_if_present(backend)?;
        // .../backend/KIND/DOMID is ours alone, but for the last one.
        if let Some((parent, _)) = backend.rsplit_once('/')
            && parent.ends_with(&format!("/{}", domain.0))
            && store.try_list(parent)?.is_empty()
        {
            store.rm_if_present(parent)?;
        }
    }
    let vm = store.try_read_string(&format!("{}/vm", path(domain)))?;
    // Not the directory of another domain that has come into the world with the same UUID.
    let vm = vm.filter(|vm| *vm == vm_path(uuid));
    store.rm_if_present(&path(domain))?;
    if let Some(vm) = vm {
        store.rm_if_present(&vm)?;
    }
    store.rm_if_present(&tools)
}

/// Asks a guest's kernel for something: `poweroff`, `reboot`.
///
/// # Errors
/// xenstore's.
pub fn ask(store: &Client, domain: DomId, what: &str) -> Result<(), Error> {
    store.write(&format!("{}/control/shutdown", path(domain)), what)
}
