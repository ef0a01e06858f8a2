//! Power-off on dom0's word, and the power-management data that dom0 reads from ACPI for the hypervisor.

use hypercall_abi::Errno;
use hypercall_abi::platform::*;

use crate::control::cpus;
use crate::guest;

/// `SLP_EN` of the PM1 control registers (ACPI 6.5, 4.8.3.2.1).
const SLP_EN: u16 = 1 << 13;
/// ACPI's "soft off".
const S5: u32 = 5;
/// Most entries of a C-state or P-state table (ACPI has at most a byte's worth of them).
const MAX_STATES: u32 = 255;
/// `_PDC` revision.
const PDC_REVISION: u32 = 1;
/// `_PDC` bits about P-, C- and T-states, which the hypervisor decides on (Intel processor-driver capabilities).
const PDC_KNOWN: u32 = 0x0fff;

/// `XENPF_enter_acpi_sleep`: powers the machine off for S5. `EPERM` without the registers, `EINVAL` for values that
/// contradict each other, `EOPNOTSUPP` for other sleep states.
pub(super) fn sleep(sleep: &XenpfEnterAcpiSleep) -> Result<(), Errno> {
    let control = arch::acpi::get()
        .fadt
        .as_ref()
        .filter(|f| !f.hardware_reduced)
        .and_then(|f| f.pm1a_control);
    check(sleep, control.is_some())?;
    log::info!("power-off on dom0's request");
    power_off(sleep.val_a, sleep.val_b)
}

/// Whether a request is for S5 and makes sense; `registers`: the machine has PM1 control registers.
fn check(sleep: &XenpfEnterAcpiSleep, registers: bool) -> Result<(), Errno> {
    // The sleep control register of hardware-reduced ACPI is not used.
    if sleep.flags & XENPF_ACPI_SLEEP_EXTENDED != 0 || !registers {
        return Err(Errno::EPERM);
    }
    if sleep.val_b != 0 && (sleep.val_a ^ sleep.val_b) & SLP_EN != 0 || sleep.flags != 0 {
        return Err(Errno::EINVAL);
    }
    match sleep.sleep_state {
        S5 => Ok(()),
        1..=4 => {
            log::info!("sleep state S{} refused", sleep.sleep_state);
            Err(Errno::EOPNOTSUPP)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `XENPF_set_processor_pminfo`: data for power management that this hypervisor does by the hardware's own means; it
/// is checked for form and set aside. `EINVAL` for a malformed table or a CPU unknown to ACPI, `ENOSYS` for throttling.
pub(super) fn processor_info(info: &XenpfSetProcessorPminfo) -> Result<(), Errno> {
    match PmClass(info.r#type) {
        PmClass::PX => performance(info.id, &info.u.perf()),
        PmClass::CX => idle(info.id, &info.u.power()),
        PmClass::PDC => capabilities(info.u.pdc()),
        PmClass::TX => Err(Errno::ENOSYS),
        _ => Err(Errno::EINVAL),
    }
}

fn known(acpi_id: u32) -> Result<(), Errno> {
    if cpus::present().iter().any(|c| c.acpi_id == acpi_id) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

fn performance(acpi_id: u32, perf: &ProcessorPerformance) -> Result<(), Errno> {
    known(acpi_id)?;
    if perf.flags & XEN_PX_PCT != 0
        && perf.control_register.space_id != perf.status_register.space_id
    {
        return Err(Errno::EINVAL);
    }
    if perf.flags & XEN_PX_PSS != 0 {
        if !(2..=MAX_STATES).contains(&perf.state_count) {
            return Err(Errno::EINVAL);
        }
        for i in 0..perf.state_count {
            guest::read(perf.states, i.into())?;
        }
    }
    let shared = [
        XEN_CPUPERF_SHARED_TYPE_ALL,
        XEN_CPUPERF_SHARED_TYPE_ANY,
        XEN_CPUPERF_SHARED_TYPE_HW,
    ];
    if perf.flags & XEN_PX_PSD != 0 && !shared.contains(&perf.shared_type) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

fn idle(acpi_id: u32, power: &ProcessorPower) -> Result<(), Errno> {
    if power.count > MAX_STATES {
        return Err(Errno::EINVAL);
    }
    known(acpi_id)?;
    for i in 0..power.count {
        guest::read(power.states, i.into())?;
    }
    Ok(())
}

/// Clears the capabilities that dom0 must not announce for itself, as P-, C- and T-states are not its business.
fn capabilities(pdc: hypercall_abi::GuestHandle<u32>) -> Result<(), Errno> {
    let (revision, count) = (guest::read(pdc, 0)?, guest::read(pdc, 1)?);
    if revision != PDC_REVISION || count == 0 {
        return Err(Errno::EINVAL);
    }
    let bits = guest::read(pdc, 2)?;
    guest::write(pdc, 2, &(bits & !PDC_KNOWN))
}

/// Writes the sleep values to the PM1 control registers; a machine that obeys is off then.
fn power_off(pm1a: u16, pm1b: u16) -> Result<(), Errno> {
    arch::apic::stop_other_cpus();
    arch::power::enter_sleep(pm1a, pm1b).map_err(|_| Errno::EPERM)?;
    log::error!("the machine did not power off");
    arch::cpu::halt_forever()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_soft_off_is_entered() {
        let request = |val_a, val_b, sleep_state, flags| XenpfEnterAcpiSleep {
            val_a,
            val_b,
            sleep_state,
            flags,
        };
        assert_eq!(check(&request(0x2000, 0, 5, 0), true), Ok(()));
        assert_eq!(check(&request(0x3c00, 0x3c00, 5, 0), true), Ok(()));
        assert_eq!(check(&request(0x2000, 0, 5, 0), false), Err(Errno::EPERM));
        assert_eq!(check(&request(0, 0, 5, 1), true), Err(Errno::EPERM));
        assert_eq!(check(&request(0, 0, 5, 2), true), Err(Errno::EINVAL));
        assert_eq!(
            check(&request(0x2000, 0x400, 5, 0), true),
            Err(Errno::EINVAL)
        );
        for state in 1..=4 {
            let refused = check(&request(0x2000, 0, state, 0), true);
            assert_eq!(refused, Err(Errno::EOPNOTSUPP));
        }
        assert_eq!(check(&request(0x2000, 0, 0, 0), true), Err(Errno::EINVAL));
        assert_eq!(check(&request(0x2000, 0, 6, 0), true), Err(Errno::EINVAL));
    }
}
