//! sysctl 0x16 (Xen 4.21 and 4.22): what differs belongs to pm_op, which answers with an errno only.
//!
//! Xen 4.21 public/sysctl.h.

/// What this module defines, for the header check.
#[doc(hidden)]
pub const STRUCTS: &[crate::check::Struct] = &[];
