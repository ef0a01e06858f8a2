//! The dom0 builder: from boot modules to a domain whose first vCPU can run.
//!
//! Runs once, on the boot CPU, before any guest. The kernel is unpacked into scratch memory, its segments are copied
//! to where they belong, and the ramdisk's frames become dom0's as they are.

mod error;
mod extents;
mod layout;
mod tables;
mod video;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use arch::addr::{Gfn, Mfn, PAGE_BYTES, PAGE_SHIFT, PhysAddr};
use arch::boot::Framebuffer;
use hypercall_abi::arch_x86::{FLAT_KERNEL_CS, FLAT_KERNEL_SS, VcpuGuestContext};
use hypercall_abi::xen::{
    SIF_INITDOMAIN, SIF_MOD_START_PFN, SIF_PRIVILEGED, StartInfo, StartInfoConsoleDom0,
};
use zerocopy::IntoBytes;

use crate::domain::{Domain, DomainId, Kind};
use crate::host::host;
use crate::loader::{Image, Kernel, LoadError};
use crate::mm;
use crate::options::Options;
use crate::pv;

pub use error::BuildError;
use extents::Extents;
use layout::Layout;
use tables::Tables;

/// Where a boot module lies: physical address and length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
    /// First byte.
    pub start: PhysAddr,
    /// Bytes.
    pub len: u64,
}

/// What dom0 is built from.
pub struct Request<'a> {
    /// The kernel as the boot loader passed it.
    pub image: &'a [u8],
    /// Its command line.
    pub command_line: &'a str,
    /// The ramdisk, in frames that belong to nobody yet.
    pub ramdisk: Option<Module>,
    /// The hypervisor's options.
    pub options: &'a Options,
    /// CPUs that run.
    pub cpus: u32,
    /// The screen, as the boot loader left it.
    pub screen: Option<&'a Framebuffer>,
    /// Started by EFI firmware.
    pub efi: bool,
}

/// Most vCPUs a PV domain can have (event channels' selector allows more, the ABI's CPU maps do not).
const MAX_VCPUS: u32 = 8192;

/// As many vCPUs as CPUs, within `dom0_max_vcpus=`.
fn vcpu_count(options: &Options, cpus: u32) -> u32 {
    let (min, max) = options.dom0_max_vcpus;
    cpus.max(min).min(max).clamp(1, MAX_VCPUS)
}

/// Builds dom0 and puts it into the domain list, with vCPU 0 ready to run.
pub fn build(request: &Request<'_>) -> Result<Arc<Domain>, BuildError> {
    let memory = &host().mm;
    let image = Image::locate(request.image)?;
    let ramdisk = request.ramdisk.filter(|m| m.len > 0);
    let ramdisk_pages = ramdisk.map_or(0, |m| m.len.div_ceil(PAGE_BYTES as u64));
    let free = memory.free_pages();
    let (pages, most) = request.options.dom0_mem.pages(free + ramdisk_pages);
    // Twice what is kept for the hypervisor stays: building dom0 takes of it, and dom0 will want tables and ports.
    let pages = pages.min(free.saturating_sub(2 * memory.reserve()) + ramdisk_pages);

    let vcpus = vcpu_count(request.options, request.cpus);
    let shared = memory
        .alloc_shared_page(DomainId::DOM0, true)
        .map_err(|_| BuildError::OutOfMemory { missing: 1 })?;
    let shared_info = shared.frame();
    // dom0 keeps it for as long as it lives.
    let _ = shared.into_raw();
    let domain = Domain::new(
        DomainId::DOM0,
        Kind::Pv(pv::PvDomain::default()),
        true,
        shared_info,
    );
    let exists = |_| BuildError::Refused("identity (there is a dom0 already)");
    host().domains.insert(domain.clone()).map_err(exists)?;
    domain.create_vcpus(vcpus).map_err(exists)?;
    // The page counts of the ABI have 32 bits.
    domain.mem.set_max_pages(most.min(u64::from(u32::MAX)));

    let construct = |file: &[u8]| {
        let kernel = Kernel::parse(file)?;
        Builder::start(request, &domain, kernel, ramdisk, pages)
    };
    // The scratch memory goes back before dom0 gets the rest of its memory, and in any case.
    let started = if image.compression == crate::loader::Compression::None {
        construct(image.plain())
    } else {
        unpacked(&image, construct)
    };
    let finished = started.and_then(|builder| builder.finish(pages));
    if let Err(error) = finished {
        host().domains.remove(DomainId::DOM0);
        return Err(error);
    }
    Ok(domain)
}

/// Largest kernel that is unpacked: more than any, less than what would be a mistake.
const KERNEL_LIMIT: u64 = 1 << 30;

/// Unpacks into scratch memory for as long as `f` runs.
fn unpacked<R>(
    image: &Image<'_>,
    f: impl FnOnce(&[u8]) -> Result<R, BuildError>,
) -> Result<R, BuildError> {
    let memory = &host().mm;
    let too_large = LoadError::TooLarge {
        size: image.size,
        limit: KERNEL_LIMIT.min(memory.free_pages() * PAGE_BYTES as u64),
    };
    if image.size > KERNEL_LIMIT {
        return Err(too_large.into());
    }
    let mut scratch = memory.alloc_scratch(image.size).ok_or(too_large)?;
    let result = (|| {
        let room = scratch.bytes_mut().get_mut(..image.size as usize);
        let room = room.ok_or(too_large)?;
        let len = image.unpack_into(room)?;
        f(&room[..len])
    })();
    memory.free_scratch(scratch);
    result
}

/// dom0 with its kernel in place.
struct Builder<'a> {
    request: &'a Request<'a>,
    domain: &'a Arc<Domain>,
    layout: Layout,
    extents: Extents,
    entry: u64,
    /// First page of the ramdisk, if there is one, and its length in bytes.
    ramdisk: Option<(u64, u64)>,
}

impl<'a> Builder<'a> {
    /// Lays dom0 out, gives it the memory of its initial mapping and copies the kernel there.
    fn start(
        request: &'a Request<'a>,
        domain: &'a Arc<Domain>,
        kernel: Kernel<'_>,
        ramdisk: Option<Module>,
        pages: u64,
    ) -> Result<Self, BuildError> {
        let initrd_len = ramdisk.map_or(0, |m| m.len);
        let initrd_pages = initrd_len.div_ceil(PAGE_BYTES as u64);
        let layout = Layout::new(&kernel, initrd_len, pages)?;
        let apart = if layout.initrd.is_some() {
            0
        } else {
            initrd_pages
        };
        let needed = layout.pages() + apart + p2m_pages(&layout, pages).0;
        if needed > pages {
            return Err(BuildError::TooLittleMemory {
                needed,
                given: pages,
            });
        }
        let mut extents = Extents::default();
        let mut initrd = None;
        let before = match layout.initrd {
            Some(address) => layout.page_of(address),
            None => layout.pages(),
        };
        extents.allocate(domain, before)?;
        if let Some(module) = ramdisk {
            initrd = Some((extents.pages(), module.len));
            adopt(domain, &mut extents, module)?;
        }
        if layout.initrd.is_some() {
            extents.allocate(domain, layout.pages() - before - initrd_pages)?;
        }
        let builder = Self {
            request,
            domain,
            layout,
            extents,
            entry: kernel.entry,
            ramdisk: initrd,
        };
        builder.load(&kernel)?;
        if request.options.verbose_dom0 {
            builder.describe(&kernel);
        }
        Ok(builder)
    }

    fn load(&self, kernel: &Kernel<'_>) -> Result<(), BuildError> {
        for (address, segment) in kernel.segments() {
            let at = address - self.layout.start;
            let len = segment.data.len() as u64;
            self.extents.write(self.domain, at, segment.data)?;
            self.extents
                .clear(self.domain, at + len, segment.size - len)?;
        }
        if let Some(address) = kernel.hypercall_page {
            let mut page = Box::new([0; PAGE_BYTES]);
            pv::hypercall_page(&mut page);
            let at = address - self.layout.start;
            self.extents.write(self.domain, at, &page[..])?;
        }
        Ok(())
    }

    fn describe(&self, kernel: &Kernel<'_>) {
        let l = &self.layout;
        log::info!(
            "dom0 kernel    {:#x}..{:#x}",
            kernel.virt_start,
            kernel.virt_end
        );
        log::info!("dom0 P2M list  {:#x}", l.p2m);
        log::info!(
            "dom0 start info {:#x}, page tables {:#x} ({}), stack {:#x}",
            l.start_info,
            l.tables,
            l.table_count,
            l.stack_top
        );
        log::info!(
            "dom0 mapping   {:#x}..{:#x}, entry {:#x}",
            l.start,
            l.end,
            kernel.entry
        );
        for e in self.extents.iter() {
            log::info!(
                "dom0 pages     {:#x}..{:#x} in frames from {}",
                e.pfn,
                e.pfn + e.pages,
                e.mfn
            );
        }
    }

    /// Gives dom0 the rest of its memory, then tables, lists, start info and registers.
    fn finish(mut self, pages: u64) -> Result<(), BuildError> {
        // The P2M list and its tables, if they are apart, are pages of their own, directly behind what is mapped.
        let first_p2m = self.extents.pages();
        self.extents.memory_came_back();
        let (p2m_frames, p2m_tables) = p2m_pages(&self.layout, pages);
        self.extents
            .allocate(self.domain, pages - self.extents.pages())?;

        self.write_p2m(first_p2m + p2m_tables, pages)?;
        let l4 = self.write_tables(first_p2m, p2m_tables, pages)?;
        self.write_start_info(first_p2m, p2m_frames, pages)?;
        let refused = |_| BuildError::Refused("page tables");
        mm::pin_initial_tables(self.domain, l4).map_err(refused)?;
        self.prepare_vcpus(l4)
    }

    /// Writes the list of machine frames (from page `first` on if it is apart) and the machine-to-phys entries.
    fn write_p2m(&self, first: u64, pages: u64) -> Result<(), BuildError> {
        let first = if self.layout.p2m_apart {
            first
        } else {
            self.layout.page_of(self.layout.p2m)
        };
        let m2p = &host().mm.m2p;
        let mut entries = self.extents.frames(0..pages).enumerate().peekable();
        let mut page = [0; PAGE_BYTES];
        let mut at = first;
        while entries.peek().is_some() {
            page.fill(0);
            for (slot, (pfn, mfn)) in page.as_chunks_mut::<8>().0.iter_mut().zip(&mut entries) {
                *slot = mfn.get().to_le_bytes();
                m2p.set(mfn, Gfn::new(pfn as u64));
            }
            self.extents.frame(self.domain, at)?.write(0, &page);
            at += 1;
        }
        Ok(())
    }

    fn write_tables(&self, first_p2m: u64, p2m_tables: u64, pages: u64) -> Result<Mfn, BuildError> {
        let l = &self.layout;
        let own = l.page_of(l.tables)..l.page_of(l.tables) + l.table_count;
        let mut tables = Tables::new(self.domain, &self.extents, own.clone())?;
        let mapped = self.extents.frames(0..l.pages());
        tables.map(l.start, mapped, |page| own.contains(&page))?;
        if l.p2m_apart {
            tables.spare(first_p2m..first_p2m + p2m_tables);
            let list = first_p2m + p2m_tables..first_p2m + p2m_tables + list_pages(pages);
            tables.map(l.p2m, self.extents.frames(list), |_| false)?;
        }
        Ok(tables.l4)
    }

    fn write_start_info(
        &self,
        first_p2m: u64,
        p2m_frames: u64,
        pages: u64,
    ) -> Result<(), BuildError> {
        let l = &self.layout;
        let mut info = Box::new(StartInfo {
            nr_pages: pages,
            shared_info: self.domain.shared_info.mfn().addr().get(),
            flags: SIF_PRIVILEGED | SIF_INITDOMAIN,
            pt_base: l.tables,
            nr_pt_frames: l.table_count,
            mfn_list: l.p2m,
            first_p2m_pfn: first_p2m,
            nr_p2m_frames: p2m_frames,
            ..StartInfo::default()
        });
        copy_text(&mut info.magic, "xen-3.0-x86_64");
        copy_text(&mut info.cmd_line, self.request.command_line);
        if let Some((pfn, len)) = self.ramdisk {
            info.mod_len = len;
            info.mod_start = match l.initrd {
                Some(address) => address,
                None => {
                    info.flags |= SIF_MOD_START_PFN;
                    pfn
                }
            };
        }
        let page = (l.start_info - l.start) as usize;
        let after = size_of::<StartInfo>();
        self.extents
            .clear(self.domain, page as u64, PAGE_BYTES as u64)?;
        if let Some(screen) = video::console_info(self.request.screen, self.request.efi) {
            info.console.set_dom0(StartInfoConsoleDom0 {
                info_off: after as u32,
                info_size: size_of_val(&screen) as u32,
            });
            let at = (page + after) as u64;
            self.extents.write(self.domain, at, screen.as_bytes())?;
        }
        self.extents
            .write(self.domain, page as u64, info.as_bytes())
    }

    fn prepare_vcpus(&self, l4: Mfn) -> Result<(), BuildError> {
        // Upcalls stay masked until the kernel is ready for them: byte 1 of each 64-byte vcpu_info.
        for id in 0..32 {
            self.domain.shared_info.write_u8(id * 64 + 1, 1);
        }
        let mut context = Box::new(VcpuGuestContext::default());
        context.flags = IN_KERNEL;
        context.user_regs.rip = self.entry;
        context.user_regs.rsp = self.layout.stack_top;
        context.user_regs.rsi = self.layout.start_info;
        context.user_regs.rflags = INTERRUPTS_ON;
        context.user_regs.cs = FLAT_KERNEL_CS;
        context.user_regs.ss = FLAT_KERNEL_SS;
        context.kernel_ss = u64::from(FLAT_KERNEL_SS);
        context.kernel_sp = self.layout.stack_top;
        context.ctrlreg[3] = l4.get() << PAGE_SHIFT;
        let refused = |_| BuildError::Refused("first registers");
        let boot = self.domain.vcpu(0).map_err(refused)?;
        let refused = |_| BuildError::Refused("first registers");
        pv::initialise_vcpu(self.domain, boot, &context).map_err(refused)?;
        boot.initialised.store(true, Ordering::Release);
        boot.down.store(false, Ordering::Release);
        Ok(())
    }
}

/// `VGCF_in_kernel` (Xen public/arch-x86/xen.h).
const IN_KERNEL: u64 = 1 << 2;
/// RFLAGS.IF, and the bit that is always one.
const INTERRUPTS_ON: u64 = 1 << 9 | 1 << 1;

/// Pages that the list of machine frames fills.
fn list_pages(pages: u64) -> u64 {
    (pages * 8).div_ceil(PAGE_BYTES as u64)
}

/// Pages for a P2M list apart from the image: all of them, and how many of those are its tables.
fn p2m_pages(layout: &Layout, pages: u64) -> (u64, u64) {
    if !layout.p2m_apart {
        return (0, 0);
    }
    let list = list_pages(pages);
    let end = layout.p2m + list * PAGE_BYTES as u64;
    let tables: u64 = [39, 30, 21]
        .map(|shift| layout::tables_for(layout.p2m, end, shift))
        .iter()
        .sum();
    (list + tables, tables)
}

/// Makes the ramdisk's frames dom0's next pages; a module that starts within a page is copied.
fn adopt(domain: &Domain, extents: &mut Extents, module: Module) -> Result<(), BuildError> {
    let pages = module.len.div_ceil(PAGE_BYTES as u64);
    let first = module.start.mfn();
    if module.start.page_offset() != 0 {
        let end = module
            .start
            .offset(module.len + PAGE_BYTES as u64 - 1)
            .mfn();
        let source = host().mm.borrow_reserved(first.get()..end.get());
        let source = source.map_err(|_| BuildError::Ramdisk)?;
        let data = source
            .bytes()
            .get(module.start.page_offset()..)
            .unwrap_or_default();
        let at = extents.pages() * PAGE_BYTES as u64;
        extents.allocate(domain, pages)?;
        return extents.write(
            domain,
            at,
            data.get(..module.len as usize).ok_or(BuildError::Ramdisk)?,
        );
    }
    host()
        .mm
        .adopt_range(domain, first.get()..first.get() + pages)
        .map_err(|_| BuildError::Ramdisk)?;
    let at = extents.pages() * PAGE_BYTES as u64 + module.len;
    extents.push(first, pages);
    // What is behind the file in its last page may be anything.
    let rest = module.len.next_multiple_of(PAGE_BYTES as u64) - module.len;
    extents.clear(domain, at, rest)
}

/// Copies text with a final NUL, cutting what does not fit.
fn copy_text(to: &mut [u8], text: &str) {
    let room = to.len() - 1;
    for (to, from) in to.iter_mut().take(room).zip(text.bytes()) {
        *to = from;
    }
}
