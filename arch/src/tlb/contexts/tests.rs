//! The steps against a model of a TLB that keeps all it may keep and fetches all it may fetch, at any moment.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const IDLE: u64 = 0x1000;
const PAGES: [u64; 3] = [0x5000, 0x6000, 0xffff_ffff_8000_0000];
/// Tables: of three vCPUs, and a pair to exchange theirs for.
const ROOTS: u64 = 8;

const fn root(n: u64) -> u64 {
    0x10_0000 + (n % ROOTS) * 0x1000
}

/// A translation as it was read from the tables at a moment.
#[derive(Clone, Copy, Debug)]
struct Cached {
    number: u64,
    page: u64,
    root: u64,
    version: u64,
}

/// A CPU and the tables in memory.
struct Cpu {
    tagging: Tagging,
    cr3: u64,
    tlb: Vec<Cached>,
    /// How often each entry of each table was changed.
    memory: HashMap<(u64, u64), u64>,
    /// What must not be older than that any more.
    required: HashMap<(u64, u64), u64>,
    /// The running vCPU's tables, kernel and user; `None`: no vCPU runs.
    running: Option<[Option<u64>; 2]>,
    space: Space,
    loads: usize,
}

impl Cpu {
    fn new(tagging: Tagging) -> Self {
        Self {
            tagging,
            cr3: IDLE,
            tlb: Vec::new(),
            memory: HashMap::new(),
            required: HashMap::new(),
            running: None,
            space: Space::Kernel,
            loads: 0,
        }
    }

    fn version(&self, root: u64, page: u64) -> u64 {
        self.memory.get(&(root, page)).copied().unwrap_or(0)
    }

    fn number(cr3: u64) -> u64 {
        cr3 & NUMBER
    }

    /// The processor may look up any address at any time.
    fn speculate(&mut self) {
        let root = self.cr3 & !NUMBER;
        if root == IDLE {
            return; // maps nothing of guests', and what is not present is not cached
        }
        for page in PAGES {
            let version = self.version(root, page);
            self.tlb.push(Cached {
                number: Self::number(self.cr3),
                page,
                root,
                version,
            });
        }
    }

    fn perform(&mut self, step: Step) {
        let loaded = Self::number(self.cr3);
        match step {
            Step::Load(value) => {
                self.loads += 1;
                assert!(self.tagging.pcid || value & (KEEP | NUMBER) == 0, "faults");
                if value & KEEP == 0 {
                    self.tlb.retain(|c| c.number != Self::number(value));
                }
                self.cr3 = value & !KEEP;
            }
            Step::Page(va) => self.tlb.retain(|c| c.number != loaded || c.page != va),
            Step::PageUnder(space, va) => {
                assert!(self.tagging.invpcid);
                self.tlb
                    .retain(|c| c.number != space as u64 || c.page != va);
            }
            Step::Under(space) => {
                assert!(self.tagging.invpcid);
                self.tlb.retain(|c| c.number != space as u64);
            }
            Step::All => {
                assert!(self.tagging.invpcid);
                self.tlb.clear();
            }
            Step::Everything => self.tlb.clear(),
        }
        self.speculate();
    }

    fn steps(&mut self, decide: impl FnOnce(Tagging, u64, &mut Vec<Step>)) {
        let mut steps = Vec::new();
        decide(self.tagging, self.cr3, &mut steps);
        for step in steps {
            self.perform(step);
        }
    }

    fn require(&mut self, pages: &[u64], roots: impl IntoIterator<Item = u64>) {
        for root in roots {
            for &page in pages {
                let version = self.version(root, page);
                self.required.insert((root, page), version);
            }
        }
    }

    fn act(&mut self, op: &Op) {
        match *op {
            Op::Toggle => {
                let other = self.space.other();
                if let Some(root) = self.running.and_then(|r| r[other as usize]) {
                    self.space = other;
                    self.perform(Step::Load(self.tagging.enter(other, root)));
                }
            }
            Op::Run(kernel, user, in_kernel) => {
                let roots = [Some(root(kernel)), user.map(root)];
                self.running = Some(roots);
                self.space = Space::of_mode(in_kernel || user.is_none());
                let now = self.space;
                self.steps(|t, _, s| t.replace(roots, now, IDLE, |x| s.push(x)));
                self.require(&PAGES, (0..ROOTS).map(root));
            }
            Op::Leave => {
                self.running = None;
                self.space = Space::Kernel;
                self.steps(|t, _, s| t.replace([None; 2], Space::Kernel, IDLE, |x| s.push(x)));
                self.require(&PAGES, (0..ROOTS).map(root));
            }
            Op::NewKernel(n) => {
                if let Some([kernel, user]) = &mut self.running {
                    *kernel = Some(root(n));
                    let (roots, now) = ([*kernel, *user], self.space);
                    self.steps(|t, _, s| t.replace(roots, now, IDLE, |x| s.push(x)));
                    self.require(&PAGES, (0..ROOTS).map(root));
                }
            }
            Op::NewUser(n) => {
                // From guest kernel mode: the tables in use do not change.
                if self.space == Space::Kernel
                    && let Some([_, user]) = &mut self.running
                {
                    *user = n.map(root);
                    let user = *user;
                    self.steps(|t, cr3, s| {
                        t.flush_space(cr3, IDLE, Space::User, |x| s.push(x));
                    });
                    // If it shares a table with the kernel's, that one's own copies may stay.
                    let kernel = self.running.and_then(|r| r[0]);
                    self.require(&PAGES, user.filter(|&u| Some(u) != kernel));
                }
            }
            Op::Change(n, page) => {
                *self.memory.entry((root(n), PAGES[page])).or_default() += 1;
                self.speculate();
            }
            Op::FlushPage(page) => {
                let va = PAGES[page];
                self.steps(|t, cr3, s| t.flush_page(cr3, IDLE, va, |x| s.push(x)));
                self.require(&[va], (0..ROOTS).map(root));
            }
            Op::Flush => {
                self.steps(|t, cr3, s| t.flush_guests(cr3, IDLE, |x| s.push(x)));
                self.require(&PAGES, (0..ROOTS).map(root));
            }
            Op::FlushGlobal => {
                self.perform(Step::Everything);
                self.require(&PAGES, (0..ROOTS).map(root));
            }
        }
        self.check(op);
    }

    /// What guest code could use now.
    fn check(&self, op: &Op) {
        let loaded = Self::number(self.cr3);
        let expected = self
            .running
            .map_or(IDLE, |r| r[self.space as usize].unwrap_or(IDLE));
        assert_eq!(self.cr3 & !NUMBER, expected, "{op:?}: the tables");
        for cached in self.tlb.iter().filter(|c| c.number == loaded) {
            assert_eq!(
                cached.root,
                self.cr3 & !NUMBER,
                "{op:?}: of other tables: {cached:?}"
            );
            let required = self.required.get(&(cached.root, cached.page));
            assert!(
                cached.version >= required.copied().unwrap_or(0),
                "{op:?}: stale: {cached:?}"
            );
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Toggle,
    Run(u64, Option<u64>, bool),
    Leave,
    NewKernel(u64),
    NewUser(Option<u64>),
    Change(u64, usize),
    FlushPage(usize),
    Flush,
    FlushGlobal,
}

fn op() -> impl Strategy<Value = Op> {
    let table = 0..ROOTS;
    let page = 0..PAGES.len();
    prop_oneof![
        6 => Just(Op::Toggle),
        2 => (table.clone(), proptest::option::of(table.clone()), any::<bool>())
            .prop_map(|(kernel, user, mode)| Op::Run(kernel, user, mode)),
        1 => Just(Op::Leave),
        2 => table.clone().prop_map(Op::NewKernel),
        2 => proptest::option::of(table.clone()).prop_map(Op::NewUser),
        6 => (table, page.clone()).prop_map(|(table, page)| Op::Change(table, page)),
        3 => page.prop_map(Op::FlushPage),
        2 => Just(Op::Flush),
        1 => Just(Op::FlushGlobal),
    ]
}

fn taggings() -> [Tagging; 4] {
    [(false, false), (false, true), (true, false), (true, true)]
        .map(|(pcid, invpcid)| Tagging { pcid, invpcid })
}

proptest! {
    #[test]
    fn nothing_stale_is_usable_after_a_flush(ops in proptest::collection::vec(op(), 1..60)) {
        for tagging in taggings() {
            let mut cpu = Cpu::new(tagging);
            for op in &ops {
                cpu.act(op);
            }
        }
    }
}

#[test]
fn xsa_292_a_switch_between_vcpus_leaves_nothing_of_either_mode() {
    for tagging in taggings() {
        let mut cpu = Cpu::new(tagging);
        for op in [
            Op::Run(0, Some(1), true),
            Op::Toggle,
            Op::Toggle,
            Op::Run(2, Some(3), true),
            Op::Toggle,
            Op::Leave,
            Op::Run(4, None, true),
            Op::NewUser(Some(5)),
            Op::Toggle,
        ] {
            cpu.act(&op);
        }
    }
}

#[test]
fn going_to_the_other_mode_and_back_keeps_translations_where_there_are_numbers() {
    for tagging in taggings() {
        let mut cpu = Cpu::new(tagging);
        cpu.act(&Op::Run(0, Some(1), true));
        cpu.act(&Op::Change(0, 0));
        cpu.tlb.retain(|c| c.version == 0);
        cpu.act(&Op::Toggle);
        let kept = cpu
            .tlb
            .iter()
            .any(|c| (c.root, c.page, c.version) == (root(0), PAGES[0], 0));
        assert_eq!(kept, tagging.pcid);
    }
}

#[test]
fn without_numbers_nothing_but_what_there_was_before() {
    let plain = Tagging::default();
    let collect = |f: &dyn Fn(&mut Vec<Step>)| {
        let mut steps = Vec::new();
        f(&mut steps);
        steps
    };
    let load = Step::Load(root(0));
    assert_eq!(plain.enter(Space::User, root(0)), root(0));
    assert_eq!(
        collect(&|s| plain.flush_page(root(0), IDLE, 0x5000, |x| s.push(x))),
        [Step::Page(0x5000)]
    );
    assert_eq!(
        collect(&|s| plain.flush_guests(root(0), IDLE, |x| s.push(x))),
        [load]
    );
    assert_eq!(
        collect(
            &|s| plain.replace([Some(root(0)), None], Space::Kernel, IDLE, |x| {
                s.push(x);
            })
        ),
        [load]
    );
}

#[test]
fn what_is_used_of_what_there_is() {
    let cpu = |vendor, family, model, invpcid| Processor {
        vendor,
        family,
        model,
        pcid: true,
        invpcid,
    };
    let both = Tagging {
        pcid: true,
        invpcid: true,
    };
    let haswell = cpu(Vendor::Intel, 6, 0x3c, true);
    let ivy_bridge = cpu(Vendor::Intel, 6, 0x3a, false);
    let alder_lake = cpu(Vendor::Intel, 6, 0x97, true);
    let zen_3 = cpu(Vendor::Amd, 0x19, 0x01, true);
    assert_eq!(Tagging::choose(&haswell, true, true), both);
    assert_eq!(Tagging::choose(&zen_3, true, true), both);
    assert!(Tagging::choose(&ivy_bridge, true, true).pcid);
    assert!(!Tagging::choose(&ivy_bridge, true, true).invpcid);
    assert!(!Tagging::choose(&alder_lake, true, true).pcid);
    assert!(!Tagging::choose(&haswell, false, true).pcid);
    assert!(!Tagging::choose(&haswell, true, false).invpcid);
    let old = Processor {
        pcid: false,
        ..haswell
    };
    assert!(!Tagging::choose(&old, true, true).pcid);
}
