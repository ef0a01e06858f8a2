//! A domain's own CPU policy: what the tools gave it, within what a PV guest may have at all (Xen public/domctl.h,
//! set_cpu_policy; public/arch-x86/cpufeatureset.h). Whatever is asked for, a guest sees no feature that the PV view of the
//! host has not, and none without those it builds on.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use arch::cpu::{Cpuid, cpuid};
use hypercall_abi::Errno;
use hypercall_abi::arch_x86::{CpuidLeaf, MsrEntry};
use hypercall_abi::cpufeatureset::CpuFeature as F;

use super::policy::{
    CACHES, FEATURES, LAST_BASIC, LAST_EXTENDED, MAX_LEAVES, MAX_MSRS, MSRS, NO_SUBLEAF, STATES,
    TOPOLOGY,
};
use crate::pv::emulate::cpuid::leaf as pv_leaf;

/// Leaves with subleaves, and how many of those a policy has.
const INDEXED: [(u32, u32); 4] = [(4, CACHES), (7, FEATURES), (0xb, TOPOLOGY), (0xd, STATES)];
const EXTENDED: u32 = 0x8000_0000;
/// The first words of the hypervisor's leaf ranges, whose limits a policy may name.
const HYPERVISOR: [u32; 2] = [0x4000_0000, 0x4000_0100];
const OSXSAVE: u32 = 1 << 27;

/// Why a policy was not accepted: the errno, and what was at fault (all ones: nothing in particular).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The errno.
    pub errno: Errno,
    /// The leaf at fault.
    pub leaf: u32,
    /// Its subleaf.
    pub subleaf: u32,
    /// The MSR at fault.
    pub msr: u32,
}

impl Refused {
    fn leaf(errno: Errno, leaf: u32, subleaf: u32) -> Self {
        Self {
            errno,
            leaf,
            subleaf,
            msr: u32::MAX,
        }
    }

    fn msr(errno: Errno, msr: u32) -> Self {
        Self {
            msr,
            ..Self::leaf(errno, u32::MAX, u32::MAX)
        }
    }
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::leaf(errno, u32::MAX, u32::MAX)
    }
}

/// A domain's CPUID: every leaf that a policy has, by leaf and subleaf (0 where a leaf has none).
#[derive(Clone, Debug)]
pub struct DomainPolicy(BTreeMap<(u32, u32), Cpuid>);

/// Whether `feature` makes no sense without `needs`.
const DEPENDENCIES: &[(F, &[F])] = &[
    (F::FPU, &[F::MMX, F::FXSR, F::XSAVE]),
    (F::FXSR, &[F::SSE, F::FFXSR]),
    (F::MMX, &[F::MMXEXT, F::N3DNOW]),
    (F::N3DNOW, &[F::N3DNOWEXT]),
    (F::SSE, &[F::SSE2, F::MISALIGNSSE]),
    (
        F::SSE2,
        &[F::SSE3, F::LM, F::AESNI, F::PCLMULQDQ, F::SHA, F::GFNI],
    ),
    (F::SSE3, &[F::SSSE3, F::SSE4A]),
    (F::SSSE3, &[F::SSE4_1]),
    (F::SSE4_1, &[F::SSE4_2]),
    (F::SSE4_2, &[F::AVX]),
    (F::AESNI, &[F::VAES]),
    (F::PCLMULQDQ, &[F::VPCLMULQDQ]),
    (F::LM, &[F::CX16, F::LAHF_LM, F::PAGE1GB, F::PCID]),
    (
        F::XSAVE,
        &[
            F::XSAVEOPT,
            F::XSAVEC,
            F::XGETBV1,
            F::XSAVES,
            F::AVX,
            F::MPX,
            F::PKU,
            F::LWP,
        ],
    ),
    (
        F::AVX,
        &[
            F::FMA,
            F::FMA4,
            F::F16C,
            F::AVX2,
            F::XOP,
            F::VAES,
            F::VPCLMULQDQ,
        ],
    ),
    (F::AVX2, &[F::AVX512F, F::AVX_VNNI]),
    (
        F::AVX512F,
        &[
            F::AVX512DQ,
            F::AVX512_IFMA,
            F::AVX512PF,
            F::AVX512ER,
            F::AVX512CD,
            F::AVX512BW,
            F::AVX512VL,
            F::AVX512_4VNNIW,
            F::AVX512_4FMAPS,
            F::AVX512_VNNI,
            F::AVX512_VPOPCNTDQ,
            F::AVX512_VP2INTERSECT,
        ],
    ),
    (
        F::AVX512BW,
        &[
            F::AVX512_VBMI,
            F::AVX512_VBMI2,
            F::AVX512_BITALG,
            F::AVX512_BF16,
            F::AVX512_FP16,
        ],
    ),
    (F::PKU, &[F::OSPKE]),
];

/// Where a word of the feature set lies: leaf, subleaf, register (0 to 3: a to d).
const WORDS: [(u32, u32, usize); 19] = [
    (1, 0, 3),
    (1, 0, 2),
    (EXTENDED | 1, 0, 3),
    (EXTENDED | 1, 0, 2),
    (0xd, 1, 0),
    (7, 0, 1),
    (7, 0, 2),
    (EXTENDED | 7, 0, 3),
    (EXTENDED | 8, 0, 1),
    (7, 0, 3),
    (7, 1, 0),
    (EXTENDED | 0x21, 0, 0),
    (7, 1, 1),
    (7, 2, 3),
    (7, 1, 2),
    (7, 1, 3),
    (0x10a, 0, 0),
    (0x10a, 0, 3),
    (EXTENDED | 0x21, 0, 2),
];

fn register(l: &mut Cpuid, n: usize) -> &mut u32 {
    match n {
        0 => &mut l.eax,
        1 => &mut l.ebx,
        2 => &mut l.ecx,
        _ => &mut l.edx,
    }
}

/// The state components that a feature brings (SDM 1, 13.1).
const COMPONENTS: [(F, u64); 4] = [
    (F::AVX, 1 << 2),
    (F::MPX, 0b11 << 3),
    (F::AVX512F, 0b111 << 5),
    (F::PKU, 1 << 9),
];

fn subleaves(leaf: u32) -> Option<u32> {
    INDEXED.iter().find(|(l, _)| *l == leaf).map(|(_, n)| *n)
}

impl DomainPolicy {
    /// What every PV guest sees.
    fn pv() -> Self {
        let mut leaves = BTreeMap::new();
        let basic = 0..=LAST_BASIC;
        let extended = EXTENDED..=EXTENDED | LAST_EXTENDED;
        let (max, max_extended) = (cpuid(0, 0).eax, cpuid(EXTENDED, 0).eax);
        for leaf in basic.chain(extended) {
            let there = if leaf >= EXTENDED {
                leaf <= max_extended
            } else {
                leaf <= max
            };
            for sub in 0..subleaves(leaf).unwrap_or(1) {
                let l = if there {
                    pv_leaf(leaf, sub, false, 0)
                } else {
                    Cpuid::default()
                };
                leaves.insert((leaf, sub), l);
            }
        }
        Self(leaves)
    }

    /// The PV view, or `before`, with the tools' leaves and MSRs put over it. `E2BIG` for more than a policy has, `ERANGE`
    /// for a leaf or MSR that is none of a policy's, `EINVAL` for limits beyond the host's or values that the host has not.
    pub fn merged(
        before: Option<&Self>,
        leaves: &[CpuidLeaf],
        msrs: &[MsrEntry],
    ) -> Result<Self, Refused> {
        if leaves.len() > MAX_LEAVES as usize || msrs.len() > MAX_MSRS as usize {
            return Err(Errno::E2BIG.into());
        }
        let most = Self::pv();
        let mut policy = before.unwrap_or(&most).clone();
        for l in leaves {
            let out_of_range = Refused::leaf(Errno::ERANGE, l.leaf, l.subleaf);
            let sub = match subleaves(l.leaf) {
                Some(count) if l.subleaf < count => l.subleaf,
                None if l.subleaf == NO_SUBLEAF => 0,
                _ => return Err(out_of_range),
            };
            if HYPERVISOR.contains(&l.leaf) {
                // The hypervisor's own leaves are the same for all.
                continue;
            }
            *policy.0.get_mut(&(l.leaf, sub)).ok_or(out_of_range)? = Cpuid {
                eax: l.a,
                ebx: l.b,
                ecx: l.c,
                edx: l.d,
            };
        }
        for msr in msrs {
            if !MSRS.contains(&msr.idx) {
                return Err(Refused::msr(Errno::ERANGE, msr.idx));
            }
            // CPUID faulting and what else MSR_INTEL_PLATFORM_INFO would say is not offered; what is said about
            // MSR_ARCH_CAPABILITIES does not reach PV guests.
            if msr.flags != 0 || msr.idx == MSRS[0] && msr.val != 0 {
                return Err(Refused::msr(Errno::EINVAL, msr.idx));
            }
        }
        for (leaf, sub, named) in [(0, 0, NO_SUBLEAF), (7, 0, 0), (EXTENDED, 0, NO_SUBLEAF)] {
            if policy.stored(leaf, sub).eax > most.stored(leaf, sub).eax {
                return Err(Refused::leaf(Errno::EINVAL, leaf, named));
            }
        }
        policy.settle(&most);
        Ok(policy)
    }

    /// What the policy says about a leaf; zeroes for one that it has not.
    pub fn stored(&self, leaf: u32, subleaf: u32) -> Cpuid {
        let sub = if subleaves(leaf).is_some() {
            subleaf
        } else {
            0
        };
        self.0.get(&(leaf, sub)).copied().unwrap_or_default()
    }

    fn word(&self, word: usize) -> u32 {
        WORDS.get(word).map_or(0, |&(leaf, sub, n)| {
            *register(&mut self.stored(leaf, sub), n)
        })
    }

    /// Whether the domain has a feature.
    pub fn has(&self, feature: F) -> bool {
        self.word(feature.0 as usize / 32) & 1 << (feature.0 % 32) != 0
    }

    fn take(&mut self, feature: F) {
        let place = WORDS.get(feature.0 as usize / 32);
        if let Some(&(leaf, sub, n)) = place
            && let Some(l) = self.0.get_mut(&(leaf, sub))
        {
            *register(l, n) &= !(1 << (feature.0 % 32));
        }
    }

    /// Takes away what a PV guest may not have, and what makes no sense any more.
    fn settle(&mut self, most: &Self) {
        for (leaf, sub, n) in WORDS {
            let mut there = most.stored(leaf, sub);
            if let Some(l) = self.0.get_mut(&(leaf, sub)) {
                *register(l, n) &= *register(&mut there, n);
            }
        }
        // Dependents may be others' bases: until nothing changes.
        loop {
            let missing: Vec<F> = DEPENDENCIES
                .iter()
                .filter(|(base, _)| !self.has(*base))
                .flat_map(|(_, dependents)| dependents.iter().copied())
                .filter(|f| self.has(*f))
                .collect();
            if missing.is_empty() {
                break;
            }
            missing.into_iter().for_each(|f| self.take(f));
        }
        // The parts of feature leaves that are no features, leaves that the PV view hides, and all beyond the limits.
        let max = self.stored(0, 0).eax;
        let max_features = self.stored(7, 0).eax;
        let max_extended = self.stored(EXTENDED, 0).eax;
        for (&(leaf, sub), l) in &mut self.0 {
            let beyond = match leaf {
                EXTENDED.. => leaf > max_extended,
                7 => max < 7 || sub > max_features,
                _ => leaf > max,
            };
            let hidden = most.stored(leaf, sub) == Cpuid::default() && leaf != 4;
            if beyond || hidden {
                *l = Cpuid::default();
            }
        }
        self.states(most);
    }

    /// Leaf 0xd: the components of the features that are left.
    fn states(&mut self, most: &Self) {
        let host = most.stored(0xd, 0);
        let offered = u64::from(host.edx) << 32 | u64::from(host.eax);
        let mut states = 0;
        if self.has(F::XSAVE) && self.stored(0, 0).eax >= 0xd {
            states = COMPONENTS
                .iter()
                .filter(|(f, _)| self.has(*f))
                .fold(0b11, |states, (_, bits)| states | bits)
                & offered;
        }
        // The legacy region and the header, then the components' places.
        let mut size = if states == 0 { 0 } else { 576 };
        for sub in 2..STATES {
            let mut l = most.stored(0xd, sub);
            if states >> sub & 1 == 0 {
                l = Cpuid::default();
            }
            size = size.max(l.eax.saturating_add(l.ebx));
            self.0.insert((0xd, sub), l);
        }
        let first = Cpuid {
            eax: states as u32,
            ebx: size,
            ecx: size,
            edx: (states >> 32) as u32,
        };
        self.0.insert((0xd, 0), first);
        if states == 0 {
            self.0.insert((0xd, 1), Cpuid::default());
        }
    }

    /// CPUID as the domain's vCPU `vcpu` gets it; `osxsave`: its CR4.OSXSAVE.
    pub fn answer(&self, number: u32, subleaf: u32, osxsave: bool, vcpu: u32) -> Cpuid {
        let shared = pv_leaf(number, subleaf, osxsave, vcpu);
        if number & 0xffff_0000 == HYPERVISOR[0] {
            return shared;
        }
        let mut l = self.stored(number, subleaf);
        match number {
            1 => {
                // The APIC id is the vCPU's; OSXSAVE follows CR4.
                l.ebx = l.ebx & 0x00ff_ffff | shared.ebx & 0xff00_0000;
                l.ecx &= !OSXSAVE;
                if self.has(F::XSAVE) {
                    l.ecx |= shared.ecx & OSXSAVE;
                }
            }
            // The size for what is switched on now.
            0xd if subleaf == 0 && l.eax != 0 => l.ebx = shared.ebx.min(l.ecx),
            _ => {}
        }
        l
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::machine::haswell;

    fn leaf(leaf: u32, subleaf: u32, l: Cpuid) -> CpuidLeaf {
        CpuidLeaf {
            leaf,
            subleaf,
            a: l.eax,
            b: l.ebx,
            c: l.ecx,
            d: l.edx,
        }
    }

    #[test]
    fn nothing_is_gained_by_asking() {
        haswell();
        let most = DomainPolicy::pv();
        let ones = Cpuid {
            eax: u32::MAX,
            ebx: u32::MAX,
            ecx: u32::MAX,
            edx: u32::MAX,
        };
        let seven = Cpuid {
            eax: most.stored(7, 0).eax,
            ..ones
        };
        let all = [
            leaf(1, NO_SUBLEAF, ones),
            leaf(7, 0, seven),
            leaf(7, 1, ones),
            leaf(0xd, 1, ones),
            leaf(EXTENDED | 1, NO_SUBLEAF, ones),
            leaf(EXTENDED | 7, NO_SUBLEAF, ones),
            leaf(EXTENDED | 8, NO_SUBLEAF, ones),
        ];
        let policy = DomainPolicy::merged(None, &all, &[]).expect("clamped");
        for word in 0..WORDS.len() {
            let extra = policy.word(word) & !most.word(word);
            assert_eq!(extra, 0, "word {word}: {extra:#x}");
        }
        for vcpu in 0..3 {
            for number in (0..0x20).chain(EXTENDED..EXTENDED + 0x30) {
                for sub in 0..4 {
                    let l = policy.answer(number, sub, true, vcpu);
                    if let Some(features) = [(1, 0), (7, 0), (7, 1)]
                        .contains(&(number, sub))
                        .then(|| pv_leaf(number, sub, true, vcpu))
                    {
                        assert_eq!(l.ecx & !features.ecx, 0, "{number:#x} {sub}");
                        assert_eq!(l.edx & !features.edx, 0, "{number:#x} {sub}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_builds_on_a_missing_feature_goes_with_it() {
        haswell();
        let most = DomainPolicy::pv();
        let mut one = most.stored(1, 0);
        one.ecx &= !(1 << (F::XSAVE.0 % 32));
        let policy = DomainPolicy::merged(None, &[leaf(1, NO_SUBLEAF, one)], &[]).expect("less");
        for f in [
            F::XSAVE,
            F::AVX,
            F::AVX2,
            F::FMA,
            F::AVX512F,
            F::XSAVEOPT,
            F::PKU,
        ] {
            assert!(!policy.has(f), "{f:?}");
        }
        assert_eq!(policy.stored(0xd, 0), Cpuid::default());
        assert_eq!(policy.answer(1, 0, true, 0).ecx & OSXSAVE, 0);
        assert!(policy.has(F::SSE2) && most.has(F::AVX2) && most.has(F::FMA));
        assert_eq!(most.stored(0xd, 2).ebx, 576);
    }

    #[test]
    fn leaves_out_of_range_are_named() {
        haswell();
        let refuse =
            |leaves: &[CpuidLeaf]| DomainPolicy::merged(None, leaves, &[]).expect_err("bad");
        let none = Cpuid::default();
        for (number, sub) in [
            (0xe, NO_SUBLEAF),
            (1, 0),
            (4, CACHES),
            (7, FEATURES),
            (0xd, STATES),
            (EXTENDED | 0x22, NO_SUBLEAF),
            (0x4000_0001, NO_SUBLEAF),
            (0x4000_0000, 0),
        ] {
            let refused = refuse(&[leaf(number, sub, none)]);
            assert_eq!(refused, Refused::leaf(Errno::ERANGE, number, sub));
        }
        let too_many = alloc::vec![leaf(1, NO_SUBLEAF, none); MAX_LEAVES as usize + 1];
        assert_eq!(refuse(&too_many).errno, Errno::E2BIG);
        let most = DomainPolicy::pv();
        let mut zero = most.stored(0, 0);
        zero.eax += 1;
        let refused = refuse(&[leaf(0, NO_SUBLEAF, zero)]);
        assert_eq!(refused, Refused::leaf(Errno::EINVAL, 0, NO_SUBLEAF));
        let mut extended = most.stored(EXTENDED, 0);
        extended.eax += 1;
        let refused = refuse(&[leaf(EXTENDED, NO_SUBLEAF, extended)]);
        assert_eq!(refused, Refused::leaf(Errno::EINVAL, EXTENDED, NO_SUBLEAF));
    }

    #[test]
    fn msrs_are_checked() {
        haswell();
        let set = |idx, flags, val| {
            let msr = MsrEntry { idx, flags, val };
            DomainPolicy::merged(None, &[], &[msr]).err()
        };
        assert_eq!(set(0xce, 0, 0), None);
        assert_eq!(set(0x10a, 0, 7), None);
        assert_eq!(set(0xce, 0, 1), Some(Refused::msr(Errno::EINVAL, 0xce)));
        assert_eq!(set(0xce, 1, 0), Some(Refused::msr(Errno::EINVAL, 0xce)));
        assert_eq!(set(0x10, 0, 0), Some(Refused::msr(Errno::ERANGE, 0x10)));
    }
}
