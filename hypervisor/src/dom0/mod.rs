//! The dom0 builder.
