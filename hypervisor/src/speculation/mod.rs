//! Speculative execution: which of a processor's flaws concern a hypervisor of PV guests, what is done about each, and what
//! remains. Decided once, by [`plan`], from what CPUID and IA32_ARCH_CAPABILITIES say; sources: Intel "Software
//! Security Guidance", AMD "Software techniques for managing speculation" and bulletins AMD-SB-1037, AMD-SB-7005.
//!
//! Guests run in ring 3 and their kernels keep their own users apart, with what [`crate::pv::emulate`] offers them of the
//! same registers; here the hypervisor and other guests are protected.

mod option;
#[cfg(test)]
mod tests;

use alloc::string::String;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arch::cpu::speculation::{self, control};
use arch::cpu::{Vendor, cpuid, features};
use bitflags::bitflags;

pub use option::{Item, Wishes};

/// What is known of a processor, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Who made it.
    pub vendor: Vendor,
    /// Family, extended part included.
    pub family: u32,
    /// Model, extended part included.
    pub model: u32,
    /// CPUID 7.0 EBX.
    pub seven_ebx: u32,
    /// CPUID 7.0 EDX.
    pub seven_edx: u32,
    /// CPUID 7.2 EDX.
    pub seven2_edx: u32,
    /// CPUID 0x80000008 EBX.
    pub extended8_ebx: u32,
    /// CPUID 0x80000021 EAX.
    pub extended21_eax: u32,
    /// IA32_ARCH_CAPABILITIES; 0 if it is not there.
    pub capabilities: u64,
    /// Supervisor-mode execution prevention is on.
    pub smep: bool,
}

/// Bits of IA32_ARCH_CAPABILITIES.
mod capability {
    pub const RDCL_NO: u64 = 1 << 0;
    pub const IBRS_ALL: u64 = 1 << 1;
    pub const MDS_NO: u64 = 1 << 5;
    pub const TAA_NO: u64 = 1 << 8;
    /// Sideband reads, fill-buffer and primary stale data propagators: none of them.
    pub const MMIO_NO: u64 = 0b111 << 13;
    pub const FB_CLEAR: u64 = 1 << 17;
    pub const BHI_NO: u64 = 1 << 20;
    pub const RFDS_CLEAR: u64 = 1 << 28;
}

/// Bits of CPUID.
mod feature {
    /// 7.0 EBX.
    pub const RTM: u32 = 1 << 11;
    /// 7.0 EDX.
    pub const MD_CLEAR: u32 = 1 << 10;
    pub const IBRSB: u32 = 1 << 26;
    pub const STIBP: u32 = 1 << 27;
    pub const ARCH_CAPS: u32 = 1 << 29;
    pub const SSBD: u32 = 1 << 31;
    /// 7.2 EDX.
    pub const BHI_CTRL: u32 = 1 << 4;
    /// 0x80000008 EBX.
    pub const IBPB: u32 = 1 << 12;
    pub const AMD_IBRS: u32 = 1 << 14;
    pub const IBRS_ALWAYS: u32 = 1 << 16;
    pub const BTC_NO: u32 = 1 << 29;
    /// 0x80000021 EAX.
    pub const AUTO_IBRS: u32 = 1 << 8;
    pub const SRSO_NO: u32 = 1 << 29;
}

bitflags! {
    /// Flaws that something of a guest's could use against the hypervisor or another guest.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flaws: u32 {
        /// Ring 3 reads what only ring 0 may (CVE-2017-5754): would take XPTI.
        const MELTDOWN = 1 << 0;
        /// An entry that is not present still names an address in the L1 cache (CVE-2018-3620).
        const L1TF = 1 << 1;
        /// Buffers of the core show what others loaded and stored (CVE-2018-12126 and its kin).
        const STALE_DATA = 1 << 2;
        /// Indirect branches are predicted from what a guest did (CVE-2017-5715).
        const SPECTRE_V2 = 1 << 3;
        /// Another guest's or the guest's own calls are returned from, without SMEP.
        const RETURN_STACK = 1 << 4;
        /// Returns are predicted as other branches are (CVE-2022-29900).
        const RETBLEED = 1 << 5;
        /// Returns are predicted from what a guest planted (CVE-2023-20569).
        const SRSO = 1 << 6;
    }
}

/// What keeps the supervisor's indirect branches apart from the guests'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ibrs {
    /// Nothing.
    #[default]
    None,
    /// SPEC_CTRL.IBRS, set once: the processor does the rest (enhanced, or always on).
    Enhanced,
    /// EFER.AutoIBRS.
    Automatic,
}

/// What is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// For the hypervisor's indirect branches.
    pub ibrs: Ibrs,
    /// What SPEC_CTRL always has; `None`: there is no such register, or it is left alone.
    pub control: Option<u64>,
    /// Prediction barrier between vCPUs of different domains.
    pub barrier: bool,
    /// Return predictions are overwritten there.
    pub return_stack: bool,
    /// Buffers are cleared on every way out to a guest.
    pub clear_buffers: bool,
    /// Bits of SPEC_CTRL that guests may set.
    pub guest_control: u64,
    /// What is not defended against.
    pub open: Flaws,
}

/// In-order Atoms: nothing is speculated.
const IN_ORDER: [u32; 6] = [0x1c, 0x26, 0x27, 0x35, 0x36, 0x4e00];
/// Atoms and Xeon Phis without L1TF.
const NO_L1TF: [u32; 10] = [0x37, 0x4a, 0x4c, 0x4d, 0x57, 0x5a, 0x5c, 0x5f, 0x7a, 0x85];
/// Atoms without MDS.
const NO_MDS: [u32; 3] = [0x5c, 0x5f, 0x7a];

impl Processor {
    /// This one.
    pub fn detect() -> Self {
        let f = features();
        let leaf = |n, sub| {
            let max = if n >= 0x8000_0000 {
                f.max_extended
            } else {
                f.max_leaf
            };
            if n <= max {
                cpuid(n, sub)
            } else {
                Default::default()
            }
        };
        let seven = leaf(7, 0);
        let second = if seven.eax >= 2 {
            leaf(7, 2)
        } else {
            Default::default()
        };
        let capabilities = if seven.edx & feature::ARCH_CAPS != 0 {
            arch::cpu::msr::try_read(0x10a).unwrap_or(0)
        } else {
            0
        };
        Self {
            vendor: f.vendor,
            family: f.family,
            model: f.model,
            seven_ebx: seven.ebx,
            seven_edx: seven.edx,
            seven2_edx: second.edx,
            extended8_ebx: leaf(0x8000_0008, 0).ebx,
            extended21_eax: leaf(0x8000_0021, 0).eax,
            capabilities,
            smep: f.smep,
        }
    }

    const fn can(&self, capability: u64) -> bool {
        self.capabilities & capability == capability
    }

    /// Whether one of a list of Intel's.
    fn is_one_of(&self, models: &[u32]) -> bool {
        self.vendor == Vendor::Intel && self.family == 6 && models.contains(&self.model)
    }

    /// What it has, before anything is done. Makers that are not known are taken for affected.
    fn flaws(&self) -> Flaws {
        let mut flaws = Flaws::empty();
        let amd = self.vendor == Vendor::Amd;
        let speculates = !self.is_one_of(&IN_ORDER) && (amd || self.family >= 6);
        if !speculates {
            return flaws;
        }
        let loads = !amd && !self.can(capability::RDCL_NO);
        flaws.set(Flaws::MELTDOWN, loads);
        flaws.set(Flaws::L1TF, loads && !self.is_one_of(&NO_L1TF));
        let mds = !amd && !self.can(capability::MDS_NO) && !self.is_one_of(&NO_MDS);
        let taa = !amd && self.seven_ebx & feature::RTM != 0 && !self.can(capability::TAA_NO);
        let mmio = self.can(capability::FB_CLEAR) && !self.can(capability::MMIO_NO);
        let rfds = self.can(capability::RFDS_CLEAR);
        flaws.set(Flaws::STALE_DATA, mds || taa || mmio || rfds);
        flaws.insert(Flaws::SPECTRE_V2);
        flaws.set(Flaws::RETURN_STACK, !self.smep);
        let zen_like = amd && (0x15..=0x19).contains(&self.family);
        flaws.set(
            Flaws::RETBLEED,
            zen_like && self.family <= 0x18 && self.extended8_ebx & feature::BTC_NO == 0,
        );
        flaws.set(
            Flaws::SRSO,
            zen_like && self.family >= 0x17 && self.extended21_eax & feature::SRSO_NO == 0,
        );
        flaws
    }
}

/// What to do on a processor, as far as the command line lets it.
pub fn plan(cpu: &Processor, wishes: &Wishes) -> Plan {
    let mut open = cpu.flaws();
    let intel = |bit: u32| cpu.seven_edx & bit != 0;
    let amd = |bit: u32| cpu.extended8_ebx & bit != 0;
    let mut plan = Plan::default();

    let enhanced = intel(feature::IBRSB) && cpu.can(capability::IBRS_ALL)
        || amd(feature::AMD_IBRS) && amd(feature::IBRS_ALWAYS);
    if wishes.ibrs && open.contains(Flaws::SPECTRE_V2) {
        if cpu.extended21_eax & feature::AUTO_IBRS != 0 {
            plan.ibrs = Ibrs::Automatic;
        } else if enhanced {
            plan.ibrs = Ibrs::Enhanced;
        }
    }
    open.set(
        Flaws::SPECTRE_V2,
        open.contains(Flaws::SPECTRE_V2) && plan.ibrs == Ibrs::None,
    );

    // The register is the guests' as far as their CPUID says so (`pv::emulate`), and the hypervisor's own bits are added.
    for (there, bit) in [
        (intel(feature::IBRSB), control::IBRS),
        (intel(feature::STIBP), control::STIBP),
        (intel(feature::SSBD), control::SSBD),
    ] {
        if there {
            plan.guest_control |= bit;
        }
    }
    if plan.guest_control != 0 || plan.ibrs == Ibrs::Enhanced {
        let mut base = 0;
        if plan.ibrs == Ibrs::Enhanced {
            base |= control::IBRS;
            if cpu.seven2_edx & feature::BHI_CTRL != 0 && !cpu.can(capability::BHI_NO) {
                base |= control::BHI_DIS_S;
            }
        }
        plan.control = Some(base);
    }

    plan.barrier = wishes.barrier && (intel(feature::IBRSB) || amd(feature::IBPB));
    plan.return_stack = wishes.return_stack && plan.barrier;

    let clears = intel(feature::MD_CLEAR)
        || cpu.can(capability::FB_CLEAR)
        || cpu.can(capability::RFDS_CLEAR);
    plan.clear_buffers = wishes
        .clear_buffers
        .unwrap_or(clears && open.contains(Flaws::STALE_DATA));
    if plan.clear_buffers && clears {
        open.remove(Flaws::STALE_DATA);
    }
    plan.open = open;
    plan
}

impl Plan {
    /// The line of the boot log.
    pub fn line(&self) -> String {
        let done = [
            (self.ibrs == Ibrs::Enhanced, "IBRS"),
            (self.ibrs == Ibrs::Automatic, "automatic IBRS"),
            (
                self.control.is_some_and(|c| c & control::BHI_DIS_S != 0),
                "BHI_DIS_S",
            ),
            (self.barrier, "IBPB between domains"),
            (self.return_stack, "RSB overwritten with it"),
            (self.clear_buffers, "VERW on exit to guests"),
            (true, "indices clamped"),
        ];
        let open = [
            (Flaws::MELTDOWN, "Meltdown (no XPTI)"),
            (Flaws::L1TF, "L1TF"),
            (Flaws::STALE_DATA, "MDS"),
            (Flaws::SPECTRE_V2, "Spectre v2"),
            (Flaws::RETURN_STACK, "RSB without SMEP"),
            (Flaws::RETBLEED, "Retbleed"),
            (Flaws::SRSO, "SRSO"),
        ];
        let mut line = String::from("speculation: ");
        list(&mut line, done.into_iter());
        line.push_str("; not defended against: ");
        let flaws = open.map(|(flaw, name)| (self.open.contains(flaw), name));
        if self.open.is_empty() {
            line.push_str("nothing known");
        }
        list(&mut line, flaws.into_iter());
        line
    }
}

fn list(line: &mut String, items: impl Iterator<Item = (bool, &'static str)>) {
    for (n, (_, name)) in items.filter(|(is, _)| *is).enumerate() {
        if n > 0 {
            line.push_str(", ");
        }
        line.push_str(name);
    }
}

static BARRIER: AtomicBool = AtomicBool::new(false);
static RETURN_STACK: AtomicBool = AtomicBool::new(false);
static GUEST_CONTROL: AtomicU64 = AtomicU64::new(0);

/// Decides for this machine and says so. On the boot CPU, while the text is still writable and before other CPUs run;
/// [`arch::cpu::speculation::init`] follows on each.
pub fn start(wishes: &Wishes) {
    let plan = plan(&Processor::detect(), wishes);
    log::info!("{}", plan.line());
    apply(&plan);
}

/// Does what a plan says, as [`start`] wants it done.
pub fn apply(plan: &Plan) {
    BARRIER.store(plan.barrier, Ordering::Relaxed);
    RETURN_STACK.store(plan.return_stack, Ordering::Relaxed);
    GUEST_CONTROL.store(plan.guest_control, Ordering::Relaxed);
    if let Some(base) = plan.control {
        speculation::use_control(base);
    }
    if plan.ibrs == Ibrs::Automatic {
        speculation::use_automatic_ibrs();
    }
    if plan.clear_buffers {
        arch::entry::clear_buffers_on_exit();
    }
    speculation::init();
}

/// Another domain than before is about to run on this CPU.
#[inline]
pub fn between_domains() {
    if BARRIER.load(Ordering::Relaxed) {
        speculation::prediction_barrier();
        if RETURN_STACK.load(Ordering::Relaxed) {
            speculation::overwrite_return_stack();
        }
    }
}

/// Bits of SPEC_CTRL that guests may set on this machine, where their CPUID policy says so.
pub fn guest_control() -> u64 {
    GUEST_CONTROL.load(Ordering::Relaxed)
}
