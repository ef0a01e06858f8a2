use hypercall_abi::Errno;
use hypercall_abi::xen::Hypercall;

use super::machine::*;
use crate::fail::Args;
use crate::hypercall::dispatch;

#[test]
fn features_that_are_off_answer_as_xen_without_them() {
    let m = Machine::new();
    for (number, errno) in [
        (Hypercall::KEXEC_OP, Errno::ENOSYS),
        (Hypercall::XSM_OP, Errno::ENOSYS),
        (Hypercall::XENOPROF_OP, Errno::ENOSYS),
        (Hypercall::XENPMU_OP, Errno::EOPNOTSUPP),
        (Hypercall::HYPFS_OP, Errno::ENOSYS),
        (Hypercall::ARGO_OP, Errno::ENOSYS),
        (Hypercall::HVM_OP, Errno::ENOSYS),
        (Hypercall::DM_OP, Errno::ENOSYS),
        (Hypercall::TMEM_OP, Errno::ENOSYS),
    ] {
        for cx in [&m.dom0, &m.dom1] {
            let answer = settled(dispatch(cx, number.0.into(), Args::default()));
            assert_eq!(answer, Err(errno), "{number:?}");
        }
    }
}
