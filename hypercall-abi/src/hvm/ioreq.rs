//! Requests to a device model.
//!
//! Xen public/hvm/ioreq.h.

use crate::macros::{abi_consts, abi_structs, open_enums};

open_enums! {
    /// `IOREQ_TYPE_*`.
    pub enum IoreqType(u8) "IOREQ_TYPE_" {
        PIO = 0;
        COPY = 1;
        PCI_CONFIG = 2;
        TIMEOFFSET = 7;
        INVALIDATE = 8;
    }
}

abi_consts! {
    u32 {
        IOREQ_READ = 1;
        IOREQ_WRITE = 0;
        STATE_IOREQ_NONE = 0;
        STATE_IOREQ_READY = 1;
        STATE_IOREQ_INPROCESS = 2;
        STATE_IORESP_READY = 3;
        IOREQ_BUFFER_SLOT_NUM = 511;
        ACPI_PM1A_EVT_BLK_ADDRESS_V0 = 0x1f40;
        ACPI_PM1A_CNT_BLK_ADDRESS_V0 = 0x1f44;
        ACPI_PM_TMR_BLK_ADDRESS_V0 = 0x1f48;
        ACPI_GPE0_BLK_ADDRESS_V0 = 0x1f68;
        ACPI_GPE0_BLK_LEN_V0 = 0x8;
        ACPI_PM1A_EVT_BLK_ADDRESS_V1 = 0xb000;
        ACPI_PM1A_CNT_BLK_ADDRESS_V1 = 0xb004;
        ACPI_PM_TMR_BLK_ADDRESS_V1 = 0xb008;
        ACPI_GPE0_BLK_ADDRESS_V1 = 0xafe0;
        ACPI_GPE0_BLK_LEN_V1 = 0x4;
        ACPI_PM1A_EVT_BLK_ADDRESS = 0x1f40;
        ACPI_PM1A_CNT_BLK_ADDRESS = 0x1f44;
        ACPI_PM_TMR_BLK_ADDRESS = 0x1f48;
        ACPI_GPE0_BLK_ADDRESS = 0x1f68;
        ACPI_GPE0_BLK_LEN = 8;
    }
    u8 {
        IOREQ_STATE_MASK = 0xf, as "({ struct ioreq x; memset(&x, 0, sizeof(x)); x.state = ~0; *(uint8_t *)((char *)&x + 30); })";
        IOREQ_DATA_IS_PTR_MASK = 0x10, as "({ struct ioreq x; memset(&x, 0, sizeof(x)); x.data_is_ptr = ~0; *(uint8_t *)((char *)&x + 30); })";
        IOREQ_DIR_MASK = 0x20, as "({ struct ioreq x; memset(&x, 0, sizeof(x)); x.dir = ~0; *(uint8_t *)((char *)&x + 30); })";
        IOREQ_DF_MASK = 0x40, as "({ struct ioreq x; memset(&x, 0, sizeof(x)); x.df = ~0; *(uint8_t *)((char *)&x + 30); })";
    }
    u32 {
        BUF_IOREQ_DIR_MASK = 0x200, as "({ struct buf_ioreq x; memset(&x, 0, sizeof(x)); x.dir = ~0; *(uint32_t *)((char *)&x + 0); })";
        BUF_IOREQ_SIZE_MASK = 0xc00, as "({ struct buf_ioreq x; memset(&x, 0, sizeof(x)); x.size = ~0; *(uint32_t *)((char *)&x + 0); })";
        BUF_IOREQ_ADDR_MASK = 0xfffff000, as "({ struct buf_ioreq x; memset(&x, 0, sizeof(x)); x.addr = ~0; *(uint32_t *)((char *)&x + 0); })";
    }
}

abi_structs! {
    /// `struct ioreq`.
    pub struct Ioreq: "struct ioreq", size 32 {
        0 => addr: u64,
        8 => data: u64,
        16 => count: u32,
        20 => size: u32,
        24 => vp_eport: u32,
        28 => _pad0: u16,
        30 => bits0: u8 as "",
        31 => r#type: u8 as "type",
    }

    /// `struct shared_iopage`.
    pub struct SharedIopage: "struct shared_iopage", size 32 {
        0 => vcpu_ioreq: [Ioreq; 1],
    }

    /// `struct buf_ioreq`.
    pub struct BufIoreq: "struct buf_ioreq", size 8 {
        0 => r#type: u8 as "type",
        1 => bits: [u8; 3] as "",
        4 => data: u32,
    }

    /// `struct buffered_iopage`.
    pub struct BufferedIopage: "struct buffered_iopage", size 4096 {
        0 => read_pointer: u32,
        4 => write_pointer: u32,
        8 => buf_ioreq: [BufIoreq; 511],
    }
}

impl BufIoreq {
    /// The first four bytes as one number, for the `BUF_IOREQ_*_MASK`s.
    pub const fn word(self) -> u32 {
        u32::from_le_bytes([self.r#type, self.bits[0], self.bits[1], self.bits[2]])
    }
}
