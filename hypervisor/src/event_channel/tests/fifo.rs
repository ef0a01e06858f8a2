//! The FIFO ABI against a consumer that follows the published rules, alone and with both sides running at once.

use super::consumer::*;
use super::*;

#[test]
fn refusals_have_the_errors_of_xen() {
    let d = machine(1, 2);
    assert_eq!(expand(&d[0], 40), Err(Errno::EOPNOTSUPP));
    assert_eq!(init_control(&d[0], 2, 20, 0), Err(Errno::ENOENT));
    assert_eq!(init_control(&d[0], 0, 20, 4), Err(Errno::EINVAL));
    assert_eq!(init_control(&d[0], 0, 20, 4096 - 64), Err(Errno::EINVAL));
    assert_eq!(init_control(&d[0], 0, 99_999, 0), Err(Errno::EINVAL));
    assert!(!d[0].events.uses_fifo());
    assert_eq!(init_control(&d[0], 0, 20, 4096 - 72), Ok(17));
    assert!(d[0].events.uses_fifo());
    assert_eq!(
        init_control(&d[0], 0, 21, 0),
        Err(Errno::EINVAL),
        "only once"
    );
    assert_eq!(expand(&d[0], 99_999), Err(Errno::EINVAL));
    for n in 0..128 {
        assert_eq!(expand(&d[0], 40 + n), Ok(()));
    }
    assert_eq!(expand(&d[0], 30), Err(Errno::ENOSPC));
    assert_eq!(set_priority(&d[0], 5, 3), Err(Errno::EACCES));
    let port = bind_ipi(&d[0], 0).unwrap();
    assert_eq!(set_priority(&d[0], port, 16), Err(Errno::EINVAL));
    assert_eq!(set_priority(&d[0], port, 15), Ok(()));
    assert_eq!(set_priority(&d[0], 1 << 20, 15), Err(Errno::EINVAL));
}

#[test]
fn events_come_in_order_of_priority_and_arrival() {
    let d = machine(1, 1);
    let ports: Vec<u32> = (0..6).map(|_| bind_ipi(&d[0], 0).unwrap()).collect();
    let mut guest = fifo_guest(&d[0]).remove(0);
    for (i, &port) in ports.iter().enumerate() {
        set_priority(&d[0], port, [7, 15, 0, 7, 0, 7][i]).unwrap();
    }
    for &port in &ports {
        send_port(&d[0], port).unwrap();
        send_port(&d[0], port).unwrap();
    }
    assert!(take_upcall(&d[0], 0));
    let p = |i: usize| ports[i];
    assert_eq!(
        guest.take_all(),
        [
            (p(2), 0),
            (p(4), 0),
            (p(0), 7),
            (p(3), 7),
            (p(5), 7),
            (p(1), 15)
        ]
    );
    assert!(ports.iter().all(|&p| guest.word(p) == 0));
    // And again, after the queues ran empty.
    send_port(&d[0], p(1)).unwrap();
    assert!(take_upcall(&d[0], 0));
    assert_eq!(guest.take_all(), [(p(1), 15)]);
}

#[test]
fn masked_events_are_queued_at_unmask() {
    let d = machine(1, 1);
    let port = bind_ipi(&d[0], 0).unwrap();
    let mut guest = fifo_guest(&d[0]).remove(0);
    guest.mask(port);
    send_port(&d[0], port).unwrap();
    assert_eq!(guest.word(port), P | M);
    assert!(!d[0].vcpus()[0].upcall_pending());
    assert!(!guest.try_unmask(port));
    assert_eq!(poll(&d[0], port), Ok(true));
    unmask_port(&d[0], port).unwrap();
    assert!(take_upcall(&d[0], 0));
    assert_eq!(guest.take_all(), [(port, 7)]);
}

#[test]
fn an_event_changes_queue_with_its_priority_and_vcpu() {
    let d = machine(2, 2);
    let (a, far) = pair(&d[0], &d[1]);
    let b = bind_ipi(&d[0], 0).unwrap();
    let mut guests = fifo_guest(&d[0]);
    // It is the tail of one queue while it moves to another.
    send_port(&d[0], b).unwrap();
    send_port(&d[1], far).unwrap();
    assert_eq!(guests[0].take_all(), [(b, 7), (a, 7)]);
    bind_vcpu(&d[0], a, 1).unwrap();
    set_priority(&d[0], a, 2).unwrap();
    send_port(&d[1], far).unwrap();
    send_port(&d[0], b).unwrap();
    assert_eq!(guests[0].take_all(), [(b, 7)], "the old queue works on");
    assert_eq!(guests[1].take_all(), [(a, 2)]);
    // Still linked in the old queue: it is delivered there once more.
    send_port(&d[1], far).unwrap();
    bind_vcpu(&d[0], a, 0).unwrap();
    send_port(&d[1], far).unwrap();
    assert_eq!(guests[0].take_all(), []);
    assert_eq!(guests[1].take_all(), [(a, 2)]);
}

#[test]
fn events_from_before_the_array_page_come_when_it_does() {
    let d = machine(1, 1);
    let early = bind_ipi(&d[0], 0).unwrap();
    let late = bind_ipi(&d[0], 0).unwrap();
    send_port(&d[0], early).unwrap();
    assert_eq!(init_control(&d[0], 0, 20, 0), Ok(17));
    send_port(&d[0], late).unwrap();
    let mut guest = Guest::new(20, &[40]);
    expand(&d[0], 40).unwrap();
    assert_eq!(guest.take_all(), [(early, 7), (late, 7)]);
}

#[test]
fn a_closed_but_linked_port_is_not_handed_out() {
    let d = machine(1, 1);
    let port = bind_ipi(&d[0], 0).unwrap();
    let mut guest = fifo_guest(&d[0]).remove(0);
    send_port(&d[0], port).unwrap();
    close_port(&d[0], port).unwrap();
    assert_eq!(guest.word(port) & (P | L), L);
    assert_ne!(bind_ipi(&d[0], 0).unwrap(), port);
    assert_eq!(guest.take_all(), [], "not pending any more");
    assert_eq!(bind_ipi(&d[0], 0).unwrap(), port);
    check_invariants(&d);
}

#[test]
fn a_vcpu_without_control_block_keeps_the_event_pending() {
    let d = machine(1, 2);
    let port = bind_ipi(&d[0], 1).unwrap();
    assert_eq!(init_control(&d[0], 0, 20, 0), Ok(17));
    expand(&d[0], 40).unwrap();
    send_port(&d[0], port).unwrap();
    let mut guest = Guest::new(21, &[40]);
    assert_eq!(guest.word(port), P);
    assert_eq!(init_control(&d[0], 1, 21, 0), Ok(17));
    unmask_port(&d[0], port).unwrap();
    assert_eq!(guest.take_all(), [(port, 7)]);
}

#[test]
fn more_ports_than_the_two_level_abi_has() {
    let d = machine(1, 1);
    assert_eq!(init_control(&d[0], 0, 20, 0), Ok(17));
    let pages: Vec<u64> = (0..5).map(|n| 40 + n).collect();
    for &n in &pages {
        expand(&d[0], n).unwrap();
    }
    let mut guest = Guest::new(20, &pages);
    let last = (1..5000)
        .map(|_| bind_ipi(&d[0], 0).unwrap())
        .fold(0, |_, port| port);
    assert_eq!(last, 4999);
    send_port(&d[0], last).unwrap();
    assert_eq!(guest.take_all(), [(last, 7)]);
    check_invariants(&d);
    // Back to 2-level: the ports above its range stay valid numbers and nothing more.
    reset_self(&d[0]).unwrap();
    assert!(!d[0].events.uses_fifo());
    assert_eq!(send_port(&d[0], last), Err(Errno::EINVAL));
    assert_eq!(unmask_port(&d[0], last), Ok(()));
    for _ in 1..4096 {
        bind_ipi(&d[0], 0).unwrap();
    }
    assert_eq!(bind_ipi(&d[0], 0), Err(Errno::ENOSPC));
    check_invariants(&d);
}

#[test]
fn a_guest_that_scribbles_over_its_words_hurts_only_itself() {
    let d = machine(1, 1);
    let ports: Vec<u32> = (0..8).map(|_| bind_ipi(&d[0], 0).unwrap()).collect();
    let guest = fifo_guest(&d[0]).remove(0);
    let mut seed = 12345u32;
    for round in 0..20_000u32 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        guest.array[0].write_u32((seed >> 10) as usize % 16 * 4, seed.rotate_left(round));
        guest.control.write_u32((seed >> 5) as usize % 18 * 4, seed);
        let port = ports[(seed >> 20) as usize % 8];
        send_port(&d[0], port).unwrap();
        unmask_port(&d[0], port).unwrap();
    }
    check_invariants(&d);
}

/// Two senders and the consumer at once: nothing is lost. Each event's sender waits until it was taken.
#[test]
fn nothing_is_lost_between_senders_and_a_consumer_at_once() {
    use std::sync::atomic::{AtomicBool, AtomicU64};
    const ROUNDS: u64 = 3_000;
    let d = machine(1, 1).remove(0);
    let ports: Vec<u32> = (0..4).map(|_| bind_ipi(&d, 0).unwrap()).collect();
    let mut guest = fifo_guest(&d).remove(0);
    let ram = arch::hosted::ram();
    let taken: Vec<AtomicU64> = ports.iter().map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        for half in 0..2 {
            let (d, ports, taken) = (
                &d,
                &ports[half * 2..half * 2 + 2],
                &taken[half * 2..half * 2 + 2],
            );
            let _ = s.spawn(move || {
                arch::hosted::adopt(ram);
                for round in 1..=ROUNDS {
                    for &port in ports {
                        send(d, port).unwrap();
                    }
                    for count in taken {
                        let mut waits = 0u64;
                        while count.load(Ordering::SeqCst) < round {
                            std::thread::yield_now();
                            waits += 1;
                            assert!(waits < 50_000_000, "an event was lost");
                        }
                    }
                }
            });
        }
        let (taken, stop, ports) = (&taken, &stop, &ports);
        s.spawn(move || {
            arch::hosted::adopt(ram);
            while !stop.load(Ordering::SeqCst) {
                match guest.take() {
                    Some((port, _)) => {
                        let i = ports.iter().position(|&p| p == port).expect("one of ours");
                        if taken[i].fetch_add(1, Ordering::SeqCst) + 1 == ROUNDS
                            && taken.iter().all(|t| t.load(Ordering::SeqCst) >= ROUNDS)
                        {
                            stop.store(true, Ordering::SeqCst);
                        }
                    }
                    None => std::thread::yield_now(),
                }
            }
        });
    });
    for count in &taken {
        assert_eq!(count.load(Ordering::SeqCst), ROUNDS);
    }
}
