//! CPUID as a PV guest sees it: the host's leaves less what a PV guest may not use, and the hypervisor's leaves.
//! Feature sets: public arch-x86/cpufeatureset.h, annotation A ("all guests").

use arch::cpu::{Cpuid as Leaf, cpuid};
use arch::entry::TrapFrame;
use hypercall_abi::cpuid::{
    XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD, XEN_CPUID_FIRST_LEAF, XEN_CPUID_MAX_NUM_LEAVES,
    XEN_CPUID_SIGNATURE_EBX, XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX,
};

use crate::domain::{Context, Domain};

/// Features that a PV guest may have, by word of the public feature set.
mod pv_features {
    pub const L1_EDX: u32 = 0x1fc9_cbf5;
    pub const L1_ECX: u32 = 0xf6d8_3203;
    pub const E1_EDX: u32 = 0xea50_0800;
    pub const E1_ECX: u32 = 0x0421_09e3;
    pub const DA1_EAX: u32 = 0x7;
    pub const L7_EBX: u32 = 0xfdaf_0b29;
    pub const L7_ECX: u32 = 0x0240_5f43;
    pub const E7_EDX: u32 = 0;
    pub const E8_EBX: u32 = 0x6400_1005;
    /// Without ARCH_CAPS: there is no such register for guests.
    pub const L7_EDX: u32 = 0x8c00_441c;
    pub const L7S1_EAX: u32 = 0x1c30;
    /// Bits of leaf 1 EDX that AMD repeats in 0x80000001 EDX.
    pub const AMD_COMMON: u32 = 0x0183_f3ff;
}

/// The hypervisor's leaf about the time-stamp counter, the only one that differs from domain to domain.
const TSC_LEAF: u32 = 3;
const OSXSAVE: u32 = 1 << 27;
const XSAVE: u32 = 1 << 26;
const HYPERVISOR: u32 = 1 << 31;

/// The answer for a leaf and subleaf. `osxsave`: the guest's CR4.OSXSAVE; `kernel`: asked from guest kernel mode;
/// `vcpu`: its number, which becomes the APIC id.
pub fn leaf(number: u32, subleaf: u32, osxsave: bool, vcpu: u32) -> Leaf {
    if (XEN_CPUID_FIRST_LEAF..XEN_CPUID_FIRST_LEAF + 0x100).contains(&number) {
        return hypervisor_leaf(number - XEN_CPUID_FIRST_LEAF);
    }
    let mut l = cpuid(number, subleaf);
    match number {
        1 => {
            l.edx &= pv_features::L1_EDX;
            l.ecx &= pv_features::L1_ECX & !OSXSAVE;
            if osxsave && l.ecx & XSAVE != 0 {
                l.ecx |= OSXSAVE;
            }
            l.ecx |= HYPERVISOR;
            l.ebx = (l.ebx & 0x00ff_ffff) | ((vcpu * 2) << 24);
        }
        // Thermal, performance monitoring, topology of the host: not the guest's.
        5 | 6 | 0xa | 0xb | 0xf | 0x10 | 0x12 | 0x14 | 0x1b..=0x1f | 0x8000_000a | 0x8000_001e => {
            l = Leaf::default()
        }
        7 => match subleaf {
            0 => {
                l.eax = l.eax.min(1);
                l.ebx &= pv_features::L7_EBX;
                l.ecx &= pv_features::L7_ECX;
                l.edx &= pv_features::L7_EDX;
            }
            1 => {
                l = Leaf {
                    eax: l.eax & pv_features::L7S1_EAX,
                    ..Leaf::default()
                }
            }
            _ => l = Leaf::default(),
        },
        0xd if subleaf == 1 => {
            // Components that need supervisor state or that no PV guest gets are hidden by XCR0 checks.
            l = Leaf {
                eax: l.eax & pv_features::DA1_EAX,
                ..Leaf::default()
            }
        }
        0x8000_0001 => {
            let common = if l.edx & pv_features::AMD_COMMON != 0 {
                pv_features::AMD_COMMON & pv_features::L1_EDX
            } else {
                0
            };
            l.edx &= pv_features::E1_EDX | common;
            l.ecx &= pv_features::E1_ECX;
        }
        0x8000_0007 => {
            l = Leaf {
                edx: l.edx & pv_features::E7_EDX,
                ..Leaf::default()
            }
        }
        0x8000_0008 => {
            l = Leaf {
                eax: l.eax & 0xffff,
                ebx: l.ebx & pv_features::E8_EBX,
                ..Leaf::default()
            }
        }
        _ => {}
    }
    l
}

fn hypervisor_leaf(n: u32) -> Leaf {
    match n {
        0 => Leaf {
            eax: XEN_CPUID_FIRST_LEAF + XEN_CPUID_MAX_NUM_LEAVES,
            ebx: XEN_CPUID_SIGNATURE_EBX,
            ecx: XEN_CPUID_SIGNATURE_ECX,
            edx: XEN_CPUID_SIGNATURE_EDX,
        },
        // Version 4.17.
        1 => Leaf {
            eax: 4 << 16 | 17,
            ..Leaf::default()
        },
        2 => Leaf {
            eax: 1,
            ebx: 0x4000_0000,
            ecx: XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD,
            ..Leaf::default()
        },
        5 => Leaf {
            ebx: cpuid(0x8000_0008, 0).eax & 0xff,
            ..Leaf::default()
        },
        _ => Leaf::default(),
    }
}

/// The answer that a domain's vCPU gets: its own policy's, if the tools gave it one. Arguments as for [`leaf`].
pub fn of(domain: &Domain, number: u32, subleaf: u32, osxsave: bool, vcpu: u32) -> Leaf {
    if number == XEN_CPUID_FIRST_LEAF + TSC_LEAF {
        return domain.tsc.leaf(subleaf);
    }
    match &*domain.cpu_policy.read() {
        Some(policy) => policy.answer(number, subleaf, osxsave, vcpu),
        None => leaf(number, subleaf, osxsave, vcpu),
    }
}

/// CPUID for the calling guest.
pub fn execute(cx: &Context, frame: &mut TrapFrame) {
    // A guest kernel looks at OSXSAVE to learn whether the hypervisor enabled XSAVE for it, before it sets CR4 itself.
    let state = cx.vcpu.pv().state();
    let osxsave = state.kernel_mode || state.cr4 & 1 << 18 != 0;
    drop(state);
    let (number, subleaf) = (frame.rax as u32, frame.rcx as u32);
    let l = of(&cx.domain, number, subleaf, osxsave, cx.vcpu.id);
    frame.rax = l.eax.into();
    frame.rbx = l.ebx.into();
    frame.rcx = l.ecx.into();
    frame.rdx = l.edx.into();
}
