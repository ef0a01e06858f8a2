//! Machine-check events (Xen public/arch-x86/xen-mca.h). A machine check is fatal here and corrected errors are not
//! collected, so there is never anything to fetch; what dom0 asks about the processors is answered. Errors cannot be
//! injected: that is answered as Xen does on a machine without machine-check banks.

use hypercall_abi::mca::*;
use hypercall_abi::xen::Hypercall;
use hypercall_abi::{Errno, GuestHandle};

use arch::cpu::{Cpuid, cpuid};

use crate::control::cpus::{self, Split};
use crate::domain::Context;
use crate::fail::{Args, Return};
use crate::guest;
use crate::xsm;

/// IA32_MCG_CAP.
const MCG_CAP: u32 = 0x179;

/// `HYPERVISOR_mca(arg)`. `EPERM` for a domain that does not control the host, `EFAULT` for a bad argument, `EACCES` for
/// another version of its structures, `EINVAL` for unknown commands and bad flags, `ENODEV` for injections.
pub fn do_mca(cx: &Context, args: Args) -> Return {
    xsm::check(&cx.domain, Hypercall::ARCH_0, 0, None)?;
    let handle = GuestHandle::<McArg>::new(args.0[0]);
    let mut op = guest::read(handle, 0)?;
    if op.interface_version != XEN_MCA_INTERFACE_VERSION {
        return Err(Errno::EACCES.into());
    }
    match op.cmd {
        McCmd::FETCH => {
            let mut fetch = op.u.mc_fetch();
            let kind = fetch.flags & (XEN_MC_NONURGENT | XEN_MC_URGENT);
            if kind != XEN_MC_NONURGENT && kind != XEN_MC_URGENT {
                return Err(Errno::EINVAL.into());
            }
            // Nothing was handed out that could be acknowledged.
            if fetch.flags & XEN_MC_ACK != 0 {
                return Ok(0);
            }
            if fetch.data.is_null() {
                return Err(Errno::EINVAL.into());
            }
            (fetch.flags, fetch.fetch_id) = (XEN_MC_NODATA, 0);
            op.u.set_mc_fetch(fetch);
        }
        McCmd::PHYSCPUINFO => {
            let answer = processors(op.u.mc_physcpuinfo())?;
            op.u.set_mc_physcpuinfo(answer);
        }
        McCmd::MSRINJECT | McCmd::MCEINJECT | McCmd::INJECT_V2 => return Err(Errno::ENODEV.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    guest::write(handle, 0, &op)?;
    Ok(0)
}

/// Describes the processors in service; without an array, says how many there are.
fn processors(mut op: McPhyscpuinfo) -> Result<McPhyscpuinfo, Errno> {
    let online = cpus::online();
    let mut count = online.count() as u32;
    if !op.info.is_null() {
        // A C int.
        if op.ncpus == 0 || op.ncpus > i32::MAX as u32 {
            return Err(Errno::EINVAL);
        }
        count = count.min(op.ncpus);
        let mut info = common();
        let split = Split::detect();
        let present = cpus::present();
        let in_service = present
            .iter()
            .enumerate()
            .filter(|(n, _)| online.contains(*n));
        for ((number, cpu), index) in in_service.zip(0..u64::from(count)) {
            info.mc_cpunr = number as u32;
            info.mc_apicid = cpu.apic_id;
            info.mc_chipid = split.socket(cpu.apic_id);
            info.mc_coreid = split.core(cpu.apic_id) as u16;
            info.mc_threadid = split.thread(cpu.apic_id) as u16;
            info.mc_clusterid = cpu.apic_id & 0xff;
            guest::write(op.info, index, &info)?;
        }
    }
    op.ncpus = count;
    Ok(op)
}

/// What is the same for all processors.
fn common() -> McinfoLogicalCpu {
    let leaf0 = cpuid(0, 0);
    let leaf1 = cpuid(1, 0);
    let (family, model, stepping) = arch::cpu::signature(leaf1.eax);
    let (threads, cores) = cpus::shape();
    let mut info = McinfoLogicalCpu {
        mc_ncores: cores,
        mc_ncores_active: cores,
        mc_nthreads: threads,
        mc_cpuid_level: leaf0.eax as i32,
        mc_family: family,
        mc_model: model,
        mc_step: stepping,
        mc_cache_alignment: (leaf1.ebx >> 8 & 0xff) * 8,
        mc_nmsrvals: 1,
        ..McinfoLogicalCpu::default()
    };
    let vendor = [leaf0.ebx, leaf0.edx, leaf0.ecx];
    copy_words(&mut info.mc_vendorid, &vendor);
    if cpuid(0x8000_0000, 0).eax >= 0x8000_0004 {
        for (part, leaf) in info
            .mc_brandid
            .chunks_mut(16)
            .zip(0x8000_0002..=0x8000_0004)
        {
            let Cpuid { eax, ebx, ecx, edx } = cpuid(leaf, 0);
            copy_words(part, &[eax, ebx, ecx, edx]);
        }
        // The last byte ends the text whatever the processor says.
        info.mc_brandid[47] = 0;
    }
    let extended = cpuid(0x8000_0001, 0);
    info.mc_cpu_caps[MC_CAPS_STD_EDX as usize] = leaf1.edx;
    info.mc_cpu_caps[MC_CAPS_STD_ECX as usize] = leaf1.ecx;
    info.mc_cpu_caps[MC_CAPS_AMD_EDX as usize] = extended.edx;
    info.mc_cpu_caps[MC_CAPS_AMD_ECX as usize] = extended.ecx;
    info.mc_msrvalues[0] = McinfoMsr {
        reg: MCG_CAP.into(),
        value: arch::cpu::msr::try_read(MCG_CAP).unwrap_or(0),
    };
    info
}

fn copy_words(to: &mut [u8], words: &[u32]) {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    for (to, from) in to.iter_mut().zip(bytes) {
        *to = from;
    }
}
