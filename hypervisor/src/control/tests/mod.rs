//! Host-side tests of the control interface.
