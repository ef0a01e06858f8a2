//! What the headers have and the crate leaves out, with reasons.

/// Constants and reasons; `*` at the end of a name stands for anything.
pub const CONSTANTS: &[(&str, &str)] = &[
    ("XEN_FLEX_ARRAY_DIM", "C syntax, no number"),
    ("COMPAT_FLEX_ARRAY_DIM", "C syntax, no number"),
    ("PRI_xen_pfn", "a format of C's printf"),
    ("PRIu_xen_pfn", "a format of C's printf"),
    ("PRI_xen_ulong", "a format of C's printf"),
    ("int64_aligned_t", "another name of a type"),
    ("uint64_aligned_t", "another name of a type"),
    ("blkif_vdev_t", "another name of a type"),
    ("blkif_sector_t", "another name of a type"),
    ("xen_vga_console_info*", "another name of a structure"),
    ("xen_wc_sec_hi", "another name of a member"),
    ("xenpf_settime", "another name of a structure"),
    (
        "machine_to_phys_mapping",
        "an address as a C pointer: MACH2PHYS_VIRT_START",
    ),
    (
        "XEN_EMULATE_PREFIX",
        "assembly text; arch_x86 has the bytes",
    ),
    ("XEN_CPUID", "assembly text; arch_x86 has the bytes"),
    ("XEN_EWOULDBLOCK", "another name of XEN_EAGAIN"),
    ("XEN_EDEADLOCK", "another name of XEN_EDEADLK"),
    ("GNTTABOP_error_msgs", "texts; GntStatus has names"),
    (
        "__XEN_INTERFACE_VERSION__",
        "chosen by whoever includes the headers",
    ),
    (
        "__XEN_LATEST_INTERFACE_VERSION__",
        "says which C declarations are visible",
    ),
];

/// Structures and reasons.
pub const STRUCTURES: &[(&str, &str)] = &[("xsd_errors", "a table of C strings; Errno has names")];

/// Headers and reasons.
pub const HEADERS: &[(&str, &str)] = &[
    ("arch-arm*", "Arm"),
    (
        "foreign/*",
        "copies of the layouts for builders on other machines",
    ),
    ("arch-x86/xen-x86_32.h", "32-bit guests"),
    ("arch-x86_32.h", "32-bit guests"),
    ("device_tree_defs.h", "Arm"),
    ("dom0_ops.h", "older than interface version 3.2.4"),
    ("xencomm.h", "PowerPC and Itanium"),
    ("tmem.h", "transcendent memory left Xen in 4.13"),
    ("argo.h", "no guest that Oxen starts uses it"),
    ("xsm/*", "a security policy that Oxen does not have"),
    (
        "evtchn.h",
        "Linux's own copy (linux-libc-dev) of sys/evtchn.h",
    ),
    (
        "gntdev.h",
        "Linux's own copy (linux-libc-dev) of sys/gntdev.h",
    ),
    (
        "gntalloc.h",
        "Linux's own copy (linux-libc-dev) of sys/gntalloc.h",
    ),
    (
        "privcmd.h",
        "Linux's own copy (linux-libc-dev) of sys/privcmd.h",
    ),
    ("io/9pfs.h", "a device whose ends are both outside Oxen"),
    ("io/cameraif.h", "a device whose ends are both outside Oxen"),
    ("io/displif.h", "a device whose ends are both outside Oxen"),
    ("io/fsif.h", "a device whose ends are both outside Oxen"),
    ("io/pvcalls.h", "a device whose ends are both outside Oxen"),
    ("io/sndif.h", "a device whose ends are both outside Oxen"),
    ("io/tpmif.h", "a device whose ends are both outside Oxen"),
    ("io/usbif.h", "a device whose ends are both outside Oxen"),
    ("io/vscsiif.h", "a device whose ends are both outside Oxen"),
];

/// Numbers that the headers hide from everyone but the hypervisor.
pub const NOT_FOR_GUESTS: &[&str] = &["XEN_EINTR", "XEN_ERESTART"];

/// The C size of types that stand for a part of a C type.
pub fn size_of(rust: &str) -> Option<&'static str> {
    match rust {
        "SringHeader" => Some("offsetof(struct blkif_sring, ring)"),
        _ => None,
    }
}

/// Members that hold nothing.
pub fn is_padding(name: &str) -> bool {
    name.starts_with('_')
        || ["pad", "rsvd", "available"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// A list of exclusions that notes which of them are needed.
pub struct Exclusions {
    list: &'static [(&'static str, &'static str)],
    used: Vec<bool>,
}

impl Exclusions {
    pub fn new(list: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            list,
            used: vec![false; list.len()],
        }
    }

    pub fn contain(&mut self, name: &str) -> bool {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        };
        let found = self.list.iter().position(|(pattern, _)| matches(pattern));
        if let Some(index) = found {
            self.used[index] = true;
        }
        found.is_some()
    }

    /// Complaints about exclusions that exclude nothing.
    pub fn unused(&self) -> Vec<String> {
        let unused = self.list.iter().zip(&self.used).filter(|(_, used)| !**used);
        unused
            .map(|((pattern, _), _)| format!("{pattern}: excluded, but the headers do not have it"))
            .collect()
    }
}
