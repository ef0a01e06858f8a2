//! What the firmware left for dom0. The boot loader starts this hypervisor in protected or long mode without calling
//! the BIOS, so there are no disk parameters, no monitor data and no keyboard state to pass on.

use hypercall_abi::Errno;
use hypercall_abi::platform::*;

use super::Request;

/// `XENPF_firmware_info`: `ESRCH` for what was not collected, `ENOSYS` for EFI data on a machine started by a BIOS.
pub(super) fn info(_request: &Request, info: XenpfFirmwareInfo) -> Result<(), Errno> {
    match FirmwareInfoType(info.r#type) {
        FirmwareInfoType::DISK_INFO
        | FirmwareInfoType::DISK_MBR_SIGNATURE
        | FirmwareInfoType::VBEDDC_INFO
        | FirmwareInfoType::KBD_SHIFT_FLAGS => Err(Errno::ESRCH),
        FirmwareInfoType::EFI_INFO => Err(Errno::ENOSYS),
        _ => Err(Errno::EINVAL),
    }
}

/// Why EFI runtime services cannot be called.
pub(super) fn runtime_services() -> Errno {
    Errno::ENOSYS
}
