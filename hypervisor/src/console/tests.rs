//! console_io and input, over the simulated machine.

use hypercall_abi::Errno;
use hypercall_abi::event_channel::EvtchnOp;
use hypercall_abi::xen::ConsoleIo;

use super::*;
use crate::domain::Context;
use crate::fail::{Args, Fail, Return};
use crate::simulated;

/// Where the simulated guest keeps its bytes, and how many there are.
const BUFFER: u64 = 0x10_0000;
const SIZE: usize = 4096;

/// The console's state is the machine's, not a test's: one at a time.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn machine() -> [Context; 2] {
    simulated::switch_on_without_memory(4);
    arch::hosted::map_guest(BUFFER, SIZE);
    [0, 1].map(|id| simulated::context(&simulated::domain_without_memory(id, 1), 0))
}

fn call(cx: &Context, cmd: u32, count: u64, buffer: u64) -> Return {
    do_console_io(cx, Args([cmd.into(), count, buffer, 0, 0, 0]))
}

const WRITE: u32 = ConsoleIo::WRITE.0;
const READ: u32 = ConsoleIo::READ.0;

fn errno(errno: Errno) -> Return {
    Err(Fail::Errno(errno))
}

#[test]
fn refusals() {
    let _one = ONE_AT_A_TIME.lock();
    let [dom0, guest] = machine();
    assert_eq!(call(&guest, WRITE, 1, BUFFER), errno(Errno::EPERM));
    assert_eq!(call(&guest, READ, 1, BUFFER), errno(Errno::EPERM));
    assert_eq!(call(&dom0, 2, 1, BUFFER), errno(Errno::ENOSYS));
    assert_eq!(call(&dom0, WRITE, 1 << 31, BUFFER), errno(Errno::E2BIG));
    assert_eq!(call(&dom0, WRITE, 1, BUFFER - 1), errno(Errno::EFAULT));
    assert_eq!(
        call(&dom0, WRITE, 1, 0xffff_8000_0000_0000),
        errno(Errno::EFAULT)
    );
    assert_eq!(call(&dom0, WRITE, 1, u64::MAX), errno(Errno::EFAULT));
    assert_eq!(call(&dom0, WRITE, 0, u64::MAX), Ok(0));
    // Only the low half of the count is the count (XSA-454).
    assert_eq!(call(&dom0, READ, 0xdead_0000_0000_0000, BUFFER), Ok(0));
}

#[test]
fn long_writes_are_continued_and_complete() {
    let _one = ONE_AT_A_TIME.lock();
    let [dom0, _] = machine();
    let text: Vec<u8> = (0..1000).map(|i| b'a' + (i % 26) as u8).collect();
    crate::guest::write_bytes(hypercall_abi::GuestHandle::new(BUFFER), &text).expect("mapped");
    arch::sim::take_console();
    let mut args = Args([WRITE.into(), 1000, BUFFER, 0, 0, 0]);
    let mut steps = 1;
    loop {
        match do_console_io(&dom0, args) {
            Ok(0) => break,
            Err(Fail::Continue(next)) => args = next,
            other => panic!("{other:?}"),
        }
        steps += 1;
    }
    assert!(steps > 4, "{steps} steps");
    assert_eq!(arch::sim::take_console(), text);
}

fn typed(cx: &Context) -> Vec<u8> {
    let count = call(cx, READ, SIZE as u64, BUFFER).expect("readable") as usize;
    let mut out = vec![0; count];
    crate::guest::read_bytes(hypercall_abi::GuestHandle::new(BUFFER), &mut out).expect("mapped");
    out
}

#[test]
fn input_goes_where_the_switch_says() {
    let _one = ONE_AT_A_TIME.lock();
    let [dom0, _] = machine();
    typed(&dom0);
    let ctrl_a = 1;
    input::configure(Some(ctrl_a), false);
    for byte in *b"ls\r" {
        input::byte(byte);
    }
    assert_eq!(typed(&dom0), b"ls\r");
    assert_eq!(typed(&dom0), b"");
    // Fewer than three switch characters belong to dom0.
    for byte in [ctrl_a, ctrl_a, b'x'] {
        input::byte(byte);
    }
    assert_eq!(typed(&dom0), [ctrl_a, ctrl_a, b'x']);
    for byte in [ctrl_a, ctrl_a, ctrl_a, b'?'] {
        input::byte(byte);
    }
    assert_eq!(typed(&dom0), b"");
    for byte in [ctrl_a, ctrl_a, ctrl_a, b'y'] {
        input::byte(byte);
    }
    assert_eq!(typed(&dom0), b"y");
    // Nobody reads: the buffer fills and keeps the oldest.
    for i in 0..5000u32 {
        input::byte(b'0' + (i % 10) as u8);
    }
    let kept = typed(&dom0);
    assert!(kept.starts_with(b"0123456789") && kept.len() < 5000);
    // Without a switch character there is no way to the hypervisor.
    input::configure(None, false);
    for byte in [ctrl_a, ctrl_a, ctrl_a, 0] {
        input::byte(byte);
    }
    assert_eq!(typed(&dom0), [ctrl_a, ctrl_a, ctrl_a, 0]);
}

#[test]
fn every_debug_key_but_reboot_can_be_asked() {
    let _one = ONE_AT_A_TIME.lock();
    let _ = machine();
    for key in (0..=255).filter(|&k| k != b'R') {
        debug_keys::key(key);
    }
}

#[test]
fn readers_of_the_ring_are_told_of_new_messages() {
    let _one = ONE_AT_A_TIME.lock();
    let [dom0, guest] = machine();
    to_dom0(true);
    run_deferred();
    for cx in [&dom0, &guest] {
        let virq_vcpu_port = [Virq::CON_RING.0, 0, 0].map(u32::to_le_bytes).concat();
        let handle = hypercall_abi::GuestHandle::new(BUFFER);
        crate::guest::write_bytes(handle, &virq_vcpu_port).expect("mapped");
        let bind = Args([EvtchnOp::BIND_VIRQ.0.into(), BUFFER, 0, 0, 0, 0]);
        assert_eq!(event_channel::do_event_channel_op(cx, bind), Ok(0));
    }
    let told = |cx: &Context| cx.vcpu.upcall_pending();
    percpu::with(|cpu| cpu.pending.store(0, Ordering::SeqCst));
    write_message(b"news\n");
    // Not at once: whoever has something to say may hold locks of event channels.
    assert!(!told(&dom0));
    let pending = percpu::with(|cpu| cpu.pending.swap(0, Ordering::SeqCst));
    assert_eq!(pending & work::DEFERRED, work::DEFERRED);
    run_deferred();
    assert!(told(&dom0) && !told(&guest));
}
