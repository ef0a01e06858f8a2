//! Daemons that keep xenstore: ours beside C xenstored and oxenstored, each measured by `xenstore-bench` in the same dom0.

use super::table::Figures;

/// Words for the daemons in the scenario, and headings.
const DAEMONS: &[(&str, &str)] = &[
    ("c", "C xenstored"),
    ("ocaml", "oxenstored"),
    ("ours", "ours"),
];
/// What ours is compared with.
pub const COMPARED: &[(&str, &str)] = &[("C xenstored", "ours"), ("oxenstored", "ours")];

/// Where more is better.
pub const RATES: &[(&str, &str)] = &[
    ("read-1", "read, 1 client"),
    ("read-10", "read, 10 clients"),
    ("read-100", "read, 100 clients"),
    ("write-1", "write, 1 client"),
    ("write-10", "write, 10 clients"),
    ("write-100", "write, 100 clients"),
    ("transaction-1", "transaction, 1 client"),
    ("transaction-10", "transaction, 10 clients"),
    ("transaction-100", "transaction, 100 clients"),
    ("contended-10", "transaction on one node, 10 clients"),
    ("contended-100", "transaction on one node, 100 clients"),
    ("create-1000-domains", "nodes made, 1,000 domains"),
    ("read-among-many-1", "read among 1,000 domains"),
    ("list-of-domains-1", "list of 1,000 domains"),
    (
        "transaction-among-many-10",
        "transaction among 1,000 domains, 10 clients",
    ),
];

/// Where less is better.
pub const COSTS: &[(&str, &str)] = &[
    (
        "conflicts-10",
        "conflicts per 1,000 transactions, 10 clients",
    ),
    (
        "conflicts-100",
        "conflicts per 1,000 transactions, 100 clients",
    ),
    ("resident-empty", "KiB resident at first"),
    ("resident-1000-domains", "KiB resident with 1,000 domains"),
];

/// A column for each daemon from a run that measured all of them, whose figures are called `DAEMON NAME`.
pub fn columns(all: &Figures) -> Vec<(&'static str, Figures)> {
    DAEMONS
        .iter()
        .map(|(word, title)| (*title, of_daemon(all, word)))
        .collect()
}

fn of_daemon(all: &Figures, word: &str) -> Figures {
    let own = |(name, value): (&String, &u64)| {
        let name = name.strip_prefix(word)?.strip_prefix(' ')?;
        Some((name.to_owned(), *value))
    };
    all.iter().filter_map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemons_figures_lose_its_word() {
        let all = Figures::from([("c read-1".to_owned(), 5), ("ours read-1".to_owned(), 7)]);
        assert_eq!(
            of_daemon(&all, "c"),
            Figures::from([("read-1".to_owned(), 5)])
        );
        assert!(of_daemon(&all, "ocaml").is_empty());
    }
}
