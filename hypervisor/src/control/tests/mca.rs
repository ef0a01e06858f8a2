use hypercall_abi::mca::*;
use hypercall_abi::{Errno, GuestHandle};

use super::machine::*;
use crate::control::do_mca;
use crate::domain::Context;
use crate::fail::Args;

fn call(
    cx: &Context,
    cmd: McCmd,
    version: u32,
    fill: impl FnOnce(&mut McArgU),
) -> Result<u64, Errno> {
    let mut op = McArg {
        cmd,
        interface_version: version,
        ..McArg::default()
    };
    fill(&mut op.u);
    put(ARG, 0, &op);
    settled(do_mca(cx, Args([ARG, 0, 0, 0, 0, 0])))
}

const VERSION: u32 = XEN_MCA_INTERFACE_VERSION;

#[test]
fn there_is_never_an_event_to_fetch() {
    let m = Machine::new();
    let fetch = |flags, data| {
        move |u: &mut McArgU| {
            u.set_mc_fetch(McFetch {
                flags,
                data: GuestHandle::new(data),
                ..McFetch::default()
            })
        }
    };
    assert_eq!(
        call(&m.dom0, McCmd::FETCH, VERSION, fetch(XEN_MC_URGENT, ARRAY)),
        Ok(0)
    );
    let answer = get::<McArg>(ARG, 0).u.mc_fetch();
    assert_eq!((answer.flags, answer.fetch_id), (XEN_MC_NODATA, 0));
    assert_eq!(
        call(
            &m.dom0,
            McCmd::FETCH,
            VERSION,
            fetch(XEN_MC_NONURGENT | XEN_MC_ACK, 0)
        ),
        Ok(0)
    );
    for (flags, data) in [
        (0, ARRAY),
        (XEN_MC_URGENT | XEN_MC_NONURGENT, ARRAY),
        (XEN_MC_URGENT, 0),
    ] {
        let answer = call(&m.dom0, McCmd::FETCH, VERSION, fetch(flags, data));
        assert_eq!(answer, Err(Errno::EINVAL));
    }
}

#[test]
fn processors_are_described() {
    let m = Machine::new();
    let ask = |ncpus, info| {
        move |u: &mut McArgU| {
            u.set_mc_physcpuinfo(McPhyscpuinfo {
                ncpus,
                info: GuestHandle::new(info),
                ..McPhyscpuinfo::default()
            })
        }
    };
    assert_eq!(call(&m.dom0, McCmd::PHYSCPUINFO, VERSION, ask(0, 0)), Ok(0));
    assert_eq!(get::<McArg>(ARG, 0).u.mc_physcpuinfo().ncpus, 2);
    assert_eq!(
        call(&m.dom0, McCmd::PHYSCPUINFO, VERSION, ask(9, ARRAY)),
        Ok(0)
    );
    let second: McinfoLogicalCpu = get(ARRAY, 1);
    assert_eq!(
        (second.mc_cpunr, second.mc_apicid, second.mc_nmsrvals),
        (1, 2, 1)
    );
    // No more than there is room for.
    fill(ARRAY, 0x1000);
    assert_eq!(
        call(&m.dom0, McCmd::PHYSCPUINFO, VERSION, ask(1, ARRAY)),
        Ok(0)
    );
    assert_eq!(bytes(ARRAY + 304, 8), [DIRT; 8]);
    assert_eq!(
        call(&m.dom0, McCmd::PHYSCPUINFO, VERSION, ask(0, ARRAY)),
        Err(Errno::EINVAL)
    );
}

#[test]
fn refusals() {
    let m = Machine::new();
    let nothing = |_: &mut McArgU| {};
    assert_eq!(
        call(&m.dom1, McCmd::FETCH, VERSION, nothing),
        Err(Errno::EPERM)
    );
    assert_eq!(
        call(&m.dom0, McCmd::FETCH, VERSION - 1, nothing),
        Err(Errno::EACCES)
    );
    for cmd in [McCmd::MSRINJECT, McCmd::MCEINJECT, McCmd::INJECT_V2] {
        assert_eq!(call(&m.dom0, cmd, VERSION, nothing), Err(Errno::ENODEV));
    }
    for cmd in [McCmd::NOTIFYDOMAIN, McCmd(0), McCmd(99)] {
        assert_eq!(call(&m.dom0, cmd, VERSION, nothing), Err(Errno::EINVAL));
    }
    assert_eq!(
        settled(do_mca(&m.dom0, Args([END, 0, 0, 0, 0, 0]))),
        Err(Errno::EFAULT)
    );
}
