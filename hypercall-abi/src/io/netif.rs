//! Network devices.
//!
//! Xen public/io/netif.h.

use crate::grant_table::GrantRef;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};

open_enums! {
    /// `XEN_NETIF_CTRL_TYPE_*`.
    pub enum NetifCtrlType(u16) "XEN_NETIF_CTRL_TYPE_" {
        INVALID = 0;
        GET_HASH_FLAGS = 1;
        SET_HASH_FLAGS = 2;
        SET_HASH_KEY = 3;
        GET_HASH_MAPPING_SIZE = 4;
        SET_HASH_MAPPING_SIZE = 5;
        SET_HASH_MAPPING = 6;
        SET_HASH_ALGORITHM = 7;
        GET_GREF_MAPPING_SIZE = 8;
        ADD_GREF_MAPPING = 9;
        DEL_GREF_MAPPING = 10;
    }

    /// `XEN_NETIF_CTRL_STATUS_*`.
    pub enum NetifCtrlStatus(u32) "XEN_NETIF_CTRL_STATUS_" {
        SUCCESS = 0;
        NOT_SUPPORTED = 1;
        INVALID_PARAMETER = 2;
        BUFFER_OVERFLOW = 3;
    }

    /// `XEN_NETIF_EXTRA_TYPE_*`.
    pub enum NetifExtraType(u8) "XEN_NETIF_EXTRA_TYPE_" {
        NONE = 0;
        GSO = 1;
        MCAST_ADD = 2;
        MCAST_DEL = 3;
        HASH = 4;
        MAX = 5;
    }

    /// `NETIF_RSP_*`.
    pub enum NetifStatus(i16) "NETIF_RSP_" {
        DROPPED = -2;
        ERROR = -1;
        OKAY = 0;
        NULL = 1;
    }
}

abi_consts! {
    u32 {
        XEN_NETIF_NR_SLOTS_MIN = 18;
        _XEN_NETIF_CTRL_HASH_TYPE_IPV4 = 0;
        XEN_NETIF_CTRL_HASH_TYPE_IPV4 = 1 << 0;
        _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP = 1;
        XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP = 1 << 1;
        _XEN_NETIF_CTRL_HASH_TYPE_IPV6 = 2;
        XEN_NETIF_CTRL_HASH_TYPE_IPV6 = 1 << 2;
        _XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP = 3;
        XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP = 1 << 3;
        XEN_NETIF_CTRL_HASH_ALGORITHM_NONE = 0;
        XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ = 1;
        _XEN_NETIF_CTRLF_GREF_READONLY = 0;
        XEN_NETIF_CTRLF_GREF_READONLY = 1 << 0;
    }
    u16 {
        _NETTXF_CSUM_BLANK = 0;
        NETTXF_CSUM_BLANK = 1 << 0;
        _NETTXF_DATA_VALIDATED = 1;
        NETTXF_DATA_VALIDATED = 1 << 1;
        _NETTXF_MORE_DATA = 2;
        NETTXF_MORE_DATA = 1 << 2;
        _NETTXF_EXTRA_INFO = 3;
        NETTXF_EXTRA_INFO = 1 << 3;
    }
    u32 {
        XEN_NETIF_MAX_TX_SIZE = 0xffff;
        _XEN_NETIF_EXTRA_FLAG_MORE = 0;
        XEN_NETIF_EXTRA_FLAG_MORE = 1 << 0;
        XEN_NETIF_GSO_TYPE_NONE = 0;
        XEN_NETIF_GSO_TYPE_TCPV4 = 1;
        XEN_NETIF_GSO_TYPE_TCPV6 = 2;
    }
    u16 {
        _NETRXF_DATA_VALIDATED = 0;
        NETRXF_DATA_VALIDATED = 1 << 0;
        _NETRXF_CSUM_BLANK = 1;
        NETRXF_CSUM_BLANK = 1 << 1;
        _NETRXF_MORE_DATA = 2;
        NETRXF_MORE_DATA = 1 << 2;
        _NETRXF_EXTRA_INFO = 3;
        NETRXF_EXTRA_INFO = 1 << 3;
        _NETRXF_GSO_PREFIX = 4;
        NETRXF_GSO_PREFIX = 1 << 4;
    }
    u32 {
        NETIF_TX_RING_SIZE = 256, as "__CONST_RING_SIZE(netif_tx, 4096)";
        NETIF_RX_RING_SIZE = 256, as "__CONST_RING_SIZE(netif_rx, 4096)";
    }
}

abi_structs! {
    /// `struct xen_netif_ctrl_request`.
    pub struct NetifCtrlRequest: "struct xen_netif_ctrl_request", size 16 {
        0 => id: u16,
        2 => r#type: u16 as "type",
        4 => data: [u32; 3],
    }

    /// `struct xen_netif_ctrl_response`.
    pub struct NetifCtrlResponse: "struct xen_netif_ctrl_response", size 12 {
        0 => id: u16,
        2 => r#type: u16 as "type",
        4 => status: u32,
        8 => data: u32,
    }

    /// `struct xen_netif_gref`.
    pub struct NetifGref: "struct xen_netif_gref", size 8 {
        0 => r#ref: GrantRef as "ref",
        4 => flags: u16,
        6 => status: u16,
    }

    /// `struct netif_tx_request`.
    pub struct NetifTxRequest: "struct netif_tx_request", size 12 {
        0 => gref: GrantRef,
        4 => offset: u16,
        6 => flags: u16,
        8 => id: u16,
        10 => size: u16,
    }

    /// Member `gso` of [`NetifExtraInfoU`].
    pub struct NetifExtraInfoGso: "__typeof__(((__typeof__(((struct netif_extra_info*)0)->u)*)0)->gso)", size 6 {
        0 => size: u16,
        2 => r#type: u8 as "type",
        3 => pad: u8,
        4 => features: u16,
    }

    /// Member `mcast` of [`NetifExtraInfoU`].
    pub struct NetifExtraInfoMcast: "__typeof__(((__typeof__(((struct netif_extra_info*)0)->u)*)0)->mcast)", size 6 {
        0 => addr: [u8; 6],
    }

    /// Member `hash` of [`NetifExtraInfoU`].
    pub struct NetifExtraInfoHash: "__typeof__(((__typeof__(((struct netif_extra_info*)0)->u)*)0)->hash)", size 6 {
        0 => r#type: u8 as "type",
        1 => algorithm: u8,
        2 => value: [u8; 4],
    }

    /// `struct netif_extra_info`.
    pub struct NetifExtraInfo: "struct netif_extra_info", size 8 {
        0 => r#type: u8 as "type",
        1 => flags: u8,
        2 => u: NetifExtraInfoU,
    }

    /// `struct netif_tx_response`.
    pub struct NetifTxResponse: "struct netif_tx_response", size 4 {
        0 => id: u16,
        2 => status: i16,
    }

    /// `struct netif_rx_request`.
    pub struct NetifRxRequest: "struct netif_rx_request", size 8 {
        0 => id: u16,
        2 => pad: u16,
        4 => gref: GrantRef,
    }

    /// `struct netif_rx_response`.
    pub struct NetifRxResponse: "struct netif_rx_response", size 8 {
        0 => id: u16,
        2 => offset: u16,
        4 => flags: u16,
        6 => status: i16,
    }
}

abi_unions! {
    /// Field `u` of [`NetifExtraInfo`]: one of these, by what a field beside it says.
    pub union NetifExtraInfoU: "__typeof__(((struct netif_extra_info*)0)->u)", [u16; 3] {
        gso / set_gso: NetifExtraInfoGso,
        mcast / set_mcast: NetifExtraInfoMcast,
        hash / set_hash: NetifExtraInfoHash,
        pad / set_pad: [u16; 3],
    }
}
