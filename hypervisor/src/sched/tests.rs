//! The scheduler on simulated pCPUs: a model of the machine drives [`Scheduler`] and checks its invariants after each step.

use std::collections::BTreeMap;

use super::credit::{DEFAULT_WEIGHT, RATELIMIT};
use super::*;
use crate::domain::{DomainId, Kind};
use proptest::prelude::*;

const MS: u64 = 1_000_000;

/// A domain whose vCPUs are up, with its shared_info in frame `id`.
pub(crate) fn domain(id: u16, vcpus: u32) -> Arc<Domain> {
    let frame = arch::hosted::frame(arch::addr::Mfn::new(u64::from(id)));
    let domain = Domain::new(
        DomainId(id),
        Kind::Pv(crate::pv::PvDomain::default()),
        id == 0,
        frame,
    );
    domain.create_vcpus(vcpus).expect("fresh");
    for vcpu in domain.vcpus() {
        vcpu.down.store(false, Ordering::SeqCst);
        vcpu.initialised.store(true, Ordering::SeqCst);
    }
    domain
}

/// A machine of some pCPUs. What a real one does with interrupts and timers happens here at exact times.
struct Machine {
    sched: Scheduler,
    cpus: Vec<SimCpu>,
    now: u64,
}

#[derive(Default)]
struct SimCpu {
    running: Option<Context>,
    until: Option<u64>,
    poked: bool,
}

impl Machine {
    fn new(cpus: usize) -> Self {
        arch::hosted::reset(64);
        let sched = Scheduler::new();
        for cpu in 0..cpus {
            sched.cpu_up(cpu, 0);
        }
        let mut machine = Self {
            sched,
            cpus: (0..cpus).map(|_| SimCpu::default()).collect(),
            now: 0,
        };
        (0..cpus).for_each(|cpu| machine.reschedule(cpu));
        machine
    }

    fn poke(&mut self, Poke(cpu): Poke) {
        if let Some(cpu) = cpu {
            self.cpus[cpu].poked = true;
        }
    }

    fn start(&mut self, domain: &Arc<Domain>) {
        for vcpu in domain.vcpus() {
            self.reevaluate(vcpu);
        }
    }

    fn reevaluate(&mut self, vcpu: &Arc<Vcpu>) {
        let cx = context(vcpu).expect("alive");
        let poke = self.sched.reevaluate(&cx, self.now);
        self.poke(poke);
    }

    fn block(&mut self, vcpu: &Arc<Vcpu>) {
        vcpu.sched.blocked.store(true, Ordering::SeqCst);
        self.reevaluate(vcpu);
    }

    fn wake(&mut self, vcpu: &Arc<Vcpu>) {
        if vcpu.sched.blocked.swap(false, Ordering::SeqCst) {
            self.reevaluate(vcpu);
        }
    }

    /// First half of a reschedule: the choice.
    fn pick(&mut self, cpu: usize) -> Option<Context> {
        let decision = self.sched.pick_next(cpu, self.now);
        self.cpus[cpu].poked = false;
        self.cpus[cpu].until = decision.until;
        self.poke(decision.poke);
        decision.next
    }

    /// Second half: the switch.
    fn switch(&mut self, cpu: usize, next: Option<Context>) {
        let prev = std::mem::replace(&mut self.cpus[cpu].running, next.clone());
        if let Some(prev) = prev
            && next.is_none_or(|n| !Arc::ptr_eq(&n.vcpu, &prev.vcpu))
        {
            let poke = self.sched.context_saved(cpu, &prev.vcpu, self.now);
            self.poke(poke);
        }
    }

    fn reschedule(&mut self, cpu: usize) {
        let next = self.pick(cpu);
        self.switch(cpu, next);
    }

    fn settle(&mut self) {
        for _ in 0..1000 {
            let Some(cpu) = (0..self.cpus.len()).find(|&c| self.cpus[c].poked) else {
                return;
            };
            self.reschedule(cpu);
        }
        panic!("pCPUs poke each other without end");
    }

    /// Lets time pass; slices end when they should.
    fn run(&mut self, ns: u64) {
        let end = self.now + ns;
        self.settle();
        loop {
            let due = self
                .cpus
                .iter()
                .enumerate()
                .filter_map(|(c, cpu)| Some((cpu.until?, c)))
                .min();
            match due {
                Some((until, cpu)) if until <= end => {
                    self.now = self.now.max(until);
                    self.reschedule(cpu);
                    self.settle();
                    self.check();
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// Nobody runs twice or where it may not; work is not left lying while a pCPU idles that could do it.
    fn check(&self) {
        let mut seen = BTreeMap::new();
        for (cpu, sim) in self.cpus.iter().enumerate() {
            if let Some(cx) = &sim.running {
                let who = (cx.domain.id, cx.vcpu.id);
                assert_eq!(seen.insert(who, cpu), None, "{who:?} runs twice");
                assert_eq!(cx.vcpu.sched.on_cpu(), Some(cpu));
            }
        }
    }

    fn ran(&self, vcpu: &Vcpu) -> u64 {
        vcpu.sched.info(self.now).cpu_time
    }

    fn share(&self, domain: &Domain, since: u64) -> f64 {
        let ran: u64 = domain.vcpus().iter().map(|v| self.ran(v)).sum();
        ran as f64 / (self.now - since) as f64
    }
}

#[test]
fn one_vcpu_alone_needs_no_timer() {
    let mut m = Machine::new(1);
    let d = domain(1, 1);
    m.start(&d);
    m.settle();
    assert!(m.cpus[0].running.is_some());
    assert_eq!(m.cpus[0].until, None);
    m.block(&d.vcpus()[0]);
    m.settle();
    assert!(m.cpus[0].running.is_none());
    assert_eq!(m.cpus[0].until, None);
    m.now += 5 * MS;
    assert_eq!(m.sched.idle_time(0, m.now), Some(5 * MS));
}

#[test]
fn equal_weights_get_equal_time() {
    let mut m = Machine::new(1);
    let (a, b) = (domain(1, 1), domain(2, 1));
    m.start(&a);
    m.start(&b);
    m.run(2_000 * MS);
    assert!((m.share(&a, 0) - 0.5).abs() < 0.02, "{}", m.share(&a, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn time_goes_by_weight(weights in proptest::collection::vec(64u16..2048, 2..6)) {
        let mut m = Machine::new(1);
        let domains: Vec<_> = (0..weights.len()).map(|i| domain(i as u16 + 1, 1)).collect();
        for (d, &w) in domains.iter().zip(&weights) {
            d.sched.set_weight(w);
            m.start(d);
        }
        m.run(20_000 * MS);
        let sum: u32 = weights.iter().map(|&w| u32::from(w)).sum();
        for (d, &w) in domains.iter().zip(&weights) {
            let fair = f64::from(w) / f64::from(sum);
            let got = m.share(d, 0);
            prop_assert!((got - fair).abs() < 0.03, "weight {w} of {weights:?}: {got} instead of {fair}");
        }
    }

    #[test]
    fn many_vcpus_share_many_pcpus(cpus in 2usize..5, vcpus in 3usize..12) {
        let mut m = Machine::new(cpus);
        let domains: Vec<_> = (0..vcpus).map(|i| domain(i as u16 + 1, 1)).collect();
        domains.iter().for_each(|d| m.start(d));
        m.run(5_000 * MS);
        let fair = (cpus as f64 / vcpus as f64).min(1.0);
        let mut total = 0.0;
        for d in &domains {
            let got = m.share(d, 0);
            total += got;
            prop_assert!(got > fair * 0.75 && got < fair * 1.34, "{got} instead of {fair}");
        }
        // Work conserving: no pCPU idles while somebody waits.
        prop_assert!(total > cpus.min(vcpus) as f64 * 0.99, "{total}");
    }

    #[test]
    fn caps_hold(cap in 5u16..150, vcpus in 1u32..4) {
        let mut m = Machine::new(2);
        let (capped, other) = (domain(1, vcpus), domain(2, 1));
        capped.sched.set_cap(cap);
        m.start(&capped);
        m.start(&other);
        m.run(3_000 * MS);
        let limit = f64::from(cap) / 100.0;
        let got = m.share(&capped, 0);
        prop_assert!(got <= limit + 0.01, "{got} over {limit}");
        // What it may have it gets, as far as its vCPUs can use it beside the other domain.
        let usable = limit.min(f64::from(vcpus)).min(1.0);
        prop_assert!(got > usable * 0.85, "{got} under {usable}");
    }
}

#[test]
fn nobody_starves() {
    let mut m = Machine::new(1);
    let (light, heavy) = (domain(1, 1), domain(2, 4));
    light.sched.set_weight(1);
    heavy.sched.set_weight(u16::MAX);
    m.start(&light);
    m.start(&heavy);
    m.run(60_000 * MS);
    assert!(m.ran(&light.vcpus()[0]) > 0);
}

#[test]
fn who_ran_alone_is_not_punished() {
    let mut m = Machine::new(1);
    let (a, b) = (domain(1, 1), domain(2, 1));
    m.start(&a);
    m.run(100_000 * MS);
    let before = m.ran(&a.vcpus()[0]);
    m.start(&b);
    m.run(1_000 * MS);
    let got = m.ran(&a.vcpus()[0]) - before;
    assert!(got > 400 * MS, "{got}");
}

#[test]
fn who_ran_alone_is_not_behind_those_it_takes_turns_with() {
    let mut m = Machine::new(1);
    let (hog, other) = (domain(1, 1), domain(2, 1));
    let (hog, other) = (&hog.vcpus()[0], &other.vcpus()[0]);
    m.reevaluate(hog);
    m.run(1_000 * MS);
    // As a disk's front end and back end do: one works while the other waits for it.
    for _ in 0..100 {
        for (from, to) in [(hog, other), (other, hog)] {
            m.block(from);
            m.settle();
            m.wake(to);
            m.run(MS / 5);
        }
    }
    m.block(hog);
    m.settle();
    m.wake(other);
    m.run(2 * RATELIMIT);
    let before = m.ran(hog);
    m.wake(hog);
    m.run(2 * RATELIMIT);
    assert!(m.ran(hog) > before, "nothing in {} ns", 2 * RATELIMIT);
}

#[test]
fn a_sleeper_that_wakes_runs_soon() {
    let mut m = Machine::new(1);
    let (hog, sleeper) = (domain(1, 1), domain(2, 1));
    m.start(&hog);
    m.start(&sleeper);
    m.block(&sleeper.vcpus()[0]);
    m.run(50 * MS);
    let before = m.ran(&sleeper.vcpus()[0]);
    m.wake(&sleeper.vcpus()[0]);
    m.run(RATELIMIT + 1);
    assert!(
        m.ran(&sleeper.vcpus()[0]) > before
            || m.cpus[0]
                .running
                .as_ref()
                .is_some_and(|c| c.domain.id.0 == 2)
    );
}

#[test]
fn waking_prefers_the_idle_cpu_it_ran_on() {
    let mut m = Machine::new(4);
    let d = domain(1, 1);
    let v = &d.vcpus()[0];
    let cx = context(v).expect("alive");
    let _ = m
        .sched
        .set_affinity(&cx, Some(CpuMask::of(2)), None, 0)
        .expect("online");
    m.start(&d);
    m.settle();
    m.block(v);
    m.settle();
    let _ = m
        .sched
        .set_affinity(&cx, Some(CpuMask::ALL), None, 0)
        .expect("online");
    for cpu in 0..4 {
        m.reschedule(cpu);
    }
    m.wake(v);
    m.settle();
    assert_eq!(v.sched.on_cpu(), Some(2));
}

#[test]
fn affinity_refusals() {
    let m = Machine::new(2);
    let d = domain(1, 1);
    let cx = context(&d.vcpus()[0]).expect("alive");
    let set = |hard| m.sched.set_affinity(&cx, Some(hard), None, 0).map(|_| ());
    assert_eq!(set(CpuMask::NONE), Err(Errno::EINVAL));
    assert_eq!(set(CpuMask::of(5)), Err(Errno::EINVAL));
    assert_eq!(m.sched.pin_override(&cx, None, 0), Err(Errno::EINVAL));
    assert_eq!(m.sched.pin_override(&cx, Some(7), 0), Err(Errno::EINVAL));
    assert!(m.sched.pin_override(&cx, Some(1), 0).is_ok());
    assert_eq!(m.sched.pin_override(&cx, Some(0), 0), Err(Errno::EBUSY));
    assert_eq!(set(CpuMask::of(0)), Err(Errno::EBUSY));
    assert!(m.sched.pin_override(&cx, None, 0).is_ok());
    assert_eq!(set(CpuMask::of(0)), Ok(()));
    assert_eq!(d.vcpus()[0].sched.info(0).hard, CpuMask::of(0));
}

#[test]
fn soft_affinity_is_a_wish() {
    let mut m = Machine::new(2);
    let (a, b) = (domain(1, 1), domain(2, 1));
    for d in [&a, &b] {
        let cx = context(&d.vcpus()[0]).expect("alive");
        let _ = m
            .sched
            .set_affinity(&cx, None, Some(CpuMask::of(1)), 0)
            .expect("soft");
        m.start(d);
    }
    m.run(100 * MS);
    // Both like pCPU 1, but an idle one is better than waiting.
    assert!(
        m.share(&a, 0) > 0.9 && m.share(&b, 0) > 0.9,
        "{} {}",
        m.share(&a, 0),
        m.share(&b, 0)
    );
}

/// What may happen to the vCPUs of the randomised test.
#[derive(Clone, Debug)]
enum Event {
    Block(usize),
    Wake(usize),
    Pause(usize),
    Unpause(usize),
    Yield(usize),
    Affinity(usize, u8),
    Weight(usize, u16),
    Cap(usize, u16),
    /// A pCPU chooses, but has not switched yet.
    Pick(usize),
    Switch(usize),
    Time(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0usize..6).prop_map(Event::Block),
        4 => (0usize..6).prop_map(Event::Wake),
        1 => (0usize..6).prop_map(Event::Pause),
        1 => (0usize..6).prop_map(Event::Unpause),
        1 => (0usize..6).prop_map(Event::Yield),
        2 => (0usize..6, 1u8..8).prop_map(|(v, m)| Event::Affinity(v, m)),
        1 => (0usize..3, 64u16..1000).prop_map(|(d, w)| Event::Weight(d, w)),
        1 => (0usize..3, 0u16..150).prop_map(|(d, c)| Event::Cap(d, c)),
        8 => (0usize..3).prop_map(Event::Pick),
        8 => (0usize..3).prop_map(Event::Switch),
        6 => (1u64..20_000_000).prop_map(Event::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn random_interleavings_keep_the_invariants(events in proptest::collection::vec(event(), 1..200)) {
        let mut m = Machine::new(3);
        let domains: Vec<_> = (0..3).map(|i| domain(i + 1, 2)).collect();
        let vcpus: Vec<_> = domains.iter().flat_map(|d| d.vcpus().to_vec()).collect();
        let mut allowed = [CpuMask::ALL; 6];
        domains.iter().for_each(|d| m.start(d));
        // pCPUs between choice and switch.
        let mut chosen: [Option<Option<Context>>; 3] = [None, None, None];
        for event in events {
            match event {
                Event::Block(v) => {
                    // Only a running vCPU blocks itself.
                    if m.cpus.iter().any(|c| c.running.as_ref().is_some_and(|r| Arc::ptr_eq(&r.vcpu, &vcpus[v]))) {
                        m.block(&vcpus[v]);
                    }
                }
                Event::Wake(v) => m.wake(&vcpus[v]),
                Event::Pause(v) => {
                    vcpus[v].pause_count.fetch_add(1, Ordering::SeqCst);
                    m.reevaluate(&vcpus[v]);
                }
                Event::Unpause(v) => {
                    if vcpus[v].pause_count.load(Ordering::SeqCst) > 0 {
                        vcpus[v].pause_count.fetch_sub(1, Ordering::SeqCst);
                        m.reevaluate(&vcpus[v]);
                    }
                }
                Event::Yield(v) => vcpus[v].sched.yielding.store(true, Ordering::Relaxed),
                Event::Affinity(v, bits) => {
                    allowed[v] = CpuMask::from_bytes(&[bits]);
                    let cx = context(&vcpus[v]).expect("alive");
                    let poke = m.sched.set_affinity(&cx, Some(allowed[v]), None, m.now).expect("online");
                    m.poke(poke);
                }
                Event::Weight(d, w) => domains[d].sched.set_weight(w),
                Event::Cap(d, c) => domains[d].sched.set_cap(c),
                Event::Pick(c) if chosen[c].is_none() => {
                    let next = m.pick(c);
                    if let Some(next) = &next {
                        let v = vcpus.iter().position(|v| Arc::ptr_eq(v, &next.vcpu)).expect("ours");
                        prop_assert!(allowed[v].contains(c), "vCPU {v} on pCPU {c}");
                        // Its registers are nowhere else.
                        for (other, sim) in m.cpus.iter().enumerate() {
                            let there = sim.running.as_ref().is_some_and(|r| Arc::ptr_eq(&r.vcpu, &next.vcpu));
                            prop_assert!(!there || other == c, "vCPU {v} still loaded on {other}");
                        }
                        for (other, choice) in chosen.iter().enumerate() {
                            let there = choice.iter().flatten().any(|r| Arc::ptr_eq(&r.vcpu, &next.vcpu));
                            prop_assert!(!there || other == c, "vCPU {v} chosen by {other} too");
                        }
                    }
                    chosen[c] = Some(next);
                }
                Event::Pick(_) => {}
                Event::Switch(c) => {
                    if let Some(next) = chosen[c].take() {
                        m.switch(c, next);
                    }
                }
                Event::Time(ns) => m.now += ns,
            }
        }
        // When the dust settles whoever can run does or waits with reason: no wake-up was lost.
        for (c, choice) in chosen.iter_mut().enumerate() {
            if let Some(next) = choice.take() {
                m.switch(c, next);
            }
        }
        domains.iter().for_each(|d| d.sched.set_cap(0));
        m.settle();
        m.check();
        let before: Vec<_> = vcpus.iter().map(|v| m.ran(v)).collect();
        m.run(4_000 * MS);
        for (v, vcpu) in vcpus.iter().enumerate() {
            let ready = vcpu.runnable() && !vcpu.sched.is_blocked();
            let ran = m.ran(vcpu) - before[v];
            prop_assert_eq!(ran > 0, ready, "vCPU {} ran {} ns, blocked {}", v, ran, vcpu.sched.is_blocked());
            if ran > 0 {
                let on = vcpu.sched.info(m.now).cpu;
                prop_assert!(allowed[v].contains(on));
            }
        }
    }
}

#[test]
fn threads_never_run_a_vcpu_twice_nor_lose_a_wake_up() {
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    const CPUS: usize = 3;
    arch::hosted::reset(8);
    let sched = Scheduler::new();
    let d = domain(1, 5);
    let running: Vec<_> = d.vcpus().iter().map(|_| AtomicUsize::new(0)).collect();
    let turns: Vec<_> = d.vcpus().iter().map(|_| AtomicU64::new(0)).collect();
    let poked: Vec<_> = (0..CPUS).map(|_| AtomicBool::new(true)).collect();
    let clock = AtomicU64::new(1);
    let tick = || clock.fetch_add(10_000, Ordering::SeqCst);
    let send = |Poke(cpu): Poke| {
        if let Some(cpu) = cpu {
            poked[cpu].store(true, Ordering::SeqCst);
        }
    };
    for cpu in 0..CPUS {
        sched.cpu_up(cpu, 0);
    }
    for v in d.vcpus() {
        send(sched.reevaluate(&context(v).expect("alive"), 0));
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        for cpu in 0..CPUS {
            let (sched, running, turns, poked, done) = (&sched, &running, &turns, &poked, &done);
            let (tick, send) = (&tick, &send);
            s.spawn(move || {
                let mut current: Option<Context> = None;
                let mut until = None;
                while !done.load(Ordering::SeqCst) {
                    let now = tick();
                    if !poked[cpu].swap(false, Ordering::SeqCst) && until.is_none_or(|u| now < u) {
                        std::thread::yield_now();
                        continue;
                    }
                    let decision = sched.pick_next(cpu, now);
                    until = decision.until;
                    send(decision.poke);
                    let next = decision.next;
                    let stays = matches!((&current, &next), (Some(a), Some(b)) if Arc::ptr_eq(&a.vcpu, &b.vcpu));
                    if !stays {
                        if let Some(prev) = current.take() {
                            assert_eq!(running[prev.vcpu.id as usize].fetch_sub(1, Ordering::SeqCst), 1);
                            send(sched.context_saved(cpu, &prev.vcpu, now));
                        }
                        if let Some(next) = &next {
                            assert_eq!(running[next.vcpu.id as usize].fetch_add(1, Ordering::SeqCst), 0);
                        }
                        current = next;
                    }
                    if let Some(cx) = &current {
                        // A turn: run a little, then wait for an event.
                        turns[cx.vcpu.id as usize].fetch_add(1, Ordering::SeqCst);
                        cx.vcpu.sched.blocked.store(true, Ordering::SeqCst);
                        poked[cpu].store(true, Ordering::SeqCst);
                    }
                }
            });
        }
        // The waker: every vCPU must take a turn after every wake-up.
        for round in 0..300u64 {
            for (v, vcpu) in d.vcpus().iter().enumerate() {
                let before = turns[v].load(Ordering::SeqCst);
                let mut woken = false;
                let start = std::time::Instant::now();
                while turns[v].load(Ordering::SeqCst) == before || !woken {
                    if vcpu.sched.blocked.swap(false, Ordering::SeqCst) {
                        woken = true;
                        send(sched.reevaluate(&context(vcpu).expect("alive"), tick()));
                    }
                    assert!(
                        start.elapsed().as_secs() < 30,
                        "round {round}: wake-up of {v} lost"
                    );
                    std::thread::yield_now();
                }
            }
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn weights_are_never_zero() {
    let d = DomainSched::new();
    assert_eq!(d.weight(), DEFAULT_WEIGHT);
    d.set_weight(0);
    assert_eq!(d.weight(), 1);
}

mod hypercalls;

#[test]
fn a_pin_that_raced_with_the_pools_change_does_not_lead_out_of_the_pool() {
    let m = Machine::new(2);
    let d = domain(1, 1);
    let cx = context(&d.vcpus()[0]).expect("alive");
    let _ = m.sched.pin_override(&cx, Some(1), 0).expect("in service");
    let _ = m.sched.set_pool(&cx, CpuMask::of(0), false, 0);
    assert_eq!(cx.vcpu.sched.pinned_to(), None);
    let _ = m.sched.pin_override(&cx, Some(0), 0).expect("in the pool");
    let _ = m.sched.set_pool(&cx, CpuMask::first_n(2), false, 0);
    assert_eq!(cx.vcpu.sched.pinned_to(), Some(0));
}
