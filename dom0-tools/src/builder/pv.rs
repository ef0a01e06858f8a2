//! Builds a PV guest.
//!
//! Xen `public/xen.h` (start of day), `public/grant_table.h` (reserved entries).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hypercall_abi::Errno;
use hypercall_abi::arch_x86::{
    FLAT_KERNEL_CS64, FLAT_KERNEL_DS64, FLAT_KERNEL_SS64, VGCF_IN_KERNEL, VGCF_ONLINE,
    VcpuGuestContext,
};
use hypercall_abi::grant_table::{
    GNTTAB_RESERVED_CONSOLE, GNTTAB_RESERVED_XENSTORE, GTF_PERMIT_ACCESS, GrantEntryV1,
};
use hypercall_abi::xen::{
    DomId, MAX_GUEST_CMDLINE, SIF_MOD_START_PFN, SIF_VIRT_P2M_4TOOLS, SharedInfo, StartInfo,
    StartInfoConsoleDomU,
};
use zerocopy::{FromZeros as _, IntoBytes as _};

use super::layout::Layout;
use super::load::{self, LoadError, Loaded};
use super::source::Source;
use super::{Error, PAGE, Target, Window, tables};
use crate::hypercall;

/// Pages of 2 MiB.
const LARGE: u64 = 512;
const LARGE_ORDER: u32 = 9;
/// Large pages per call.
const BATCH: usize = 1024;
/// What the debug registers hold after a reset.
const DR6: u64 = 0xffff_0ff0;
const DR7: u64 = 0x400;
const INTERRUPTS: u64 = 1 << 9;

/// What to build. The files are open already: what is missing shows before there is a domain.
#[derive(Debug)]
pub struct Request {
    /// The kernel.
    pub kernel: Source,
    /// Its file, for messages.
    pub kernel_path: PathBuf,
    /// The ramdisk and its file.
    pub ramdisk: Option<(File, PathBuf)>,
    /// The kernel's command line.
    pub command_line: String,
    /// Memory at the start, in pages.
    pub pages: u64,
    /// The guest's port to xenstore.
    pub store_port: u32,
    /// The guest's port to its console.
    pub console_port: u32,
    /// Who serves xenstore.
    pub store_domain: DomId,
    /// Who serves the console.
    pub console_domain: DomId,
    /// Once true, the domain is not wanted any more.
    pub cancel: Arc<AtomicBool>,
}

impl Request {
    /// Opens the files.
    ///
    /// # Errors
    /// That one does not open, or is no kernel; that the command line is too long.
    pub fn open(
        kernel: &Path,
        ramdisk: Option<&Path>,
        command_line: String,
        pages: u64,
    ) -> Result<Self, Error> {
        if command_line.len() >= MAX_GUEST_CMDLINE as usize {
            return Err(Error::CommandLine(command_line.len()));
        }
        let ramdisk = match ramdisk {
            None => None,
            Some(path) => {
                let failed = |error| Error::File(path.to_owned(), error);
                let file = File::open(path).map_err(failed)?;
                if !file.metadata().map_err(failed)?.is_file() {
                    return Err(failed(std::io::Error::other("not a regular file")));
                }
                Some((file, path.to_owned()))
            }
        };
        Ok(Self {
            kernel: Source::open(kernel)?,
            kernel_path: kernel.to_owned(),
            ramdisk,
            command_line,
            pages,
            store_port: 0,
            console_port: 0,
            store_domain: DomId(0),
            console_domain: DomId(0),
            cancel: Arc::default(),
        })
    }
}

/// What others need to know of a built domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Built {
    /// The machine frame of xenstore's ring.
    pub store_frame: u64,
    /// The machine frame of the console's ring.
    pub console_frame: u64,
}

/// Fills a fresh domain, which has its limits, its vCPUs and its ports.
///
/// # Errors
/// See [`Error`]; the domain is then of no use.
pub fn build<T: Target>(target: &T, request: &Request) -> Result<Built, Error> {
    let (machine, loaded) = populate_and_load(target, request)?;
    let path = &request.kernel_path;
    let no_pv = |why| Error::NoPv(path.clone(), why);
    loaded.notes.check_pv().map_err(no_pv)?;

    let ramdisk_len = match &request.ramdisk {
        None => None,
        Some((file, path)) => {
            let metadata = file.metadata();
            let metadata = metadata.map_err(|error| Error::File(path.clone(), error))?;
            Some(metadata.len()).filter(|len| *len > 0)
        }
    };
    let layout = Layout::plan(&loaded.notes, loaded.end, ramdisk_len, request.pages)?;
    fill(target, request, &loaded, &layout, &machine, ramdisk_len)?;

    let frame = |guest: u64| machine.get(guest as usize).copied().unwrap_or(0);
    seed_grants(
        target,
        request,
        frame(layout.console),
        frame(layout.xenstore),
    )?;
    share(target)?;
    if let Some(address) = loaded.notes.hypercall_page {
        let guest = address.wrapping_sub(layout.main.start) / PAGE;
        if !layout.main.frames.contains(&guest) {
            return Err(no_pv("its page for hypercalls is outside of it".into()));
        }
        target.fill_hypercall_page(frame(guest))?;
    }
    // Nothing of the tables is mapped writable here any more.
    target.pin_l4(frame(layout.l4))?;
    target.set_context(&context(&loaded, &layout, frame(layout.l4)))?;
    Ok(Built {
        store_frame: frame(layout.xenstore),
        console_frame: frame(layout.console),
    })
}

/// One thread unpacks the kernel; this one gets memory and copies what is ready.
fn populate_and_load<T: Target>(
    target: &T,
    request: &Request,
) -> Result<(Vec<u64>, Loaded), Error> {
    let mut machine = None;
    let mut paddr_offset = 0;
    loop {
        let (feeder, pieces) = load::pipe();
        let loaded = std::thread::scope(|scope| {
            scope.spawn(move || feeder.run(request.kernel.reader()));
            // Moved in, so that a failure here ends the other thread.
            let pieces = pieces;
            let machine = match &machine {
                Some(machine) => machine,
                None => machine.insert(populate(target, request.pages)?),
            };
            load::load(&pieces, paddr_offset, &request.cancel, |first, end| {
                window(target, machine, first, end)
            })
            .map_err(|error| named(error, &request.kernel_path))
        })?;
        let said = loaded.notes.paddr_offset.unwrap_or(0);
        if said == paddr_offset {
            request.kernel.keep();
            return Ok((machine.unwrap_or_default(), loaded));
        }
        if paddr_offset != 0 {
            let why = "its notes contradict each other".to_owned();
            return Err(Error::Broken(request.kernel_path.clone(), why));
        }
        // Rare: it is linked for other addresses than it says, so once more, to the right place.
        paddr_offset = said;
    }
}

fn named(error: LoadError<Error>, path: &Path) -> Error {
    match error {
        LoadError::Unpack(error) => Error::Broken(path.to_owned(), error.to_string()),
        LoadError::Broken(why) => Error::Broken(path.to_owned(), why),
        LoadError::Copy(error) => Error::Copy(error),
        LoadError::Open(error) => error,
        LoadError::Cancelled => Error::Cancelled,
    }
}

/// Gives the domain its memory, in large pages as far as possible. Returns the machine frames.
fn populate<T: Target>(target: &T, pages: u64) -> Result<Vec<u64>, Error> {
    let mut machine: Vec<u64> = Vec::with_capacity(pages as usize);
    let no_memory = |got: usize| Error::NoMemory {
        needed: pages * PAGE,
        got: got as u64 * PAGE,
    };
    // An aid only, which the hypervisor may not know: other errors do not matter.
    if let Err(hypercall::Error::Refused(_, Errno::ENOMEM)) = target.claim(pages) {
        return Err(no_memory(usize::try_from(target.free_pages()).unwrap_or(0)));
    }
    while machine.len() as u64 + LARGE <= pages {
        let done = machine.len() as u64;
        let count = ((pages - done) / LARGE).min(BATCH as u64);
        let frames: Vec<u64> = (0..count).map(|index| done + index * LARGE).collect();
        let got = target.populate(LARGE_ORDER, &frames)?;
        for first in &got {
            machine.extend(*first..first + LARGE);
        }
        if got.len() < frames.len() {
            break;
        }
    }
    let frames: Vec<u64> = (machine.len() as u64..pages).collect();
    if !frames.is_empty() {
        let got = target.populate(0, &frames)?;
        machine.extend(&got);
        if got.len() < frames.len() {
            return Err(no_memory(machine.len()));
        }
    }
    // Gives back what of the claim is left.
    let _ = target.claim(0);
    Ok(machine)
}

fn window<T: Target>(
    target: &T,
    machine: &[u64],
    first: u64,
    end: u64,
) -> Result<T::Window, Error> {
    let range = usize::try_from(first).ok().zip(usize::try_from(end).ok());
    let frames = range.and_then(|(first, end)| machine.get(first..end));
    let frames = frames.ok_or(Error::TooSmall {
        needed: end.saturating_mul(PAGE),
        given: machine.len() as u64 * PAGE,
    })?;
    Ok(target.map(frames)?)
}

/// Everything behind the kernel: ramdisk, list of frames, start info, rings, tables.
fn fill<T: Target>(
    target: &T,
    request: &Request,
    loaded: &Loaded,
    layout: &Layout,
    machine: &[u64],
    ramdisk_len: Option<u64>,
) -> Result<(), Error> {
    let first = loaded.end;
    let mut rest = window(target, machine, first, layout.end)?;
    let at = |frame: u64| (frame - first) * PAGE;
    if let (Some(frames), Some((file, path)), Some(len)) =
        (&layout.ramdisk, &request.ramdisk, ramdisk_len)
    {
        rest.read_file(at(frames.start), file, 0, len)
            .map_err(|error| Error::File(path.clone(), error))?;
        let end = at(frames.start) + len;
        rest.zero(end, at(frames.end) - end).map_err(Error::Copy)?;
    }
    for frame in [layout.xenstore, layout.console, layout.boot_stack] {
        rest.zero(at(frame), PAGE).map_err(Error::Copy)?;
    }
    let list = machine.as_bytes();
    let list_at = at(layout.list_frames.start);
    rest.write(list_at, list).map_err(Error::Copy)?;
    let list_end = list_at + list.len() as u64;
    rest.zero(list_end, at(layout.list_frames.end) - list_end)
        .map_err(Error::Copy)?;
    tables::write(layout, machine, &mut rest, first).map_err(Error::Copy)?;

    let info = start_info(request, layout, machine, target.shared_info()?, ramdisk_len);
    rest.zero(at(layout.start_info), PAGE)
        .map_err(Error::Copy)?;
    rest.write(at(layout.start_info), info.as_bytes())
        .map_err(Error::Copy)
}

fn start_info(
    request: &Request,
    layout: &Layout,
    machine: &[u64],
    shared_info: u64,
    ramdisk_len: Option<u64>,
) -> StartInfo {
    let frame = |guest: u64| machine.get(guest as usize).copied().unwrap_or(0);
    let mut info = StartInfo::new_zeroed();
    let magic = b"xen-3.0-x86_64";
    info.magic[..magic.len()].copy_from_slice(magic);
    info.nr_pages = request.pages;
    info.shared_info = shared_info * PAGE;
    info.flags = SIF_VIRT_P2M_4TOOLS;
    info.store_mfn = frame(layout.xenstore);
    info.store_evtchn = request.store_port;
    info.console.set_domu(StartInfoConsoleDomU {
        mfn: frame(layout.console),
        evtchn: request.console_port,
        ..Default::default()
    });
    info.pt_base = layout.address(layout.l4);
    info.nr_pt_frames = layout.table_frames();
    info.mfn_list = layout.list_start;
    if layout.list.is_some() {
        let frames = layout.list_with_tables();
        info.first_p2m_pfn = frames.start;
        info.nr_p2m_frames = frames.end - frames.start;
    }
    if let (Some(frames), Some(len)) = (&layout.ramdisk, ramdisk_len) {
        info.mod_len = len;
        if layout.ramdisk_mapped {
            info.mod_start = layout.address(frames.start);
        } else {
            info.mod_start = frames.start;
            info.flags |= SIF_MOD_START_PFN;
        }
    }
    // The last byte stays zero: the request's length was checked when it was made.
    let text = request.command_line.as_bytes();
    let len = text.len().min(info.cmd_line.len() - 1);
    info.cmd_line[..len].copy_from_slice(&text[..len]);
    info
}

/// Lets the daemons map the rings by the grants that they know.
fn seed_grants<T: Target>(
    target: &T,
    request: &Request,
    console: u64,
    xenstore: u64,
) -> Result<(), Error> {
    let mut table = target.map_grant_table()?;
    let grants = [
        (GNTTAB_RESERVED_CONSOLE, request.console_domain, console),
        (GNTTAB_RESERVED_XENSTORE, request.store_domain, xenstore),
    ];
    for (reference, domid, frame) in grants {
        let entry = GrantEntryV1 {
            flags: GTF_PERMIT_ACCESS,
            domid,
            // An entry of version 1 has 32 bits: 16 TiB of machine memory.
            frame: u32::try_from(frame).map_err(|_| {
                hypercall::Error::Refused("grant of a ring above 16 TiB", Errno::ERANGE)
            })?,
        };
        let at = u64::from(reference) * size_of::<GrantEntryV1>() as u64;
        table.write(at, entry.as_bytes()).map_err(Error::Copy)?;
    }
    Ok(())
}

/// The page shared with the hypervisor: events are masked until the guest is ready for them.
fn share<T: Target>(target: &T) -> Result<(), Error> {
    let mut page = target.map(&[target.shared_info()?])?;
    let mut shared = SharedInfo::new_zeroed();
    for vcpu in &mut shared.vcpu_info {
        vcpu.evtchn_upcall_mask = 1;
    }
    page.zero(0, PAGE).map_err(Error::Copy)?;
    page.write(0, shared.as_bytes()).map_err(Error::Copy)
}

fn context(loaded: &Loaded, layout: &Layout, l4: u64) -> VcpuGuestContext {
    let mut context = VcpuGuestContext::new_zeroed();
    let regs = &mut context.user_regs;
    regs.rip = loaded.notes.entry.unwrap_or(loaded.entry);
    regs.rsp = layout.address(layout.boot_stack + 1);
    regs.rsi = layout.address(layout.start_info);
    regs.rflags = INTERRUPTS;
    regs.cs = FLAT_KERNEL_CS64;
    regs.ss = FLAT_KERNEL_SS64;
    for selector in [&mut regs.ds, &mut regs.es, &mut regs.fs, &mut regs.gs] {
        *selector = FLAT_KERNEL_DS64;
    }
    context.kernel_ss = u64::from(FLAT_KERNEL_SS64);
    context.kernel_sp = regs.rsp;
    context.flags = u64::from(VGCF_IN_KERNEL | VGCF_ONLINE);
    context.debugreg[6] = DR6;
    context.debugreg[7] = DR7;
    context.ctrlreg[3] = l4 * PAGE;
    context
}
