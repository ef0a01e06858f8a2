//! Port I/O. Which device answers is the caller's business; on the hosted backend nobody does (all ones).

macro_rules! port {
    ($read:ident, $write:ident, $ty:ty, $reg:tt) => {
        /// Reads an I/O port.
        #[inline]
        #[must_use]
        pub fn $read(port: u16) -> $ty {
            #[cfg(target_os = "none")]
            {
                let value: $ty;
                // SAFETY: port reads touch no memory of ours; Oxen runs at ring 0.
                unsafe {
                    core::arch::asm!(concat!("in ", $reg, ", dx"), in("dx") port, out($reg) value,
                        options(nomem, nostack, preserves_flags));
                }
                value
            }
            #[cfg(not(target_os = "none"))]
            {
                let _ = port;
                <$ty>::MAX
            }
        }
        /// Writes an I/O port.
        #[inline]
        pub fn $write(port: u16, value: $ty) {
            #[cfg(target_os = "none")]
            // SAFETY: port writes touch no memory of ours except by DMA, which drivers in dom0 program as well.
            unsafe {
                core::arch::asm!(concat!("out dx, ", $reg), in("dx") port, in($reg) value,
                    options(nomem, nostack, preserves_flags));
            }
            #[cfg(not(target_os = "none"))]
            let _ = (port, value);
        }
    };
}

port!(inb, outb, u8, "al");
port!(inw, outw, u16, "ax");
port!(inl, outl, u32, "eax");
