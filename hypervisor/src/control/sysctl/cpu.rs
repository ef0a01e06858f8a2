//! Features and power management of the host's CPUs.

use hypercall_abi::Errno;
use hypercall_abi::sysctl::*;

use crate::control::cpus;
use crate::control::policy::{self, Policy};
use crate::guest;

/// `XEN_SYSCTL_get_cpu_featureset`: the request with what was written, and `ENOBUFS` if there was more. Errors as
/// [`policy`].
pub(super) fn feature_set(
    mut op: SysctlCpuFeatureset,
) -> Result<(SysctlCpuFeatureset, Result<(), Errno>), Errno> {
    let words = policy::FEATURE_WORDS as u32;
    if op.features.is_null() {
        op.nr_features = words;
        return Ok((op, Ok(())));
    }
    let view = match CpuFeaturesetIndex(op.index) {
        CpuFeaturesetIndex::RAW | CpuFeaturesetIndex::HOST => Policy::Host,
        CpuFeaturesetIndex::PV | CpuFeaturesetIndex::PV_MAX => Policy::Pv,
        CpuFeaturesetIndex::HVM | CpuFeaturesetIndex::HVM_MAX => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    };
    op.nr_features = op.nr_features.min(words);
    for (i, word) in (0..op.nr_features).zip(view.features()) {
        guest::write(op.features, i.into(), &word)?;
    }
    let whole = if op.nr_features < words {
        Err(Errno::ENOBUFS)
    } else {
        Ok(())
    };
    Ok((op, whole))
}

/// `XEN_SYSCTL_get_cpu_policy`: leaves and MSRs, or without arrays how many there can be. `EINVAL` for an unknown policy,
/// `EOPNOTSUPP` for those of HVM guests, `ENOBUFS` for arrays that are too small.
pub(super) fn policy(mut op: SysctlCpuPolicy) -> Result<SysctlCpuPolicy, Errno> {
    if op._rsvd != 0 {
        return Err(Errno::EINVAL);
    }
    let view = match CpuPolicyIndex(op.index) {
        CpuPolicyIndex::RAW | CpuPolicyIndex::HOST => Policy::Host,
        CpuPolicyIndex::PV_MAX | CpuPolicyIndex::PV_DEFAULT => Policy::Pv,
        CpuPolicyIndex::HVM_MAX | CpuPolicyIndex::HVM_DEFAULT => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    };
    op.nr_leaves = if op.leaves.is_null() {
        policy::MAX_LEAVES
    } else {
        view.write_leaves(op.leaves, op.nr_leaves)?
    };
    op.nr_msrs = if op.msrs.is_null() {
        policy::MAX_MSRS
    } else {
        policy::write_msrs(op.msrs, op.nr_msrs)?
    };
    Ok(op)
}

/// Why `XEN_SYSCTL_get_pmstat` has nothing to tell: the hardware chooses P- and C-states by itself.
pub(super) fn power_statistics(op: &SysctlGetPmstat) -> Errno {
    if !cpus::is_online(op.cpuid) {
        return Errno::EINVAL;
    }
    match op.r#type & PMSTAT_CATEGORY_MASK {
        PMSTAT_PX | PMSTAT_CX => Errno::ENODEV,
        _ => Errno::ENOSYS,
    }
}

/// Why `XEN_SYSCTL_pm_op` changes nothing; see [`power_statistics`].
pub(super) fn power_management(op: &SysctlPmOp) -> Errno {
    if !cpus::is_online(op.cpuid) {
        return Errno::EINVAL;
    }
    match op.cmd & PM_PARA_CATEGORY_MASK {
        CPUFREQ_PARA => Errno::ENODEV,
        _ => Errno::EOPNOTSUPP,
    }
}
