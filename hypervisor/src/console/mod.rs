//! The console ring, console_io, input, debug keys.

/// Console ring and sinks.
#[derive(Default)]
pub struct Console {}
