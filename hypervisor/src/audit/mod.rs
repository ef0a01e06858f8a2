//! The invariant checker: recomputes every reference and type count, account, grant pin and event-channel binding from
//! what refers to what, and compares. Debug key `f`; scenarios ask for it after whatever a hostile guest did.
//!
//! | checked | against | where |
//! |---|---|---|
//! | a page's references and uses of its type | tables' entries, pins, vCPUs, pages of FIFO queues and pirqs, device mappings | `mm::audit` |
//! | a domain's account; RAM that is nobody's | owners in the frame table | `mm::audit` |
//! | an unprivileged domain's mappings of others' pages | its grant mappings | here |
//! | a grant's pins and user; handles | all domains' mappings | `grant_table::audit` |
//! | ports, both ends of a channel, VIRQ and pirq bindings, the counts of ports | each other | `event_channel::audit` |
//!
//! All other vCPUs are paused meanwhile; what they may still be doing on their way out shows as a finding of one round
//! and not of the next, and is dropped.

pub mod holdings;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use arch::addr::Mfn;

use crate::domain::{DomainId, Vcpu};
use crate::host::host;
use crate::mm::PageType;
use crate::{event_channel, grant_table, irq, mm, sched};

/// Looks again as often as this before it believes a finding.
const ROUNDS: usize = 3;
/// Findings that are kept; what is worse is bad enough.
const MOST: usize = 256;
/// How often the checker looks whether a paused vCPU has left its CPU: some milliseconds.
const PATIENCE: u32 = 200_000;

/// The lines of one round.
#[derive(Default)]
struct Findings {
    lines: Vec<String>,
    more: usize,
}

impl Findings {
    fn add(&mut self, line: fmt::Arguments<'_>) {
        if self.lines.len() < MOST {
            self.lines.push(alloc::format!("{line}"));
        } else {
            self.more += 1;
        }
    }
}

/// Checks everything once, in the caller's thread; the machine should be quiet.
fn round() -> Findings {
    let mut found = Findings::default();
    grant_table::audit::audit(&mut |line| found.add(line));
    let mut stored: Vec<(Mfn, Option<PageType>)> = Vec::new();
    // How many mappings of a page a domain's tables may have, by domain and page.
    let mut granted: BTreeMap<(u16, u64), u32> = BTreeMap::new();
    host().domains.for_each(|domain| {
        event_channel::audit::audit(domain, &mut |line| found.add(line));
        event_channel::audit::stored(domain, |mfn| stored.push((mfn, Some(PageType::Writable))));
        if let Some(mfn) = irq::stored(domain) {
            stored.push((mfn, Some(PageType::Writable)));
        }
        grant_table::audit::for_each_mapping(domain, |mapped| {
            if mapped.device {
                stored.push((
                    mapped.mfn,
                    (!mapped.read_only).then_some(PageType::Writable),
                ));
            }
            if mapped.host {
                *granted
                    .entry((mapped.mapper.0, mapped.mfn.get()))
                    .or_default() += 1;
            }
        });
    });
    match mm::audit::examine(&stored) {
        Some(pages) => judge_pages(&pages, granted, &mut found),
        None => found.add(format_args!("no memory to check the pages")),
    }
    found
}

fn judge_pages(
    pages: &mm::audit::Findings,
    mut granted: BTreeMap<(u16, u64), u32>,
    found: &mut Findings,
) {
    for difference in &pages.differences {
        found.add(format_args!("{difference}"));
    }
    for (owner, mfn) in &pages.orphans {
        found.add(format_args!(
            "page {mfn} belongs to d{}, which is gone",
            owner.0
        ));
    }
    for mfn in &pages.lost {
        found.add(format_args!("page {mfn} is neither free nor anybody's"));
    }
    for (domain, account, truth) in &pages.accounts {
        found.add(format_args!(
            "d{}: {account} pages in its account, {truth} are its own",
            domain.0
        ));
    }
    for &(DomainId(domain), mfn) in &pages.foreign {
        match granted.get_mut(&(domain, mfn.get())) {
            Some(left) if *left > 0 => *left -= 1,
            _ => found.add(format_args!(
                "d{domain} maps page {mfn} of another domain without a grant"
            )),
        }
    }
}

/// The vCPUs that were paused for the checks; dropping it lets them go on.
struct Quiet(Vec<Arc<Vcpu>>);

impl Quiet {
    fn new() -> Self {
        let mut paused = Vec::new();
        let here = Some(arch::percpu::cpu_id() as usize);
        host().domains.for_each(|domain| {
            for vcpu in domain.vcpus() {
                if vcpu.sched.on_cpu() != here {
                    sched::pause_nosync(vcpu);
                    paused.push(vcpu.clone());
                }
            }
        });
        let mut patience = PATIENCE;
        while patience > 0 && !paused.iter().all(|vcpu| sched::is_descheduled(vcpu)) {
            <arch::sync::Service as spin::RelaxStrategy>::relax();
            patience -= 1;
        }
        Self(paused)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        for vcpu in &self.0 {
            sched::unpause(vcpu);
        }
    }
}

/// Checks everything and returns what is wrong, a line each; an empty result means that all invariants hold.
pub fn run() -> Vec<String> {
    let _quiet = cfg!(target_os = "none").then(Quiet::new);
    let mut believed = round();
    for _ in 1..ROUNDS {
        if believed.lines.is_empty() {
            break;
        }
        let again = round();
        believed.lines.retain(|line| again.lines.contains(line));
        believed.more = believed.more.min(again.more);
    }
    if believed.more > 0 {
        let line = alloc::format!("and {} more", believed.more);
        believed.lines.push(line);
    }
    believed.lines
}

/// The debug key: says what is wrong, and last how much. Scenarios look for `0 invariants broken`.
pub fn report() {
    let lines = run();
    for line in &lines {
        log::info!(" {line}");
    }
    log::info!("{} invariants broken", lines.len());
}
