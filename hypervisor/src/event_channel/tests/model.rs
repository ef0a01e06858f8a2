//! Random operations against a model that knows only what each port is bound to.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::consumer::*;
use super::*;

#[derive(Clone, Debug, PartialEq)]
enum Bound {
    Unbound(u16),
    Far(u16, u32),
    Virq(u32, u32),
    Ipi(u32),
}

#[derive(Clone, Debug)]
enum Op {
    AllocUnbound(u16, u16),
    Bind(u16, u16, u32),
    Virq(u16, u32, u32),
    Ipi(u16, u32),
    Close(u16, u32),
    Send(u16, u32),
    BindVcpu(u16, u32, u32),
    Priority(u16, u32, u32),
    Mask(u16, u32),
    Unmask(u16, u32),
    Consume(u16),
    Reset(u16),
}

const DOMAINS: u16 = 3;
const VCPUS: u32 = 2;

fn op() -> impl Strategy<Value = Op> {
    let dom = 0..DOMAINS;
    // A few more than there are, so that refusals are met, too.
    let port = 0..14u32;
    let vcpu = 0..VCPUS + 1;
    prop_oneof![
        4 => (dom.clone(), dom.clone()).prop_map(|(d, r)| Op::AllocUnbound(d, r)),
        6 => (dom.clone(), dom.clone(), port.clone()).prop_map(|(d, r, p)| Op::Bind(d, r, p)),
        2 => (dom.clone(), 0..25u32, vcpu.clone()).prop_map(|(d, v, c)| Op::Virq(d, v, c)),
        2 => (dom.clone(), vcpu.clone()).prop_map(|(d, c)| Op::Ipi(d, c)),
        4 => (dom.clone(), port.clone()).prop_map(|(d, p)| Op::Close(d, p)),
        10 => (dom.clone(), port.clone()).prop_map(|(d, p)| Op::Send(d, p)),
        3 => (dom.clone(), port.clone(), vcpu).prop_map(|(d, p, c)| Op::BindVcpu(d, p, c)),
        2 => (dom.clone(), port.clone(), 0..18u32).prop_map(|(d, p, n)| Op::Priority(d, p, n)),
        2 => (dom.clone(), port.clone()).prop_map(|(d, p)| Op::Mask(d, p)),
        3 => (dom.clone(), port).prop_map(|(d, p)| Op::Unmask(d, p)),
        4 => dom.clone().prop_map(Op::Consume),
        1 => dom.prop_map(Op::Reset),
    ]
}

type Ports = BTreeMap<u32, Bound>;

/// Domain 0 uses the 2-level ABI, the others FIFO (until they reset).
struct World {
    d: Vec<Arc<Domain>>,
    model: Vec<Ports>,
    guests: Vec<Option<Vec<Guest>>>,
    /// Events sent to FIFO guests and not taken; masked ones wait.
    owed: Vec<BTreeMap<u32, bool>>,
}

impl World {
    fn new() -> Self {
        let d = machine(DOMAINS, VCPUS);
        let mut guests = vec![None];
        for n in 1..DOMAINS {
            let base = 20 * u64::from(n);
            let own = (0..VCPUS)
                .map(|v| {
                    init_control(&d[n as usize], v, base + u64::from(v), 0).unwrap();
                    Guest::new(base + u64::from(v), &[base + 10])
                })
                .collect();
            expand(&d[n as usize], base + 10).unwrap();
            guests.push(Some(own));
        }
        let none = || (0..DOMAINS).map(|_| BTreeMap::new()).collect();
        Self {
            d,
            model: (0..DOMAINS).map(|_| Ports::new()).collect(),
            guests,
            owed: none(),
        }
    }

    /// An event for a port; it is owed to a FIFO guest whose port it is.
    fn owe(&mut self, dom: u16, port: u32) {
        if self.guests[dom as usize].is_some() {
            self.owed[dom as usize].insert(port, true);
        }
    }

    fn closed(&mut self, dom: u16, port: u32) {
        self.owed[dom as usize].remove(&port);
        if let Some(Bound::Far(far, far_port)) = self.model[dom as usize].remove(&port) {
            self.model[far as usize].insert(far_port, Bound::Unbound(dom));
        }
    }

    fn step(&mut self, op: &Op) {
        let d = self.d.clone();
        match *op {
            Op::AllocUnbound(n, r) => {
                let port = alloc_unbound(&d[n as usize], DomId::SELF, DomId(r)).unwrap();
                assert_eq!(self.model[n as usize].insert(port, Bound::Unbound(r)), None);
            }
            Op::Bind(n, r, port) => {
                let open = self.model[r as usize].get(&port) == Some(&Bound::Unbound(n));
                match bind(&d[n as usize], r, port) {
                    Ok(near) => {
                        assert!(open);
                        assert_eq!(
                            self.model[n as usize].insert(near, Bound::Far(r, port)),
                            None
                        );
                        self.model[r as usize].insert(port, Bound::Far(n, near));
                        self.owe(n, near);
                    }
                    Err(errno) => assert!(!open && errno == Errno::EINVAL),
                }
            }
            Op::Virq(n, virq, vcpu) => {
                let global = virq_is_global(virq);
                let expect = if virq >= NR_VIRQS || (global && vcpu != 0) {
                    Err(Errno::EINVAL)
                } else if vcpu >= VCPUS {
                    Err(Errno::ENOENT)
                } else if self.model[n as usize]
                    .values()
                    .any(|b| *b == Bound::Virq(virq, vcpu))
                {
                    Err(Errno::EEXIST)
                } else {
                    Ok(())
                };
                let got = bind_virq(&d[n as usize], virq, vcpu);
                assert_eq!(got.map(|_| ()), expect);
                if let Ok(port) = got {
                    assert_eq!(
                        self.model[n as usize].insert(port, Bound::Virq(virq, vcpu)),
                        None
                    );
                }
            }
            Op::Ipi(n, vcpu) => match bind_ipi(&d[n as usize], vcpu) {
                Ok(port) => {
                    assert_eq!(self.model[n as usize].insert(port, Bound::Ipi(vcpu)), None);
                }
                Err(errno) => assert!(vcpu >= VCPUS && errno == Errno::ENOENT),
            },
            Op::Close(n, port) => {
                let bound = self.model[n as usize].contains_key(&port);
                assert_eq!(close_port(&d[n as usize], port).is_ok(), bound);
                self.closed(n, port);
            }
            Op::Send(n, port) => {
                let got = send_port(&d[n as usize], port);
                match self.model[n as usize].get(&port).cloned() {
                    Some(Bound::Far(far, far_port)) => {
                        got.unwrap();
                        self.owe(far, far_port);
                    }
                    Some(Bound::Ipi(_)) => {
                        got.unwrap();
                        self.owe(n, port);
                    }
                    Some(Bound::Unbound(_)) => got.unwrap(),
                    _ => assert_eq!(got, Err(Errno::EINVAL)),
                }
            }
            Op::BindVcpu(n, port, vcpu) => {
                let expect = match self.model[n as usize].get(&port) {
                    _ if vcpu >= VCPUS => Err(Errno::ENOENT),
                    Some(Bound::Unbound(_) | Bound::Far(..)) => Ok(()),
                    Some(Bound::Virq(virq, _)) if virq_is_global(*virq) => Ok(()),
                    _ => Err(Errno::EINVAL),
                };
                assert_eq!(bind_vcpu(&d[n as usize], port, vcpu), expect);
            }
            Op::Priority(n, port, priority) => {
                let expect = match &self.guests[n as usize] {
                    None => Err(Errno::ENOSYS),
                    _ if !self.model[n as usize].contains_key(&port) => Err(Errno::EACCES),
                    _ if priority > 15 => Err(Errno::EINVAL),
                    _ => Ok(()),
                };
                assert_eq!(set_priority(&d[n as usize], port, priority), expect);
            }
            Op::Mask(n, port) => {
                if let Some(guests) = &self.guests[n as usize] {
                    guests[0].mask(port);
                }
            }
            Op::Unmask(n, port) => {
                // Only what is bound is looked at.
                let free = guest_free(&self.guests[n as usize], &self.model[n as usize], port);
                if free {
                    unmask_port(&d[n as usize], port).unwrap();
                }
            }
            Op::Consume(n) => self.consume(n),
            Op::Reset(n) => {
                reset_self(&d[n as usize]).unwrap();
                let ports: Vec<u32> = self.model[n as usize].keys().copied().collect();
                for port in ports {
                    self.closed(n, port);
                }
                self.guests[n as usize] = None;
            }
        }
        check_invariants(&self.d);
    }

    /// The guest takes all it finds: exactly what is owed and not masked, in order of priority per vCPU.
    fn consume(&mut self, n: u16) {
        let Some(guests) = &mut self.guests[n as usize] else {
            return;
        };
        let owed = &mut self.owed[n as usize];
        for guest in guests.iter_mut() {
            let mut last = 0;
            for (port, priority) in guest.take_all() {
                assert!(priority >= last, "priorities in order");
                last = priority;
                assert_eq!(owed.remove(&port), Some(true), "port {port} was sent");
            }
        }
        for &port in owed.keys() {
            assert_eq!(
                guests[0].word(port) & (P | M),
                P | M,
                "port {port} was lost"
            );
        }
    }
}

fn guest_free(guests: &Option<Vec<Guest>>, model: &Ports, port: u32) -> bool {
    guests.is_none() || model.contains_key(&port)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_agree_with_the_model(ops in proptest::collection::vec(op(), 1..120)) {
        let mut world = World::new();
        for op in &ops {
            world.step(op);
            prop_assert_eq!(super::audit::findings(&world.d), Vec::<String>::new());
        }
        // Unmask everything: then nothing may stay behind.
        for n in 1..DOMAINS {
            let ports: Vec<u32> = world.model[n as usize].keys().copied().collect();
            if world.guests[n as usize].is_some() {
                for port in ports {
                    unmask_port(&world.d[n as usize], port).unwrap();
                }
                world.consume(n);
                prop_assert!(world.owed[n as usize].is_empty());
            }
        }
        // Teardown leaves no cycle of references.
        for d in &world.d {
            d.dying.store(true, Ordering::SeqCst);
            while !destroy(d, &Budget::with_units(3)) {}
        }
        check_invariants(&world.d);
        for d in &world.d {
            prop_assert_eq!(Arc::strong_count(d), 2);
        }
    }
}
