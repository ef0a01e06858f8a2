//! Grants: this guest maps its own.

use hypercall_abi::GuestHandle;
use hypercall_abi::event_channel::{EvtchnAllocUnbound, EvtchnClose, EvtchnOp, EvtchnStatus};
use hypercall_abi::grant_table::{
    GNTMAP_CONTAINS_PTE, GNTMAP_DEVICE_MAP, GNTMAP_HOST_MAP, GNTMAP_READONLY, GTF_PERMIT_ACCESS,
    GTF_READING, GTF_WRITING, GnttabCacheFlush, GnttabCopy, GnttabGetStatusFrames,
    GnttabMapGrantRef, GnttabOp, GnttabSetVersion, GnttabSetupTable, GnttabSwapGrantRef,
    GnttabUnmapGrantRef,
};
use hypercall_abi::xen::{DomId, Hypercall};
use pv_guest::{PAGE, call, read, write};
use zerocopy::{Immutable, IntoBytes};

use crate::guest::{
    Guest, Miss, Outcome, Page, WRITE, done, get, put, refused, require, update_va,
};

crate::tests!(
    xsa_134_swap_of_references_that_are_not,
    xsa_224_host_and_device_mapping_end_separately,
    xsa_227_misaligned_page_table_entry,
    xsa_232_cache_flush_of_device_memory,
    xsa_234_read_only_mapping_ends_first,
    xsa_316_errors_are_negative,
    xsa_448_copy_of_nothing,
    xsa_255_back_to_version_1_with_status_frames_mapped,
);

/// References that the tests use, behind those with a purpose (public grant_table.h).
const OWN: u32 = 8;

fn grant<T: IntoBytes + Immutable>(op: GnttabOp, argument: &T) -> i64 {
    let at = put(0, argument);
    let args = [u64::from(op.0), at, 1, 0, 0, 0];
    call(Hypercall::GRANT_TABLE_OP, args)
}

/// Maps the guest's grant table, which has one frame; its address.
fn table(guest: &mut Guest) -> Result<u64, Miss> {
    let at = guest.page().at;
    let setup = GnttabSetupTable {
        dom: DomId::SELF,
        nr_frames: 1,
        frame_list: GuestHandle::new(pv_guest::argument() + 512),
        ..Default::default()
    };
    done(grant(GnttabOp::SETUP_TABLE, &setup), "the table's frame")?;
    let status = get::<GnttabSetupTable>(0).status;
    require(status.0 == 0, "the table's frame", i64::from(status.0))?;
    let frame: u64 = get(512);
    done(update_va(at, (frame * PAGE) | WRITE, 2), "the table mapped")?;
    Ok(at)
}

/// This domain's id: the hypervisor says who may bind a port that is for "self".
fn own_id() -> Result<DomId, Miss> {
    let event = |op: EvtchnOp, at: u64| {
        let args = [u64::from(op.0), at, 0, 0, 0, 0];
        call(Hypercall::EVENT_CHANNEL_OP, args)
    };
    let wanted = EvtchnAllocUnbound {
        dom: DomId::SELF,
        remote_dom: DomId::SELF,
        port: 0,
    };
    done(
        event(EvtchnOp::ALLOC_UNBOUND, put(0, &wanted)),
        "a port for oneself",
    )?;
    let port = get::<EvtchnAllocUnbound>(0).port;
    let asked = EvtchnStatus {
        dom: DomId::SELF,
        port,
        ..Default::default()
    };
    done(event(EvtchnOp::STATUS, put(0, &asked)), "its state")?;
    let id = get::<EvtchnStatus>(0).u.unbound().dom;
    done(
        event(EvtchnOp::CLOSE, put(0, &EvtchnClose { port })),
        "closed",
    )?;
    Ok(id)
}

/// Grants a page to this domain itself.
fn offer(table: u64, reference: u32, page: Page) -> Result<(), Miss> {
    let entry = page.mfn << 32 | u64::from(own_id()?.0) << 16 | u64::from(GTF_PERMIT_ACCESS);
    write(table + u64::from(reference) * 8, entry);
    Ok(())
}

/// What the hypervisor says of a reference's use: reading, writing.
fn in_use(table: u64, reference: u32) -> u16 {
    read(table + u64::from(reference) * 8) as u16 & (GTF_READING | GTF_WRITING)
}

fn map(reference: u32, flags: u32, host_addr: u64) -> Result<GnttabMapGrantRef, Miss> {
    let own = own_id()?;
    let wanted = GnttabMapGrantRef {
        host_addr,
        flags,
        r#ref: reference,
        dom: own,
        ..Default::default()
    };
    done(grant(GnttabOp::MAP_GRANT_REF, &wanted), "the operation")?;
    Ok(get(0))
}

fn unmap(mapping: &GnttabMapGrantRef, host: bool, device: bool) -> Result<i64, Miss> {
    let wanted = GnttabUnmapGrantRef {
        host_addr: if host { mapping.host_addr } else { 0 },
        dev_bus_addr: if device { mapping.dev_bus_addr } else { 0 },
        handle: mapping.handle,
        ..Default::default()
    };
    done(grant(GnttabOp::UNMAP_GRANT_REF, &wanted), "the operation")?;
    Ok(i64::from(get::<GnttabUnmapGrantRef>(0).status.0))
}

fn mapped(mapping: &GnttabMapGrantRef) -> Outcome {
    let status = i64::from(mapping.status.0);
    require(status == 0, "the grant is mapped", status)
}

fn xsa_134_swap_of_references_that_are_not(guest: &mut Guest) -> Outcome {
    table(guest)?;
    for (ref_a, ref_b) in [
        (OWN, 1 << 30),
        (1 << 30, OWN),
        (u32::MAX, u32::MAX),
        (513, OWN),
    ] {
        let swap = GnttabSwapGrantRef {
            ref_a,
            ref_b,
            ..Default::default()
        };
        done(grant(GnttabOp::SWAP_GRANT_REF, &swap), "the operation")?;
        let status = i64::from(get::<GnttabSwapGrantRef>(0).status.0);
        refused(status, "there are no such references")?;
    }
    Ok(())
}

fn xsa_224_host_and_device_mapping_end_separately(guest: &mut Guest) -> Outcome {
    let table = table(guest)?;
    let page = guest.page();
    for host_first in [true, false] {
        let window = guest.page().at;
        offer(table, OWN, page)?;
        let mapping = map(OWN, GNTMAP_HOST_MAP | GNTMAP_DEVICE_MAP, window)?;
        mapped(&mapping)?;
        done(unmap(&mapping, host_first, !host_first)?, "one ends")?;
        let left = in_use(table, OWN);
        require(left != 0, "the other is still there", i64::from(left))?;
        done(unmap(&mapping, !host_first, host_first)?, "the other ends")?;
        let left = in_use(table, OWN);
        require(left == 0, "nothing is left", i64::from(left))?;
        refused(
            unmap(&mapping, host_first, !host_first)?,
            "nothing ends twice",
        )?;
    }
    done(page.remap(WRITE), "the page is whole")
}

fn xsa_227_misaligned_page_table_entry(guest: &mut Guest) -> Outcome {
    let table = table(guest)?;
    let page = guest.page();
    let l1 = guest.table(&[]);
    offer(table, OWN + 1, page)?;
    let flags = GNTMAP_HOST_MAP | GNTMAP_CONTAINS_PTE;
    for offset in [1, 4, 7, PAGE - 4] {
        let mapping = map(OWN + 1, flags, l1.mfn * PAGE + offset)?;
        refused(
            i64::from(mapping.status.0),
            "an entry that is none of the table's",
        )?;
    }
    // A page that is no table.
    let mapping = map(OWN + 1, flags, page.mfn * PAGE)?;
    refused(i64::from(mapping.status.0), "that is no table")?;
    let left = in_use(table, OWN + 1);
    require(left == 0, "nothing is left", i64::from(left))
}

fn xsa_232_cache_flush_of_device_memory(guest: &mut Guest) -> Outcome {
    table(guest)?;
    for address in [0xfee0_0000, 0xfec0_0000, 0xb_8000, 1 << 45] {
        let mut flush = GnttabCacheFlush {
            length: 64,
            op: 1,
            ..Default::default()
        };
        flush.a.set_dev_bus_addr(address);
        refused(grant(GnttabOp::CACHE_FLUSH, &flush), "not this guest's")?;
    }
    Ok(())
}

fn xsa_234_read_only_mapping_ends_first(guest: &mut Guest) -> Outcome {
    let table = table(guest)?;
    let page = guest.page();
    let windows = [guest.page().at, guest.page().at];
    offer(table, OWN + 2, page)?;
    let writing = map(OWN + 2, GNTMAP_HOST_MAP, windows[0])?;
    mapped(&writing)?;
    let reading = map(OWN + 2, GNTMAP_HOST_MAP | GNTMAP_READONLY, windows[1])?;
    mapped(&reading)?;
    done(unmap(&reading, true, false)?, "the reader ends")?;
    let left = in_use(table, OWN + 2);
    require(
        left & GTF_WRITING != 0,
        "the writer is still there",
        i64::from(left),
    )?;
    // What may be written cannot become a table.
    write(page.at, 0);
    write(windows[0], 7);
    require(
        read(page.at) == 7,
        "it is the same page",
        read(page.at) as i64,
    )?;
    done(unmap(&writing, true, false)?, "the writer ends")?;
    let left = in_use(table, OWN + 2);
    require(left == 0, "nothing is left", i64::from(left))
}

fn xsa_316_errors_are_negative(guest: &mut Guest) -> Outcome {
    table(guest)?;
    let window = guest.page().at;
    for reference in [OWN + 100, 513, 1 << 20, u32::MAX] {
        let mapping = map(reference, GNTMAP_HOST_MAP, window)?;
        refused(i64::from(mapping.status.0), "nothing was granted")?;
    }
    // Neither host nor device.
    let mapping = map(OWN, 0, window)?;
    refused(i64::from(mapping.status.0), "mapped to nobody")?;
    let setup = GnttabSetupTable {
        dom: DomId::SELF,
        nr_frames: u32::MAX,
        ..Default::default()
    };
    let result = grant(GnttabOp::SETUP_TABLE, &setup);
    let status = i64::from(get::<GnttabSetupTable>(0).status.0);
    require(
        result < 0 || (result == 0 && status < 0),
        "no table of that size",
        status,
    )
}

fn xsa_448_copy_of_nothing(guest: &mut Guest) -> Outcome {
    table(guest)?;
    let page = guest.page();
    // By reference, one that is none, and a frame of this guest.
    let mut copy = GnttabCopy {
        flags: 1,
        ..Default::default()
    };
    copy.source.u.set_ref(1 << 20);
    copy.source.domid = DomId::SELF;
    copy.dest.u.set_gmfn(page.mfn);
    copy.dest.domid = DomId::SELF;
    done(grant(GnttabOp::COPY, &copy), "the operation")?;
    let status = i64::from(get::<GnttabCopy>(0).status.0);
    refused(status, "a copy from nowhere, of no length")?;
    copy.source.domid = DomId(0x7000);
    copy.len = 16;
    done(grant(GnttabOp::COPY, &copy), "the operation")?;
    let status = i64::from(get::<GnttabCopy>(0).status.0);
    refused(status, "a copy from nobody")
}

fn xsa_255_back_to_version_1_with_status_frames_mapped(guest: &mut Guest) -> Outcome {
    let set = |version| grant(GnttabOp::SET_VERSION, &GnttabSetVersion { version });
    let at = table(guest)?;
    // Unused entries only may change their shape.
    for reference in 0..512 {
        if reference >= u64::from(OWN) {
            write(at + reference * 8, 0);
        }
    }
    if set(2) < 0 {
        return Err(Miss::Skip("there is no version 2"));
    }
    let window = guest.page().at;
    let wanted = GnttabGetStatusFrames {
        nr_frames: 1,
        dom: DomId::SELF,
        frame_list: GuestHandle::new(pv_guest::argument() + 512),
        ..Default::default()
    };
    done(
        grant(GnttabOp::GET_STATUS_FRAMES, &wanted),
        "the status frames",
    )?;
    let status = i64::from(get::<GnttabGetStatusFrames>(0).status.0);
    require(status == 0, "the status frames", status)?;
    let frame: u64 = get(512);
    done(update_va(window, (frame * PAGE) | WRITE, 2), "one mapped")?;
    refused(set(1), "version 1 with a status frame in use")?;
    // It is still there, then.
    write(window, 0);
    done(update_va(window, 0, 2), "unmapped")?;
    done(set(1), "version 1 again")?;
    refused(
        update_va(window, (frame * PAGE) | WRITE, 2),
        "there is no status frame any more",
    )?;
    Ok(())
}
