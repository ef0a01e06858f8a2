//! The xenstore protocol.
//!
//! Xen public/io/xs_wire.h.

use crate::macros::{abi_consts, abi_strs, abi_structs, open_enums};

open_enums! {
    /// Message types of xenstore.
    pub enum XsType(u32) "XS_" {
        CONTROL = 0;
        DIRECTORY = 1;
        READ = 2;
        GET_PERMS = 3;
        WATCH = 4;
        UNWATCH = 5;
        TRANSACTION_START = 6;
        TRANSACTION_END = 7;
        INTRODUCE = 8;
        RELEASE = 9;
        GET_DOMAIN_PATH = 10;
        WRITE = 11;
        MKDIR = 12;
        RM = 13;
        SET_PERMS = 14;
        WATCH_EVENT = 15;
        ERROR = 16;
        IS_DOMAIN_INTRODUCED = 17;
        RESUME = 18;
        SET_TARGET = 19;
        RESET_WATCHES = 21;
        DIRECTORY_PART = 22;
        TYPE_COUNT = 23;
        INVALID = 0xffff;
        DEBUG = 0;
    }
}

abi_consts! {
    u32 {
        XS_WATCH_PATH = 0;
        XS_WATCH_TOKEN = 1;
        XENSTORE_RING_SIZE = 1024;
        XENSTORE_PAYLOAD_MAX = 0x1000;
        XENSTORE_ABS_PATH_MAX = 3072;
        XENSTORE_REL_PATH_MAX = 2048;
        XENSTORE_SERVER_FEATURE_RECONNECTION = 1;
        XENSTORE_SERVER_FEATURE_ERROR = 2;
        XENSTORE_CONNECTED = 0;
        XENSTORE_RECONNECT = 1;
        XENSTORE_ERROR_NONE = 0;
        XENSTORE_ERROR_COMM = 1;
        XENSTORE_ERROR_RINGIDX = 2;
        XENSTORE_ERROR_PROTO = 3;
    }
}

abi_strs! {
    XS_WRITE_NONE = "NONE";
    XS_WRITE_CREATE = "CREATE";
    XS_WRITE_CREATE_EXCL = "CREATE|EXCL";
}

abi_structs! {
    /// `struct xsd_sockmsg`.
    pub struct XsdSockmsg: "struct xsd_sockmsg", size 16 {
        0 => r#type: XsType as "type",
        4 => req_id: u32,
        8 => tx_id: u32,
        12 => len: u32,
    }

    /// `struct xenstore_domain_interface`.
    pub struct XenstoreDomainInterface: "struct xenstore_domain_interface", size 2076 {
        0 => req: [u8; 1024],
        1024 => rsp: [u8; 1024],
        2048 => req_cons: u32,
        2052 => req_prod: u32,
        2056 => rsp_cons: u32,
        2060 => rsp_prod: u32,
        2064 => server_features: u32,
        2068 => connection: u32,
        2072 => error: u32,
    }
}
