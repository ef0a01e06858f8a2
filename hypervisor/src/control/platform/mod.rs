//! platform_op: what the kernel that owns the devices asks of the machine. Xen public/platform.h.

mod cpu;
mod firmware;
mod power;
mod resource;
mod symbol;

pub use firmware::set_efi;
use hypercall_abi::platform::*;
use hypercall_abi::xen::Hypercall;
use hypercall_abi::{Errno, GuestHandle};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::domain::Context;
use crate::fail::{Args, Return};
use crate::{guest, time, xsm};

/// Where the union begins in `struct xen_platform_op`.
const BODY: u64 = core::mem::offset_of!(PlatformOpArg, u) as u64;

/// A copied-in operation and where it came from.
struct Request {
    op: PlatformOpArg,
    from: GuestHandle<PlatformOpArg>,
}

impl Request {
    /// Writes the operation's member back; the guest's other bytes stay as they are.
    fn reply<T: IntoBytes + Immutable + FromBytes>(&self, member: &T) -> Result<(), Errno> {
        let at = self.from.addr().checked_add(BODY).ok_or(Errno::EFAULT)?;
        guest::write(GuestHandle::<T>::new(at), 0, member)
    }
}

fn settime64(time: XenpfSettime64) -> Result<(), Errno> {
    if time.mbz != 0 {
        return Err(Errno::EINVAL);
    }
    time::set_wallclock(time.secs, time.nsecs, time.system_time)
}

/// `HYPERVISOR_platform_op(op)`. `EFAULT` for a bad `op`, `EACCES` for another interface version, `EPERM` if the
/// caller is not privileged, `ENOSYS` for unknown commands.
pub fn do_platform_op(cx: &Context, args: Args) -> Return {
    let from = GuestHandle::new(args.0[0]);
    let request = Request {
        op: guest::read(from, 0)?,
        from,
    };
    if request.op.interface_version != XENPF_INTERFACE_VERSION {
        return Err(Errno::EACCES.into());
    }
    let cmd = request.op.cmd.0;
    xsm::check(&cx.domain, Hypercall::PLATFORM_OP, cmd, None)?;
    let u = &request.op.u;
    match request.op.cmd {
        PlatformOp::SETTIME32 => {
            let t = u.settime32();
            time::set_wallclock(t.secs.into(), t.nsecs, t.system_time)?;
        }
        PlatformOp::SETTIME64 => settime64(u.settime64())?,
        // Memory types: guests are told that there are no MTRRs, and get what a machine without them has.
        PlatformOp::ADD_MEMTYPE => return Err(Errno::ENXIO.into()),
        PlatformOp::DEL_MEMTYPE => {
            let memtype = u.del_memtype();
            let named = memtype.handle == 0 && memtype.reg as i32 >= 0;
            return Err(if named { Errno::ENXIO } else { Errno::EINVAL }.into());
        }
        PlatformOp::READ_MEMTYPE => return Err(Errno::EINVAL.into()),
        PlatformOp::MICROCODE_UPDATE => {
            log::info!("microcode update refused: it is loaded by firmware or by the boot loader");
            return Err(Errno::EINVAL.into());
        }
        PlatformOp::PLATFORM_QUIRK => match u.platform_quirk().quirk_id {
            // Interrupts are not moved without being asked, and the I/O APIC is never read back in passing.
            QUIRK_NOIRQBALANCING | QUIRK_IOAPIC_BAD_REGSEL | QUIRK_IOAPIC_GOOD_REGSEL => {}
            _ => return Err(Errno::EINVAL.into()),
        },
        PlatformOp::EFI_RUNTIME_CALL => return Err(firmware::runtime_services().into()),
        PlatformOp::FIRMWARE_INFO => firmware::info(&request, u.firmware_info())?,
        PlatformOp::ENTER_ACPI_SLEEP => power::sleep(&u.enter_acpi_sleep())?,
        // dom0 could scale frequencies only where the hypervisor leaves them to it.
        PlatformOp::CHANGE_FREQ | PlatformOp::GETIDLETIME => return Err(Errno::ENOSYS.into()),
        PlatformOp::SET_PROCESSOR_PMINFO => power::processor_info(&u.set_pminfo())?,
        PlatformOp::GET_CPUINFO => cpu::info(&request, u.pcpu_info())?,
        PlatformOp::GET_CPU_VERSION => cpu::version(&request, u.pcpu_version())?,
        PlatformOp::CPU_ONLINE => cpu::online(u.cpu_ol().cpuid)?,
        PlatformOp::CPU_OFFLINE => cpu::offline(u.cpu_ol().cpuid)?,
        PlatformOp::CPU_HOTADD => {
            let add = u.cpu_add();
            log::info!("CPU hot-plug refused: APIC id {:#x}", add.apic_id);
            return Err(Errno::EOPNOTSUPP.into());
        }
        PlatformOp::MEM_HOTADD => {
            let add = u.mem_add();
            log::info!(
                "memory hot-plug refused: frames {:#x} to {:#x}",
                add.spfn,
                add.epfn
            );
            return Err(Errno::EINVAL.into());
        }
        PlatformOp::CORE_PARKING => cpu::parking(&request, u.core_parking())?,
        PlatformOp::RESOURCE_OP => return resource::access(u.resource_op()),
        PlatformOp::GET_SYMBOL => symbol::get(&request, u.symdata())?,
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}
