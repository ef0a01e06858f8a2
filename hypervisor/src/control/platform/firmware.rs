//! What the firmware left for dom0. The boot loader starts this hypervisor in protected or long mode without calling
//! the BIOS, so there are no disk parameters, no monitor data and no keyboard state to pass on. Of EFI, dom0 learns where
//! the configuration table is (ACPI, SMBIOS); runtime services are not called.

use arch::boot::SystemTable;
use arch::sync::Once;
use hypercall_abi::Errno;
use hypercall_abi::platform::*;

use super::Request;
use crate::guest;

static EFI: Once<SystemTable> = Once::new();

/// Says that EFI firmware started the machine, and what it left. Called once, at boot.
pub fn set_efi(table: SystemTable) {
    EFI.call_once(|| table);
}

/// `XENPF_firmware_info`: `ESRCH` for what was not collected; EFI data as [`efi`].
pub(super) fn info(request: &Request, mut info: XenpfFirmwareInfo) -> Result<(), Errno> {
    match FirmwareInfoType(info.r#type) {
        FirmwareInfoType::DISK_INFO
        | FirmwareInfoType::DISK_MBR_SIGNATURE
        | FirmwareInfoType::VBEDDC_INFO
        | FirmwareInfoType::KBD_SHIFT_FLAGS => Err(Errno::ESRCH),
        FirmwareInfoType::EFI_INFO => {
            let table = EFI.get().ok_or(Errno::ENOSYS)?;
            let answer = efi(table, FirmwareEfiIndex(info.index), info.u.efi_info())?;
            info.u.set_efi_info(answer);
            request.reply(&info)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// What dom0 may know of EFI: `EOPNOTSUPP` about runtime services, `ESRCH` for memory and option ROMs that were not noted
/// down, `ENODATA` for properties that only one maker's firmware has, `EINVAL` for unknown questions.
fn efi(
    table: &SystemTable,
    index: FirmwareEfiIndex,
    mut info: XenpfEfiInfo,
) -> Result<XenpfEfiInfo, Errno> {
    match index {
        FirmwareEfiIndex::VERSION => info.set_version(table.revision),
        FirmwareEfiIndex::CONFIG_TABLE => info.set_cfg(XenpfEfiInfoCfg {
            addr: table.config_table,
            nent: table.config_entries,
            ..XenpfEfiInfoCfg::default()
        }),
        FirmwareEfiIndex::VENDOR => {
            let mut vendor = info.vendor();
            vendor.revision = table.vendor_revision;
            let chars = u64::from(vendor.bufsz / 2);
            for (i, char) in (0..chars).zip(&table.vendor) {
                guest::write(vendor.name.cast(), i, char)?;
            }
            info.set_vendor(vendor);
        }
        FirmwareEfiIndex::RT_VERSION => return Err(Errno::EOPNOTSUPP),
        FirmwareEfiIndex::MEM_INFO | FirmwareEfiIndex::PCI_ROM => return Err(Errno::ESRCH),
        FirmwareEfiIndex::APPLE_PROPERTIES => return Err(Errno::ENODATA),
        _ => return Err(Errno::EINVAL),
    }
    Ok(info)
}

/// Why EFI runtime services cannot be called.
pub(super) fn runtime_services() -> Errno {
    if EFI.get().is_some() {
        Errno::EOPNOTSUPP
    } else {
        Errno::ENOSYS
    }
}

#[cfg(test)]
mod tests {
    use hypercall_abi::GuestHandle;

    use super::*;
    use crate::control::tests::machine::{ARG, DIRT, bytes, fill};

    #[test]
    fn efi_data_is_passed_on() {
        let table = SystemTable {
            revision: 0x0002_0046,
            vendor: vec![0x45, 0x44, 0x4b, 0],
            vendor_revision: 7,
            config_table: 0x7f00_0000,
            config_entries: 9,
        };
        let ask = |index, info| efi(&table, index, info);
        let none = XenpfEfiInfo::default();
        assert_eq!(
            ask(FirmwareEfiIndex::VERSION, none)
                .expect("known")
                .version(),
            0x0002_0046
        );
        let config = ask(FirmwareEfiIndex::CONFIG_TABLE, none)
            .expect("known")
            .cfg();
        assert_eq!((config.addr, config.nent), (0x7f00_0000, 9));
        for (index, errno) in [
            (FirmwareEfiIndex::RT_VERSION, Errno::EOPNOTSUPP),
            (FirmwareEfiIndex::MEM_INFO, Errno::ESRCH),
            (FirmwareEfiIndex::PCI_ROM, Errno::ESRCH),
            (FirmwareEfiIndex::APPLE_PROPERTIES, Errno::ENODATA),
            (FirmwareEfiIndex(7), Errno::EINVAL),
        ] {
            assert_eq!(ask(index, none), Err(errno));
        }
        arch::hosted::map_guest(ARG, 64);
        fill(ARG, 64);
        let mut wanted = XenpfEfiInfo::default();
        wanted.set_vendor(XenpfEfiInfoVendor {
            bufsz: 5,
            name: GuestHandle::new(ARG),
            ..Default::default()
        });
        let vendor = ask(FirmwareEfiIndex::VENDOR, wanted)
            .expect("known")
            .vendor();
        assert_eq!(vendor.revision, 7);
        assert_eq!(bytes(ARG, 5), [0x45, 0, 0x44, 0, DIRT]);
    }
}
