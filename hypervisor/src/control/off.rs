//! Hypercalls of features that this hypervisor leaves out. Each answers as Xen 4.17 answers when it is built or
//! started without the feature, so that callers take the path they take there.

use hypercall_abi::Errno;

use crate::domain::Context;
use crate::fail::{Args, Return};

/// What a feature that is not built in answers: the number is as unknown as an unused one.
fn absent() -> Return {
    Err(Errno::ENOSYS.into())
}

/// Crash kernels (public/kexec.h): not built in.
pub fn do_kexec_op(_cx: &Context, _args: Args) -> Return {
    absent()
}

/// FLASK policies: the build has no XSM module, as Debian's has none.
pub fn do_xsm_op(_cx: &Context, _args: Args) -> Return {
    absent()
}

/// Profiling with passive and active domains (public/xenoprof.h): not built in.
pub fn do_xenoprof_op(_cx: &Context, _args: Args) -> Return {
    absent()
}

/// Performance counters of guests (public/pmu.h): there, but switched off, as Xen has it without the option `vpmu`.
pub fn do_xenpmu_op(_cx: &Context, _args: Args) -> Return {
    Err(Errno::EOPNOTSUPP.into())
}

/// The hypervisor's own file system (public/hypfs.h): not built in.
pub fn do_hypfs_op(_cx: &Context, _args: Args) -> Return {
    absent()
}

/// Messages between domains by copy (Argo): not built in, as in Debian's build.
pub fn do_argo_op(_cx: &Context, _args: Args) -> Return {
    absent()
}

/// Operations of and on HVM guests (public/hvm/hvm_op.h), of which there are none.
pub fn do_hvm_op(_cx: &Context, _args: Args) -> Return {
    absent()
}

/// Device models' operations on HVM guests (public/hvm/dm_op.h), of which there are none.
pub fn do_dm_op(_cx: &Context, _args: Args) -> Return {
    absent()
}

/// Transcendent memory: Xen removed it in 4.13.
pub fn do_tmem_op(_cx: &Context, _args: Args) -> Return {
    absent()
}
