//! Xenstore paths that hvmloader reads.
//!
//! Xen public/hvm/hvm_xs_strings.h.

use crate::macros::abi_strs;

abi_strs! {
    HVM_XS_HVMLOADER = "hvmloader";
    HVM_XS_BIOS = "hvmloader/bios";
    HVM_XS_GENERATION_ID_ADDRESS = "hvmloader/generation-id-address";
    HVM_XS_ALLOW_MEMORY_RELOCATE = "hvmloader/allow-memory-relocate";
    HVM_XS_ACPI_PT_ADDRESS = "hvmloader/acpi/address";
    HVM_XS_ACPI_PT_LENGTH = "hvmloader/acpi/length";
    HVM_XS_SMBIOS_PT_ADDRESS = "hvmloader/smbios/address";
    HVM_XS_SMBIOS_PT_LENGTH = "hvmloader/smbios/length";
    HVM_XS_SMBIOS_DEFAULT_BATTERY = "hvmloader/smbios/default_battery";
    HVM_XS_BIOS_STRINGS = "bios-strings";
    HVM_XS_BIOS_VENDOR = "bios-strings/bios-vendor";
    HVM_XS_BIOS_VERSION = "bios-strings/bios-version";
    HVM_XS_SYSTEM_MANUFACTURER = "bios-strings/system-manufacturer";
    HVM_XS_SYSTEM_PRODUCT_NAME = "bios-strings/system-product-name";
    HVM_XS_SYSTEM_VERSION = "bios-strings/system-version";
    HVM_XS_SYSTEM_SERIAL_NUMBER = "bios-strings/system-serial-number";
    HVM_XS_BASEBOARD_MANUFACTURER = "bios-strings/baseboard-manufacturer";
    HVM_XS_BASEBOARD_PRODUCT_NAME = "bios-strings/baseboard-product-name";
    HVM_XS_BASEBOARD_VERSION = "bios-strings/baseboard-version";
    HVM_XS_BASEBOARD_SERIAL_NUMBER = "bios-strings/baseboard-serial-number";
    HVM_XS_BASEBOARD_ASSET_TAG = "bios-strings/baseboard-asset-tag";
    HVM_XS_BASEBOARD_LOCATION_IN_CHASSIS = "bios-strings/baseboard-location-in-chassis";
    HVM_XS_ENCLOSURE_MANUFACTURER = "bios-strings/enclosure-manufacturer";
    HVM_XS_ENCLOSURE_SERIAL_NUMBER = "bios-strings/enclosure-serial-number";
    HVM_XS_ENCLOSURE_ASSET_TAG = "bios-strings/enclosure-asset-tag";
    HVM_XS_BATTERY_MANUFACTURER = "bios-strings/battery-manufacturer";
    HVM_XS_BATTERY_DEVICE_NAME = "bios-strings/battery-device-name";
    HVM_XS_OEM_STRINGS = "bios-strings/oem-%d";
}
