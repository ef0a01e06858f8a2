//! A domain's configuration in the JSON of libxl 4.17.

use hypercall_abi::xen::DomId;
use serde_json::{Map, Value, json};

use crate::config::domain::{Action, Domain, TscMode, Uuid};
use crate::devices::disk_spec::Format;

/// What stock tools read from a domain's `libxl-json` file and `xl list -l` prints.
pub fn config(domain: &Domain, uuid: Uuid) -> Value {
    let mut build = Map::new();
    let available: Vec<u32> = (0..domain.vcpus).collect();
    build.insert("max_vcpus".into(), json!(domain.max_vcpus));
    build.insert("avail_vcpus".into(), json!(available));
    build.insert("max_memkb".into(), json!(domain.max_memory));
    build.insert("target_memkb".into(), json!(domain.memory));
    build.insert("video_memkb".into(), json!(0));
    build.insert("event_channels".into(), json!(domain.event_channels));
    build.insert("kernel".into(), json!(domain.kernel.to_string_lossy()));
    build.insert("cmdline".into(), json!(domain.command_line));
    if let Some(ramdisk) = &domain.ramdisk {
        build.insert("ramdisk".into(), json!(ramdisk.to_string_lossy()));
    }
    if domain.tsc_mode != TscMode::Default {
        build.insert("tsc_mode".into(), json!(domain.tsc_mode.name()));
    }
    let mut shares = Map::new();
    if let Some(weight) = domain.weight {
        shares.insert("weight".into(), json!(weight));
    }
    if let Some(cap) = domain.cap {
        shares.insert("cap".into(), json!(cap));
    }
    build.insert("sched_params".into(), Value::Object(shares));
    build.insert("type.pv".into(), json!({}));
    build.insert("arch_arm".into(), json!({}));
    build.insert("arch_x86".into(), json!({}));

    let mut whole = Map::new();
    whole.insert(
        "c_info".into(),
        json!({
            "type": domain.kind.name(),
            "name": domain.name,
            "uuid": uuid.to_string(),
            "run_hotplug_scripts": "True",
            "passthrough": "disabled",
        }),
    );
    whole.insert("b_info".into(), Value::Object(build));
    let disks: Vec<Value> = domain.disks.iter().map(disk).collect();
    if !disks.is_empty() {
        whole.insert("disks".into(), json!(disks));
    }
    let nics: Vec<Value> = domain.nics.iter().enumerate().map(nic).collect();
    if !nics.is_empty() {
        whole.insert("nics".into(), json!(nics));
    }
    let actions = [
        ("on_poweroff", domain.on_poweroff),
        ("on_reboot", domain.on_reboot),
        ("on_watchdog", domain.on_watchdog),
        ("on_crash", domain.on_crash),
        ("on_soft_reset", domain.on_soft_reset),
    ];
    for (key, action) in actions {
        // libxl leaves the first, which is its default, out.
        if action != Action::Destroy {
            whole.insert(key.into(), json!(action.name().replace('-', "_")));
        }
    }
    Value::Object(whole)
}

fn disk(disk: &crate::devices::DiskSpec) -> Value {
    let mut value = Map::new();
    if let Some(target) = &disk.target {
        value.insert("pdev_path".into(), json!(target));
    }
    value.insert("vdev".into(), json!(disk.vdev.name()));
    let format = match disk.format {
        Format::Raw => "raw",
        other => other.name(),
    };
    value.insert("format".into(), json!(format));
    if disk.access.writes() {
        value.insert("readwrite".into(), json!(1));
    }
    if disk.cdrom {
        value.insert("removable".into(), json!(1));
        value.insert("is_cdrom".into(), json!(1));
    }
    Value::Object(value)
}

fn nic((index, nic): (usize, &crate::devices::NicSpec)) -> Value {
    let mut value = Map::new();
    let number = nic.devid.map_or(index as u64, u64::from);
    value.insert("devid".into(), json!(number));
    if let Some(mac) = nic.mac {
        value.insert("mac".into(), json!(mac.to_string()));
    }
    if let Some(bridge) = &nic.bridge {
        value.insert("bridge".into(), json!(bridge));
    }
    if let Some(ip) = &nic.ip {
        value.insert("ip".into(), json!(ip));
    }
    if let Some(script) = &nic.script {
        value.insert("script".into(), json!(script));
    }
    value.insert("nictype".into(), json!("vif"));
    Value::Object(value)
}

/// What is known of a domain without a file: dom0, or one of other tools.
pub fn of_unknown(domain: DomId, name: &str, uuid: Uuid, kib: u64, vcpus: u32) -> Value {
    let available: Vec<u32> = (0..vcpus).collect();
    let mut info = Map::new();
    info.insert("type".into(), json!("pv"));
    info.insert("name".into(), json!(name));
    if domain != DomId(0) {
        info.insert("uuid".into(), json!(uuid.to_string()));
    }
    json!({
        "c_info": Value::Object(info),
        "b_info": {
            "max_vcpus": vcpus,
            "avail_vcpus": available,
            "max_memkb": kib,
            "target_memkb": kib,
            "sched_params": {},
            "type.pv": {},
            "arch_arm": {},
            "arch_x86": {}
        }
    })
}

/// In the layout of libxl's printer: four blanks per level.
pub fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let layout = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut printer = serde_json::Serializer::with_formatter(&mut bytes, layout);
    // Writing to memory does not fail, and the keys are strings.
    let _ = serde::Serialize::serialize(value, &mut printer);
    String::from_utf8_lossy(&bytes).into_owned() + "\n"
}
