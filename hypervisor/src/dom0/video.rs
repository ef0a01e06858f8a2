//! What dom0 is told about the screen (Xen public/xen.h, `dom0_vga_console_info`).

use arch::boot::{Framebuffer, FramebufferKind};
use hypercall_abi::xen::{
    Dom0VgaConsoleInfo, Dom0VgaConsoleInfoTextMode3, Dom0VgaConsoleInfoVesaLfb,
    XEN_VGATYPE_EFI_LFB, XEN_VGATYPE_TEXT_MODE_3, XEN_VGATYPE_VESA_LFB,
};

/// The screen as the boot loader left it; without word from it, a BIOS machine has VGA text.
pub fn console_info(screen: Option<&Framebuffer>, efi: bool) -> Option<Dom0VgaConsoleInfo> {
    let mut info = Dom0VgaConsoleInfo::default();
    let Some(screen) = screen.filter(|s| s.kind != FramebufferKind::Text) else {
        if efi {
            return None;
        }
        info.video_type = XEN_VGATYPE_TEXT_MODE_3 as u8;
        info.u.set_text_mode_3(Dom0VgaConsoleInfoTextMode3 {
            font_height: 16,
            cursor_x: 0,
            cursor_y: 24,
            rows: 25,
            columns: 80,
        });
        return Some(info);
    };
    let address = screen.address.get();
    let size = u64::from(screen.pitch) * u64::from(screen.height);
    let mut lfb = Dom0VgaConsoleInfoVesaLfb {
        width: u16::try_from(screen.width).ok()?,
        height: u16::try_from(screen.height).ok()?,
        bytes_per_line: u16::try_from(screen.pitch).ok()?,
        bits_per_pixel: screen.bpp.into(),
        lfb_base: address as u32,
        ext_lfb_base: (address >> 32) as u32,
        // In pieces of 64 KiB.
        lfb_size: size.div_ceil(0x1_0000) as u32,
        ..Default::default()
    };
    if let FramebufferKind::Rgb { red, green, blue } = screen.kind {
        (lfb.red_pos, lfb.red_size) = red;
        (lfb.green_pos, lfb.green_size) = green;
        (lfb.blue_pos, lfb.blue_size) = blue;
    }
    info.video_type = if efi {
        XEN_VGATYPE_EFI_LFB as u8
    } else {
        XEN_VGATYPE_VESA_LFB as u8
    };
    info.u.set_vesa_lfb(lfb);
    Some(info)
}
