//! Memory management on the simulated machine.

mod allocator;
mod audit;
mod machine;
mod memory_op;
mod random;
mod tables;

pub(super) use machine::BUDGET;
