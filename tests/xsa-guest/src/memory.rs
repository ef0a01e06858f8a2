//! Memory operations and what belongs to vCPUs.

use hypercall_abi::GuestHandle;
use hypercall_abi::memory::{MemoryExchange, MemoryReservation, XenMem};
use hypercall_abi::vcpu::{VcpuOp, VcpuRegisterVcpuInfo};
use hypercall_abi::xen::{DomId, Hypercall, MmuextOp};
use pv_guest::{PAGE, call, write};

use crate::guest::{Guest, Outcome, WRITE, done, operate, pin, put, refused, require, update_va};

crate::tests!(
    xsa_158_extents_have_a_largest_order,
    xsa_212_exchange_looks_at_where_it_writes,
    xsa_231_there_is_no_such_node,
    xsa_252_a_pinned_page_stays_until_it_is_unpinned,
    xsa_296_a_vcpu_with_bad_tables,
    xsa_327_information_of_a_vcpu_is_aligned,
);

fn memory_op(op: XenMem, reservation: &MemoryReservation) -> i64 {
    operate(Hypercall::MEMORY_OP, op.0, reservation)
}

/// A reservation of this many extents, whose frames are listed there.
fn reservation(list: u64, extents: u64, order: u32) -> MemoryReservation {
    MemoryReservation {
        extent_start: GuestHandle::new(list),
        nr_extents: extents,
        extent_order: order,
        domid: DomId::SELF,
        ..Default::default()
    }
}

fn xsa_158_extents_have_a_largest_order(guest: &mut Guest) -> Outcome {
    let list = guest.page().at;
    for op in [
        XenMem::INCREASE_RESERVATION,
        XenMem::POPULATE_PHYSMAP,
        XenMem::DECREASE_RESERVATION,
    ] {
        for order in [20, 31, 32, 63, 64, u32::MAX] {
            let result = memory_op(op, &reservation(list, 1, order));
            require(result <= 0, "nothing of that order", result)?;
        }
    }
    Ok(())
}

fn xsa_212_exchange_looks_at_where_it_writes(guest: &mut Guest) -> Outcome {
    let list = guest.page();
    let victim = guest.page();
    for at in 0..8 {
        write(list.at + at * 8, victim.mfn);
    }
    // The list of results begins where it may, and goes on from where it may not; or it begins elsewhere.
    for target in [
        0xffff_8000_0000_0000_u64,
        0xffff_8200_0000_0000,
        0xffff_8300_0010_0000,
    ] {
        for exchanged in [0, 4, 1 << 20, 1 << 40] {
            let exchange = MemoryExchange {
                r#in: reservation(list.at, exchanged + 4, 0),
                out: reservation(target.wrapping_sub(exchanged * 8), exchanged + 4, 0),
                nr_exchanged: exchanged,
            };
            let result = operate(Hypercall::MEMORY_OP, XenMem::EXCHANGE.0, &exchange);
            refused(result, "results on the hypervisor's memory")?;
        }
    }
    done(victim.remap(WRITE), "the page is still there")
}

fn xsa_231_there_is_no_such_node(guest: &mut Guest) -> Outcome {
    let list = guest.page().at;
    // XENMEMF_node(n) is n + 1 from bit 8 on; and XENMEMF_exact_node_request.
    for node in [63u32, 64, 128, 253, 254] {
        for exact in [0, 1 << 17] {
            let mut more = reservation(list, 1, 0);
            more.mem_flags = (node + 1) << 8 | exact;
            let result = memory_op(XenMem::INCREASE_RESERVATION, &more);
            // For a guest such a wish may count for nothing, and it gets a page if it may have one.
            require(result <= 1, "refused, or a page from anywhere", result)?;
        }
    }
    Ok(())
}

fn xsa_252_a_pinned_page_stays_until_it_is_unpinned(guest: &mut Guest) -> Outcome {
    let list = guest.page();
    let table = guest.table(&[]);
    done(pin(MmuextOp::PIN_L1_TABLE, table.mfn), "a table")?;
    done(update_va(table.at, 0, 2), "mapped nowhere")?;
    write(list.at, table.mfn);
    let result = memory_op(XenMem::DECREASE_RESERVATION, &reservation(list.at, 1, 0));
    // Refused; or given back, but not gone before the guest takes back the pin.
    require(result <= 1, "refused or done", result)?;
    done(pin(MmuextOp::UNPIN_TABLE, table.mfn), "it was still pinned")
}

fn xsa_296_a_vcpu_with_bad_tables(guest: &mut Guest) -> Outcome {
    // struct vcpu_guest_context is longer than a page: all zeroes but the tables' frame.
    let context = guest.page();
    let behind = guest.page();
    require(
        behind.at == context.at + PAGE,
        "pages in a row",
        behind.at as i64,
    )?;
    const CTRLREG: u64 = 4984;
    let initialise = || {
        let op = u64::from(VcpuOp::INITIALISE.0);
        call(Hypercall::VCPU_OP, [op, 1, context.at, 0, 0, 0])
    };
    let plain = guest.page();
    for frame in [0, plain.mfn, 0xf_ffff_ffff] {
        // xen_pfn_to_cr3: bits 52 and up of the frame number come first.
        write(context.at + CTRLREG + 3 * 8, frame.rotate_left(12));
        for _ in 0..3 {
            refused(initialise(), "no tables")?;
        }
    }
    for vcpu in [2, 63, 8192, 1 << 31] {
        let op = u64::from(VcpuOp::INITIALISE.0);
        let result = call(Hypercall::VCPU_OP, [op, vcpu, context.at, 0, 0, 0]);
        refused(result, "there is no such vCPU")?;
    }
    let up = u64::from(VcpuOp::UP.0);
    refused(
        call(Hypercall::VCPU_OP, [up, 1, 0, 0, 0, 0]),
        "it has no context to begin with",
    )?;
    done(plain.remap(WRITE), "the plain page is one")
}

fn xsa_327_information_of_a_vcpu_is_aligned(guest: &mut Guest) -> Outcome {
    let page = guest.page();
    for offset in [1, 4, 2049, PAGE as u32 - 4, PAGE as u32, u32::MAX] {
        let area = VcpuRegisterVcpuInfo {
            mfn: page.mfn,
            offset,
            rsvd: 0,
        };
        let at = put(0, &area);
        let op = u64::from(VcpuOp::REGISTER_VCPU_INFO.0);
        let result = call(Hypercall::VCPU_OP, [op, 1, at, 0, 0, 0]);
        refused(result, "that offset")?;
    }
    Ok(())
}
