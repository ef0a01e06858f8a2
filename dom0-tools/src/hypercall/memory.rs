//! Calls about domains' memory.
//!
//! Xen `public/memory.h`, `public/xen.h` (mmuext), `public/grant_table.h`.

use hypercall_abi::Errno;
use hypercall_abi::grant_table::{GntStatus, GnttabOp, GnttabSetupTable};
use hypercall_abi::memory::{ForeignMemoryMap, MemoryMap, MemoryReservation, XenMem};
use hypercall_abi::xen::{DomId, Hypercall, MmuextOp, MmuextOpArg};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Error, Interface};

/// Extents per call.
const EXTENTS: usize = 16384;

/// `XEN_E820` of the C header: an entry of a PC's memory map, 20 bytes without padding.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C, packed)]
struct E820Entry {
    addr: u64,
    size: u64,
    kind: u32,
}
/// Ordinary memory in such a map.
const E820_RAM: u32 = 1;

impl Interface {
    /// # Safety
    /// `argument` is the structure of `cmd`; handles in it are of buffers as long as it says.
    unsafe fn memory_op<T: IntoBytes + Immutable>(
        &self,
        what: &'static str,
        cmd: XenMem,
        argument: T,
    ) -> Result<u64, Error> {
        let mut memory = self.buffer(size_of::<T>())?;
        memory.write(&[argument]);
        let arg = [u64::from(u32::from(cmd)), memory.addr(), 0, 0, 0];
        // SAFETY: `memory` is the structure of this command, by this function's contract.
        unsafe { self.call(what, Hypercall::MEMORY_OP, arg) }
    }

    /// Gives a domain memory at these guest frames, each the first of `1 << order`. Returns the
    /// machine frames, as many as the hypervisor had: fewer than asked for where memory in such
    /// large pieces or the domain's limit is exhausted.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn populate(&self, domain: DomId, order: u32, frames: &[u64]) -> Result<Vec<u64>, Error> {
        let what = "memory for a domain";
        let mut all = Vec::with_capacity(frames.len());
        for frames in frames.chunks(EXTENTS) {
            let mut list = self.buffer(size_of_val(frames))?;
            list.write(frames);
            let argument = MemoryReservation {
                extent_start: list.handle(),
                nr_extents: frames.len() as u64,
                extent_order: order,
                domid: domain,
                ..Default::default()
            };
            // SAFETY: the handle is of `list`, which has as many entries.
            let done = match unsafe { self.memory_op(what, XenMem::POPULATE_PHYSMAP, argument) } {
                Ok(done) => usize::try_from(done).unwrap_or(0).min(frames.len()),
                Err(Error::Refused(_, Errno::ENOMEM)) => 0,
                Err(error) => return Err(error),
            };
            all.extend(list.read::<u64>(done));
            if done < frames.len() {
                break;
            }
        }
        Ok(all)
    }

    /// Sets pages aside for a domain that is about to be populated; 0 gives the rest back.
    ///
    /// # Errors
    /// `ENOMEM` if there are not as many.
    pub fn claim(&self, domain: DomId, pages: u64) -> Result<(), Error> {
        let argument = MemoryReservation {
            nr_extents: pages,
            domid: domain,
            ..Default::default()
        };
        // SAFETY: there are no handles in it.
        unsafe { self.memory_op("claiming memory", XenMem::CLAIM_PAGES, argument)? };
        Ok(())
    }

    /// Tells a PV guest how far its memory may grow, in KiB.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn set_memory_map(&self, domain: DomId, kib: u64) -> Result<(), Error> {
        let mut entries = self.buffer(size_of::<E820Entry>())?;
        entries.write(&[E820Entry {
            addr: 0,
            size: kib.saturating_mul(1024),
            kind: E820_RAM,
        }]);
        let argument = ForeignMemoryMap {
            domid: domain,
            map: MemoryMap {
                nr_entries: 1,
                buffer: entries.handle(),
                ..Default::default()
            },
            ..Default::default()
        };
        // SAFETY: the handle is of `entries`, which is one entry.
        unsafe { self.memory_op("memory map", XenMem::SET_MEMORY_MAP, argument)? };
        Ok(())
    }

    /// The highest guest frame of a domain.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn highest_frame(&self, domain: DomId) -> Result<u64, Error> {
        let argument = hypercall_abi::memory::MemoryDomain { domid: domain };
        let what = "size of a domain's memory";
        // SAFETY: there are no handles in it.
        unsafe { self.memory_op(what, XenMem::MAXIMUM_GPFN, argument) }
    }

    /// Checks a domain's page tables from the top one and keeps them checked.
    ///
    /// # Errors
    /// What the hypervisor refuses: `EINVAL` if an entry is not allowed.
    pub fn pin_l4(&self, domain: DomId, frame: u64) -> Result<(), Error> {
        let mut op = MmuextOpArg {
            cmd: MmuextOp::PIN_L4_TABLE,
            ..Default::default()
        };
        op.arg1.set_mfn(frame);
        let mut memory = self.buffer(size_of::<MmuextOpArg>())?;
        memory.write(&[op]);
        let arg = [memory.addr(), 1, 0, u64::from(domain.0), 0];
        // SAFETY: `memory` is one operation, and no count of done ones is asked for.
        unsafe { self.call("page tables", Hypercall::MMUEXT_OP, arg)? };
        Ok(())
    }

    /// The first machine frame of a domain's grant table.
    pub(super) fn grant_table_frame(&self, domain: DomId) -> Result<u64, Error> {
        let what = "grant table";
        let list = self.buffer(size_of::<u64>())?;
        let mut memory = self.buffer(size_of::<GnttabSetupTable>())?;
        memory.write(&[GnttabSetupTable {
            dom: domain,
            nr_frames: 1,
            frame_list: list.handle(),
            ..Default::default()
        }]);
        let cmd = u64::from(u32::from(GnttabOp::SETUP_TABLE));
        let arg = [cmd, memory.addr(), 1, 0, 0];
        // SAFETY: `memory` is one structure of this command, its list has room for one frame.
        unsafe { self.call(what, Hypercall::GRANT_TABLE_OP, arg)? };
        match memory.read_one::<GnttabSetupTable>().status {
            GntStatus::OKAY => Ok(list.read_one()),
            _ => Err(Error::Refused(what, Errno::EINVAL)),
        }
    }
}
