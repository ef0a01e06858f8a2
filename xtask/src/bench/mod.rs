//! `./x bench`: native Linux, stock Xen and Oxen side by side on the same emulated machine.
//!
//! QEMU counts instructions (`-icount shift=0`), so a nanosecond of virtual time is an executed
//! instruction, the time stamp counter counts them too, and the figures repeat on any host.

mod guests;
mod system;
mod table;
mod xenstored;

use std::fs;
use std::process::ExitCode;

use ::tests::System;
use anyhow::Result;

use crate::{build, setup};
use table::{Figures, Table};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Only these parts
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Also write the tables as Markdown to this file
    #[arg(long)]
    markdown: Option<std::path::PathBuf>,
    /// Only Oxen: quicker, no ratios
    #[arg(long)]
    oxen_only: bool,
    /// Only stock Xen
    #[arg(long, conflicts_with = "oxen_only")]
    xen_only: bool,
    /// Further words of dom0's command line: `oxen.many=10 oxen.idle=2` for fewer guests
    #[arg(long, default_value = "")]
    words: String,
}

/// A table.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// dom0 beside native Linux: boot, single operations, sizes
    System,
    /// Guests: operations in them, what idle ones cost the machine
    Guests,
    /// Events and grants between two guests
    Pair,
    /// A guest's disk and network
    Io,
    /// What is not a guest's work when guests work without a pause
    Busy,
    /// Events between two guests on two CPUs
    Cpus,
    /// Tools: xl's commands, a hundred domains, daemons
    Tools,
    /// Daemons that keep xenstore: ours, C xenstored, oxenstored
    Xenstored,
}

const XEN: &str = "Xen 4.17";
const OXEN: &str = "Oxen";

/// Measures and prints the tables.
pub fn run(options: &Options) -> Result<ExitCode> {
    let packages = setup::run()?;
    let mut session = Session {
        only: match (options.oxen_only, options.xen_only) {
            (true, _) => Some(System::Oxen),
            (_, true) => Some(System::Xen),
            _ => None,
        },
        complete: true,
    };
    let mut text = String::new();
    let wanted = |part| options.parts.is_empty() || options.parts.contains(&part);
    let mut add = |table: Table<'_>| {
        let table = table.render();
        println!("{table}");
        text.push_str(&table);
        text.push('\n');
    };
    if wanted(Part::System) {
        let systems = [
            ("native", System::Linux),
            (XEN, System::Xen),
            (OXEN, System::Oxen),
        ];
        let columns = session.columns(&systems, |system| system::measure(&packages, system));
        add(Table {
            title: "operation (instructions)",
            rows: system::ROWS,
            columns: &columns,
            compared: &[("native", OXEN), (XEN, OXEN)],
        });
    }
    let both = [(XEN, System::Xen), (OXEN, System::Oxen)];
    let (mut guests, mut tools) = (Vec::new(), Vec::new());
    // One boot for all of these, so that the plain `./x bench` does not do things twice.
    let together: Vec<&str> = [
        (Part::Guests, "guests"),
        (Part::Pair, "pair"),
        (Part::Io, "io"),
        (Part::Busy, "busy"),
        (Part::Tools, "tools"),
    ]
    .into_iter()
    .filter(|(part, _)| wanted(*part))
    .map(|(_, word)| word)
    .collect();
    if !together.is_empty() {
        let words = format!("oxen.bench={} {}", together.join("+"), options.words);
        guests = session.columns(&both, |system| {
            guests::measure(&packages, &guests::Boot::guests(system, &words))
        });
    }
    if wanted(Part::Cpus) {
        let pairs = session.columns(&both, |system| {
            guests::measure(&packages, &guests::Boot::cpus(system))
        });
        // In the same table where both are measured.
        for (name, figures) in pairs {
            match guests.iter_mut().find(|(column, _)| *column == name) {
                Some((_, all)) => all.extend(figures),
                None => guests.push((name, figures)),
            }
        }
    }
    let of_guests = [Part::Guests, Part::Pair, Part::Io, Part::Busy, Part::Cpus];
    if of_guests.into_iter().any(wanted) {
        add(Table {
            title: "guests (instructions)",
            rows: guests::ROWS,
            columns: &guests,
            compared: &[(XEN, OXEN)],
        });
    }
    if wanted(Part::Tools) {
        for (name, figures) in &guests {
            let name = match *name {
                OXEN => "stock tools on Oxen",
                _ => "stock tools on Xen 4.17",
            };
            tools.push((name, figures.clone()));
        }
        tools.extend(
            session.columns(&[("ours on Oxen", System::Oxen)], |system| {
                let words = format!("oxen.bench=tools oxen.tools=ours {}", options.words);
                guests::measure(&packages, &guests::Boot::guests(system, &words))
            }),
        );
        add(Table {
            title: "tools (instructions)",
            rows: guests::TOOL_ROWS,
            columns: &tools,
            compared: &[("stock tools on Oxen", "ours on Oxen")],
        });
    }
    if wanted(Part::Xenstored) {
        let measured = session.columns(&[(OXEN, System::Oxen)], |system| {
            guests::measure(&packages, &guests::Boot::xenstored(system))
        });
        if let Some((_, all)) = measured.first() {
            let columns = xenstored::columns(all);
            for (title, rows) in [
                (
                    "xenstored (operations per 10^9 instructions: more is better)",
                    xenstored::RATES,
                ),
                ("xenstored (less is better)", xenstored::COSTS),
            ] {
                add(Table {
                    title,
                    rows,
                    columns: &columns,
                    compared: xenstored::COMPARED,
                });
            }
        }
    }
    if let Some(path) = &options.markdown {
        fs::write(path, text)?;
    }
    Ok(if session.complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What all parts share.
struct Session {
    only: Option<System>,
    complete: bool,
}

impl Session {
    /// Measures the systems one after the other. One that fails has an empty column.
    fn columns<'n>(
        &mut self,
        systems: &[(&'n str, System)],
        measure: impl Fn(System) -> Result<Figures>,
    ) -> Vec<(&'n str, Figures)> {
        let mut columns = Vec::new();
        for (name, system) in systems {
            if self.only.is_some_and(|only| only != *system)
                || *system == System::Oxen && !build::has_hypervisor()
            {
                continue;
            }
            eprintln!("x: measuring {name}");
            let figures = measure(*system).unwrap_or_else(|error| {
                eprintln!("x: {name}: {error:#}");
                self.complete = false;
                Figures::new()
            });
            columns.push((*name, figures));
        }
        columns
    }
}
