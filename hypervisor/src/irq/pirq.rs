//! A domain's physical interrupts: mapping, binding to event ports, ending.

use alloc::collections::{BTreeMap, BTreeSet};

use arch::pci::Sbdf;
use arch::sync::SpinLock;
use hypercall_abi::Errno;
use hypercall_abi::physdev::MapPirqType;

use super::IrqTable;
use super::descriptor::{Source, User};
use super::device::Wanted;
use super::ports::PortSet;
use crate::domain::{Domain, Vcpu};
use crate::event_channel;
use crate::host::host;
use crate::mm::TypedRef;

/// A pirq that is mapped or spoken for.
#[derive(Clone, Copy, Debug, Default)]
struct Pirq {
    /// The irq it stands for; none while only reserved, or unmapped while bound.
    irq: Option<u16>,
    /// The event port it is bound to; 0: none.
    port: u32,
    /// The vCPU that the port notifies.
    vcpu: u32,
}

#[derive(Default)]
struct State {
    pirqs: BTreeMap<u32, Pirq>,
    /// The page of bits that tell the guest which pirqs it has to end.
    eoi_map: Option<TypedRef>,
    /// Ending a pirq also unmasks its port (pirq_eoi_gmfn_v1).
    auto_unmask: bool,
    ports: PortSet,
    /// Irqs that a domain other than dom0 may bind: those that were mapped to it, unless the tools took the right away, and
    /// those that they gave it (domctl irq_permission). There are no more of them than irqs in the machine.
    rights: BTreeSet<u16>,
}

/// A domain's pirqs and hardware rights.
#[derive(Default)]
pub struct DomainIrqs(SpinLock<State>);

impl DomainIrqs {
    /// No rights.
    pub const fn new() -> Self {
        Self(SpinLock::new(State {
            pirqs: BTreeMap::new(),
            eoi_map: None,
            auto_unmask: false,
            ports: PortSet::new(),
            rights: BTreeSet::new(),
        }))
    }

    /// Whether the domain may touch these I/O ports.
    pub fn ports_permitted(&self, port: u16, size: usize) -> bool {
        let last = u32::from(port) + size.max(1) as u32 - 1;
        u16::try_from(last).is_ok_and(|last| self.0.lock().ports.contains(port, last))
    }

    /// Allows or forbids I/O ports, first and last inclusive.
    pub fn permit_ports(&self, first: u16, last: u16, allow: bool) {
        let mut state = self.0.lock();
        if allow {
            state.ports.insert(first, last)
        } else {
            state.ports.remove(first, last)
        }
    }

    /// dom0's I/O ports: all but those of devices that the hypervisor drives.
    pub fn permit_dom0_ports(&self) {
        self.permit_ports(0, u16::MAX, true);
        // Interrupt controllers, timer 0 to 2 and the speaker gate, PCI configuration (emulated).
        for (first, last) in [
            (0x20, 0x21),
            (0xa0, 0xa1),
            (0x40, 0x43),
            (0x61, 0x61),
            (0xcf8, 0xcff),
        ] {
            self.permit_ports(first, last, false);
        }
        let timer = arch::acpi::get().fadt.and_then(|fadt| fadt.pm_timer);
        if let Some(timer) = timer.filter(|t| t.space == arch::acpi::AddressSpace::Io)
            && let Ok(first) = u16::try_from(timer.address)
        {
            // As Xen does: who needs the time asks the hypervisor.
            self.permit_ports(first, first.saturating_add(3), false);
        }
        for (first, count) in arch::console::serial_port_ranges().into_iter().flatten() {
            self.permit_ports(first, first.saturating_add(count - 1), false);
        }
    }

    /// Allows or forbids to bind an irq once it is mapped.
    pub fn permit_irq(&self, irq: u16, allow: bool) {
        let mut state = self.0.lock();
        if allow {
            state.rights.insert(irq);
        } else {
            state.rights.remove(&irq);
        }
    }

    /// The irq that a pirq stands for.
    pub fn irq_of(&self, pirq: u32) -> Option<u16> {
        self.0.lock().pirqs.get(&pirq).and_then(|p| p.irq)
    }
}

impl State {
    fn pirq_of(&self, irq: u16) -> Option<u32> {
        self.pirqs
            .iter()
            .find(|(_, p)| p.irq == Some(irq))
            .map(|(&number, _)| number)
    }

    /// Highest first, above the global system interrupts; for those, from 16 up first.
    fn free_pirq(&self, table: &IrqTable, gsi: bool) -> Result<u32, Errno> {
        let low = if gsi { 16..table.gsi_end() } else { 0..0 };
        let mut candidates = low.chain((table.gsi_end()..table.count()).rev());
        candidates
            .find(|n| !self.pirqs.contains_key(n))
            .ok_or(Errno::ENOSPC)
    }

    fn note_eoi_need(&self, pirq: u32, needed: bool) {
        if let Some(page) = &self.eoi_map {
            let (byte, bit) = ((pirq / 8) as usize, 1 << (pirq % 8));
            if byte < arch::addr::PAGE_BYTES {
                if needed {
                    page.frame().fetch_or_u8(byte, bit);
                } else {
                    page.frame().fetch_and_u8(byte, !bit);
                }
            }
        }
    }

    /// Takes the pirq that a map call asked for, or chooses one.
    fn choose(
        &self,
        table: &IrqTable,
        wanted: i32,
        irq: Option<u16>,
        gsi: bool,
    ) -> Result<u32, Errno> {
        let mapped = irq.and_then(|irq| self.pirq_of(irq));
        match u32::try_from(wanted) {
            Err(_) => mapped.map_or_else(|| self.free_pirq(table, gsi), Ok),
            Ok(pirq) if mapped.is_some_and(|m| m != pirq) => Err(Errno::EEXIST),
            Ok(pirq) if pirq >= table.count() => Err(Errno::EINVAL),
            Ok(pirq) => Ok(pirq),
        }
    }
}

/// Maps a global system interrupt to `domain`; returns the pirq. Xen `allocate_and_map_gsi_pirq`.
pub(super) fn map_gsi(domain: &Domain, index: i32, wanted: i32) -> Result<u32, Errno> {
    let table = &host().irqs;
    // Number 0 is the platform timer's, which the hypervisor keeps.
    let gsi = u32::try_from(index)
        .ok()
        .filter(|&g| g != 0 && g < table.gsi_end())
        .ok_or(Errno::EINVAL)?;
    let irq = gsi as u16;
    let mut state = domain.irqs.0.lock();
    let pirq = state.choose(table, wanted, Some(irq), true)?;
    let entry = state.pirqs.entry(pirq).or_default();
    match entry.irq {
        // Mapped to something else: Xen leaves it so and reports success.
        Some(_) => {}
        // Unmapped, but its port is not closed yet.
        None if entry.port != 0 => return Err(Errno::EBUSY),
        None => {
            entry.irq = Some(irq);
            state.rights.insert(irq);
        }
    }
    Ok(pirq)
}

/// Creates an irq for a message of `function` and maps it. Xen `allocate_and_map_msi_pirq`.
pub(super) fn map_message(
    domain: &Domain,
    function: Sbdf,
    wanted: Wanted,
    pirq: i32,
) -> Result<u32, Errno> {
    let table = &host().irqs;
    let mut state = domain.irqs.0.lock();
    let pirq = state.choose(table, pirq, None, false)?;
    if state
        .pirqs
        .get(&pirq)
        .is_some_and(|p| p.irq.is_some() || p.port != 0)
    {
        return Err(Errno::EBUSY);
    }
    let mut devices = table.devices.lock();
    let irq = devices.create_irq(table, function, wanted)?;
    let placed = table
        .lock(irq)
        .is_some_and(|mut i| i.place(table, arch::percpu::cpu_id()));
    if !placed {
        devices.destroy_irq(table, irq);
        return Err(Errno::ENOSPC);
    }
    state.pirqs.insert(
        pirq,
        Pirq {
            irq: Some(irq),
            ..Pirq::default()
        },
    );
    state.rights.insert(irq);
    Ok(pirq)
}

/// Reserves a pirq number. `ENOSPC` if none is free, `ENOMEM`.
pub(super) fn reserve(domain: &Domain, kind: MapPirqType) -> Result<u32, Errno> {
    host().mm.may_grow()?;
    let mut state = domain.irqs.0.lock();
    let pirq = state.free_pirq(&host().irqs, kind == MapPirqType::GSI)?;
    state.pirqs.insert(pirq, Pirq::default());
    Ok(pirq)
}

/// Undoes a mapping, stopping the interrupt if it is bound. `EINVAL` if the pirq is not mapped.
pub(super) fn unmap(domain: &Domain, pirq: i32) -> Result<(), Errno> {
    let table = &host().irqs;
    let pirq = u32::try_from(pirq).map_err(|_| Errno::EINVAL)?;
    let mut state = domain.irqs.0.lock();
    let entry = state.pirqs.get_mut(&pirq).ok_or(Errno::EINVAL)?;
    let irq = entry.irq.take().ok_or(Errno::EINVAL)?;
    // A bound port stays bound to nothing until it is closed.
    let bound = entry.port != 0;
    if !bound {
        state.pirqs.remove(&pirq);
    }
    state.rights.remove(&irq);
    release(table, domain, irq, pirq);
    Ok(())
}

/// Stops an irq if this pirq uses it, and gives a message's irq back.
fn release(table: &IrqTable, domain: &Domain, number: u16, pirq: u32) {
    let Some(mut irq) = table.lock(number) else {
        return;
    };
    let message = !matches!(irq.source, Source::Gsi { .. });
    if used_by(&irq.user, domain, pirq) {
        irq.stop();
        if !message {
            irq.unplace(table);
        }
    }
    drop(irq);
    if message {
        table.devices.lock().destroy_irq(table, number);
    }
}

fn used_by(user: &User, domain: &Domain, pirq: u32) -> bool {
    matches!(user, User::Guest { domain: d, pirq: p, .. } if *p == pirq && core::ptr::eq(d.as_ptr(), domain))
}

/// Delivers a pirq to an event port from now on. `EINVAL` beyond the numbers there are, `EPERM` if it is not mapped to
/// the domain or the tools took the right to it away, `EEXIST` if it is bound, `EBUSY` if someone else uses the interrupt, `ENOSPC` without a vector.
/// (`flags`: sharing one interrupt between domains is not offered.)
pub fn bind_pirq(domain: &Domain, pirq: u32, port: u32, _flags: u32) -> Result<(), Errno> {
    let table = &host().irqs;
    if pirq >= table.count() {
        return Err(Errno::EINVAL);
    }
    let vcpu = domain.vcpus().first().ok_or(Errno::EINVAL)?;
    let mut guard = domain.irqs.0.lock();
    let state = &mut *guard;
    let entry = state.pirqs.get_mut(&pirq).ok_or(Errno::EPERM)?;
    let permitted = |irq| domain.is_hardware() || state.rights.contains(&irq);
    if !entry.irq.is_some_and(permitted) {
        return Err(Errno::EPERM);
    }
    if entry.port != 0 {
        return Err(Errno::EEXIST);
    }
    let mut irq = entry.irq.and_then(|n| table.lock(n)).ok_or(Errno::EPERM)?;
    if !matches!(irq.user, User::Nobody) {
        return Err(Errno::EBUSY);
    }
    if !irq.place(table, home_of(vcpu)) {
        return Err(Errno::ENOSPC);
    }
    (entry.port, entry.vcpu) = (port, vcpu.id);
    irq.user = User::Guest {
        domain: alloc::sync::Arc::downgrade(&vcpu.domain()),
        pirq,
        port,
    };
    let needed = irq.needs_eoi();
    // From here on it may arrive.
    irq.unmask();
    drop(irq);
    state.note_eoi_need(pirq, needed);
    Ok(())
}

/// How many pirqs the domain has.
pub fn pirqs(domain: &Domain) -> u64 {
    domain.irqs.0.lock().pirqs.len() as u64
}

/// The page of the domain's in which it sees which pirqs want an end of interrupt; held as writable memory. For audits.
pub fn stored(domain: &Domain) -> Option<arch::addr::Mfn> {
    domain.irqs.0.lock().eoi_map.as_ref().map(TypedRef::mfn)
}

/// Whether a pirq of the domain's is bound to this port, for audits.
pub fn is_bound_to(domain: &Domain, pirq: u32, port: u32) -> bool {
    domain
        .irqs
        .0
        .lock()
        .pirqs
        .get(&pirq)
        .is_some_and(|entry| entry.port == port)
}

/// Undoes [`bind_pirq`]: the interrupt is masked, the mapping stays.
pub fn unbind_pirq(domain: &Domain, pirq: u32) {
    let table = &host().irqs;
    let mut state = domain.irqs.0.lock();
    let Some(entry) = state.pirqs.get_mut(&pirq) else {
        return;
    };
    entry.port = 0;
    let Some(number) = entry.irq else {
        state.pirqs.remove(&pirq);
        return;
    };
    if let Some(mut irq) = table.lock(number)
        && used_by(&irq.user, domain, pirq)
    {
        irq.stop();
    }
    state.note_eoi_need(pirq, false);
}

/// Delivers a pirq to the CPU where the vCPU runs.
pub fn set_affinity(domain: &Domain, pirq: u32, vcpu: &Vcpu) {
    let table = &host().irqs;
    let number = match domain.irqs.0.lock().pirqs.get_mut(&pirq) {
        None => return,
        Some(entry) => {
            entry.vcpu = vcpu.id;
            entry.irq
        }
    };
    let Some(number) = number else { return };
    if let Some(mut irq) = table.lock(number) {
        irq.move_to(table, home_of(vcpu));
    }
}

/// A vCPU runs on another pCPU than before: the interrupts that its event ports stand for are delivered there.
pub fn follow(domain: &Domain, vcpu: &Vcpu, cpu: usize) {
    let table = &host().irqs;
    let state = domain.irqs.0.lock();
    let bound = state
        .pirqs
        .values()
        .filter(|p| p.port != 0 && p.vcpu == vcpu.id);
    for number in bound.filter_map(|p| p.irq) {
        if let Some(mut irq) = table.lock(number) {
            irq.move_to(table, cpu);
        }
    }
}

/// The CPU that a vCPU's interrupts go to: where it runs or ran last.
fn home_of(vcpu: &Vcpu) -> usize {
    vcpu.sched
        .on_cpu()
        .unwrap_or_else(|| vcpu.sched.info(arch::clock::now()).cpu)
}

/// The guest is done with a pirq. `EINVAL` if the domain has no such pirq.
pub(super) fn end(domain: &Domain, pirq: u32) -> Result<(), Errno> {
    let table = &host().irqs;
    if pirq >= table.count() {
        return Err(Errno::EINVAL);
    }
    let (entry, auto_unmask) = {
        let state = domain.irqs.0.lock();
        (
            *state.pirqs.get(&pirq).ok_or(Errno::EINVAL)?,
            state.auto_unmask,
        )
    };
    if auto_unmask && entry.port != 0 {
        let _ = event_channel::unmask(domain, entry.port);
    }
    if let Some(number) = entry.irq
        && let Some(mut irq) = table.lock(number)
        && used_by(&irq.user, domain, pirq)
    {
        irq.end(table);
    }
    Ok(())
}

/// Ends every delivered pirq whose port the guest has unmasked (PHYSDEVOP_IRQ_UNMASK_NOTIFY).
pub(super) fn end_unmasked(domain: &Domain) {
    let table = &host().irqs;
    let mut from = 0;
    loop {
        let next = domain
            .irqs
            .0
            .lock()
            .pirqs
            .range(from..)
            .next()
            .map(|(&n, &p)| (n, p));
        let Some((pirq, entry)) = next else { return };
        let in_flight = entry
            .irq
            .and_then(|n| table.lock(n))
            .is_some_and(|irq| irq.in_flight());
        if in_flight && entry.port != 0 && !event_channel::port_masked(domain, entry.port) {
            let _ = end(domain, pirq);
        }
        from = pirq + 1;
    }
}

/// Sets the page that tells the guest which pirqs need ending. `EBUSY` if there is one.
pub(super) fn set_eoi_map(domain: &Domain, page: TypedRef, auto_unmask: bool) -> Result<(), Errno> {
    let table = &host().irqs;
    let mut state = domain.irqs.0.lock();
    if state.eoi_map.is_some() {
        return Err(Errno::EBUSY);
    }
    state.eoi_map = Some(page);
    state.auto_unmask = auto_unmask;
    for (&pirq, entry) in &state.pirqs {
        if entry.port != 0 {
            let needed = entry
                .irq
                .and_then(|n| table.lock(n))
                .is_some_and(|irq| irq.needs_eoi());
            state.note_eoi_need(pirq, needed);
        }
    }
    Ok(())
}

/// Takes all pirqs from a dying domain and drops its page. The number of pirqs is small and bounded by the machine.
pub fn teardown(domain: &Domain) {
    let table = &host().irqs;
    loop {
        let first = domain.irqs.0.lock().pirqs.pop_first();
        let Some((pirq, entry)) = first else { break };
        if let Some(number) = entry.irq {
            release(table, domain, number, pirq);
        }
    }
    let (page, rights) = {
        let mut state = domain.irqs.0.lock();
        (state.eoi_map.take(), core::mem::take(&mut state.rights))
    };
    drop((page, rights));
}
