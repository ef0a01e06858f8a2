//! From the boot loader to dom0's first instruction.

use alloc::vec::Vec;
use core::ops::Range;

use arch::acpi::Acpi;
use arch::addr::{Mfn, PAGE_SHIFT};
use arch::boot::{BootInfo, EarlyMemory, RegionKind};
use arch::sync::Once;

use crate::host::{self, Host, host};
use crate::mm::{self, Constraint, MapEntry, PageInfo};
use crate::options::{Options, Scrub, Tsc};
use crate::{console, dom0, fault, irq, percpu, pv, sched, shutdown, time};

/// What start-up passes from the boot stack to the main stack.
struct Boot {
    info: &'static BootInfo,
    options: Options,
}

static BOOT: Once<Boot> = Once::new();

/// Says why the machine cannot be started, and restarts or halts it as configured.
fn fail(args: core::fmt::Arguments<'_>) -> ! {
    log::error!("{args}");
    shutdown::after_failure(|line| log::error!("{line}"))
}

/// The boot CPU, on the boot stack, with the loader's information copied out.
pub fn boot(info: &'static mut BootInfo) -> ! {
    let options = Options::parse(info.command_line());
    shutdown::configure(&options);
    console::start(&options);
    log::info!(
        "Oxen {} started by {:?}",
        env!("CARGO_PKG_VERSION"),
        info.loader_name()
    );
    log::info!("command line: {}", info.command_line());
    for note in &options.notes {
        log::warn!("{note}");
    }
    use arch::cpu::control::Cr4;
    let mut unused = Cr4::empty();
    unused.set(Cr4::SMEP, !options.smep);
    unused.set(Cr4::SMAP, !options.smap);
    arch::cpu::control::withhold(unused);
    choose_tagging(&options);
    crate::speculation::start(&options.speculation);
    arch::cpu::control::init();
    limit_memory(info, &options);
    let info: &'static BootInfo = info;
    let mut memory = EarlyMemory::new(info);
    let usable: u64 = memory.free_bytes();
    if usable < 48 << 20 {
        fail(format_args!(
            "only {} MiB of memory are usable, 48 are needed",
            usable >> 20
        ));
    }
    if let Err(error) = arch::paging::init(info, &mut memory) {
        fail(format_args!(
            "the hypervisor's page tables cannot be built: {error:?}"
        ));
    }
    console::attach_screen(&options, info);
    let layout = memory_layout(info, &mut memory);
    if let Err(error) = arch::tables::create_area(0, 0, &mut memory) {
        fail(format_args!("CPU 0's area cannot be built: {error:?}"));
    }
    arch::tables::load(0);
    percpu::install(0);

    let acpi = match arch::acpi::init(info.rsdp) {
        Ok(acpi) => acpi,
        Err(error) => fail(format_args!("no usable ACPI tables: {error:?}")),
    };
    for warning in &acpi.warnings {
        log::warn!("ACPI: {warning:?}");
    }
    if let Err(error) = arch::apic::init_bsp(acpi, options.x2apic) {
        fail(format_args!("no usable local APIC: {error:?}"));
    }
    if let Err(error) = arch::smp::prepare(&mut memory) {
        log::warn!("{error}");
    }
    let mut layout = layout;
    layout.denied = denied(info, acpi);
    crate::numa::configure(options.numa);
    layout.nodes = crate::numa::ranges(acpi);
    layout.dirty = options.scrub != Scrub::Never;
    layout.free = memory
        .free_ranges()
        .map(|r| frames(r.start, r.end))
        .collect();
    host::install(Host::new(mm::Memory::new(layout)));
    arch::heap::set_page_source(arch::heap::PageSource {
        take: take_pages,
        give: give_pages,
    });
    arch::paging::set_frame_source(zeroed_page);
    BOOT.call_once(|| Boot { info, options });
    arch::tables::continue_on_main_stack(on_main_stack)
}

/// Decides about PCIDs, before any CR4 is set.
fn choose_tagging(options: &Options) {
    use arch::tlb::contexts::{Processor, Tagging};
    let f = arch::cpu::features();
    let cpu = Processor {
        vendor: f.vendor,
        family: f.family,
        model: f.model,
        pcid: f.pcid,
        invpcid: f.invpcid,
    };
    let tagging = Tagging::choose(&cpu, options.pcid, options.invpcid);
    arch::tlb::configure(tagging);
    if f.pcid {
        log::info!(
            "TLB: PCIDs {} for guest kernels and users{}",
            if tagging.pcid { "used" } else { "not used" },
            if tagging.invpcid { ", INVPCID" } else { "" }
        );
    }
}

fn take_pages(order: u32) -> Option<Mfn> {
    host()
        .mm
        .alloc_hypervisor_frames(order, Constraint::default())
}

/// A zeroed page for the hypervisor's own tables.
fn zeroed_page() -> Option<Mfn> {
    take_pages(0)
}

fn give_pages(start: Mfn, order: u32) {
    host().mm.free_hypervisor_frames(start, order);
}

/// Leaves RAM out as the options say.
fn limit_memory(info: &mut BootInfo, options: &Options) {
    let by_amount = options
        .available_limit
        .map(|bytes| info.end_of_first(bytes));
    let limits = [options.memory_limit, by_amount];
    if let Some(end) = limits.into_iter().flatten().min() {
        let forgotten = info.limit_memory(end);
        log::info!(
            "memory: {} MiB from {end:#x} on are not used",
            forgotten >> 20
        );
    }
}

/// Whole frames of a byte range.
fn frames(start: u64, end: u64) -> Range<u64> {
    start.div_ceil(1 << PAGE_SHIFT)..end >> PAGE_SHIFT
}

/// Frame table and machine-to-phys table for all RAM.
fn memory_layout(info: &BootInfo, memory: &mut EarlyMemory) -> mm::Layout {
    let ram: Vec<Range<u64>> = info
        .memory()
        .iter()
        .filter(|r| r.kind == RegionKind::Ram)
        .map(|r| frames(r.start, r.end))
        .collect();
    let end = ram.iter().map(|r| r.end).max().unwrap_or(0);
    // SAFETY: the window is the frame table's alone, and an all-zero PageInfo is one of a frame nobody knows.
    #[allow(unsafe_code)]
    let table =
        unsafe { arch::statics::table::<PageInfo>(arch::paging::FRAME_TABLE_BASE, end, memory) };
    let frame_table = match table {
        Ok(table) => table,
        Err(error) => fail(format_args!("no memory for the frame table ({error:?})")),
    };
    if let Err(error) = arch::paging::map_m2p(Mfn::new(0), Mfn::new(end), memory) {
        fail(format_args!(
            "no memory for the machine-to-phys table ({error:?})"
        ));
    }
    // SAFETY: mapped just now, as far as `end`.
    #[allow(unsafe_code)]
    let m2p = unsafe { arch::statics::machine_to_phys(end) };
    let pieces = (end * 8).div_ceil(2 << 20);
    let m2p_pieces = (0..pieces)
        .filter_map(|n| arch::paging::translate(arch::paging::M2P_BASE + (n << 21)))
        .map(|(phys, _)| phys.mfn())
        .collect();
    mm::Layout {
        frame_table,
        m2p,
        ram,
        free: Vec::new(),
        nodes: Vec::new(),
        denied: Vec::new(),
        hypervisor_l4: arch::paging::hypervisor_l4_entries(),
        physical_bits: arch::cpu::cpuid(0x8000_0008, 0).eax & 0xff,
        machine_map: info
            .memory()
            .iter()
            .map(|r| MapEntry {
                start: r.start,
                size: r.end - r.start,
                kind: r.kind as u32,
            })
            .collect(),
        m2p_pieces,
        dirty: false,
    }
}

/// The addresses to which devices write their interrupt messages (Intel SDM 3A, 11.11).
const MESSAGE_WINDOW: Range<u64> = 0xfee0_0000..0xfef0_0000;

/// Bytes below the end of the address space that AMD's processor interconnect uses for itself (HyperTransport I/O Link
/// Specification, address map).
const HYPERTRANSPORT: u64 = 12 << 30;

/// Device frames that no guest may map: the interrupt controllers, which the hypervisor drives, and where messages to
/// them go.
fn denied(info: &BootInfo, acpi: &Acpi) -> Vec<Range<u64>> {
    let page = |address: u64| address >> PAGE_SHIFT..(address >> PAGE_SHIFT) + 1;
    let mut ranges = alloc::vec![
        page(acpi.local_apic_address),
        frames(MESSAGE_WINDOW.start, MESSAGE_WINDOW.end)
    ];
    ranges.extend(acpi.io_apics.iter().map(|io| page(io.address)));
    let features = arch::cpu::features();
    if features.vendor == arch::cpu::Vendor::Amd {
        // The interconnect's special cycles, at the end of what older families address and of what newer ones can.
        let signature = arch::cpu::cpuid(1, 0).eax;
        let family = (signature >> 8 & 0xf) + (signature >> 20 & 0xff);
        let bits = if family < 0x17 {
            40
        } else {
            features.phys_bits
        };
        let end = 1u64 << bits.clamp(40, 52);
        ranges.push(frames(end - HYPERTRANSPORT, end));
    }
    let unusable = info
        .memory()
        .iter()
        .filter(|r| r.kind == RegionKind::Unusable);
    ranges.extend(
        unusable.map(|r| r.start.max(1 << 20) >> PAGE_SHIFT..r.end.div_ceil(1 << PAGE_SHIFT)),
    );
    ranges
}

/// The boot CPU, on its main stack, with memory and traps in order.
fn on_main_stack() -> ! {
    let Boot { info, options } = BOOT.get().expect("set before");
    let acpi = arch::acpi::get();
    console::enlarge_ring(options);
    start_clock(acpi, options);
    arch::power::prepare();
    crate::control::set_command_line(&options.text);
    if let Some(table) = info.efi_system_table.and_then(arch::boot::system_table) {
        crate::control::set_efi(table);
    }
    fault::configure(options.nmi);
    sched::idle::configure(options);
    log::info!(
        "memory: {} MiB, {} MiB free",
        host().mm.total_pages() >> 8,
        host().mm.free_pages() >> 8
    );
    let io_apics = arch::ioapic::init(acpi);
    log::info!(
        "{io_apics} I/O APIC(s), {} interrupts",
        arch::ioapic::gsi_end()
    );
    irq::init(acpi);
    // The clock's reference; whoever writes there stops it. (dom0 learns the time from the hypervisor.)
    if let Some(hpet) = acpi.hpet {
        let page = arch::addr::PhysAddr(hpet).mfn();
        host().mm.protect_device(page, page);
    }
    listen(acpi);
    time::watchdog::configure(options.watchdog);
    sched::cpu_up(acpi_id(acpi));
    host().mm.reserve_for_cpu();
    time::watchdog::start_here();
    let cpus = start_cpus(acpi, options);
    time::guest_clock::settled();
    build_dom0(info, options, cpus);
    clear_memory(options);
    arch::entry::start(enter)
}

fn start_clock(acpi: &Acpi, options: &Options) {
    let calibration = match arch::clock::init(acpi, options.clocksource) {
        Ok(calibration) => calibration,
        Err(error) => fail(format_args!("no usable clock: {error:?}")),
    };
    log::info!("clock: {calibration:?}");
    if let Some(wanted) = options.clocksource
        && wanted != calibration.reference
    {
        log::warn!(
            "clocksource: no {wanted}; {} is used",
            calibration.reference
        );
    }
    if options.tsc == Tsc::Distrust && !arch::clock::distrust_tsc() {
        log::warn!("tsc=unstable: there is no other clock");
    }
}

/// What ACPI calls this CPU.
fn acpi_id(acpi: &Acpi) -> Option<u32> {
    let id = arch::apic::id();
    let processor = acpi.processors.iter().find(|p| p.apic_id == id);
    processor.map(|p| p.acpi_uid)
}

/// Clears free memory that an earlier system may have used, or says who will.
fn clear_memory(options: &Options) {
    let pages = host().mm.dirty_pages();
    match options.scrub {
        Scrub::Never => {
            log::warn!("bootscrub=0: guests may see what an earlier system left in memory")
        }
        Scrub::Idle => log::info!("{} MiB of free memory are cleared in idle time", pages >> 8),
        Scrub::AtBoot => {
            while host().mm.scrub_some() {
                arch::tlb::service_pending();
            }
            log::info!("{} MiB of free memory cleared", pages >> 8);
        }
    }
}

/// Lets the serial ports interrupt when characters arrive.
fn listen(acpi: &Acpi) {
    for line in arch::console::enable_receive_interrupts()
        .into_iter()
        .flatten()
    {
        let route = arch::ioapic::isa_route(acpi, line);
        if !irq::claim_gsi(route.gsi, || {
            percpu::with(|cpu| cpu.raise(percpu::work::DEFERRED))
        }) {
            log::warn!(
                "interrupt {} of a serial port is not to be had: no input from it",
                route.gsi
            );
        }
    }
}

/// Starts the other CPUs that the MADT lists as enabled; returns how many run.
fn start_cpus(acpi: &Acpi, options: &Options) -> u32 {
    let boot_cpu = arch::apic::id();
    let wanted = options.max_cpus.unwrap_or(u32::MAX).max(1);
    let threads = crate::control::Split::detect();
    let mut next = 1;
    for processor in acpi
        .processors
        .iter()
        .filter(|p| p.enabled && p.apic_id != boot_cpu)
        .filter(|p| options.smt || threads.is_first_thread(p.apic_id))
    {
        if next as u32 >= wanted || next >= arch::percpu::MAX_CPUS {
            break;
        }
        let started = arch::tables::create_area(next, processor.apic_id, &mut zeroed_page)
            .map_err(|error| alloc::format!("{error:?}"))
            .and_then(|()| {
                arch::smp::start(next, processor.apic_id).map_err(|error| alloc::format!("{error}"))
            });
        match started {
            Ok(()) => {
                host().mm.reserve_for_cpu();
                compare_counters(next, options.tsc);
                next += 1;
            }
            Err(error) => {
                log::error!(
                    "CPU with APIC id {}: {error}; going on without it",
                    processor.apic_id
                );
                break;
            }
        }
    }
    arch::smp::finish();
    log::info!("{next} CPU(s)");
    next as u32
}

/// Largest step back between two CPUs' counters, in ticks, that is taken for noise: none can be seen by a guest.
const SKEW_TOLERATED: u64 = 0;

/// Looks whether the CPU just started and this one count alike; if not, the time-stamp counter is no clock.
fn compare_counters(cpu: usize, tsc: Tsc) {
    match arch::clock::check_against_peer() {
        None => log::warn!("CPU {cpu} did not come to compare its time-stamp counter"),
        Some(step) if step > SKEW_TOLERATED && arch::clock::tsc_stable() => {
            if tsc == Tsc::Trust {
                log::warn!(
                    "CPU {cpu}'s time-stamp counter is {step} ticks behind; trusted all the same"
                );
            } else if arch::clock::distrust_tsc() {
                log::warn!(
                    "CPU {cpu}'s time-stamp counter is {step} ticks behind: it is not the clock any more"
                );
            } else {
                log::warn!(
                    "CPU {cpu}'s time-stamp counter is {step} ticks behind, but there is no other clock"
                );
            }
        }
        Some(_) => {}
    }
}

extern "C" fn enter(frame: &mut arch::entry::TrapFrame) {
    pv::entry::first_leave(frame);
}

fn build_dom0(info: &'static BootInfo, options: &Options, cpus: u32) {
    let [kernel, rest @ ..] = info.modules() else {
        fail(format_args!(
            "the boot loader passed no dom0 kernel (a module line is missing)"
        ));
    };
    // SAFETY: the modules' frames are reserved until dom0 is built.
    #[allow(unsafe_code)]
    let image = unsafe { arch::statics::module(kernel) };
    let ramdisk = rest.first().map(|m| dom0::Module {
        start: m.start,
        len: m.len,
    });
    let command_line = alloc::format!("{} {}", info.module_command_line(kernel), options.dom0_args);
    let request = dom0::Request {
        image,
        command_line: command_line.trim(),
        ramdisk,
        options,
        cpus,
        screen: info.framebuffer.as_ref(),
        efi: info.efi_system_table.is_some(),
    };
    let domain = match dom0::build(&request) {
        Ok(domain) => domain,
        Err(error) => fail(format_args!("dom0 cannot be built: {error}")),
    };
    // The ramdisk is dom0's; modules beyond it are nobody's.
    let used = [kernel].into_iter().chain(rest.iter().skip(1));
    for module in used {
        let range = frames(module.start.get(), module.start.get() + module.len);
        host().mm.free_range(range, true);
    }
    domain.irqs.permit_dom0_ports();
    sched::pool::name_scheduler(options.scheduler);
    if options.dom0_vcpus_pin
        && let Err(error) = sched::pin_vcpus(&domain)
    {
        log::warn!("dom0's vCPUs could not be pinned: {error}");
    }
    time::update_domain_wallclock(&domain);
    let vcpu = &domain.vcpus()[0];
    time::force_update(vcpu);
    log::info!(
        "dom0: {} MiB, {} vCPU(s); starting it",
        domain.mem.tot_pages() >> 8,
        domain.vcpus().len()
    );
    console::to_dom0(options.keep_screen);
    vcpu.down
        .store(false, core::sync::atomic::Ordering::Release);
    sched::start(vcpu);
}

/// Another CPU, on its main stack, tables loaded.
pub fn ap(cpu: usize) -> ! {
    percpu::install(cpu);
    let acpi = arch::acpi::get();
    arch::apic::init_ap(acpi);
    let _ = arch::clock::check_against_peer();
    sched::cpu_up(acpi_id(acpi));
    time::guest_clock::keep_fresh_later();
    time::watchdog::start_here();
    arch::entry::start(enter)
}

/// The last words.
pub fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    if crate::fault::enter_panic() {
        arch::apic::broadcast_nmi();
        console::emergency(format_args!(
            "\r\nOxen panicked on CPU {}: {info}{}\r\n",
            arch::percpu::cpu_id(),
            arch::backtrace::Trace::here()
        ));
        shutdown::after_failure(console::emergency);
    }
    arch::cpu::halt_forever()
}
