#![cfg_attr(target_os = "none", no_std, no_main)]
//! The bare-metal hypervisor image: entry points, panic handler and heap of the library.

#[cfg(target_os = "none")]
mod bare {
    use hypervisor::{boot, pv};

    arch::entry_points! {
        boot = boot::boot,
        ap = boot::ap,
        trap = pv::entry::trap,
        syscall = pv::entry::syscall,
        sysenter = pv::entry::sysenter,
        iret_fault = pv::entry::iret_fault,
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        boot::panic(info)
    }

    #[global_allocator]
    static HEAP: arch::heap::Heap = arch::heap::Heap;
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("This is the hypervisor's image: build it for x86_64-unknown-none.");
}
