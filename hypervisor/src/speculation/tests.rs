//! The plan for processors that are known, as their CPUID and IA32_ARCH_CAPABILITIES read.

use super::*;

const NONE: Processor = Processor {
    vendor: Vendor::Intel,
    family: 6,
    model: 0,
    seven_ebx: 0,
    seven_edx: 0,
    seven2_edx: 0,
    extended8_ebx: 0,
    extended21_eax: 0,
    capabilities: 0,
    smep: true,
};

/// Haswell with the microcode of 2018: IBRSB, STIBP, SSBD, MD_CLEAR, no ARCH_CAPABILITIES.
const HASWELL: Processor = Processor {
    model: 0x3c,
    seven_edx: 0x9c00_0400,
    ..NONE
};
/// Cascade Lake: RDCL_NO, IBRS_ALL, SKIP_L1DFL, MDS_NO; TSX with TAA.
const CASCADE_LAKE: Processor = Processor {
    model: 0x55,
    seven_ebx: feature::RTM,
    seven_edx: 0xbc00_0400,
    capabilities: 0x2b,
    ..NONE
};
/// Sapphire Rapids: everything of the older kind mended; BHI_CTRL.
const SAPPHIRE_RAPIDS: Processor = Processor {
    model: 0x8f,
    seven_ebx: feature::RTM,
    seven_edx: 0xbc00_0400,
    seven2_edx: 0x1f,
    capabilities: 0x400_e1eb & !capability::FB_CLEAR,
    ..NONE
};
/// Naples, as QEMU's EPYC is: no register at all.
const NAPLES: Processor = Processor {
    vendor: Vendor::Amd,
    family: 0x17,
    model: 1,
    ..NONE
};
/// Genoa: AutoIBRS, IBPB, IBRS always on, BTC_NO.
const GENOA: Processor = Processor {
    vendor: Vendor::Amd,
    family: 0x19,
    model: 0x11,
    extended8_ebx: feature::IBPB | feature::AMD_IBRS | feature::IBRS_ALWAYS | feature::BTC_NO,
    extended21_eax: feature::AUTO_IBRS,
    ..NONE
};

fn default(cpu: &Processor) -> Plan {
    plan(cpu, &Wishes::default())
}

#[test]
fn haswell_has_everything() {
    let plan = default(&HASWELL);
    assert_eq!(plan.ibrs, Ibrs::None, "only the form that is set once");
    assert!(plan.barrier && plan.return_stack && plan.clear_buffers);
    assert_eq!(
        plan.guest_control,
        control::IBRS | control::STIBP | control::SSBD
    );
    assert_eq!(plan.control, Some(0));
    assert_eq!(plan.open, Flaws::MELTDOWN | Flaws::L1TF | Flaws::SPECTRE_V2);
    assert_eq!(
        plan.line(),
        "speculation: IBPB between domains, RSB overwritten with it, VERW on exit to guests, indices clamped; \
         not defended against: Meltdown (no XPTI), L1TF, Spectre v2"
    );
    // Before its microcode was updated.
    let old = Processor {
        seven_edx: 0,
        ..HASWELL
    };
    let plan = default(&old);
    assert!(!plan.barrier && !plan.clear_buffers && plan.control.is_none());
    assert!(plan.open.contains(Flaws::STALE_DATA));
}

#[test]
fn cascade_lake_wants_verw_for_its_transactions() {
    let plan = default(&CASCADE_LAKE);
    assert_eq!(plan.ibrs, Ibrs::Enhanced);
    assert_eq!(plan.control, Some(control::IBRS));
    assert!(plan.barrier && plan.clear_buffers);
    assert_eq!(plan.open, Flaws::empty());
    // With TSX switched off nothing is left to clear.
    let quiet = Processor {
        seven_ebx: 0,
        ..CASCADE_LAKE
    };
    assert!(!default(&quiet).clear_buffers);
}

#[test]
fn sapphire_rapids_has_its_branch_history_kept_apart() {
    let plan = default(&SAPPHIRE_RAPIDS);
    assert_eq!(plan.control, Some(control::IBRS | control::BHI_DIS_S));
    assert!(!plan.clear_buffers);
    assert_eq!(plan.open, Flaws::empty());
}

#[test]
fn amd_s() {
    let naples = default(&NAPLES);
    assert_eq!(
        naples.open,
        Flaws::SPECTRE_V2 | Flaws::RETBLEED | Flaws::SRSO
    );
    let nothing_done = Plan {
        open: naples.open,
        ..Plan::default()
    };
    assert_eq!(naples, nothing_done, "what is not there costs nothing");
    let genoa = default(&GENOA);
    assert_eq!((genoa.ibrs, genoa.control), (Ibrs::Automatic, None));
    assert!(genoa.barrier && !genoa.clear_buffers);
    assert_eq!(genoa.open, Flaws::SRSO);
    let milan = Processor {
        model: 1,
        extended21_eax: 0,
        ..GENOA
    };
    assert_eq!(default(&milan).ibrs, Ibrs::Enhanced);
    assert_eq!(default(&milan).control, Some(control::IBRS));
}

#[test]
fn atoms_and_strangers() {
    let bonnell = Processor {
        model: 0x1c,
        smep: false,
        ..NONE
    };
    assert_eq!(default(&bonnell).open, Flaws::empty(), "in order");
    let goldmont = Processor {
        model: 0x5c,
        ..NONE
    };
    assert_eq!(default(&goldmont).open, Flaws::MELTDOWN | Flaws::SPECTRE_V2);
    let core2 = Processor {
        model: 0xf,
        smep: false,
        ..NONE
    };
    let open = default(&core2).open;
    assert!(open.contains(Flaws::RETURN_STACK | Flaws::MELTDOWN | Flaws::STALE_DATA));
    let stranger = Processor {
        vendor: Vendor::Other,
        family: 7,
        ..NONE
    };
    assert!(default(&stranger).open.contains(Flaws::MELTDOWN));
}

#[test]
fn stale_data_of_the_other_kinds() {
    // Rocket Lake: MDS_NO, TAA_NO, FB_CLEAR; Alder Lake-N: RFDS_CLEAR.
    let with = |capabilities| Processor {
        capabilities: capabilities | capability::RDCL_NO | capability::MDS_NO | capability::TAA_NO,
        ..NONE
    };
    assert!(default(&with(capability::FB_CLEAR)).clear_buffers);
    assert!(!default(&with(capability::FB_CLEAR | capability::MMIO_NO)).clear_buffers);
    assert!(default(&with(capability::RFDS_CLEAR)).clear_buffers);
    assert!(!default(&with(0)).clear_buffers);
}

fn wishes(text: &str) -> Wishes {
    let mut wishes = Wishes::default();
    for item in text.split(',') {
        let done = wishes.set(item, |text| match text {
            "no" | "0" => Some(false),
            "yes" | "1" => Some(true),
            _ => None,
        });
        assert_eq!(done, option::Item::Done, "{item}");
    }
    wishes
}

#[test]
fn what_the_command_line_forbids_is_not_done_and_is_said() {
    let off = plan(&CASCADE_LAKE, &wishes("no"));
    assert!(!off.barrier && !off.return_stack && !off.clear_buffers);
    assert_eq!(off.ibrs, Ibrs::None);
    assert_eq!(off.open, Flaws::STALE_DATA | Flaws::SPECTRE_V2);
    assert_eq!(off.control, Some(0), "guests still have their register");
    let some = plan(&CASCADE_LAKE, &wishes("no,md-clear=pv,ibrs"));
    assert!(some.clear_buffers && !some.barrier && some.ibrs == Ibrs::Enhanced);
    // Without the microcode VERW clears nothing, and is executed as one wishes.
    let forced = plan(
        &Processor {
            seven_edx: 0,
            ..HASWELL
        },
        &wishes("md-clear"),
    );
    assert!(forced.clear_buffers && forced.open.contains(Flaws::STALE_DATA));
    assert!(!plan(&HASWELL, &wishes("no-rsb")).return_stack);
    assert!(!plan(&HASWELL, &wishes("ibpb=0")).barrier);
    assert_eq!(wishes("xen=no"), wishes("no"));
    assert_eq!(wishes("rsb=no-pv"), wishes("no-rsb=pv"));
}

#[test]
fn what_xen_has_and_nobody_has() {
    let mut wishes = Wishes::default();
    let flag = |text: &str| (text == "yes").then_some(true);
    for item in [
        "hvm",
        "ssbd=yes",
        "bti-thunk=retpoline",
        "md-clear=hvm",
        "no-l1d-flush",
    ] {
        assert_eq!(
            wishes.set(item, flag),
            option::Item::WithoutEffect,
            "{item}"
        );
    }
    for item in ["", "frob", "ibrs=perhaps", "ibrs=pv", "bti-thunk=jump"] {
        assert_eq!(wishes.set(item, flag), option::Item::Malformed, "{item}");
    }
    assert_eq!(wishes, Wishes::default());
}
