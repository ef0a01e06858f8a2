//! Memory management on the simulated machine.

mod allocator;
mod machine;
mod random;
mod tables;

pub(super) use machine::BUDGET;
