//! Crashing a domain that broke its contract.

use alloc::sync::Arc;

use arch::entry::TrapFrame;

use crate::domain::Domain;

/// Crashes `domain`: says why on the console, with the registers of the vCPU at fault where known, and shuts the domain
/// down with reason crash. Its vCPUs stop at their next exit.
pub fn crash(domain: &Arc<Domain>, why: &str, frame: Option<&TrapFrame>) {
    log::error!("d{} crashed: {why}", domain.id.0);
    if let Some(f) = frame {
        log::error!(
            "rip {:04x}:{:016x} rflags {:08x} rsp {:04x}:{:016x}",
            f.cs,
            f.rip,
            f.rflags,
            f.ss,
            f.rsp
        );
        log::error!(
            "rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}",
            f.rax,
            f.rbx,
            f.rcx,
            f.rdx
        );
        log::error!(
            "rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}",
            f.rsi,
            f.rdi,
            f.rbp,
            f.r8
        );
        log::error!(
            "r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}",
            f.r9,
            f.r10,
            f.r11,
            f.r12
        );
        log::error!(
            "r13 {:016x} r14 {:016x} r15 {:016x} vector {:#x} error {:#x}",
            f.r13,
            f.r14,
            f.r15,
            f.vector,
            f.error_code
        );
        let mut stack = [0u8; 64];
        if arch::guest::copy_from(arch::addr::GuestVa::new(f.rsp), &mut stack).is_ok() {
            for (n, word) in stack.chunks_exact(8).enumerate() {
                let mut bytes = [0u8; 8];
                bytes.copy_from_slice(word);
                log::error!("  [rsp+{:02x}] {:016x}", n * 8, u64::from_ne_bytes(bytes));
            }
        }
    }
    crate::sched::domain_shutdown(domain, hypercall_abi::sched::Shutdown::CRASH);
}
