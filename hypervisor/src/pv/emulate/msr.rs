//! MSRs as a PV guest sees them. What is not listed does not exist for it (#GP), XSA-333.

use crate::domain::{Context, Domain};
use crate::pv::canonical;

/// MSR numbers (AMD APM 2, appendix A; Intel SDM 4).
mod number {
    pub const TSC: u32 = 0x10;
    pub const PLATFORM_ID: u32 = 0x17;
    pub const SPEC_CTRL: u32 = 0x48;
    pub const PRED_CMD: u32 = 0x49;
    pub const APIC_BASE: u32 = 0x1b;
    pub const UCODE_WRITE: u32 = 0x79;
    pub const UCODE_REV: u32 = 0x8b;
    pub const SYSENTER_CS: u32 = 0x174;
    pub const SYSENTER_EIP: u32 = 0x176;
    pub const MCG_CAP: u32 = 0x179;
    pub const MCG_STATUS: u32 = 0x17a;
    pub const MISC_ENABLE: u32 = 0x1a0;
    pub const PAT: u32 = 0x277;
    /// First of four registers of each machine-check bank: control, status, address, misc.
    pub const MC0_CTL: u32 = 0x400;
    pub const MC_LAST: u32 = MC0_CTL + 4 * super::MACHINE_CHECK_BANKS - 1;
    pub const EFER: u32 = 0xc000_0080;
    pub const FS_BASE: u32 = 0xc000_0100;
    pub const GS_BASE: u32 = 0xc000_0101;
    pub const SHADOW_GS_BASE: u32 = 0xc000_0102;
    pub use super::TSC_AUX;
    pub const SYSCFG: u32 = 0xc001_0010;
    pub const HWCR: u32 = 0xc001_0015;
    pub const TOP_MEM: u32 = 0xc001_001a;
    pub const TOP_MEM2: u32 = 0xc001_001d;
    pub const NB_CFG: u32 = 0xc001_001f;
    pub const FAM10H_MMIO_CONF: u32 = 0xc001_0058;
    pub const PSTATE_LIMIT: u32 = 0xc001_0061;
    pub const PSTATE_LAST: u32 = 0xc001_006b;
    pub const PATCH_LEVEL: u32 = 0x8b;
    pub const XEN_HYPERCALL_PAGE: u32 = 0x4000_0000;
}

/// IA32_TSC_AUX: what RDTSCP and RDPID show.
pub const TSC_AUX: u32 = 0xc000_0103;
/// The PAT that Oxen programs (public: PV guests rely on it): WB, WT, UC-, UC, WC, WP, UC, UC.
pub const PAT_VALUE: u64 = 0x0000_0501_0007_0406;
/// EFER as a PV guest sees it: SCE, LME, LMA, NX.
const EFER_VIEW: u64 = 0xd01;

/// Machine-check banks that a guest sees: two, always empty. Real ones are the hypervisor's (as under Xen's vMCE).
const MACHINE_CHECK_BANKS: u32 = 2;

/// RDMSR. `None`: #GP.
pub fn read(cx: &Context, msr: u32) -> Option<u64> {
    Some(match msr {
        number::TSC => cx.vcpu.tsc.read(),
        number::FS_BASE => arch::cpu::msr::try_read(msr).ok()?,
        number::GS_BASE | number::SHADOW_GS_BASE => arch::cpu::msr::try_read(msr).ok()?,
        number::EFER => EFER_VIEW,
        number::PAT => PAT_VALUE,
        number::APIC_BASE => {
            // Enabled at the usual place; only the first vCPU looks like a boot processor.
            0xfee0_0800 | if cx.vcpu.id == 0 { 0x100 } else { 0 }
        }
        number::PATCH_LEVEL | number::PLATFORM_ID if cx.domain.privileged => {
            arch::cpu::msr::try_read(msr).unwrap_or(0)
        }
        number::PATCH_LEVEL | number::PLATFORM_ID => 0,
        number::MISC_ENABLE => arch::cpu::msr::try_read(msr).ok()?,
        number::MCG_CAP => MACHINE_CHECK_BANKS.into(),
        number::MCG_STATUS => 0,
        number::MC0_CTL..=number::MC_LAST => {
            if (msr - number::MC0_CTL).is_multiple_of(4) {
                u64::MAX
            } else {
                0
            }
        }
        number::SYSENTER_CS..=number::SYSENTER_EIP => 0,
        number::SPEC_CTRL if speculation_control(cx) != 0 => {
            cx.vcpu.pv().state().speculation_control
        }
        number::TSC_AUX if has_tsc_aux(&cx.domain, cx.vcpu.id) => {
            cx.vcpu.pv().state().tsc_aux.into()
        }
        number::SYSCFG
        | number::HWCR
        | number::TOP_MEM
        | number::TOP_MEM2
        | number::NB_CFG
        | number::FAM10H_MMIO_CONF
        | number::PSTATE_LIMIT..=number::PSTATE_LAST
            if cx.domain.privileged =>
        {
            arch::cpu::msr::try_read(msr).ok()?
        }
        _ => return None,
    })
}

/// WRMSR. `None`: #GP.
pub fn write(cx: &Context, msr: u32, value: u64) -> Option<()> {
    match msr {
        number::FS_BASE if canonical(value) => arch::guest_cpu::set_fs_base(value),
        number::GS_BASE if canonical(value) => arch::guest_cpu::set_gs_base(value),
        number::SHADOW_GS_BASE if canonical(value) => arch::guest_cpu::set_shadow_gs_base(value),
        // Writes of what is there already change nothing.
        number::EFER if value & !EFER_VIEW == 0 => {}
        number::PAT if value == PAT_VALUE => {}
        number::MISC_ENABLE | number::APIC_BASE if read(cx, msr) == Some(value) => {}
        // Loading microcode is the hypervisor's business (platform_op); a trigger by wrmsr has no effect.
        number::UCODE_WRITE | number::UCODE_REV if cx.domain.privileged => {}
        number::SYSENTER_CS..=number::SYSENTER_EIP => {}
        number::TSC_AUX if has_tsc_aux(&cx.domain, cx.vcpu.id) => {
            let value = u32::try_from(value).ok()?;
            cx.vcpu.pv().state().tsc_aux = value;
            arch::percpu::set_tsc_aux(value);
        }
        number::SPEC_CTRL
            if speculation_control(cx) != 0 && value & !speculation_control(cx) == 0 =>
        {
            cx.vcpu.pv().state().speculation_control = value;
            arch::cpu::speculation::set_guest_control(value);
        }
        number::PRED_CMD if value <= 1 && has_prediction_barrier(cx) => {
            if value == 1 {
                arch::cpu::speculation::prediction_barrier();
            }
        }
        // Clearing what is clear; control bits of empty banks.
        number::MCG_STATUS | number::MC0_CTL..=number::MC_LAST => {}
        number::XEN_HYPERCALL_PAGE => return write_hypercall_page(cx, value),
        _ => {
            log::debug!(
                "d{}v{}: wrmsr({msr:#x}, {value:#x}) refused",
                cx.domain.id.0,
                cx.vcpu.id
            );
            return None;
        }
    }
    Some(())
}

/// CPUID 7.0 EDX: IBRS and IBPB, STIBP, SSBD.
const IBRSB: u32 = 1 << 26;
const STIBP: u32 = 1 << 27;
const SSBD: u32 = 1 << 31;
/// CPUID 0x80000008 EBX.
const IBPB: u32 = 1 << 12;

/// The bits of SPEC_CTRL that the caller's CPUID shows and that the machine has; 0: the register is not there.
fn speculation_control(cx: &Context) -> u64 {
    use arch::cpu::speculation::control;
    let edx = super::cpuid::of(&cx.domain, 7, 0, false, cx.vcpu.id).edx;
    let mut bits = 0;
    for (feature, bit) in [
        (IBRSB, control::IBRS),
        (STIBP, control::STIBP),
        (SSBD, control::SSBD),
    ] {
        if edx & feature != 0 {
            bits |= bit;
        }
    }
    bits & crate::speculation::guest_control()
}

/// Whether the caller's CPUID shows PRED_CMD.
fn has_prediction_barrier(cx: &Context) -> bool {
    let leaf = |number| super::cpuid::of(&cx.domain, number, 0, false, cx.vcpu.id);
    leaf(7).edx & IBRSB != 0 || leaf(0x8000_0008).ebx & IBPB != 0
}

/// Whether a vCPU sees an instruction that shows TSC_AUX: RDTSCP or RDPID.
pub fn has_tsc_aux(domain: &Domain, vcpu: u32) -> bool {
    let leaf = |number| super::cpuid::of(domain, number, 0, false, vcpu);
    leaf(0x8000_0001).edx & 1 << 27 != 0 || leaf(7).ecx & 1 << 22 != 0
}

/// The guest names a frame of its own for the hypercall stubs (public arch-x86/cpuid.h).
fn write_hypercall_page(cx: &Context, value: u64) -> Option<()> {
    use crate::mm::{self, PageType};
    if value & 0xfff != 0 {
        return None;
    }
    let mfn = arch::addr::PhysAddr::new(value).mfn();
    let page = mm::get_page_and_type(mfn, &cx.domain, PageType::Writable).ok()?;
    let mut stubs = alloc::boxed::Box::new([0u8; 4096]);
    crate::pv::hypercall_page(&mut stubs);
    page.frame().write(0, &stubs[..]);
    Some(())
}
