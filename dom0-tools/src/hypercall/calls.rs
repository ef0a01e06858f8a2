//! The calls the tools make, as functions of plain values. Each allocates the memory it names.
//!
//! Xen `public/sysctl.h`, `public/domctl.h`, `public/version.h`.

use hypercall_abi::Errno;
use hypercall_abi::domctl::{
    Domctl, DomctlCmd, DomctlGetdomaininfo, DomctlGetvcpuinfo, DomctlVcpuaffinity, Scheduler,
    XEN_VCPUAFFINITY_HARD, XEN_VCPUAFFINITY_SOFT,
};
use hypercall_abi::memory::XenMem;
use hypercall_abi::physdev::PhysdevPciDevice;
use hypercall_abi::sysctl::{
    CpupoolOp, Sysctl, SysctlCmd, SysctlCpupoolOp, SysctlCputopo, SysctlCputopoinfo,
    SysctlDebugKeys, SysctlGetdomaininfolist, SysctlMeminfo, SysctlNumainfo, SysctlPcitopoinfo,
    SysctlPhysinfo, SysctlReadconsole,
};
use hypercall_abi::version::{
    CompileInfo, PlatformParameters, XEN_CAPABILITIES_INFO_LEN, XEN_CHANGESET_INFO_LEN,
    XEN_EXTRAVERSION_LEN, XenVer,
};
use hypercall_abi::xen::{DomId, Hypercall, XenctlBitmap};

use super::{Buffer, Error, Interface};

/// Domains per call of the list.
const DOMAINS: u32 = 256;
/// Bytes of the console ring per call.
const CONSOLE: u32 = 16384;
/// `xen_commandline_t` of the C header.
const COMMAND_LINE: usize = 1024;

/// The bytes of a build id, none if the hypervisor has none or hides it.
pub type BuildId = Vec<u8>;

/// What `xen_version` tells. Texts are as the hypervisor has them, without the closing zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// 4 of 4.17.
    pub major: u64,
    /// 17 of 4.17.
    pub minor: u64,
    /// What follows the two numbers, with its leading dot.
    pub extra: String,
    /// The guest types it can run.
    pub capabilities: String,
    /// In bytes.
    pub page_size: u64,
    /// Where the part of the address space begins that a PV guest must leave alone.
    pub virt_start: u64,
    /// Of the hypervisor's sources.
    pub changeset: String,
    /// Of the hypervisor.
    pub command_line: String,
    /// Who built it with what, when.
    pub compiler: String,
    /// The user.
    pub compile_by: String,
    /// The user's network domain.
    pub compile_domain: String,
    /// Date and time.
    pub compile_date: String,
    /// See [`BuildId`].
    pub build_id: BuildId,
}

/// The text before the first zero byte.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

impl Interface {
    /// A `xen_version` call with `room` bytes for its answer.
    fn version_call(&self, cmd: XenVer, memory: &Buffer) -> Result<u64, Error> {
        let arg = [u64::from(u32::from(cmd)), memory.addr(), 0, 0, 0];
        // SAFETY: every caller passes a page or more of memory: no answer is larger, and that of
        // BUILD_ID is bounded by the length written in it.
        unsafe { self.call("xen_version", Hypercall::XEN_VERSION, arg) }
    }

    fn version_text(&self, cmd: XenVer, len: usize) -> Result<String, Error> {
        let memory = self.buffer(len)?;
        self.version_call(cmd, &memory)?;
        Ok(text(&memory.read::<u8>(len)))
    }

    /// Version, build and command line of the hypervisor.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn version(&self) -> Result<Version, Error> {
        let memory = self.buffer(1)?;
        let number = self.version_call(XenVer::VERSION, &memory)?;
        // This one takes no memory, and refuses any.
        let arg = [u64::from(u32::from(XenVer::PAGESIZE)), 0, 0, 0, 0];
        // SAFETY: no address.
        let page_size = unsafe { self.call("xen_version", Hypercall::XEN_VERSION, arg)? };
        self.version_call(XenVer::PLATFORM_PARAMETERS, &memory)?;
        let platform: PlatformParameters = memory.read_one();
        self.version_call(XenVer::COMPILE_INFO, &memory)?;
        let compile: CompileInfo = memory.read_one();
        Ok(Version {
            major: number >> 16,
            minor: number & 0xff,
            extra: self.version_text(XenVer::EXTRAVERSION, XEN_EXTRAVERSION_LEN as usize)?,
            capabilities: self
                .version_text(XenVer::CAPABILITIES, XEN_CAPABILITIES_INFO_LEN as usize)?,
            page_size,
            virt_start: platform.virt_start,
            changeset: self.version_text(XenVer::CHANGESET, XEN_CHANGESET_INFO_LEN as usize)?,
            command_line: self.version_text(XenVer::COMMANDLINE, COMMAND_LINE)?,
            compiler: text(&compile.compiler),
            compile_by: text(&compile.compile_by),
            compile_domain: text(&compile.compile_domain),
            compile_date: text(&compile.compile_date),
            build_id: self.build_id()?,
        })
    }

    fn build_id(&self) -> Result<BuildId, Error> {
        const ROOM: u32 = 2048;
        let mut memory = self.buffer(size_of::<u32>() + ROOM as usize)?;
        memory.write(&[ROOM]);
        match self.version_call(XenVer::BUILD_ID, &memory) {
            Ok(len) => {
                let len = usize::try_from(len).unwrap_or(0).min(ROOM as usize);
                let mut all: Vec<u8> = memory.read(size_of::<u32>() + len);
                Ok(all.split_off(size_of::<u32>().min(all.len())))
            }
            // None was linked in, or it is kept from us.
            Err(Error::Refused(_, Errno::ENODATA | Errno::EPERM)) => Ok(BuildId::new()),
            Err(error) => Err(error),
        }
    }

    /// The machine's processors and memory.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn physinfo(&self) -> Result<SysctlPhysinfo, Error> {
        let op = sysctl(SysctlCmd::PHYSINFO);
        // SAFETY: there are no handles in it.
        let done = unsafe { self.sysctl("physinfo", op)? };
        Ok(done.u.physinfo())
    }

    /// The default scheduler.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn scheduler(&self) -> Result<Scheduler, Error> {
        // SAFETY: there are no handles in it.
        let done = unsafe { self.sysctl("sched_id", sysctl(SysctlCmd::SCHED_ID))? };
        Ok(done.u.sched_id().sched_id)
    }

    /// Pages saved and frames used by sharing between domains; 0 where there is no sharing.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn sharing(&self) -> Result<(u64, u64), Error> {
        let ask = |cmd: XenMem| {
            let arg = [u64::from(u32::from(cmd)), 0, 0, 0, 0];
            // SAFETY: these commands take no memory.
            match unsafe { self.call("page sharing", Hypercall::MEMORY_OP, arg) } {
                Err(Error::Refused(_, Errno::ENOSYS)) => Ok(0),
                other => other,
            }
        };
        Ok((
            ask(XenMem::GET_SHARING_FREED_PAGES)?,
            ask(XenMem::GET_SHARING_SHARED_PAGES)?,
        ))
    }

    /// How many of the `cpus` first processors are in no cpupool.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn free_cpus(&self, cpus: u32) -> Result<u32, Error> {
        let (map, cpumap) = self.bitmap(cpus)?;
        let mut op = sysctl(SysctlCmd::CPUPOOL_OP);
        op.u.set_cpupool_op(SysctlCpupoolOp {
            op: CpupoolOp::FREEINFO,
            cpumap,
            ..Default::default()
        });
        // SAFETY: the handle is of `map`, which has all its bits.
        unsafe { self.sysctl("free processors", op)? };
        let bytes: Vec<u8> = map.read(cpus.div_ceil(8) as usize);
        Ok(bytes.iter().map(|byte| byte.count_ones()).sum())
    }

    /// Where each of the `cpus` first processors is.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn cpu_topology(&self, cpus: u32) -> Result<Vec<SysctlCputopo>, Error> {
        let memory = self.buffer(cpus as usize * size_of::<SysctlCputopo>())?;
        let mut op = sysctl(SysctlCmd::CPUTOPOINFO);
        op.u.set_cputopoinfo(SysctlCputopoinfo {
            num_cpus: cpus,
            cputopo: memory.handle(),
            ..Default::default()
        });
        // SAFETY: the handle is of `memory`, which has room for `cpus`.
        let done = unsafe { self.sysctl("processor topology", op)? };
        Ok(memory.read(done.u.cputopoinfo().num_cpus.min(cpus) as usize))
    }

    /// The NUMA node of each PCI function: a number, `XEN_INVALID_NODE_ID` or `XEN_INVALID_DEV`.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn pci_topology(&self, functions: &[PhysdevPciDevice]) -> Result<Vec<u32>, Error> {
        let mut nodes: Vec<u32> = Vec::new();
        while let Some(rest) = functions.get(nodes.len()..).filter(|rest| !rest.is_empty()) {
            let count = u32::try_from(rest.len()).unwrap_or(u32::MAX);
            let mut devices = self.buffer(size_of_val(rest))?;
            devices.write(rest);
            let memory = self.buffer(rest.len() * size_of::<u32>())?;
            let mut op = sysctl(SysctlCmd::PCITOPOINFO);
            op.u.set_pcitopoinfo(SysctlPcitopoinfo {
                num_devs: count,
                devs: devices.handle(),
                nodes: memory.handle(),
                ..Default::default()
            });
            // SAFETY: the handles are of buffers with room for `count`.
            let done = unsafe { self.sysctl("PCI topology", op)? };
            // It may answer for some and want to be asked again for the others.
            let answered = done.u.pcitopoinfo().num_devs.min(count) as usize;
            if answered == 0 {
                break;
            }
            nodes.extend(memory.read::<u32>(answered));
        }
        Ok(nodes)
    }

    /// Memory of each of the `nodes` first NUMA nodes, and the distances: a row per node.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn numa(&self, nodes: u32) -> Result<(Vec<SysctlMeminfo>, Vec<u32>), Error> {
        let count = nodes as usize;
        let memory = self.buffer(count * size_of::<SysctlMeminfo>())?;
        let distance = self.buffer(count * count * size_of::<u32>())?;
        let mut op = sysctl(SysctlCmd::NUMAINFO);
        op.u.set_numainfo(SysctlNumainfo {
            num_nodes: nodes,
            meminfo: memory.handle(),
            distance: distance.handle(),
            ..Default::default()
        });
        // SAFETY: the handles are of buffers with room for `nodes` and their square.
        let done = unsafe { self.sysctl("NUMA nodes", op)? };
        let known = done.u.numainfo().num_nodes.min(nodes) as usize;
        Ok((memory.read(known), distance.read(known * known)))
    }

    /// Every domain, by rising number.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn domains(&self) -> Result<Vec<DomctlGetdomaininfo>, Error> {
        let memory = self.buffer(DOMAINS as usize * size_of::<DomctlGetdomaininfo>())?;
        let mut all = Vec::new();
        let mut first = DomId(0);
        while first < DomId::FIRST_RESERVED {
            let mut op = sysctl(SysctlCmd::GETDOMAININFOLIST);
            op.u.set_getdomaininfolist(SysctlGetdomaininfolist {
                first_domain: first,
                max_domains: DOMAINS,
                buffer: memory.handle(),
                ..Default::default()
            });
            // SAFETY: the handle is of `memory`, which has room for DOMAINS.
            let done = unsafe { self.sysctl("list of domains", op)? };
            let count = done.u.getdomaininfolist().num_domains.min(DOMAINS);
            all.extend(memory.read::<DomctlGetdomaininfo>(count as usize));
            match all.last() {
                Some(last) if count == DOMAINS => first = DomId(last.domain.0.saturating_add(1)),
                _ => break,
            }
        }
        Ok(all)
    }

    /// State of a vCPU.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn vcpu(&self, domain: DomId, vcpu: u32) -> Result<DomctlGetvcpuinfo, Error> {
        let mut op = domctl(DomctlCmd::GETVCPUINFO, domain);
        op.u.set_getvcpuinfo(DomctlGetvcpuinfo {
            vcpu,
            ..Default::default()
        });
        // SAFETY: there are no handles in it.
        let done = unsafe { self.domctl("vCPU", op)? };
        Ok(done.u.getvcpuinfo())
    }

    /// The hard and the soft affinity of a vCPU to the `cpus` first processors, bit by bit.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn affinity(
        &self,
        domain: DomId,
        vcpu: u32,
        cpus: u32,
    ) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let (hard, cpumap_hard) = self.bitmap(cpus)?;
        let (soft, cpumap_soft) = self.bitmap(cpus)?;
        let mut op = domctl(DomctlCmd::GETVCPUAFFINITY, domain);
        op.u.set_vcpuaffinity(DomctlVcpuaffinity {
            vcpu,
            flags: XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT,
            cpumap_hard,
            cpumap_soft,
        });
        // SAFETY: the handles are of `hard` and `soft`, which have all their bits.
        unsafe { self.domctl("vCPU affinity", op)? };
        let bytes = cpus.div_ceil(8) as usize;
        Ok((hard.read(bytes), soft.read(bytes)))
    }

    /// The next part of the console ring from `index` on, and the index behind it; empty at the
    /// end. With `clear` what was read is dropped.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn read_console(&self, index: u32, clear: bool) -> Result<(Vec<u8>, u32), Error> {
        let memory = self.buffer(CONSOLE as usize)?;
        let mut op = sysctl(SysctlCmd::READCONSOLE);
        op.u.set_readconsole(SysctlReadconsole {
            clear: u8::from(clear),
            incremental: 1,
            index,
            buffer: memory.handle(),
            count: CONSOLE,
            ..Default::default()
        });
        // SAFETY: the handle is of `memory`, which has CONSOLE bytes.
        let done = unsafe { self.sysctl("console ring", op)? };
        let answer = done.u.readconsole();
        let count = answer.count.min(CONSOLE);
        Ok((memory.read(count as usize), answer.index))
    }

    /// Debug keys, as if pressed on the console.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn debug_keys(&self, keys: &[u8]) -> Result<(), Error> {
        let mut memory = self.buffer(keys.len())?;
        memory.write(keys);
        let mut op = sysctl(SysctlCmd::DEBUG_KEYS);
        op.u.set_debug_keys(SysctlDebugKeys {
            keys: memory.handle(),
            nr_keys: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            ..Default::default()
        });
        // SAFETY: the handle is of `memory`, which has all keys; a command line is far below
        // 4 GiB.
        unsafe { self.sysctl("debug keys", op)? };
        Ok(())
    }

    /// Memory for `bits` bits, and how a call names it: in whole bytes.
    pub(super) fn bitmap(&self, bits: u32) -> Result<(Buffer, XenctlBitmap), Error> {
        let bytes = bits.div_ceil(8);
        let memory = self.buffer(bytes as usize)?;
        let map = XenctlBitmap {
            bitmap: memory.handle(),
            nr_bits: bytes.saturating_mul(8),
            ..Default::default()
        };
        Ok((memory, map))
    }
}

pub(super) fn sysctl(cmd: SysctlCmd) -> Sysctl {
    Sysctl {
        cmd,
        ..Default::default()
    }
}

pub(super) fn domctl(cmd: DomctlCmd, domain: DomId) -> Domctl {
    Domctl {
        cmd,
        domain,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_at_the_first_zero() {
        assert_eq!(text(b".7\0rest"), ".7");
        assert_eq!(text(b"whole"), "whole");
        assert_eq!(text(b"\0"), "");
    }
}
