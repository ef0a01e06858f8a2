//! Domains as the store knows them: since when, what they own, what they are charged.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::connection::ConnId;
use super::quota::Quota;

/// Refusals closer together than this are one burst, which is logged once.
const BURST: Duration = Duration::from_secs(10);
/// Writes that one domain may make at once beside others' transactions (XSA-206).
const CREDIT_MAX: f64 = 10.0;
/// And how many all domains together get back per second.
const CREDIT_RATE: f64 = 200.0;
/// What all together may draw in advance.
const RESERVE_MAX: f64 = 1000.0;

/// One domain.
#[derive(Debug)]
pub struct Domain {
    /// The generation in which it was first heard of.
    pub born: u64,
    /// Its ring, once it was introduced.
    pub conn: Option<ConnId>,
    /// Its own end of the event channel.
    pub port: u32,
    /// It is known to have shut down, and watches have heard of it.
    pub shutdown: bool,
    /// Nodes it owns.
    pub nodes: i64,
    /// Bytes it is charged.
    pub memory: i64,
    /// Requests that are not done with.
    pub outstanding: Rc<Cell<u32>>,
    /// Above the soft limit, and that was logged.
    warned: bool,
    /// When each limit last refused something.
    refused: HashMap<Quota, Instant>,
    credit: f64,
    credited: Option<Instant>,
}

impl Domain {
    fn new(born: u64) -> Self {
        Self {
            born,
            conn: None,
            port: 0,
            shutdown: false,
            nodes: 0,
            memory: 0,
            outstanding: Rc::default(),
            warned: false,
            refused: HashMap::new(),
            credit: CREDIT_MAX,
            credited: None,
        }
    }

    /// Notes a refusal; says whether it begins a burst.
    pub fn refuse(&mut self, quota: Quota, now: Instant) -> bool {
        let last = self.refused.insert(quota, now);
        last.is_none_or(|last| now.saturating_duration_since(last) >= BURST)
    }

    /// Whether crossing the soft limit, either way, is news.
    pub fn cross_soft(&mut self, limit: u32) -> Option<bool> {
        let above = self.memory >= i64::from(limit);
        (above != self.warned).then(|| {
            self.warned = above;
            above
        })
    }

    /// Whether it has written more beside others' transactions than it may.
    pub fn in_debt(&self) -> bool {
        self.credit < 0.0
    }
}

/// All domains.
#[derive(Debug)]
pub struct Domains {
    all: BTreeMap<u32, Domain>,
    reserve: f64,
}

impl Default for Domains {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            reserve: RESERVE_MAX,
        }
    }
}

impl Domains {
    /// One.
    pub fn get(&self, domid: u32) -> Option<&Domain> {
        self.all.get(&domid)
    }

    /// One, to change.
    pub fn get_mut(&mut self, domid: u32) -> Option<&mut Domain> {
        self.all.get_mut(&domid)
    }

    /// One, which counts as born now if it was not known.
    pub fn know(&mut self, domid: u32, generation: u64) -> &mut Domain {
        self.all
            .entry(domid)
            .or_insert_with(|| Domain::new(generation))
    }

    /// Forgets one.
    pub fn remove(&mut self, domid: u32) -> Option<Domain> {
        self.all.remove(&domid)
    }

    /// Since when a domain is known.
    pub fn born(&self, domid: u32) -> Option<u64> {
        self.all.get(&domid).map(|domain| domain.born)
    }

    /// All numbers.
    pub fn ids(&self) -> Vec<u32> {
        self.all.keys().copied().collect()
    }

    /// All, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Domain)> {
        self.all.iter().map(|(domid, domain)| (*domid, domain))
    }

    /// The introduced domain of that number, and its ring.
    pub fn connected(&self, domid: u32) -> Option<ConnId> {
        self.all.get(&domid)?.conn
    }

    /// Charges, or with a negative number frees, nodes and bytes.
    pub fn charge(&mut self, domid: u32, nodes: i64, bytes: i64, generation: u64) {
        let domain = self.know(domid, generation);
        domain.nodes = domain.nodes.saturating_add(nodes);
        domain.memory = domain.memory.saturating_add(bytes);
    }

    /// Takes one write from a domain's credit.
    pub fn debit(&mut self, domid: u32, now: Instant) -> bool {
        self.earn(domid, now);
        let Some(domain) = self.all.get_mut(&domid) else {
            return false;
        };
        domain.credit -= 1.0;
        if domain.credit < 0.0 && self.reserve >= 1.0 {
            self.reserve -= 1.0;
            domain.credit += 1.0;
        }
        domain.credit < 0.0
    }

    /// Gives a domain what time has earned it.
    pub fn earn(&mut self, domid: u32, now: Instant) {
        let sharing = self.all.values().filter(|d| d.conn.is_some()).count();
        let Some(domain) = self.all.get_mut(&domid) else {
            return;
        };
        let since = domain
            .credited
            .map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        domain.credited = Some(now);
        domain.credit += since.as_secs_f64() * CREDIT_RATE / sharing.max(1) as f64;
        if domain.credit > CREDIT_MAX {
            self.reserve = (self.reserve + domain.credit - CREDIT_MAX).min(RESERVE_MAX);
            domain.credit = CREDIT_MAX;
        }
    }

    /// Gives all that wait for credit what time has earned them, whether they ask or not.
    pub fn earn_debts(&mut self, now: Instant) {
        let debtors = self.iter().filter(|(_, domain)| domain.in_debt());
        for domid in debtors.map(|(domid, _)| domid).collect::<Vec<_>>() {
            self.earn(domid, now);
        }
    }

    /// Whether any domain waits for credit.
    pub fn any_in_debt(&self) -> bool {
        self.all.values().any(Domain::in_debt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_refusals_is_one() {
        let mut domain = Domain::new(0);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(domain.refuse(Quota::Nodes, start));
        for second in 1..30 {
            assert!(!domain.refuse(Quota::Nodes, at(second)));
        }
        assert!(domain.refuse(Quota::Watches, at(30)));
        assert!(domain.refuse(Quota::Nodes, at(60)));
    }

    /// XSA-206: a domain cannot starve others' transactions by writing all the time.
    #[test]
    fn xsa_206_writes_beside_transactions_are_limited() {
        let mut domains = Domains::default();
        let start = Instant::now();
        domains.know(1, 0).conn = Some(ConnId(1));
        let mut writes = 0;
        while !domains.debit(1, start) {
            writes += 1;
            assert!(writes < 2000);
        }
        assert!(domains.any_in_debt());
        // Also one that asks for nothing more.
        domains.earn_debts(start + Duration::from_millis(50));
        assert!(!domains.any_in_debt());
        // In a second it gets back what the rate allows, not more.
        let mut writes = 0;
        while !domains.debit(1, start + Duration::from_millis(1050)) {
            writes += 1;
        }
        assert!((100..=300).contains(&writes), "{writes}");
    }
}
