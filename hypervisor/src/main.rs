#![cfg_attr(target_os = "none", no_std, no_main)]
//! The bare-metal hypervisor image.

#[cfg(target_os = "none")]
mod bare {
    use arch::boot::{BootInfo, early_print};

    arch::entry_points! { boot = boot, ap = ap, trap = trap, syscall = trap, iret_fault = trap }

    fn trap(frame: &mut arch::entry::TrapFrame) {
        if frame.vector == 13
            && let Some(rip) = arch::extable::fixup(frame.rip)
        {
            frame.rip = rip;
            return;
        }
        if frame.vector == 13
            && let Some(rip) = arch::extable::fixup(frame.rip)
        {
            frame.rip = rip;
            return;
        }
        panic!("{frame:#x?}")
    }

    fn boot(info: &'static BootInfo) -> ! {
        early_print(format_args!(
            "Oxen: started through {:?} by {:?}, command line {:?}\r\n",
            info.protocol,
            info.loader_name(),
            info.command_line()
        ));
        for region in info.memory() {
            early_print(format_args!(
                "  {:#014x}..{:#014x} {:?}\r\n",
                region.start, region.end, region.kind
            ));
        }
        for module in info.modules() {
            early_print(format_args!(
                "  module {} {} bytes {:?}\r\n",
                module.start,
                module.len,
                info.module_command_line(module)
            ));
        }
        for range in info.reserved() {
            early_print(format_args!(
                "  in use {:#x}..{:#x}\r\n",
                range.start, range.end
            ));
        }
        early_print(format_args!(
            "  rsdp {:?} framebuffer {:?}\r\n",
            info.rsdp, info.framebuffer
        ));
        let mut memory = arch::boot::EarlyMemory::new(info);
        arch::paging::init(info, &mut memory).expect("paging");
        early_print(format_args!(
            "paging on, {} KiB free\r\n",
            memory.free_bytes() >> 10
        ));
        arch::tables::create_area(0, 0, &mut memory).expect("area");
        arch::tables::load(0);
        arch::tables::continue_on_main_stack(main_stack)
    }

    fn main_stack() -> ! {
        early_print(format_args!(
            "main stack, CPU {}\r\n",
            arch::percpu::cpu_id()
        ));
        early_print(format_args!(
            "msr {:?} {:?}\r\n",
            arch::cpu::msr::try_read(0xc000_0080),
            arch::cpu::msr::try_read(0x1234_5678)
        ));
        for va in [
            0xffff_82d0_8020_0000,
            0xffff_8300_0020_0000,
            0xffff_8300_0100_0000,
            0xffff_8200_0002_f000,
            0xffff_8200_0002_8000,
        ] {
            early_print(format_args!(
                "{va:#x} -> {:x?}\r\n",
                arch::paging::translate(va)
            ));
        }
        let mut rom = [0u8; 16];
        early_print(format_args!(
            "{} ",
            arch::paging::read_physical(arch::addr::PhysAddr(0xffff0), &mut rom)
        ));
        early_print(format_args!("{rom:x?}\r\n"));
        arch::cpu::halt_forever()
    }

    fn ap(_cpu: usize) -> ! {
        arch::cpu::halt_forever()
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        early_print(format_args!("Oxen: {info}\r\n"));
        arch::cpu::halt_forever()
    }

    struct NoHeap;
    #[allow(unsafe_code)]
    // SAFETY: never gives out memory.
    unsafe impl core::alloc::GlobalAlloc for NoHeap {
        unsafe fn alloc(&self, _layout: core::alloc::Layout) -> *mut u8 {
            core::ptr::null_mut()
        }
        unsafe fn dealloc(&self, _ptr: *mut u8, _layout: core::alloc::Layout) {}
    }
    #[global_allocator]
    static HEAP: NoHeap = NoHeap;
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("This is the hypervisor's image: build it for x86_64-unknown-none.");
}
