//! Kernel images: bzImage, ELF, notes.
