//! What this processor can do (CPUID; Intel SDM 2A, CPUID; AMD APM 3, appendix E).

use crate::sync::Once;

/// Results of one CPUID leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Cpuid {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

/// Executes CPUID. All zeroes on the hosted backend, unless the simulated machine says otherwise.
#[must_use]
pub fn cpuid(leaf: u32, subleaf: u32) -> Cpuid {
    #[cfg(target_os = "none")]
    {
        let r = core::arch::x86_64::__cpuid_count(leaf, subleaf);
        Cpuid {
            eax: r.eax,
            ebx: r.ebx,
            ecx: r.ecx,
            edx: r.edx,
        }
    }
    #[cfg(not(target_os = "none"))]
    {
        let [eax, ebx, ecx, edx] = crate::sim::cpuid(leaf, subleaf);
        Cpuid { eax, ebx, ecx, edx }
    }
}

/// The maker, as far as it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// "GenuineIntel"
    Intel,
    /// "AuthenticAMD" and "HygonGenuine"
    Amd,
    /// Anyone else.
    Other,
}

/// What Oxen itself asks about. Guests' CPUID policy reads [`cpuid`].
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Maker.
    pub vendor: Vendor,
    /// Family, extended part included.
    pub family: u32,
    /// Model, extended part included.
    pub model: u32,
    /// Stepping.
    pub stepping: u32,
    /// Highest basic leaf.
    pub max_leaf: u32,
    /// Highest extended leaf.
    pub max_extended: u32,
    /// Physical address bits.
    pub phys_bits: u32,
    /// 1 GiB pages.
    pub gigabyte_pages: bool,
    /// Process-context identifiers.
    pub pcid: bool,
    /// The INVPCID instruction.
    pub invpcid: bool,
    /// Supervisor-mode execution prevention.
    pub smep: bool,
    /// Supervisor-mode access prevention.
    pub smap: bool,
    /// RDFSBASE and its kin.
    pub fsgsbase: bool,
    /// XSAVE.
    pub xsave: bool,
    /// XSAVEOPT.
    pub xsaveopt: bool,
    /// MONITOR and MWAIT.
    pub mwait: bool,
    /// MWAIT can be ended by an interrupt that is masked by RFLAGS.IF.
    pub mwait_interrupt_break: bool,
    /// User-mode instruction prevention.
    pub umip: bool,
    /// RDTSCP.
    pub rdtscp: bool,
    /// x2APIC mode.
    pub x2apic: bool,
    /// Machine-check architecture.
    pub machine_check: bool,
    /// A hypervisor is below.
    pub hypervised: bool,
    /// The time-stamp counter runs at one rate in all P-, C- and T-states.
    pub invariant_tsc: bool,
    /// The local APIC timer has a TSC-deadline mode.
    pub tsc_deadline: bool,
}

static FEATURES: Once<Features> = Once::new();

/// The boot CPU's features (detected at the first call).
pub fn features() -> &'static Features {
    FEATURES.call_once(detect)
}

/// Family, model and stepping in a processor signature (Intel SDM 2A, CPUID leaf 1 EAX; AMD APM 3, E.3.2).
#[must_use]
pub const fn signature(eax: u32) -> (u32, u32, u32) {
    let (family, model) = (eax >> 8 & 0xf, eax >> 4 & 0xf);
    let family = if family == 0xf {
        family + (eax >> 20 & 0xff)
    } else {
        family
    };
    let extended = if family == 6 || family >= 0xf {
        eax >> 12 & 0xf0
    } else {
        0
    };
    (family, model | extended, eax & 0xf)
}

const fn bit(word: u32, n: u32) -> bool {
    word >> n & 1 != 0
}

fn detect() -> Features {
    let leaf0 = cpuid(0, 0);
    let extended0 = cpuid(0x8000_0000, 0);
    let basic = |n: u32| {
        if n <= leaf0.eax {
            cpuid(n, 0)
        } else {
            Cpuid::default()
        }
    };
    let extended = |n: u32| {
        if n <= extended0.eax {
            cpuid(n, 0)
        } else {
            Cpuid::default()
        }
    };
    let (l1, l5, l7) = (basic(1), basic(5), basic(7));
    let (e1, e7, e8) = (
        extended(0x8000_0001),
        extended(0x8000_0007),
        extended(0x8000_0008),
    );
    let xsave = bit(l1.ecx, 26);
    let (family, model, stepping) = signature(l1.eax);
    Features {
        vendor: match (leaf0.ebx, leaf0.edx, leaf0.ecx) {
            (0x756e_6547, 0x4965_6e69, 0x6c65_746e) => Vendor::Intel,
            (0x6874_7541, 0x6974_6e65, 0x444d_4163) | (0x6f67_7948, 0x6e65_476e, 0x656e_6975) => {
                Vendor::Amd
            }
            _ => Vendor::Other,
        },
        family,
        model,
        stepping,
        max_leaf: leaf0.eax,
        max_extended: extended0.eax,
        phys_bits: match e8.eax & 0xff {
            0 => 36,
            bits => bits.min(52),
        },
        gigabyte_pages: bit(e1.edx, 26),
        pcid: bit(l1.ecx, 17),
        invpcid: bit(l7.ebx, 10),
        smep: bit(l7.ebx, 7),
        smap: bit(l7.ebx, 20),
        fsgsbase: bit(l7.ebx, 0),
        xsave,
        xsaveopt: xsave && leaf0.eax >= 0xd && bit(cpuid(0xd, 1).eax, 0),
        mwait: bit(l1.ecx, 3),
        mwait_interrupt_break: bit(l5.ecx, 1),
        umip: bit(l7.ecx, 2),
        rdtscp: bit(e1.edx, 27),
        x2apic: bit(l1.ecx, 21),
        machine_check: bit(l1.edx, 14) && bit(l1.edx, 7),
        hypervised: bit(l1.ecx, 31),
        invariant_tsc: bit(e7.edx, 8),
        tsc_deadline: bit(l1.ecx, 24),
    }
}

#[cfg(test)]
mod tests {
    use super::signature;

    #[test]
    fn signatures() {
        assert_eq!(signature(0x0003_06c3), (6, 0x3c, 3)); // Haswell
        assert_eq!(signature(0x0009_0672), (6, 0x97, 2)); // Alder Lake
        assert_eq!(signature(0x0080_0f12), (0x17, 1, 2)); // Naples
        assert_eq!(signature(0x00a2_0f10), (0x19, 0x21, 0)); // Vermeer
        assert_eq!(signature(0x0000_0f4a), (0xf, 4, 10)); // Pentium 4
        assert_eq!(signature(0x0000_0543), (5, 4, 3)); // Pentium MMX
    }
}
