//! Calls that make, change and end domains.
//!
//! Xen `public/domctl.h`, `public/event_channel.h`, `public/sched.h`.

use hypercall_abi::Errno;
use hypercall_abi::arch_x86::VcpuGuestContext;
use hypercall_abi::domctl::{
    DomctlAddressSize, DomctlCmd, DomctlCreatedomain, DomctlGetdomaininfo, DomctlHypercallInit,
    DomctlMaxMem, DomctlMaxVcpus, DomctlSchedOp, DomctlSchedulerOp, DomctlSendtrigger,
    DomctlSetdebugging, DomctlSetdomainhandle, DomctlSettimeoffset, DomctlTscInfo,
    DomctlVcpuaffinity, DomctlVcpucontext, Scheduler, SendTrigger, XEN_VCPUAFFINITY_HARD,
    XEN_VCPUAFFINITY_SOFT,
};
use hypercall_abi::event_channel::{EvtchnAllocUnbound, EvtchnOp, EvtchnPort};
use hypercall_abi::sched::{SchedOp, SchedRemoteShutdown, Shutdown};
use hypercall_abi::xen::{DomId, Hypercall};

use super::calls::domctl;
use super::{Error, Interface};

/// How long a domain may be busy being torn down before we give up waiting.
const TEARDOWN_TRIES: u32 = 600;

impl Interface {
    /// Creates a domain, paused and without vCPUs or memory. Its number is chosen.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn create_domain(&self, create: DomctlCreatedomain) -> Result<DomId, Error> {
        let mut op = domctl(DomctlCmd::CREATEDOMAIN, DomId::INVALID);
        op.u.set_createdomain(create);
        // SAFETY: there are no handles in it.
        let done = unsafe { self.domctl("creating a domain", op)? };
        Ok(done.domain)
    }

    /// Ends a domain at once and takes its memory. Frames that others still map go when they let
    /// go of them.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn destroy_domain(&self, domain: DomId) -> Result<(), Error> {
        for _ in 0..TEARDOWN_TRIES {
            let op = domctl(DomctlCmd::DESTROYDOMAIN, domain);
            // SAFETY: there are no handles in it.
            match unsafe { self.domctl("destroying a domain", op) } {
                Err(Error::Refused(_, Errno::EAGAIN | Errno::EBUSY)) => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                Err(error) => return Err(error),
                Ok(_) => return Ok(()),
            }
        }
        Err(Error::Refused("destroying a domain", Errno::EBUSY))
    }

    /// A command without arguments for a domain.
    fn plain(&self, what: &'static str, cmd: DomctlCmd, domain: DomId) -> Result<(), Error> {
        // SAFETY: there are no handles in it.
        unsafe { self.domctl(what, domctl(cmd, domain))? };
        Ok(())
    }

    /// Stops all vCPUs until as many [`Self::unpause_domain`] follow.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn pause_domain(&self, domain: DomId) -> Result<(), Error> {
        self.plain("pausing a domain", DomctlCmd::PAUSEDOMAIN, domain)
    }

    /// Undoes one [`Self::pause_domain`], or the pause in which a domain is created.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn unpause_domain(&self, domain: DomId) -> Result<(), Error> {
        self.plain("unpausing a domain", DomctlCmd::UNPAUSEDOMAIN, domain)
    }

    /// What the hypervisor knows of one domain, `None` if there is none of this number.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn domain(&self, domain: DomId) -> Result<Option<DomctlGetdomaininfo>, Error> {
        let op = domctl(DomctlCmd::GETDOMAININFO, domain);
        // SAFETY: there are no handles in it.
        match unsafe { self.domctl("state of a domain", op) } {
            Ok(done) if done.domain == domain => Ok(Some(done.u.getdomaininfo())),
            Ok(_) | Err(Error::Refused(_, Errno::ESRCH)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The most memory a domain may have, in KiB.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn set_max_memory(&self, domain: DomId, kib: u64) -> Result<(), Error> {
        let mut op = domctl(DomctlCmd::MAX_MEM, domain);
        op.u.set_max_mem(DomctlMaxMem { max_memkb: kib });
        // SAFETY: there are no handles in it.
        unsafe { self.domctl("limit of memory", op)? };
        Ok(())
    }

    /// Makes the domain's vCPUs, once.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn set_max_vcpus(&self, domain: DomId, vcpus: u32) -> Result<(), Error> {
        let mut op = domctl(DomctlCmd::MAX_VCPUS, domain);
        op.u.set_max_vcpus(DomctlMaxVcpus { max: vcpus });
        // SAFETY: there are no handles in it.
        unsafe { self.domctl("number of vCPUs", op)? };
        Ok(())
    }

    /// Says how wide the guest's words are, before it has memory.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn set_address_size(&self, domain: DomId, bits: u32) -> Result<(), Error> {
        let mut op = domctl(DomctlCmd::SET_ADDRESS_SIZE, domain);
        op.u.set_address_size(DomctlAddressSize { size: bits });
        // SAFETY: there are no handles in it.
        unsafe { self.domctl("address size", op)? };
        Ok(())
    }

    /// Shifts the clock that the guest sees.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn set_time_offset(&self, domain: DomId, seconds: i64) -> Result<(), Error> {
        let mut op = domctl(DomctlCmd::SETTIMEOFFSET, domain);
        op.u.set_settimeoffset(DomctlSettimeoffset {
            time_offset_seconds: seconds,
        });
        // SAFETY: there are no handles in it.
        unsafe { self.domctl("time offset", op)? };
        Ok(())
    }

    /// Says how the guest sees the time-stamp counter: `XEN_CPUID_TSC_MODE_*` in Xen's `arch-x86/cpuid.h`.
    ///
    /// # Errors
    /// What the hypervisor refuses; modes that it does not know among it.
    pub fn set_tsc_mode(&self, domain: DomId, mode: u32) -> Result<(), Error> {
        let mut op = domctl(DomctlCmd::SETTSCINFO, domain);
        op.u.set_tsc_info(DomctlTscInfo {
            tsc_mode: mode,
            ..Default::default()
        });
        // SAFETY: there are no handles in it.
        unsafe { self.domctl("time-stamp counter mode", op)? };
        Ok(())
    }

    /// Replaces the domain's UUID.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn set_domain_handle(&self, domain: DomId, handle: [u8; 16]) -> Result<(), Error> {
        let mut op = domctl(DomctlCmd::SETDOMAINHANDLE, domain);
        op.u.set_setdomainhandle(DomctlSetdomainhandle { handle });
        // SAFETY: there are no handles in it.
        unsafe { self.domctl("UUID", op)? };
        Ok(())
    }

    /// Whether the domain is stopped, not crashed, at a debug exception.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn set_debugging(&self, domain: DomId, enable: bool) -> Result<(), Error> {
        let mut op = domctl(DomctlCmd::SETDEBUGGING, domain);
        op.u.set_setdebugging(DomctlSetdebugging {
            enable: u8::from(enable),
        });
        // SAFETY: there are no handles in it.
        unsafe { self.domctl("debugging", op)? };
        Ok(())
    }

    /// Fills a page of the domain with entry points for its hypercalls.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn fill_hypercall_page(&self, domain: DomId, frame: u64) -> Result<(), Error> {
        let mut op = domctl(DomctlCmd::HYPERCALL_INIT, domain);
        op.u.set_hypercall_init(DomctlHypercallInit { gmfn: frame });
        // SAFETY: there are no handles in it.
        unsafe { self.domctl("hypercall page", op)? };
        Ok(())
    }

    /// The registers of a vCPU; a domain without any gets its page tables from here.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn set_vcpu_context(
        &self,
        domain: DomId,
        vcpu: u32,
        context: &VcpuGuestContext,
    ) -> Result<(), Error> {
        let mut memory = self.buffer(size_of::<VcpuGuestContext>())?;
        memory.write(std::slice::from_ref(context));
        let mut op = domctl(DomctlCmd::SETVCPUCONTEXT, domain);
        op.u.set_vcpucontext(DomctlVcpucontext {
            vcpu,
            ctxt: memory.handle(),
            ..Default::default()
        });
        // SAFETY: the handle is of `memory`, which is one context.
        unsafe { self.domctl("registers of a vCPU", op)? };
        Ok(())
    }

    /// The registers of a vCPU.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn vcpu_context(&self, domain: DomId, vcpu: u32) -> Result<VcpuGuestContext, Error> {
        let memory = self.buffer(size_of::<VcpuGuestContext>())?;
        let mut op = domctl(DomctlCmd::GETVCPUCONTEXT, domain);
        op.u.set_vcpucontext(DomctlVcpucontext {
            vcpu,
            ctxt: memory.handle(),
            ..Default::default()
        });
        // SAFETY: the handle is of `memory`, which has room for one context.
        unsafe { self.domctl("registers of a vCPU", op)? };
        Ok(memory.read_one())
    }

    /// Sets the hard or the soft affinity of a vCPU, or both, bit by bit. Returns what the
    /// hypervisor made of them.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn set_affinity(
        &self,
        domain: DomId,
        vcpu: u32,
        hard: Option<&[u8]>,
        soft: Option<&[u8]>,
        force: bool,
    ) -> Result<(), Error> {
        let mut affinity = DomctlVcpuaffinity {
            vcpu,
            ..Default::default()
        };
        let bits = |map: &[u8]| u32::try_from(map.len().saturating_mul(8)).unwrap_or(0);
        let mut memory = Vec::new();
        if let Some(hard) = hard {
            let (mut buffer, map) = self.bitmap(bits(hard))?;
            buffer.write(hard);
            affinity.cpumap_hard = map;
            affinity.flags |= XEN_VCPUAFFINITY_HARD;
            memory.push(buffer);
        }
        if let Some(soft) = soft {
            let (mut buffer, map) = self.bitmap(bits(soft))?;
            buffer.write(soft);
            affinity.cpumap_soft = map;
            affinity.flags |= XEN_VCPUAFFINITY_SOFT;
            memory.push(buffer);
        }
        if force {
            affinity.flags |= hypercall_abi::domctl::XEN_VCPUAFFINITY_FORCE;
        }
        let mut op = domctl(DomctlCmd::SETVCPUAFFINITY, domain);
        op.u.set_vcpuaffinity(affinity);
        // SAFETY: the handles are of buffers in `memory`, which have all their bits.
        unsafe { self.domctl("vCPU affinity", op)? };
        Ok(())
    }

    /// Sets a domain's share of processor time under the scheduler of its pool; what is `None` stays.
    ///
    /// # Errors
    /// What the hypervisor refuses; `EINVAL` where the scheduler knows no shares, or is another.
    pub fn set_share(
        &self,
        domain: DomId,
        sched_id: Scheduler,
        weight: Option<u16>,
        cap: Option<u16>,
    ) -> Result<(), Error> {
        let what = "share of processor time";
        let ask = |cmd, u| {
            let mut op = domctl(DomctlCmd::SCHEDULER_OP, domain);
            op.u.set_scheduler_op(DomctlSchedulerOp { sched_id, cmd, u });
            // SAFETY: these two commands take no handles.
            unsafe { self.domctl(what, op) }
        };
        let done = ask(DomctlSchedOp::GETINFO, Default::default())?;
        let mut u = done.u.scheduler_op().u;
        // Both schedulers with shares have the same two fields.
        let mut share = u.credit2();
        share.weight = weight.unwrap_or(share.weight);
        share.cap = cap.unwrap_or(share.cap);
        u.set_credit2(share);
        ask(DomctlSchedOp::PUTINFO, u)?;
        Ok(())
    }

    /// Injects something into a vCPU.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn send_trigger(
        &self,
        domain: DomId,
        trigger: SendTrigger,
        vcpu: u32,
    ) -> Result<(), Error> {
        let mut op = domctl(DomctlCmd::SENDTRIGGER, domain);
        op.u.set_sendtrigger(DomctlSendtrigger {
            trigger: trigger.into(),
            vcpu,
        });
        // SAFETY: there are no handles in it.
        unsafe { self.domctl("trigger", op)? };
        Ok(())
    }

    /// A port of `domain` that `remote` may bind to.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn unbound_port(&self, domain: DomId, remote: DomId) -> Result<EvtchnPort, Error> {
        let mut memory = self.buffer(size_of::<EvtchnAllocUnbound>())?;
        memory.write(&[EvtchnAllocUnbound {
            dom: domain,
            remote_dom: remote,
            port: 0,
        }]);
        let cmd = u64::from(u32::from(EvtchnOp::ALLOC_UNBOUND));
        let arg = [cmd, memory.addr(), 0, 0, 0];
        // SAFETY: `memory` is the structure of this command.
        unsafe { self.call("event channel", Hypercall::EVENT_CHANNEL_OP, arg)? };
        Ok(memory.read_one::<EvtchnAllocUnbound>().port)
    }

    /// Marks a domain as shut down, for that reason, without asking its kernel.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn remote_shutdown(&self, domain: DomId, reason: Shutdown) -> Result<(), Error> {
        let mut memory = self.buffer(size_of::<SchedRemoteShutdown>())?;
        memory.write(&[SchedRemoteShutdown {
            domain_id: domain,
            reason,
            ..Default::default()
        }]);
        let cmd = u64::from(u32::from(SchedOp::REMOTE_SHUTDOWN));
        let arg = [cmd, memory.addr(), 0, 0, 0];
        // SAFETY: `memory` is the structure of this command.
        unsafe { self.call("shutting a domain down", Hypercall::SCHED_OP, arg)? };
        Ok(())
    }
}
