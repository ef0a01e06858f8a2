//! The console ring, console_io, input, debug keys.

/// Console ring and sinks.
#[derive(Default)]
pub struct Console {}

/// Prints whatever state the machine is in.
pub fn emergency(args: core::fmt::Arguments<'_>) {
    arch::boot::early_print(args);
}
/// Work put off by interrupt handlers.
pub fn run_deferred() {}
