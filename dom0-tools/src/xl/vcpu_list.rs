//! `xl vcpu-list`.

use hypercall_abi::domctl::{DomctlGetdomaininfo, DomctlGetvcpuinfo, XEN_INVALID_MAX_VCPU_ID};

use super::bitmap::ranges;
use super::list::seconds;
use super::names::Names;
use crate::hypercall::{Error, Interface};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    domains: Vec<String>,
}

/// The list; inside, what is wrong with a domain asked for.
pub(super) fn run(xen: &Interface, arguments: &Arguments) -> Result<Result<String, String>, Error> {
    let cpus = xen.physinfo()?.max_cpu_id.saturating_add(1);
    let all = xen.domains()?;
    let mut names = Names::open();
    let mut wanted = Vec::new();
    for domain in &arguments.domains {
        match names.find(domain, &all) {
            Ok(info) => wanted.push(info),
            Err(message) => return Ok(Err(message)),
        }
    }
    if arguments.domains.is_empty() {
        wanted.extend(&all);
    }
    let mut out = header();
    for info in wanted {
        let name = names.of(info.domain);
        for vcpu in 0..vcpus(info) {
            let state = xen.vcpu(info.domain, vcpu)?;
            let (hard, soft) = xen.affinity(info.domain, vcpu, cpus)?;
            let affinity = [ranges(&hard, cpus), ranges(&soft, cpus)];
            out += &line(&name, info.domain.0, &state, &affinity);
        }
    }
    Ok(Ok(out))
}

fn vcpus(info: &DomctlGetdomaininfo) -> u32 {
    match info.max_vcpu_id {
        XEN_INVALID_MAX_VCPU_ID => 0,
        last => last + 1,
    }
}

fn header() -> String {
    format!(
        "{:<32} {:>5} {:>5} {:>5} {:>5} {:>9} Affinity (Hard / Soft)\n",
        "Name", "ID", "VCPU", "CPU", "State", "Time(s)"
    )
}

fn line(name: &str, domain: u16, vcpu: &DomctlGetvcpuinfo, affinity: &[String; 2]) -> String {
    let mark = |is: u8, letter: char| if is != 0 { letter } else { '-' };
    let place = if vcpu.online == 0 {
        format!("{:>5} {:>3}-p ", '-', '-')
    } else {
        let running = mark(vcpu.running, 'r');
        let blocked = mark(vcpu.blocked, 'b');
        format!("{:>5} {running:>3}{blocked}- ", vcpu.cpu)
    };
    let time = seconds(vcpu.cpu_time);
    let [hard, soft] = affinity;
    format!(
        "{name:<32} {domain:>5} {:>5}{place}{time:>9.1}  {hard} / {soft}\n",
        vcpu.vcpu
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_those_of_xl() {
        assert_eq!(
            header(),
            "Name                                ID  VCPU   CPU State   Time(s) \
             Affinity (Hard / Soft)\n"
        );
        let all = ["all".to_owned(), "all".to_owned()];
        let vcpu = DomctlGetvcpuinfo {
            online: 1,
            running: 1,
            cpu_time: 5_250_000_000,
            cpu: 2,
            ..Default::default()
        };
        assert_eq!(
            line("Domain-0", 0, &vcpu, &all),
            "Domain-0                             0     0    2   r--       5.2  all / all\n"
        );
        let vcpu = DomctlGetvcpuinfo {
            vcpu: 1,
            ..Default::default()
        };
        let pinned = ["1-3".to_owned(), "none".to_owned()];
        assert_eq!(
            line("Domain-0", 0, &vcpu, &pinned),
            "Domain-0                             0     1    -   --p       0.0  1-3 / none\n"
        );
    }

    #[test]
    fn a_domain_without_vcpus_has_no_lines() {
        let mut info = DomctlGetdomaininfo {
            max_vcpu_id: XEN_INVALID_MAX_VCPU_ID,
            ..Default::default()
        };
        assert_eq!(vcpus(&info), 0);
        info.max_vcpu_id = 3;
        assert_eq!(vcpus(&info), 4);
    }
}
