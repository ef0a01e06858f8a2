//! `xl sched-credit` and `xl sched-credit2`.

use hypercall_abi::domctl::Scheduler;
use hypercall_abi::xen::DomId;

use super::devices::Failure;
use super::names::Names;
use super::pools::{find_pool, name_of};
use crate::hypercall::Interface;
use crate::hypercall::pools::Parameters;

#[derive(Debug, Default, clap::Args)]
pub(super) struct Arguments {
    #[arg(short, long)]
    domain: Option<String>,
    #[arg(short, long)]
    weight: Option<u16>,
    #[arg(short, long)]
    cap: Option<u16>,
    /// The scheduler's own parameters.
    #[arg(short = 's', long)]
    schedparam: bool,
    #[arg(short, long = "tslice_ms")]
    tslice: Option<u32>,
    #[arg(short, long = "ratelimit_us")]
    ratelimit: Option<u32>,
    #[arg(short, long = "migration_delay_us")]
    migration_delay: Option<u32>,
    #[arg(short = 'p', long)]
    cpupool: Option<String>,
}

pub(super) fn run(arguments: &Arguments, scheduler: Scheduler) -> Result<String, Failure> {
    check(arguments, scheduler)?;
    let xen = Interface::open()?;
    if arguments.schedparam {
        return of_pool(&xen, arguments, scheduler);
    }
    let Some(domain) = &arguments.domain else {
        return all(&xen, arguments, scheduler);
    };
    let domains = xen.domains()?;
    let mut names = Names::open();
    let domain = names.find(domain, &domains)?.domain;
    if arguments.weight.is_some() || arguments.cap.is_some() {
        xen.set_share(domain, scheduler, arguments.weight, arguments.cap)?;
        return Ok(String::new());
    }
    Ok(header() + &line(&xen, &mut names, domain, scheduler)?)
}

fn check(arguments: &Arguments, scheduler: Scheduler) -> Result<(), Failure> {
    let about_domain =
        arguments.domain.is_some() || arguments.weight.is_some() || arguments.cap.is_some();
    let about_pool = arguments.cpupool.is_some() || arguments.schedparam;
    let sets = arguments
        .tslice
        .or(arguments.ratelimit)
        .or(arguments.migration_delay);
    let wrong = if about_pool && about_domain {
        "Specifying a cpupool or schedparam is not allowed with domain options."
    } else if arguments.domain.is_none() && about_domain {
        "Must specify a domain."
    } else if !arguments.schedparam && sets.is_some() {
        "Must specify schedparam to set schedule parameter values."
    } else if scheduler == Scheduler::CREDIT2
        && arguments.tslice.or(arguments.migration_delay).is_some()
    {
        "The credit2 scheduler has neither a time slice nor a migration delay."
    } else {
        return Ok(());
    };
    Err(wrong.to_owned().into())
}

fn of_pool(
    xen: &Interface,
    arguments: &Arguments,
    scheduler: Scheduler,
) -> Result<String, Failure> {
    let pool = match &arguments.cpupool {
        Some(name) => find_pool(xen, name)?.id,
        None => 0,
    };
    let now = xen.parameters(pool, scheduler);
    if arguments
        .tslice
        .or(arguments.ratelimit)
        .or(arguments.migration_delay)
        .is_none()
    {
        return Ok(parameters(&name_of(pool), now.ok()));
    }
    let changed = match now? {
        Parameters::Credit {
            slice,
            rate_limit,
            migration_delay,
        } => Parameters::Credit {
            slice: arguments.tslice.unwrap_or(slice),
            rate_limit: arguments.ratelimit.unwrap_or(rate_limit),
            migration_delay: arguments.migration_delay.unwrap_or(migration_delay),
        },
        Parameters::Credit2 { rate_limit } => Parameters::Credit2 {
            rate_limit: arguments.ratelimit.unwrap_or(rate_limit),
        },
    };
    xen.set_parameters(pool, changed)?;
    Ok(String::new())
}

/// All domains, pool by pool, as far as this scheduler has them.
fn all(xen: &Interface, arguments: &Arguments, scheduler: Scheduler) -> Result<String, Failure> {
    let only = match &arguments.cpupool {
        Some(name) => Some(find_pool(xen, name)?.id),
        None => None,
    };
    let cpus = xen.physinfo()?.max_cpu_id.saturating_add(1);
    let domains = xen.domains()?;
    let mut names = Names::open();
    let mut out = String::new();
    for pool in xen.pools(cpus)? {
        if pool.scheduler != scheduler || only.is_some_and(|only| only != pool.id) {
            continue;
        }
        out += &parameters(&name_of(pool.id), xen.parameters(pool.id, scheduler).ok());
        out += &header();
        for info in domains.iter().filter(|info| info.cpupool == pool.id) {
            out += &line(xen, &mut names, info.domain, scheduler)?;
        }
    }
    Ok(out)
}

fn parameters(pool: &str, now: Option<Parameters>) -> String {
    match now {
        None => format!("Cpupool {pool}: [sched params unavailable]\n"),
        Some(Parameters::Credit {
            slice,
            rate_limit,
            migration_delay,
        }) => format!(
            "Cpupool {pool}: tslice={slice}ms ratelimit={rate_limit}us \
             migration-delay={migration_delay}us\n"
        ),
        Some(Parameters::Credit2 { rate_limit }) => {
            format!("Cpupool {pool}: ratelimit={rate_limit}us\n")
        }
    }
}

fn header() -> String {
    format!("{:<33} {:>4} {:>6} {:>4}\n", "Name", "ID", "Weight", "Cap")
}

fn line(
    xen: &Interface,
    names: &mut Names,
    domain: DomId,
    scheduler: Scheduler,
) -> Result<String, Failure> {
    let (weight, cap) = xen.share(domain, scheduler)?;
    let name = names.of(domain);
    Ok(format!("{name:<33} {:>4} {weight:>6} {cap:>4}\n", domain.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_that_of_xl() {
        assert_eq!(
            header(),
            "Name                                ID Weight  Cap\n"
        );
        let credit2 = Parameters::Credit2 { rate_limit: 1000 };
        assert_eq!(
            parameters("Pool-0", Some(credit2)),
            "Cpupool Pool-0: ratelimit=1000us\n"
        );
        let credit = Parameters::Credit {
            slice: 30,
            rate_limit: 1000,
            migration_delay: 0,
        };
        assert_eq!(
            parameters("Pool-0", Some(credit)),
            "Cpupool Pool-0: tslice=30ms ratelimit=1000us migration-delay=0us\n"
        );
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let refused = |arguments: Arguments| check(&arguments, Scheduler::CREDIT2).is_err();
        assert!(refused(Arguments {
            weight: Some(1),
            ..Default::default()
        }));
        assert!(refused(Arguments {
            ratelimit: Some(1),
            ..Default::default()
        }));
        assert!(refused(Arguments {
            schedparam: true,
            tslice: Some(1),
            ..Default::default()
        }));
        let both = Arguments {
            schedparam: true,
            domain: Some("x".into()),
            ..Default::default()
        };
        assert!(refused(both));
        assert!(!refused(Arguments::default()));
    }
}
