//! How a domain sees the time-stamp counter. Guests read the processor's own; no read is emulated.

use hypercall_abi::Errno;
use hypercall_abi::domctl::DomctlTscInfo;

use crate::domain::Domain;
use crate::time::now;

/// Modes (Xen docs/man/xen-tscmode): the processor's if it will do, always emulated, never emulated.
const DEFAULT: u32 = 0;
const ALWAYS: u32 = 1;
const NEVER: u32 = 2;

/// What the tools set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tsc {
    mode: u32,
    /// How often the domain was set up: at creation, and after each migration.
    incarnation: u32,
}

fn host_khz() -> u32 {
    u32::try_from(arch::clock::tsc_hz() / 1000).unwrap_or(u32::MAX)
}

/// `XEN_DOMCTL_settscinfo`. `EINVAL` for unknown modes, `EOPNOTSUPP` for what needs emulation: mode "always", or the default
/// mode with another frequency than this host's. The domain that owns the hardware has the processor's counter whatever is
/// said.
pub(super) fn set(domain: &Domain, op: &DomctlTscInfo) -> Result<(), Errno> {
    if domain.privileged {
        return Ok(());
    }
    let fits = op.gtsc_khz == 0 || op.gtsc_khz == host_khz();
    match op.tsc_mode {
        NEVER => {}
        DEFAULT if fits => {}
        DEFAULT | ALWAYS => {
            log::warn!(
                "d{}: TSC mode {} at {} kHz refused: reads are not emulated, and this host has {} kHz",
                domain.id.0,
                op.tsc_mode,
                op.gtsc_khz,
                host_khz()
            );
            return Err(Errno::EOPNOTSUPP);
        }
        _ => return Err(Errno::EINVAL),
    }
    domain.control.lock().tsc = Tsc {
        mode: op.tsc_mode,
        incarnation: op.incarnation.wrapping_add(1),
    };
    Ok(())
}

/// `XEN_DOMCTL_gettscinfo`: nanoseconds since the counter was 0 and its frequency, unless the mode says never to emulate.
pub(super) fn get(domain: &Domain) -> DomctlTscInfo {
    let tsc = domain.control.lock().tsc;
    let (elapsed_nsec, gtsc_khz) = match tsc.mode {
        NEVER => (0, 0),
        _ => (now(), host_khz()),
    };
    DomctlTscInfo {
        tsc_mode: tsc.mode,
        gtsc_khz,
        incarnation: tsc.incarnation,
        elapsed_nsec,
        ..DomctlTscInfo::default()
    }
}
