//! Page tables.

use hypercall_abi::xen::{DomId, MmuUpdateCmd, MmuextOp};
use pv_guest::{PAGE, mmuext, stored, write};

use crate::guest::{
    FLAGS, Guest, Outcome, PRESENT, READ, SUPERPAGE, USER, UVMF_INVLPG, WRITABLE, WRITE, done,
    mmu_update, mmu_update_of, pin, refused, registers, require, slot, update_va, vector,
};

crate::tests!(
    xsa_058_a_failed_pin_leaves_nothing,
    xsa_109_updates_in_the_name_of_others,
    xsa_113_machine_to_physical_entries_of_others,
    xsa_148_no_writable_superpages,
    xsa_167_no_superpage_marks,
    xsa_182_recursive_entry_stays_read_only,
    xsa_240_linear_tables_do_not_nest,
    xsa_279_flush_of_a_non_canonical_address,
    xsa_286_linear_mappings_follow_the_upper_levels,
    xsa_299_a_table_with_a_bad_last_entry,
    xsa_402_no_uncached_view_of_tables,
    xsa_408_what_was_mapped_is_flushed,
);

/// No frame of any machine.
const NOWHERE: u64 = 0xf_ffff_ffff;

fn xsa_058_a_failed_pin_leaves_nothing(guest: &mut Guest) -> Outcome {
    let table = guest.table(&[(511, (NOWHERE * PAGE) | WRITE)]);
    for op in [
        MmuextOp::PIN_L1_TABLE,
        MmuextOp::PIN_L2_TABLE,
        MmuextOp::PIN_L3_TABLE,
        MmuextOp::PIN_L4_TABLE,
    ] {
        refused(pin(op, table.mfn), "a bad entry is found")?;
        refused(pin(MmuextOp::UNPIN_TABLE, table.mfn), "it is not pinned")?;
    }
    done(table.remap(WRITE), "it may be written again")
}

fn xsa_109_updates_in_the_name_of_others(guest: &mut Guest) -> Outcome {
    let entry = guest.l4.entry(500);
    for domain in [DomId(0), DomId(0x7000), DomId::XEN, DomId::INVALID] {
        refused(mmu_update_of(entry, 0, domain), "it is not their table")?;
    }
    for command in 0..4 {
        refused(
            mmu_update((NOWHERE * PAGE) | command, 0),
            "there is no frame",
        )?;
    }
    refused(
        mmu_update(guest.l4.entry(500), PAGE | WRITE),
        "the first megabyte is no table",
    )
}

fn xsa_113_machine_to_physical_entries_of_others(guest: &mut Guest) -> Outcome {
    let update = u64::from(MmuUpdateCmd::MACHPHYS_UPDATE.0);
    for frame in [0, 1, 0x100, NOWHERE] {
        refused(mmu_update((frame * PAGE) | update, 7), "not this guest's")?;
    }
    let page = guest.page();
    let own = (page.at - pv_guest::BASE) / PAGE;
    // Many times: a reference that is not dropped is one too many sooner or later.
    for _ in 0..100 {
        done(mmu_update((page.mfn * PAGE) | update, own), "this guest's")?;
    }
    Ok(())
}

fn xsa_148_no_writable_superpages(guest: &mut Guest) -> Outcome {
    const AT: u64 = 302;
    let data = guest.page();
    let l1 = guest.table(&[(0, (data.mfn * PAGE) | READ)]);
    let l2 = guest.table(&[(0, (l1.mfn * PAGE) | WRITE)]);
    let l3 = guest.table(&[(0, (l2.mfn * PAGE) | WRITE)]);
    done(
        mmu_update(guest.l4.entry(AT), (l3.mfn * PAGE) | WRITE),
        "new tables",
    )?;
    let superpage = (data.mfn & !511) * PAGE;
    for flags in [READ, WRITE] {
        refused(
            mmu_update(l2.entry(1), superpage | flags | SUPERPAGE),
            "a superpage",
        )?;
        // The entry that is there, with other flags: nothing but them is to be looked at.
        refused(
            mmu_update(l2.entry(0), (l1.mfn * PAGE) | flags | SUPERPAGE),
            "a table becomes a superpage",
        )?;
        refused(
            mmu_update(l3.entry(0), (l2.mfn * PAGE) | flags | SUPERPAGE),
            "a table becomes a superpage",
        )?;
    }
    // Through the whole table it is as it was.
    require(
        guest.peek(slot(AT)) == Some(0),
        "the tables are as they were",
        0,
    )?;
    done(mmu_update(guest.l4.entry(AT), 0), "and gone")
}

fn xsa_167_no_superpage_marks(guest: &mut Guest) -> Outcome {
    for op in [MmuextOp::MARK_SUPER, MmuextOp::UNMARK_SUPER] {
        for mfn in [NOWHERE, u64::MAX, guest.l4.mfn & !511] {
            refused(mmuext(u64::from(op.0), mfn, 0), "a mark")?;
        }
    }
    Ok(())
}

fn xsa_182_recursive_entry_stays_read_only(guest: &mut Guest) -> Outcome {
    const AT: u64 = 301;
    let entry = guest.l4.entry(AT);
    let itself = guest.l4.mfn * PAGE;
    done(mmu_update(entry, itself | READ), "a recursive entry")?;
    let address = slot(AT) | AT << 30 | AT << 21 | AT << 12;
    // Bits that software has for itself are of no consequence.
    for more in [0, 1 << 9, 1 << 10, 1 << 11, 1 << 5, 1 << 3] {
        refused(
            mmu_update(entry, itself | WRITE | more),
            "write access to the table in use",
        )?;
        refused(
            mmu_update(entry + 2, itself | WRITE | more),
            "write access to the table in use",
        )?;
        require(
            !stored(address + 300 * 8, 0),
            "the table cannot be written",
            more as i64,
        )?;
    }
    // It becomes writable neither by way of nothing.
    done(mmu_update(entry, 0), "it goes")?;
    refused(mmu_update(entry, itself | WRITE), "at once writable")
}

fn xsa_240_linear_tables_do_not_nest(guest: &mut Guest) -> Outcome {
    let c = guest.table(&[]);
    let b = guest.table(&[(0, (c.mfn * PAGE) | READ)]);
    let a = guest.table(&[(0, (b.mfn * PAGE) | READ)]);
    let level4 = |mfn| pin(MmuextOp::PIN_L4_TABLE, mfn);
    done(level4(c.mfn), "an empty table")?;
    // Xen lets a table refer to one of its own level. Two in a row are too many for anybody.
    let once = level4(b.mfn);
    refused(level4(a.mfn), "a table that refers to such a one")?;
    refused(
        mmu_update(c.entry(1), (b.mfn * PAGE) | READ),
        "a circle of two",
    )?;
    if once == 0 {
        done(pin(MmuextOp::UNPIN_TABLE, b.mfn), "unpinned")?;
    }
    done(pin(MmuextOp::UNPIN_TABLE, c.mfn), "unpinned")?;
    for table in [a, b, c] {
        done(table.remap(WRITE), "a page again")?;
    }
    Ok(())
}

fn xsa_279_flush_of_a_non_canonical_address(guest: &mut Guest) -> Outcome {
    for address in [0x8000_0000_0000, 0xffff_7fff_ffff_f000, 1 << 63] {
        for op in [MmuextOp::INVLPG_LOCAL, MmuextOp::INVLPG_ALL] {
            let result = mmuext(u64::from(op.0), address, 0);
            require(result <= 0, "done or refused", result)?;
        }
        refused(
            update_va(address, 0, UVMF_INVLPG),
            "there is nothing to map",
        )?;
        // invlpg [rax] in kernel mode, which is emulated.
        guest.kernel(&[0x0f, 0x01, 0x38], &registers(&[(0, address)]));
    }
    Ok(())
}

fn xsa_286_linear_mappings_follow_the_upper_levels(guest: &mut Guest) -> Outcome {
    const AT: u64 = 300;
    const LINEAR: u64 = 303;
    let first = guest.page();
    let second = guest.page();
    let l1 = [first, second].map(|page| guest.table(&[(0, (page.mfn * PAGE) | READ)]));
    let l2 = guest.table(&[(0, (l1[0].mfn * PAGE) | WRITE)]);
    let other_l2 = guest.table(&[(0, (l1[1].mfn * PAGE) | WRITE)]);
    let l3 = guest.table(&[(0, (l2.mfn * PAGE) | WRITE)]);
    let other_l3 = guest.table(&[(0, (other_l2.mfn * PAGE) | WRITE)]);
    let l4 = guest.l4;
    done(
        mmu_update(l4.entry(AT), (l3.mfn * PAGE) | WRITE),
        "new tables",
    )?;
    done(
        mmu_update(l4.entry(LINEAR), (l4.mfn * PAGE) | READ),
        "a recursive entry",
    )?;
    // The level 1 entry of the slot's first page, through the recursive entry.
    let linear = slot(LINEAR) | AT << 30;
    let frame = |guest: &Guest| {
        let entry = guest.peek(linear);
        entry.map_or(0, |entry| (entry & 0x000f_ffff_ffff_f000) / PAGE)
    };
    let shows = |guest: &Guest, mfn: u64, what| {
        let seen = frame(guest);
        require(seen == mfn, what, seen as i64)
    };
    shows(guest, first.mfn, "the first table at first")?;
    // Level 2, level 3, level 4 change, there and back.
    for (entry, changed, before) in [
        (l2.entry(0), l1[1].mfn, l1[0].mfn),
        (l3.entry(0), other_l2.mfn, l2.mfn),
        (l4.entry(AT), other_l3.mfn, l3.mfn),
    ] {
        done(mmu_update(entry, (changed * PAGE) | WRITE), "a change")?;
        shows(guest, second.mfn, "the linear mapping has changed")?;
        done(mmu_update(entry, (before * PAGE) | WRITE), "and back")?;
        shows(guest, first.mfn, "the linear mapping has changed back")?;
    }
    done(mmu_update(l4.entry(AT), 0), "the slot is empty")?;
    require(
        guest.peek(linear).is_none(),
        "the linear mapping is gone with it",
        0,
    )?;
    done(mmu_update(l4.entry(LINEAR), 0), "so is the recursive entry")
}

fn xsa_299_a_table_with_a_bad_last_entry(guest: &mut Guest) -> Outcome {
    // Level by level the first entries are good and the last is not: what was counted must be counted back.
    let data = guest.page();
    for _ in 0..3 {
        let l1 = guest.table(&[(0, (data.mfn * PAGE) | READ)]);
        let good = (l1.mfn * PAGE) | WRITE;
        let l2 = guest.table(&[
            (0, good),
            (1, good),
            (510, good),
            (511, (NOWHERE * PAGE) | WRITE),
        ]);
        refused(pin(MmuextOp::PIN_L2_TABLE, l2.mfn), "the last entry is bad")?;
        for table in [l2, l1] {
            done(table.remap(WRITE), "a page again")?;
            write(table.at, 0);
        }
    }
    Ok(())
}

fn xsa_402_no_uncached_view_of_tables(guest: &mut Guest) -> Outcome {
    let table = guest.table(&[]);
    done(pin(MmuextOp::PIN_L1_TABLE, table.mfn), "a table")?;
    // PWT, PCD, PAT and what they make together.
    for caching in [1 << 3, 1 << 4, 1 << 7, 1 << 3 | 1 << 4, 1 << 4 | 1 << 7] {
        let entry = (table.mfn * PAGE) | READ | caching;
        refused(
            update_va(table.at, entry, UVMF_INVLPG),
            "memory is cached, with no device behind it",
        )?;
    }
    done(pin(MmuextOp::UNPIN_TABLE, table.mfn), "unpinned")
}

fn xsa_408_what_was_mapped_is_flushed(guest: &mut Guest) -> Outcome {
    let (one, two) = (guest.page(), guest.page());
    let window = guest.page().at;
    write(one.at, 1);
    write(two.at, 2);
    // UVMF_TLB_FLUSH, UVMF_INVLPG, both for all CPUs.
    for flush in [1, 2, 1 | 4, 2 | 4] {
        for (page, value) in [(one, 1), (two, 2)] {
            done(
                update_va(window, (page.mfn * PAGE) | READ, flush),
                "it is mapped",
            )?;
            let seen = guest.peek(window);
            require(seen == Some(value), "it is seen", flush as i64)?;
        }
    }
    done(update_va(window, 0, UVMF_INVLPG), "nothing is mapped")?;
    require(guest.peek(window).is_none(), "nothing is seen", 0)?;
    // User mode sees the same.
    // mov rax, [rdi]
    let code = [0x48, 0x8b, 0x07];
    let trap = guest.user(&code, &registers(&[(7, window)]), FLAGS);
    require(
        trap.vector == vector::PAGE_FAULT && trap.error & !PRESENT == USER,
        "user mode sees nothing",
        trap.error as i64,
    )?;
    // mov [rdi], rax: what may be read only.
    done(one.remap(READ), "it may be read")?;
    let trap = guest.user(&[0x48, 0x89, 0x07], &registers(&[(7, one.at)]), FLAGS);
    require(
        trap.vector == vector::PAGE_FAULT && trap.error == PRESENT | WRITABLE | USER,
        "it may not be written",
        trap.error as i64,
    )
}
