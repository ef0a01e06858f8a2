use super::gdt::Descriptor;
use super::idt::{dpl_of, gate, ist_of};

#[test]
fn system_descriptor_spreads_base_and_limit() {
    let [low, high] = Descriptor::system(9, 0x1234_5678_9abc_def0, 0x67);
    assert_eq!(low.0, 0x9a00_89bc_def0_0067);
    assert_eq!(high.0, 0x1234_5678);
    let [low, _] = Descriptor::system(2, 0, 0xffff);
    assert_eq!(low.0 & 0xffff, 0xffff);
    assert_eq!(low.0 >> 40 & 0xff, 0x82);
}

#[test]
fn gates_have_the_stacks_and_rings_of_the_design() {
    assert_eq!(
        [ist_of(2), ist_of(18), ist_of(8), ist_of(1), ist_of(14)],
        [1, 2, 3, 4, 0]
    );
    let open: Vec<u8> = (0..=255).filter(|&v| dpl_of(v) == 3).collect();
    assert_eq!(open, [3, 4, 0x80]);
    let [low, high] = gate(0xffff_82d0_8020_1230, 4, 3);
    assert_eq!(high, 0xffff_82d0);
    assert_eq!(low, 0x8020_ee04_e008_1230);
}
