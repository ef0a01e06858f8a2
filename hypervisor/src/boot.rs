//! From the boot loader to dom0's first instruction.

use alloc::vec::Vec;
use core::ops::Range;

use arch::acpi::Acpi;
use arch::addr::{Mfn, PAGE_SHIFT};
use arch::boot::{BootInfo, EarlyMemory, RegionKind};
use arch::sync::Once;

use crate::host::{self, Host, host};
use crate::mm::{self, Constraint, MapEntry, PageInfo};
use crate::options::Options;
use crate::{console, dom0, domain, irq, percpu, pv, sched, time};

/// What start-up passes from the boot stack to the main stack.
struct Boot {
    info: &'static BootInfo,
    options: Options,
}

static BOOT: Once<Boot> = Once::new();

/// Says why the machine cannot be started, and stops.
fn fail(args: core::fmt::Arguments<'_>) -> ! {
    log::error!("{args}; halted");
    arch::cpu::halt_forever()
}

/// The boot CPU, on the boot stack, with the loader's information copied out.
pub fn boot(info: &'static BootInfo) -> ! {
    let options = Options::parse(info.command_line());
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
    arch::cpu::control::init();
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
    layout.denied = denied(acpi);
    layout.free = memory
        .free_ranges()
        .map(|r| frames(r.start, r.end))
        .collect();
    host::install(Host {
        mm: mm::Memory::new(layout),
        domains: domain::DomainList::new(),
        sched: sched::Scheduler::new(),
        irqs: irq::IrqTable::default(),
        console: console::Console::default(),
        time: time::Clock::default(),
    });
    arch::heap::set_page_source(arch::heap::PageSource {
        take: take_pages,
        give: give_pages,
    });
    arch::paging::set_frame_source(zeroed_page);
    BOOT.call_once(|| Boot { info, options });
    arch::tables::continue_on_main_stack(on_main_stack)
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

/// Device frames that no guest may map: the interrupt controllers, which the hypervisor drives.
fn denied(acpi: &Acpi) -> Vec<Range<u64>> {
    let page = |address: u64| address >> PAGE_SHIFT..(address >> PAGE_SHIFT) + 1;
    let mut ranges = alloc::vec![page(acpi.local_apic_address)];
    ranges.extend(acpi.io_apics.iter().map(|io| page(io.address)));
    ranges
}

/// The boot CPU, on its main stack, with memory and traps in order.
fn on_main_stack() -> ! {
    let Boot { info, options } = BOOT.get().expect("set before");
    let acpi = arch::acpi::get();
    match arch::clock::init(acpi) {
        Ok(calibration) => log::info!("clock: {calibration:?}"),
        Err(error) => fail(format_args!("no usable clock: {error:?}")),
    }
    crate::control::set_command_line(&options.text);
    if let Some(table) = info.efi_system_table.and_then(arch::boot::system_table) {
        crate::control::set_efi(table);
    }
    crate::shutdown::set_noreboot(options.no_reboot);
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
    listen(acpi);
    sched::cpu_up();
    let cpus = start_cpus(acpi, options);
    build_dom0(info, options, cpus);
    arch::entry::start(enter)
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
    let mut next = 1;
    for processor in acpi
        .processors
        .iter()
        .filter(|p| p.enabled && p.apic_id != boot_cpu)
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
            Ok(()) => next += 1,
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
    let request = dom0::Request {
        image,
        command_line: info.module_command_line(kernel),
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
    host().mm.free_range(
        frames(kernel.start.get(), kernel.start.get() + kernel.len),
        true,
    );
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
    arch::apic::init_ap(arch::acpi::get());
    sched::cpu_up();
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
    }
    arch::cpu::halt_forever()
}
