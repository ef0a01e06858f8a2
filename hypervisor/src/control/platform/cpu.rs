//! The host's CPUs as dom0 sees and would change them.

use hypercall_abi::Errno;
use hypercall_abi::platform::*;

use super::Request;
use crate::control::cpus;

fn last_present() -> u32 {
    (cpus::present().len() as u32).saturating_sub(1)
}

/// `XENPF_get_cpuinfo`.
pub(super) fn info(request: &Request, mut info: XenpfPcpuinfo) -> Result<(), Errno> {
    match cpus::get(info.xen_cpuid) {
        Some(cpu) => {
            info.apic_id = cpu.apic_id;
            info.acpi_id = cpu.acpi_id;
            info.flags = if cpus::is_online(info.xen_cpuid) {
                XEN_PCPU_FLAGS_ONLINE
            } else {
                0
            };
        }
        None => info.flags = XEN_PCPU_FLAGS_INVALID,
    }
    info.max_present = last_present();
    request.reply(&info)
}

/// Family, model and stepping of CPUID leaf 1 EAX, extended parts added (SDM 2A, CPUID; APM 3, E.3.2).
fn signature(eax: u32) -> (u32, u32, u32) {
    let family = eax >> 8 & 0xf;
    let model = eax >> 4 & 0xf;
    let full = if family == 0xf {
        family + (eax >> 20 & 0xff)
    } else {
        family
    };
    let model = if family == 0xf || family == 6 {
        model | (eax >> 16 & 0xf) << 4
    } else {
        model
    };
    (full, model, eax & 0xf)
}

/// `XENPF_get_cpu_version`. All CPUs of a host are of one kind.
pub(super) fn version(request: &Request, mut version: XenpfPcpuVersion) -> Result<(), Errno> {
    version.vendor_id = [0; 12];
    (version.family, version.model, version.stepping) = (0, 0, 0);
    if cpus::is_online(version.xen_cpuid) {
        let vendor = arch::cpu::cpuid(0, 0);
        for (to, from) in version
            .vendor_id
            .chunks_exact_mut(4)
            .zip([vendor.ebx, vendor.edx, vendor.ecx])
        {
            to.copy_from_slice(&from.to_le_bytes());
        }
        (version.family, version.model, version.stepping) = signature(arch::cpu::cpuid(1, 0).eax);
    }
    version.max_present = last_present();
    request.reply(&version)
}

/// `XENPF_cpu_online`: `EINVAL` for a CPU that is not there, `EOPNOTSUPP` for one that was not started at boot.
pub(super) fn online(cpu: u32) -> Result<(), Errno> {
    if cpus::get(cpu).is_none() {
        return Err(Errno::EINVAL);
    }
    if cpus::is_online(cpu) {
        return Ok(());
    }
    log::info!("CPU {cpu} stays offline: it was not started at boot");
    Err(Errno::EOPNOTSUPP)
}

/// `XENPF_cpu_offline`: `EOPNOTSUPP` for a CPU in service, `EINVAL` for one that is not there.
pub(super) fn offline(cpu: u32) -> Result<(), Errno> {
    if cpu != 0 && cpus::get(cpu).is_none() {
        return Err(Errno::EINVAL);
    }
    if !cpus::is_online(cpu) {
        return Ok(());
    }
    log::info!("CPU {cpu} stays online: taking CPUs out of service is not supported");
    Err(Errno::EOPNOTSUPP)
}

/// `XENPF_core_parking`: no CPU is ever parked.
pub(super) fn parking(request: &Request, mut parking: XenpfCoreParking) -> Result<(), Errno> {
    match parking.r#type {
        XEN_CORE_PARKING_SET if parking.idle_nums == 0 => Ok(()),
        XEN_CORE_PARKING_SET => Err(Errno::EOPNOTSUPP),
        XEN_CORE_PARKING_GET => {
            parking.idle_nums = 0;
            request.reply(&parking)
        }
        _ => Err(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::signature;

    #[test]
    fn signatures_add_their_extended_parts() {
        assert_eq!(signature(0x0003_06c3), (6, 0x3c, 3)); // Haswell
        assert_eq!(signature(0x0080_0f12), (0x17, 1, 2)); // Zen
        assert_eq!(signature(0x0000_0543), (5, 4, 3)); // no extended model in family 5
    }
}
