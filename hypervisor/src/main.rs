#![cfg_attr(target_os = "none", no_std, no_main)]
//! The bare-metal hypervisor image.

#[cfg(target_os = "none")]
mod bare {
    use arch::boot::{BootInfo, early_print};

    arch::entry_points! { boot = boot, ap = ap, trap = trap, syscall = trap, iret_fault = trap }

    fn trap(frame: &mut arch::entry::TrapFrame) {
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
