//! The guest's GDT and LDT: set_gdt, update_descriptor, LDT pages loaded on demand.

use alloc::vec::Vec;

use arch::addr::{GuestVa, Mfn};
use hypercall_abi::{Errno, GuestHandle};

use crate::domain::{Context, Domain};
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::mm::{self, PageType, TypedRef};
use crate::pv::{GDT_FRAMES, PvState};

/// Descriptors below Oxen's own (public `FIRST_RESERVED_GDT_ENTRY`).
pub const GUEST_GDT_ENTRIES: u32 = GDT_FRAMES as u32 * 512;

/// Start of the LDT window within a pCPU's area, and its size (docs/architecture.md).
const LDT_WINDOW: u64 = 0x1_0000;

/// Drops the GDT and its references.
pub fn drop_gdt(state: &mut PvState) {
    for frame in &mut state.gdt {
        if *frame != Mfn::INVALID {
            drop(TypedRef::from_raw(*frame));
            *frame = Mfn::INVALID;
        }
    }
    state.gdt_entries = 0;
}

/// Takes references on new GDT frames and replaces the old GDT. `EINVAL` for a bad count or a frame that holds
/// descriptors which a guest may not have.
pub fn set_gdt(
    domain: &Domain,
    state: &mut PvState,
    frames: &[Mfn],
    entries: u32,
) -> Result<(), Fail> {
    if entries > GUEST_GDT_ENTRIES || frames.len() > GDT_FRAMES {
        return Err(Errno::EINVAL.into());
    }
    let mut held: Vec<TypedRef> = Vec::with_capacity(frames.len());
    for &mfn in frames {
        match mm::get_page_and_type(mfn, domain, PageType::SegDesc) {
            Ok(reference) => held.push(reference),
            Err(_) => {
                return Err(Errno::EINVAL.into());
            }
        }
    }
    drop_gdt(state);
    for (slot, reference) in state.gdt.iter_mut().zip(held) {
        *slot = reference.into_raw();
    }
    state.gdt_entries = entries;
    Ok(())
}

/// `HYPERVISOR_set_gdt(frame_list, entries)`.
pub fn do_set_gdt(cx: &Context, args: Args) -> Return {
    let [list, entries, ..] = args.0;
    let entries = entries as u32;
    if entries > GUEST_GDT_ENTRIES {
        return Err(Errno::EINVAL.into());
    }
    let count = entries.div_ceil(512) as usize;
    let mut frames = [Mfn::INVALID; GDT_FRAMES];
    for (i, frame) in frames[..count].iter_mut().enumerate() {
        *frame = Mfn::new(guest::read(GuestHandle::<u64>::new(list), i as u64)?);
    }
    let mut state = cx.vcpu.pv().state();
    set_gdt(&cx.domain, &mut state, &frames[..count], entries)?;
    load(&mut state);
    Ok(0)
}

/// Makes the vCPU's GDT and LDT live on this CPU.
pub fn load(state: &mut PvState) {
    let frames = state.gdt.iter().take_while(|&&m| m != Mfn::INVALID).count();
    arch::tables::set_gdt_window(&state.gdt[..frames]);
    arch::tables::set_ldt_window(&state.ldt_frames, state.ldt_entries);
}

/// `HYPERVISOR_update_descriptor(machine address, descriptor)`.
pub fn do_update_descriptor(cx: &Context, args: Args) -> Return {
    let [address, descriptor, ..] = args.0;
    if address & 7 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let descriptor = mm::check_descriptor(descriptor).ok_or(Errno::EINVAL)?;
    let address = arch::addr::PhysAddr::new(address);
    let page = mm::get_page(address.mfn(), cx.domain.id).map_err(|_| Errno::EINVAL)?;
    // Whether the page is in use as descriptors now or plain memory, it is written under a type reference, so that it
    // cannot become a page table meanwhile.
    let kind = if page.info().page_type().0 == PageType::SegDesc {
        PageType::SegDesc
    } else {
        PageType::Writable
    };
    let typed =
        mm::get_page_and_type(address.mfn(), &cx.domain, kind).map_err(|_| Errno::EINVAL)?;
    typed.frame().write_u64(address.page_offset(), descriptor);
    drop(typed);
    drop(page);
    Ok(0)
}

/// Drops the LDT pages and their references.
pub fn drop_ldt(_domain: &Domain, state: &mut PvState) {
    for frame in &mut state.ldt_frames {
        if *frame != Mfn::INVALID {
            drop(TypedRef::from_raw(*frame));
            *frame = Mfn::INVALID;
        }
    }
}

/// MMUEXT_SET_LDT: pages are loaded when first used.
pub fn set_ldt(cx: &Context, base: u64, entries: u64) -> Result<(), Fail> {
    if entries > 8192
        || base & 4095 != 0
        || !arch::guest::range_ok(GuestVa::new(base), entries as usize * 8)
    {
        return Err(Errno::EINVAL.into());
    }
    let mut state = cx.vcpu.pv().state();
    if state.ldt_base == base && u64::from(state.ldt_entries) == entries {
        return Ok(());
    }
    drop_ldt(&cx.domain, &mut state);
    state.ldt_base = base;
    state.ldt_entries = entries as u32;
    load(&mut state);
    Ok(())
}

/// A fault in this CPU's LDT window: loads the guest's LDT page. `Ok(false)`: not an LDT fault, or none of ours.
pub fn ldt_fault(cx: &Context, address: u64) -> Result<bool, &'static str> {
    let window = arch::percpu::area_base(arch::percpu::cpu_id()) + LDT_WINDOW;
    if !(window..window + 0x1_0000).contains(&address) {
        return Ok(false);
    }
    let index = ((address - window) >> 12) as usize;
    let (base, entries, kernel, loaded) = {
        let state = cx.vcpu.pv().state();
        (
            state.ldt_base,
            state.ldt_entries,
            state.tables.kernel(),
            state.ldt_frames[index] != Mfn::INVALID,
        )
    };
    if loaded || entries == 0 || index as u32 * 512 >= entries {
        return Ok(false);
    }
    let Some(l4) = kernel else { return Ok(false) };
    let Some(mfn) = mm::translate(l4, GuestVa::new(base + index as u64 * 4096)) else {
        return Ok(false);
    };
    let Ok(reference) = mm::get_page_and_type(mfn, &cx.domain, PageType::SegDesc) else {
        return Ok(false);
    };
    let mut state = cx.vcpu.pv().state();
    state.ldt_frames[index] = reference.into_raw();
    load(&mut state);
    Ok(true)
}
