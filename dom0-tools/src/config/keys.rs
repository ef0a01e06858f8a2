//! Every key of `xl.cfg`, and what becomes of it here.

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// It has its effect.
    Works,
    /// It means nothing for a PV guest, or nothing that differs from what happens anyway.
    Idle,
    /// A domain can do without its effect, which is not there yet: a warning, once it is used.
    Ignored,
    /// It would mean something that is not there yet: refused, once it is used.
    Missing,
}

const WORKS: &[&str] = &[
    "name",
    "uuid",
    "type",
    "builder",
    "memory",
    "maxmem",
    "vcpus",
    "maxvcpus",
    "kernel",
    "ramdisk",
    "cmdline",
    "root",
    "extra",
    "disk",
    "vif",
    "nics",
    "on_poweroff",
    "on_reboot",
    "on_crash",
    "on_watchdog",
    "on_soft_reset",
    "cpus",
    "cpus_soft",
    "cpu_weight",
    "cap",
    "pool",
    "max_grant_frames",
    "max_maptrack_frames",
    "max_grant_version",
    "max_event_channels",
    "rtc_timeoffset",
    "localtime",
    "tsc_mode",
];

const IDLE: &[&str] = &[
    "acpi",
    "acpi_s3",
    "acpi_s4",
    "acpi_laptop_slate",
    "acpi_firmware",
    "altp2m",
    "altp2mhvm",
    "apic",
    "autoballoon",
    "bios",
    "bios_path_override",
    "boot",
    "dhcp",
    "device_model_args",
    "device_model_args_fv",
    "device_model_args_hvm",
    "device_model_args_pv",
    "device_model_override",
    "device_model_stubdomain_override",
    "device_model_user",
    "device_model_version",
    "dm_restrict",
    "driver_domain",
    "firmware",
    "firmware_override",
    "fullscreen",
    "gateway",
    "gfx_passthru",
    "hap",
    "hdtype",
    "hostname",
    "hpet",
    "hvm",
    "init_seclabel",
    "ip",
    "keymap",
    "mca_caps",
    "mmio_hole",
    "ms_vm_genid",
    "msr_relaxed",
    "nestedhvm",
    "netmask",
    "nographic",
    "nomigrate",
    "nx",
    "oos",
    "opengl",
    "pae",
    "parallel",
    "passthrough",
    "processor_trace_buf_kb",
    "rdm",
    "rdm_mem_boundary",
    "restart",
    "sdl",
    "seclabel",
    "serial",
    "shadow_memory",
    "smbios_firmware",
    "soundhw",
    "spice",
    "spiceagent_mouse",
    "spice_clipboard_sharing",
    "spicedisable_ticketing",
    "spicehost",
    "spice_image_compression",
    "spicepasswd",
    "spiceport",
    "spice_streaming_video",
    "spicetls_port",
    "spiceusbredirection",
    "spicevdagent",
    "stdvga",
    "suppress_spurious_page_faults",
    "system_firmware",
    "timer_mode",
    "trusted_guest",
    "usb",
    "usbdevice",
    "usbversion",
    "vendor_device",
    "vga",
    "vgpu",
    "videoram",
    "viridian",
    "vkb_device",
    "vmtrace_buf_kb",
    "vnc",
    "vncconsole",
    "vncdisplay",
    "vnclisten",
    "vncpasswd",
    "vncunused",
    "vncviewer",
    "vpmu",
    "vpt_align",
    "vuart",
    "xen_platform_pci",
    "xend_suspend_evtchn_compat",
    "blkif",
    "netif",
    "tpmif",
    "console_autoconnect",
];

const IGNORED: &[&str] = &["cpuid", "xen_extended_cpuid"];

const MISSING: &[&str] = &[
    "bootloader",
    "bootloader_args",
    "channel",
    "claim_mode",
    "cpus_weight",
    "device_tree",
    "dtdev",
    "e820_host",
    "exec_timeout",
    "ioports",
    "iomem",
    "irqs",
    "p9",
    "pci",
    "pci_msitranslate",
    "pci_permissive",
    "pci_power_mgmt",
    "pci_seize",
    "pvcalls",
    "pvshim",
    "pvshim_cmdline",
    "pvshim_extra",
    "pvshim_path",
    "usbctrl",
    "usbdev",
    "vdispl",
    "vfb",
    "vif2",
    "virtio",
    "vnuma",
    "vscsi",
    "vsnd",
    "vtpm",
    "sched",
    "slice",
    "period",
    "latency",
    "extratime",
];

/// What becomes of a key; `None` if nobody knows it.
pub(super) fn find(key: &str) -> Option<Key> {
    let lists = [
        (WORKS, Key::Works),
        (IDLE, Key::Idle),
        (IGNORED, Key::Ignored),
        (MISSING, Key::Missing),
    ];
    lists
        .iter()
        .find(|(keys, _)| keys.contains(&key))
        .map(|(_, what)| *what)
}

/// The key that somebody may have meant: one letter off.
pub(super) fn like(key: &str) -> Option<&'static str> {
    let all = WORKS.iter().chain(MISSING).chain(IDLE).chain(IGNORED);
    all.copied().find(|known| distance(known, key) == 1)
}

/// 0, 1, or more: letters changed, added, lost or swapped.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[same..], &other[same..]);
    let ends = one.iter().rev().zip(other.iter().rev());
    let ends = ends.take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[..one.len() - ends], &other[..other.len() - ends]);
    match (one, other) {
        ([], []) => 0,
        ([a, b], [c, d]) if a == d && b == c => 1,
        _ => one.len().max(other.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(like("memroy"), Some("memory"));
        assert_eq!(like("vcpu"), Some("vcpus"));
        assert_eq!(like("on_reboots"), Some("on_reboot"));
        assert_eq!(like("nonsense"), None);
        assert_eq!(find("nonsense"), None);
        assert_eq!(find("kernel"), Some(Key::Works));
    }
}
