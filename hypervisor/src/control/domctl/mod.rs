//! domctl: domains, for the tools. Xen public/domctl.h.

mod debugger;
mod life;
mod memory;
mod policy;
mod rights;
mod sched;
mod state;
mod tsc;
mod vcpu;
mod vnuma;

pub use state::Told;
pub use vnuma::Vnuma;
pub(crate) use vnuma::read as read_vnuma;

use alloc::sync::Arc;

use hypercall_abi::domctl::*;
use hypercall_abi::versions::{Request, stable};
use hypercall_abi::xen::Hypercall;
use hypercall_abi::{Errno, GuestHandle};

use crate::control::{domain_info, versions};
use crate::domain::create::create;
use crate::domain::{Context, Domain, DomainId, Vcpu};
use crate::event_channel;
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::host::host;
use crate::xsm;

/// `HYPERVISOR_domctl(op)`. `EFAULT` for a bad `op`, `EPERM` if the caller is not privileged, `EACCES` for an interface
/// version that is not spoken here, `ESRCH` for a domain that is not there, `ENOSYS` for unknown commands.
pub fn do_domctl(cx: &Context, args: Args) -> Return {
    let from = GuestHandle::<Domctl>::new(args.0[0]);
    let mut op = guest::read(from, 0)?;
    xsm::check(&cx.domain, Hypercall::DOMCTL, op.cmd.0, None)?;
    if op.cmd == stable::GET_DOMAIN_STATE && op.interface_version.0 == stable::VERSION {
        (op.domain.0, op.u) = state::get(cx, op.domain.0, &op.u)?;
        guest::write(from, 0, &op)?;
        return Ok(0);
    }
    let version = versions::domctl(op.interface_version)?;
    let asked = op.u;
    match version.request(op.cmd, &asked)? {
        Request::Ask(u) => op.u = u,
        Request::Nothing => {
            host().domains.get(DomainId(op.domain.0))?;
            return Ok(0);
        }
    }
    let reply = match op.cmd {
        DomctlCmd::CREATEDOMAIN => {
            let domain = create(op.domain.0, &op.u.createdomain())?;
            op.domain.0 = domain.id.0;
            true
        }
        DomctlCmd::GETDOMAININFO => {
            let domain = first_from(op.domain.0)?;
            op.u.set_getdomaininfo(domain_info::of(&domain));
            op.domain.0 = domain.id.0;
            true
        }
        _ => {
            let domain = host().domains.get(DomainId(op.domain.0))?;
            let result = execute(cx, &domain, op.cmd, &mut op.u);
            if result.is_err() && tells_why(op.cmd) {
                op.u = version.reply(op.cmd, &op.u, &asked);
                guest::write(from, 0, &op)?;
            }
            match result {
                // Somebody it waits for was busy: the vCPU comes back here after other work had its turn.
                Err(Fail::Errno(Errno::EBUSY)) if waits(op.cmd) => {
                    return Err(Fail::Continue(args));
                }
                // Or the work was long.
                Err(Fail::Errno(Errno::ERESTART)) => return Err(Fail::Continue(args)),
                result => result?,
            }
        }
    };
    if reply {
        op.u = version.reply(op.cmd, &op.u, &asked);
        guest::write(from, 0, &op)?;
    }
    Ok(0)
}

/// Pauses by the tools that a domain, or one of its vCPUs, can have at a time.
const MAX_PAUSES: u32 = 255;

/// The vCPU that the tools name; `missing` if there is none.
fn find(domain: &Domain, id: u32, missing: Errno) -> Result<&Arc<Vcpu>, Errno> {
    domain.vcpu(id.into()).map_err(|_| missing)
}

/// Commands whose answer says more about a refusal than the errno does.
fn tells_why(cmd: DomctlCmd) -> bool {
    matches!(
        cmd,
        DomctlCmd::SET_CPU_POLICY | DomctlCmd::GET_VCPU_MSRS | DomctlCmd::SET_VCPU_MSRS
    )
}

/// Commands that wait until vCPUs do not run.
fn waits(cmd: DomctlCmd) -> bool {
    matches!(
        cmd,
        DomctlCmd::PAUSEDOMAIN
            | DomctlCmd::GETVCPUCONTEXT
            | DomctlCmd::SETVCPUCONTEXT
            | DomctlCmd::GET_EXT_VCPUCONTEXT
            | DomctlCmd::SET_EXT_VCPUCONTEXT
            | DomctlCmd::GETVCPUEXTSTATE
            | DomctlCmd::SETVCPUEXTSTATE
            | DomctlCmd::GETTSCINFO
            | DomctlCmd::SETTSCINFO
            | DomctlCmd::GET_VCPU_MSRS
            | DomctlCmd::SET_VCPU_MSRS
    )
}

/// getdomaininfo answers for the first domain from an id up. `EINVAL` for reserved ids, `ESRCH` if there is none.
fn first_from(id: u16) -> Result<Arc<Domain>, Errno> {
    if id >= DomainId::FIRST_RESERVED {
        return Err(Errno::EINVAL);
    }
    host().domains.next(id).ok_or(Errno::ESRCH)
}

/// Runs a command; true if it has an answer in `u`.
fn execute(
    cx: &Context,
    domain: &Arc<Domain>,
    cmd: DomctlCmd,
    u: &mut DomctlU,
) -> Result<bool, Fail> {
    let own = Arc::ptr_eq(domain, &cx.domain);
    match cmd {
        DomctlCmd::PAUSEDOMAIN => life::pause(cx, domain)?,
        DomctlCmd::UNPAUSEDOMAIN => life::unpause(domain)?,
        DomctlCmd::SETDOMAINHANDLE => domain.control.lock().handle = u.setdomainhandle().handle,
        DomctlCmd::SETTIMEOFFSET => {
            domain.control.lock().time_offset_seconds = u.settimeoffset().time_offset_seconds;
            crate::time::update_domain_wallclock(domain);
        }
        DomctlCmd::MAX_VCPUS => life::max_vcpus(cx, domain, u.max_vcpus().max)?,
        // Commands that pause the domain cannot be about the caller's own.
        DomctlCmd::RESUMEDOMAIN
        | DomctlCmd::DESTROYDOMAIN
        | DomctlCmd::SETVCPUCONTEXT
        | DomctlCmd::SETDEBUGGING
        | DomctlCmd::SOFT_RESET
        | DomctlCmd::SHADOW_OP
        | DomctlCmd::SETTSCINFO
        | DomctlCmd::SET_CPU_POLICY
        | DomctlCmd::GETTSCINFO
            if own =>
        {
            return Err(Errno::EINVAL.into());
        }
        DomctlCmd::SETTSCINFO => tsc::set(domain, &u.tsc_info())?,
        DomctlCmd::GETTSCINFO => {
            u.set_tsc_info(domain.tsc.info());
            return Ok(true);
        }
        DomctlCmd::SETVNUMAINFO => vnuma::set(domain, &u.vnuma())?,
        DomctlCmd::SET_CPU_POLICY => return set_policy(domain, u),
        DomctlCmd::SETDEBUGGING => debugger::attach(domain, &u.setdebugging()),
        DomctlCmd::SENDTRIGGER => debugger::trigger(domain, &u.sendtrigger())?,
        DomctlCmd::DEBUG_OP => return Err(Errno::EINVAL.into()),
        DomctlCmd::GDBSX_PAUSEVCPU => debugger::pause(domain, &u.gdbsx_pauseunp_vcpu())?,
        DomctlCmd::GDBSX_UNPAUSEVCPU => debugger::unpause(domain, &u.gdbsx_pauseunp_vcpu())?,
        DomctlCmd::GDBSX_DOMSTATUS => {
            u.set_gdbsx_domstatus(debugger::status(domain));
            return Ok(true);
        }
        DomctlCmd::GDBSX_GUESTMEMIO => {
            u.set_gdbsx_guest_memio(debugger::memory(cx, domain, u.gdbsx_guest_memio())?);
            return Ok(true);
        }
        DomctlCmd::RESUMEDOMAIN => crate::sched::domain_resume(domain),
        DomctlCmd::DESTROYDOMAIN => life::destroy(domain)?,
        DomctlCmd::SUBSCRIBE => life::subscribe(domain, u.subscribe().port)?,
        DomctlCmd::SET_ADDRESS_SIZE => life::address_size(u.address_size().size)?,
        DomctlCmd::SETVCPUCONTEXT => vcpu::set_context(domain, &u.vcpucontext())?,
        DomctlCmd::GET_EXT_VCPUCONTEXT => {
            u.set_ext_vcpucontext(vcpu::extended_context(cx, domain, u.ext_vcpucontext())?);
            return Ok(true);
        }
        DomctlCmd::SET_EXT_VCPUCONTEXT => {
            vcpu::set_extended_context(cx, domain, &u.ext_vcpucontext())?;
        }
        DomctlCmd::GETVCPUEXTSTATE => {
            u.set_vcpuextstate(vcpu::extended_state(cx, domain, u.vcpuextstate())?);
            return Ok(true);
        }
        DomctlCmd::SETVCPUEXTSTATE => {
            vcpu::set_extended_state(cx, domain, &u.vcpuextstate())?;
        }
        DomctlCmd::MAX_MEM => memory::set_limit(domain, u.max_mem().max_memkb),
        DomctlCmd::GETPAGEFRAMEINFO3 => memory::frame_types(domain, &u.getpageframeinfo3())?,
        DomctlCmd::HYPERCALL_INIT => memory::hypercall_page(domain, u.hypercall_init().gmfn)?,
        // A PV guest maps device memory by its own page tables.
        DomctlCmd::MEMORY_MAPPING => rights::mapping(&u.memory_mapping())?,
        DomctlCmd::GETVCPUINFO => {
            u.set_getvcpuinfo(vcpu::info(domain, u.getvcpuinfo().vcpu)?);
            return Ok(true);
        }
        DomctlCmd::GETVCPUCONTEXT => vcpu::context(cx, domain, &u.vcpucontext())?,
        DomctlCmd::GETVCPUAFFINITY => vcpu::affinity(domain, &u.vcpuaffinity())?,
        DomctlCmd::SETVCPUAFFINITY => vcpu::set_affinity(domain, &u.vcpuaffinity())?,
        DomctlCmd::GETNODEAFFINITY => sched::node_affinity(domain, &u.nodeaffinity())?,
        DomctlCmd::SETNODEAFFINITY => sched::set_node_affinity(domain, &u.nodeaffinity())?,
        DomctlCmd::SCHEDULER_OP => {
            u.set_scheduler_op(sched::scheduler(domain, u.scheduler_op())?);
            return Ok(true);
        }
        DomctlCmd::GET_VCPU_MSRS | DomctlCmd::SET_VCPU_MSRS => {
            let mut op = u.vcpu_msrs();
            let result = if cmd == DomctlCmd::GET_VCPU_MSRS {
                vcpu::msrs(cx, domain, &mut op)
            } else {
                vcpu::set_msrs(cx, domain, &mut op)
            };
            u.set_vcpu_msrs(op);
            result?;
            return Ok(true);
        }
        DomctlCmd::GET_ADDRESS_SIZE => {
            u.set_address_size(DomctlAddressSize { size: 64 });
            return Ok(true);
        }
        DomctlCmd::GET_CPU_POLICY => {
            u.set_cpu_policy(policy::get(domain, u.cpu_policy())?);
            return Ok(true);
        }
        DomctlCmd::SET_VIRQ_HANDLER => {
            event_channel::set_global_virq_handler(domain, u.set_virq_handler().virq)?;
        }
        DomctlCmd::IOMEM_PERMISSION => rights::memory(domain, &u.iomem_permission())?,
        DomctlCmd::IOPORT_PERMISSION => rights::ports(cx, domain, &u.ioport_permission())?,
        DomctlCmd::IRQ_PERMISSION => rights::interrupt(cx, domain, &u.irq_permission())?,
        DomctlCmd::SOFT_RESET => life::soft_reset(domain)?,
        DomctlCmd::SET_TARGET => life::set_target(domain, u.set_target().target.0)?,
        // For HVM guests, introspection or an IOMMU.
        DomctlCmd::SHADOW_OP
        | DomctlCmd::GETHVMCONTEXT
        | DomctlCmd::SETHVMCONTEXT
        | DomctlCmd::GETHVMCONTEXT_PARTIAL
        | DomctlCmd::ASSIGN_DEVICE
        | DomctlCmd::DEASSIGN_DEVICE
        | DomctlCmd::TEST_ASSIGN_DEVICE
        | DomctlCmd::GET_DEVICE_GROUP
        | DomctlCmd::BIND_PT_IRQ
        | DomctlCmd::UNBIND_PT_IRQ
        | DomctlCmd::IOPORT_MAPPING
        | DomctlCmd::VM_EVENT_OP
        | DomctlCmd::MONITOR_OP
        | DomctlCmd::VMTRACE_OP
        | DomctlCmd::GET_PAGING_MEMPOOL_SIZE
        | DomctlCmd::SET_PAGING_MEMPOOL_SIZE => return Err(Errno::EOPNOTSUPP.into()),
        DomctlCmd::PSR_CMT_OP | DomctlCmd::PSR_ALLOC => return Err(Errno::ENODEV.into()),
        // Memory sharing and what else is not built in.
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(false)
}

/// A refused policy comes back with what was at fault.
fn set_policy(domain: &Arc<Domain>, u: &mut DomctlU) -> Result<bool, Fail> {
    let mut op = u.cpu_policy();
    let result = policy::set(domain, &mut op);
    u.set_cpu_policy(op);
    result?;
    Ok(true)
}
