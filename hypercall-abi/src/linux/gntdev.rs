//! `/dev/xen/gntdev`: mapping other domains' grants.
//!
//! Xen public/sys/gntdev.h.

use crate::macros::{abi_consts, abi_structs, abi_unions};

abi_consts! {
    u64 {
        IOCTL_GNTDEV_MAP_GRANT_REF = 0x184700;
        IOCTL_GNTDEV_UNMAP_GRANT_REF = 0x104701;
        IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR = 0x184702;
        IOCTL_GNTDEV_SET_MAX_GRANTS = 0x44703;
        IOCTL_GNTDEV_SET_UNMAP_NOTIFY = 0x104707;
    }
    u32 {
        UNMAP_NOTIFY_CLEAR_BYTE = 0x1;
        UNMAP_NOTIFY_SEND_EVENT = 0x2;
    }
    u64 {
        IOCTL_GNTDEV_GRANT_COPY = 0x104708;
    }
    u32 {
        GNTDEV_DMA_FLAG_WC = 1 << 0;
        GNTDEV_DMA_FLAG_COHERENT = 1 << 1;
    }
    u64 {
        IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS = 0x144709;
        IOCTL_GNTDEV_DMABUF_EXP_WAIT_RELEASED = 0x8470a;
        IOCTL_GNTDEV_DMABUF_IMP_TO_REFS = 0x14470b;
        IOCTL_GNTDEV_DMABUF_IMP_RELEASE = 0x8470c;
    }
}

abi_structs! {
    /// `struct ioctl_gntdev_grant_ref`.
    pub struct IoctlGntdevGrantRef: "struct ioctl_gntdev_grant_ref", size 8 {
        0 => domid: u32,
        4 => r#ref: u32 as "ref",
    }

    /// `struct ioctl_gntdev_map_grant_ref`.
    pub struct IoctlGntdevMapGrantRef: "struct ioctl_gntdev_map_grant_ref", size 24 {
        0 => count: u32,
        4 => pad: u32,
        8 => index: u64,
        16 => refs: [IoctlGntdevGrantRef; 1],
    }

    /// `struct ioctl_gntdev_unmap_grant_ref`.
    pub struct IoctlGntdevUnmapGrantRef: "struct ioctl_gntdev_unmap_grant_ref", size 16 {
        0 => index: u64,
        8 => count: u32,
        12 => pad: u32,
    }

    /// `struct ioctl_gntdev_get_offset_for_vaddr`.
    pub struct IoctlGntdevGetOffsetForVaddr: "struct ioctl_gntdev_get_offset_for_vaddr", size 24 {
        0 => vaddr: u64,
        8 => offset: u64,
        16 => count: u32,
        20 => pad: u32,
    }

    /// `struct ioctl_gntdev_set_max_grants`.
    pub struct IoctlGntdevSetMaxGrants: "struct ioctl_gntdev_set_max_grants", size 4 {
        0 => count: u32,
    }

    /// `struct ioctl_gntdev_unmap_notify`.
    pub struct IoctlGntdevUnmapNotify: "struct ioctl_gntdev_unmap_notify", size 16 {
        0 => index: u64,
        8 => action: u32,
        12 => event_channel_port: u32,
    }

    /// Member `foreign` of [`IoctlGntdevGrantCopySegmentSource`].
    pub struct IoctlGntdevGrantCopySegmentSourceForeign: "__typeof__(((__typeof__(((struct ioctl_gntdev_grant_copy_segment*)0)->source)*)0)->foreign)", size 8 {
        0 => r#ref: u32 as "ref",
        4 => offset: u16,
        6 => domid: u16,
    }

    /// `struct ioctl_gntdev_grant_copy_segment`.
    pub struct IoctlGntdevGrantCopySegment: "struct ioctl_gntdev_grant_copy_segment", size 24 {
        0 => source: IoctlGntdevGrantCopySegmentSource,
        8 => dest: IoctlGntdevGrantCopySegmentSource,
        16 => len: u16,
        18 => flags: u16,
        20 => status: i16,
        22 => _hole0: [u8; 2] as "",
    }

    /// `struct ioctl_gntdev_grant_copy`.
    pub struct IoctlGntdevGrantCopy: "struct ioctl_gntdev_grant_copy", size 16 {
        0 => count: u32,
        4 => _hole0: [u8; 4] as "",
        8 => segments: u64,
    }

    /// `struct ioctl_gntdev_dmabuf_exp_from_refs`.
    pub struct IoctlGntdevDmabufExpFromRefs: "struct ioctl_gntdev_dmabuf_exp_from_refs", size 20 {
        0 => flags: u32,
        4 => count: u32,
        8 => fd: u32,
        12 => domid: u32,
        16 => refs: [u32; 1],
    }

    /// `struct ioctl_gntdev_dmabuf_exp_wait_released`.
    pub struct IoctlGntdevDmabufExpWaitReleased: "struct ioctl_gntdev_dmabuf_exp_wait_released", size 8 {
        0 => fd: u32,
        4 => wait_to_ms: u32,
    }

    /// `struct ioctl_gntdev_dmabuf_imp_to_refs`.
    pub struct IoctlGntdevDmabufImpToRefs: "struct ioctl_gntdev_dmabuf_imp_to_refs", size 20 {
        0 => fd: u32,
        4 => count: u32,
        8 => domid: u32,
        12 => reserved: u32,
        16 => refs: [u32; 1],
    }

    /// `struct ioctl_gntdev_dmabuf_imp_release`.
    pub struct IoctlGntdevDmabufImpRelease: "struct ioctl_gntdev_dmabuf_imp_release", size 8 {
        0 => fd: u32,
        4 => reserved: u32,
    }
}

abi_unions! {
    /// Field `source` of [`IoctlGntdevGrantCopySegment`]: one of these, by what a field beside it says.
    pub union IoctlGntdevGrantCopySegmentSource: "__typeof__(((struct ioctl_gntdev_grant_copy_segment*)0)->source)", [u64; 1] {
        virt / set_virt: u64,
        foreign / set_foreign: IoctlGntdevGrantCopySegmentSourceForeign,
    }
}
