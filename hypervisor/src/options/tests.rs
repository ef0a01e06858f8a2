//! What the command line means.

use super::*;

#[test]
fn the_usual_line_is_understood_without_notes() {
    let o = Options::parse(
        "placeholder dom0_mem=512M,max:1G dom0_max_vcpus=2-4 dom0_vcpus_pin console=com1,vga com1=115200,8n1 \
         loglvl=all guest_loglvl=warning/all noreboot cpufreq=xen sched=credit2 -- not=ours",
    );
    assert_eq!(o.notes, Vec::<String>::new());
    assert_eq!(o.dom0_args, "not=ours");
    assert!(o.text.ends_with("sched=credit2"));
    assert_eq!(o.dom0_max_vcpus, (2, 4));
    assert!(o.dom0_vcpus_pin && o.no_reboot);
    assert_eq!(o.console, Consoles::COM1 | Consoles::VGA);
    assert_eq!(o.serial[0].as_ref().and_then(|s| s.baud), Some(115_200));
    assert_eq!(
        o.log_level,
        Threshold {
            always: Level::Debug,
            limited: Level::Debug
        }
    );
    assert_eq!(
        o.guest_log_level,
        Threshold {
            always: Level::Warning,
            limited: Level::Debug
        }
    );
}

#[test]
fn a_loader_s_path_is_not_an_option() {
    assert_eq!(Options::parse("/boot/oxen.gz noreboot").text, "noreboot");
    assert_eq!(Options::parse("(cd)/boot/oxen.gz").text, "");
    assert!(Options::parse("/boot/oxen.gz").notes.is_empty());
}

#[test]
fn what_is_wrong_is_said_once() {
    let notes = |text| Options::parse(text).notes;
    assert_eq!(
        notes("dom0_mem=lots"),
        ["option \"dom0_mem=lots\" is malformed; ignored"]
    );
    assert_eq!(
        notes("frobnicate=1"),
        ["unknown option \"frobnicate=1\" ignored"]
    );
    assert_eq!(notes("nofrob"), ["unknown option \"nofrob\" ignored"]);
    assert_eq!(
        notes("iommu=off"),
        ["option \"iommu=off\" has no effect here"]
    );
    assert_eq!(notes("no-xpti"), ["option \"no-xpti\" has no effect here"]);
    assert_eq!(
        notes("pcid=some"),
        ["option \"pcid=some\" is malformed; ignored"]
    );
    assert_eq!(
        notes("console=com7"),
        ["option \"console=com7\" is malformed; ignored"]
    );
    assert_eq!(notes("com1=fast").len(), 1);
    assert_eq!(notes("dom0_max_vcpus=4-2").len(), 1);
    assert_eq!(notes("maxcpus=0").len(), 1);
    assert_eq!(notes("mem=0").len(), 1);
    assert_eq!(notes("x2apic=perhaps").len(), 1);
    // Output is synchronous in any case.
    assert_eq!(
        notes("sync_console"),
        ["option \"sync_console\" has no effect here"]
    );
}

#[test]
fn negations_and_switches() {
    let o = Options::parse(
        "nosmp no-x2apic nocpuidle smep=0 smap=hvm watchdog=force reboot=w,a conswitch=bx mem=4G",
    );
    assert_eq!(o.max_cpus, Some(1));
    assert!(!o.x2apic && !o.cpuidle && !o.smep && !o.smap);
    assert_eq!(o.watchdog, Some(5));
    assert_eq!((o.reboot, o.warm_reboot), (RebootMethod::Acpi, true));
    assert_eq!((o.switch_char, o.input_to_hypervisor), (Some(2), true));
    assert_eq!(o.memory_limit, Some(4 << 30));
    assert!(o.notes.is_empty(), "{:?}", o.notes);
    assert_eq!(Options::parse("console=none").console, Consoles::empty());
    assert_eq!(Options::parse("").serial, [None, None]);
    let pc = Some(SerialConfig::pc(1));
    assert_eq!(Options::parse("console=com2,vga").serial, [None, pc]);
    assert_eq!(Options::parse("dom0_max_vcpus=-3").dom0_max_vcpus, (0, 3));
    assert!(Options::parse("reboot=no").no_reboot);
    assert_eq!(
        Options::parse("conswitch=x").switch_char,
        Some(control('x'))
    );
}

#[test]
fn spec_ctrl_as_xen_has_it() {
    let o = Options::parse("spec-ctrl=no,ibpb,bti-thunk=jmp");
    assert!(o.speculation.barrier && o.speculation.clear_buffers == Some(false));
    assert_eq!(
        o.notes,
        ["option \"spec-ctrl=bti-thunk=jmp\" has no effect here"]
    );
    let off = Options::parse("no-spec-ctrl").speculation;
    assert!(!off.ibrs && !off.barrier && !off.return_stack);
    assert_eq!(
        Options::parse("spec-ctrl=ibrs=perhaps").notes,
        ["option \"spec-ctrl=ibrs=perhaps\" is malformed; ignored"]
    );
}

#[test]
fn pcid_as_xen_has_it() {
    let pcid = |text| {
        let o = Options::parse(text);
        assert!(o.notes.is_empty(), "{text}: {:?}", o.notes);
        (o.pcid, o.invpcid)
    };
    for text in ["", "pcid", "pcid=1", "pcid=on", "pcid=yes", "pcid=noxpti"] {
        assert_eq!(pcid(text), (true, true), "{text}");
    }
    // No domain is subject to XPTI.
    for text in ["no-pcid", "pcid=0", "pcid=off", "pcid=no", "pcid=xpti"] {
        assert_eq!(pcid(text), (false, true), "{text}");
    }
    assert_eq!(pcid("invpcid=0"), (true, false));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a-z0-9=,:%+/. -]{0,80}") {
        let _ = Options::parse(&text);
    }
}

#[test]
fn options_of_the_machine() {
    let o = Options::parse(
        "availmem=512M conring_size=128k console_to_ring bootscrub=0 numa=off watchdog_timeout=0x20 mwait-idle=0 \
         max_cstate=1,2 clocksource=acpi tsc=stable:socket nmi=fatal smt=off console_timestamps=datems \
         reboot=pci,cold vga=current,keep",
    );
    assert_eq!(o.notes, Vec::<String>::new());
    assert_eq!(o.available_limit, Some(512 << 20));
    assert_eq!(o.ring_size, Some(128 << 10));
    assert!(o.console_to_ring && !o.numa && !o.smt && o.keep_screen);
    assert_eq!(o.scrub, Scrub::Never);
    assert_eq!(o.watchdog, Some(32));
    assert_eq!((o.mwait_idle, o.max_cstate), (Some(false), 1));
    assert_eq!(o.clocksource, Some(ReferenceKind::PmTimer));
    assert_eq!((o.tsc, o.nmi), (Tsc::Trust, OnNmi::Fatal));
    assert_eq!(o.timestamps, Timestamps::DateMs);
    assert_eq!((o.reboot, o.warm_reboot), (RebootMethod::Pci, false));
    assert_eq!(Options::parse("watchdog watchdog_timeout=0").watchdog, None);
    assert_eq!(
        Options::parse("watchdog_timeout=9 watchdog").watchdog,
        Some(9)
    );
    assert_eq!(Options::parse("bootscrub").scrub, Scrub::AtBoot);
    assert_eq!(
        Options::parse("console_timestamps").timestamps,
        Timestamps::Date
    );
    for wrong in [
        "conring_size=big",
        "bootscrub=maybe",
        "numa=some",
        "watchdog_timeout=x",
        "max_cstate=x",
        "clocksource=sun",
        "tsc=good",
        "nmi=loud",
        "vga=wide",
        "reboot=later",
        "console_timestamps=moon",
    ] {
        let expected = format!("option \"{wrong}\" is malformed; ignored");
        assert_eq!(Options::parse(wrong).notes, [expected]);
    }
    assert_eq!(Options::parse("vga=gfx-800x600x32").notes.len(), 1);
    assert_eq!(Options::parse("reboot=efi").notes.len(), 1);
}
