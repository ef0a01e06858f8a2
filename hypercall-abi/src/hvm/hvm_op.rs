//! Operations of and on HVM domains.
//!
//! Xen public/hvm/hvm_op.h.

use crate::GuestHandle;
use crate::hvm::params::HvmParam;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};
use crate::xen::DomId;

open_enums! {
    /// Commands of `hvm_op`.
    pub enum HvmOp(u32) "HVMOP_" {
        SET_PARAM = 0;
        GET_PARAM = 1;
        FLUSH_TLBS = 5;
        PAGETABLE_DYING = 9;
        GET_TIME = 10;
        XENTRACE = 11;
        SET_MEM_ACCESS = 12;
        GET_MEM_ACCESS = 13;
        GET_MEM_TYPE = 15;
        SET_EVTCHN_UPCALL_VECTOR = 23;
        GUEST_REQUEST_VM_EVENT = 24;
        ALTP2M = 25;
    }

    /// `HVMMEM_*`.
    pub enum HvmMemType(u16) "HVMMEM_" {
        RAM_RW = 0;
        RAM_RO = 1;
        MMIO_DM = 2;
        UNUSED = 3;
        IOREQ_SERVER = 4;
    }

    /// `HVMOP_altp2m_*`.
    pub enum HvmAltp2mCmd(u32) "HVMOP_altp2m_" {
        GET_DOMAIN_STATE = 1;
        SET_DOMAIN_STATE = 2;
        VCPU_ENABLE_NOTIFY = 3;
        CREATE_P2M = 4;
        DESTROY_P2M = 5;
        SWITCH_P2M = 6;
        SET_MEM_ACCESS = 7;
        CHANGE_GFN = 8;
        SET_MEM_ACCESS_MULTI = 9;
        SET_SUPPRESS_VE = 10;
        GET_SUPPRESS_VE = 11;
        GET_MEM_ACCESS = 12;
        VCPU_DISABLE_NOTIFY = 13;
        GET_P2M_IDX = 14;
        SET_SUPPRESS_VE_MULTI = 15;
        SET_VISIBILITY = 16;
    }
}

abi_consts! {
    u32 {
        HVM_IOREQSRV_BUFIOREQ_OFF = 0;
        HVM_IOREQSRV_BUFIOREQ_LEGACY = 1;
        HVM_IOREQSRV_BUFIOREQ_ATOMIC = 2;
        HVMOP_ALTP2M_INTERFACE_VERSION = 0x1;
    }
}

abi_structs! {
    /// `struct xen_hvm_param`.
    pub struct HvmParamArg: "struct xen_hvm_param", size 16 {
        0 => domid: DomId,
        2 => pad: u16,
        4 => index: HvmParam,
        8 => value: u64,
    }

    /// `struct xen_hvm_altp2m_suppress_ve`.
    pub struct HvmAltp2mSuppressVe: "struct xen_hvm_altp2m_suppress_ve", size 16 {
        0 => view: u16,
        2 => suppress_ve: u8,
        3 => pad1: u8,
        4 => pad2: u32,
        8 => gfn: u64,
    }

    /// `struct xen_hvm_altp2m_suppress_ve_multi`.
    pub struct HvmAltp2mSuppressVeMulti: "struct xen_hvm_altp2m_suppress_ve_multi", size 32 {
        0 => view: u16,
        2 => suppress_ve: u8,
        3 => pad1: u8,
        4 => first_error: i32,
        8 => first_gfn: u64,
        16 => last_gfn: u64,
        24 => first_error_gfn: u64,
    }

    /// `struct xen_hvm_pagetable_dying`: the argument of [`HvmOp::PAGETABLE_DYING`].
    pub struct HvmPagetableDying: "struct xen_hvm_pagetable_dying", size 16 {
        0 => domid: DomId,
        2 => pad: [u16; 3],
        8 => gpa: u64,
    }

    /// `struct xen_hvm_get_time`: the argument of [`HvmOp::GET_TIME`].
    pub struct HvmGetTime: "struct xen_hvm_get_time", size 8 {
        0 => now: u64,
    }

    /// `struct xen_hvm_xentrace`: the argument of [`HvmOp::XENTRACE`].
    pub struct HvmXentrace: "struct xen_hvm_xentrace", size 32 {
        0 => event: u16,
        2 => extra_bytes: u16,
        4 => extra: [u8; 28],
    }

    /// `struct xen_hvm_get_mem_type`: the argument of [`HvmOp::GET_MEM_TYPE`].
    pub struct HvmGetMemType: "struct xen_hvm_get_mem_type", size 16 {
        0 => domid: DomId,
        2 => mem_type: u16,
        4 => pad: [u16; 2],
        8 => pfn: u64,
    }

    /// `struct xen_hvm_evtchn_upcall_vector`.
    pub struct HvmEvtchnUpcallVector: "struct xen_hvm_evtchn_upcall_vector", size 8 {
        0 => vcpu: u32,
        4 => vector: u8,
        5 => _hole0: [u8; 3] as "",
    }

    /// `struct xen_hvm_altp2m_domain_state`.
    pub struct HvmAltp2mDomainState: "struct xen_hvm_altp2m_domain_state", size 1 {
        0 => state: u8,
    }

    /// `struct xen_hvm_altp2m_vcpu_enable_notify`.
    pub struct HvmAltp2mVcpuEnableNotify: "struct xen_hvm_altp2m_vcpu_enable_notify", size 16 {
        0 => vcpu_id: u32,
        4 => pad: u32,
        8 => gfn: u64,
    }

    /// `struct xen_hvm_altp2m_vcpu_disable_notify`.
    pub struct HvmAltp2mVcpuDisableNotify: "struct xen_hvm_altp2m_vcpu_disable_notify", size 4 {
        0 => vcpu_id: u32,
    }

    /// `struct xen_hvm_altp2m_view`.
    pub struct HvmAltp2mView: "struct xen_hvm_altp2m_view", size 4 {
        0 => view: u16,
        2 => hvmmem_default_access: u16,
    }

    /// `struct xen_hvm_altp2m_mem_access`.
    pub struct HvmAltp2mMemAccess: "struct xen_hvm_altp2m_mem_access", size 16 {
        0 => view: u16,
        2 => access: u16,
        4 => pad: u32,
        8 => gfn: u64,
    }

    /// `struct xen_hvm_altp2m_set_mem_access_multi`.
    pub struct HvmAltp2mSetMemAccessMulti: "struct xen_hvm_altp2m_set_mem_access_multi", size 32 {
        0 => view: u16,
        2 => pad: u16,
        4 => nr: u32,
        8 => opaque: u64,
        16 => pfn_list: GuestHandle<u64>,
        24 => access_list: GuestHandle<u8>,
    }

    /// `struct xen_hvm_altp2m_change_gfn`.
    pub struct HvmAltp2mChangeGfn: "struct xen_hvm_altp2m_change_gfn", size 24 {
        0 => view: u16,
        2 => pad1: u16,
        4 => pad2: u32,
        8 => old_gfn: u64,
        16 => new_gfn: u64,
    }

    /// `struct xen_hvm_altp2m_get_vcpu_p2m_idx`.
    pub struct HvmAltp2mGetVcpuP2mIdx: "struct xen_hvm_altp2m_get_vcpu_p2m_idx", size 8 {
        0 => vcpu_id: u32,
        4 => altp2m_idx: u16,
        6 => _hole0: [u8; 2] as "",
    }

    /// `struct xen_hvm_altp2m_set_visibility`.
    pub struct HvmAltp2mSetVisibility: "struct xen_hvm_altp2m_set_visibility", size 4 {
        0 => altp2m_idx: u16,
        2 => visible: u8,
        3 => pad: u8,
    }

    /// `struct xen_hvm_altp2m_op`.
    pub struct HvmAltp2mOpArg: "struct xen_hvm_altp2m_op", size 80 {
        0 => version: u32,
        4 => cmd: u32,
        8 => domain: DomId,
        10 => pad1: u16,
        12 => pad2: u32,
        16 => u: HvmAltp2mOpArgU,
    }
}

abi_unions! {
    /// Field `u` of [`HvmAltp2mOpArg`]: one of these, by what a field beside it says.
    pub union HvmAltp2mOpArgU: "__typeof__(((struct xen_hvm_altp2m_op*)0)->u)", [u64; 8] {
        domain_state / set_domain_state: HvmAltp2mDomainState,
        enable_notify / set_enable_notify: HvmAltp2mVcpuEnableNotify,
        view / set_view: HvmAltp2mView,
        mem_access / set_mem_access: HvmAltp2mMemAccess,
        change_gfn / set_change_gfn: HvmAltp2mChangeGfn,
        set_mem_access_multi / set_set_mem_access_multi: HvmAltp2mSetMemAccessMulti,
        suppress_ve / set_suppress_ve: HvmAltp2mSuppressVe,
        suppress_ve_multi / set_suppress_ve_multi: HvmAltp2mSuppressVeMulti,
        disable_notify / set_disable_notify: HvmAltp2mVcpuDisableNotify,
        get_vcpu_p2m_idx / set_get_vcpu_p2m_idx: HvmAltp2mGetVcpuP2mIdx,
        set_visibility / set_set_visibility: HvmAltp2mSetVisibility,
        pad / set_pad: [u8; 64],
    }
}
