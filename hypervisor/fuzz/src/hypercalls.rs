//! Random hypercalls of a dom0 and a guest. Whatever they ask for, the hypervisor answers, and its books balance:
//! reference counts, type counts and ownership are recomputed as it goes, and all memory comes back at the end.

use hypercall_abi::xen::Hypercall;
use hypervisor::domain::Context;
use hypervisor::fail::{Args, Fail};
use hypervisor::hypercall;

use super::input::Input;
use super::machine::{self as machine, BUFFER, Machine, SELF, finish, put};

/// A hypercall, and how many operations it has (0: its first argument is none).
pub type Call = (Hypercall, u8);

/// Calls that change page types, and what writes to tables.
pub const PAGES: &[Call] = &[
    (Hypercall::MMU_UPDATE, 0),
    (Hypercall::MMUEXT_OP, 0),
    (Hypercall::UPDATE_VA_MAPPING, 0),
    (Hypercall::MEMORY_OP, 29),
    (Hypercall::SET_GDT, 0),
];
/// Calls that share pages.
pub const GRANTS: &[Call] = &[
    (Hypercall::GRANT_TABLE_OP, 13),
    (Hypercall::GRANT_TABLE_OP, 13),
    (Hypercall::GRANT_TABLE_OP, 13),
    (Hypercall::UPDATE_VA_MAPPING, 0),
];
/// Calls on event channels.
pub const EVENTS: &[Call] = &[(Hypercall::EVENT_CHANNEL_OP, 15)];

/// What is called, with how many of its operations there are. Some are left out: those that end the machine
/// (sched_op shutdown by dom0, platform_op sleep, kexec), and iret, which is no hypercall but a way out.
pub const ALL: &[Call] = &[
    (Hypercall::MMU_UPDATE, 0),
    (Hypercall::MMU_UPDATE, 0),
    (Hypercall::MMUEXT_OP, 0),
    (Hypercall::MMUEXT_OP, 0),
    (Hypercall::UPDATE_VA_MAPPING, 0),
    (Hypercall::UPDATE_VA_MAPPING_OTHERDOMAIN, 0),
    (Hypercall::MEMORY_OP, 29),
    (Hypercall::MEMORY_OP, 29),
    (Hypercall::GRANT_TABLE_OP, 13),
    (Hypercall::GRANT_TABLE_OP, 13),
    (Hypercall::EVENT_CHANNEL_OP, 15),
    (Hypercall::EVENT_CHANNEL_OP, 15),
    (Hypercall::SET_TRAP_TABLE, 0),
    (Hypercall::SET_GDT, 0),
    (Hypercall::STACK_SWITCH, 0),
    (Hypercall::SET_CALLBACKS, 0),
    (Hypercall::FPU_TASKSWITCH, 0),
    (Hypercall::SET_DEBUGREG, 0),
    (Hypercall::GET_DEBUGREG, 0),
    (Hypercall::UPDATE_DESCRIPTOR, 0),
    (Hypercall::MULTICALL, 0),
    (Hypercall::SET_TIMER_OP, 0),
    (Hypercall::XEN_VERSION, 13),
    (Hypercall::CONSOLE_IO, 2),
    (Hypercall::VM_ASSIST, 2),
    (Hypercall::VCPU_OP, 15),
    (Hypercall::SET_SEGMENT_BASE, 4),
    (Hypercall::XSM_OP, 0),
    (Hypercall::NMI_OP, 2),
    (Hypercall::SCHED_OP, 8),
    (Hypercall::CALLBACK_OP, 2),
    (Hypercall::PHYSDEV_OP, 34),
    (Hypercall::HYPFS_OP, 4),
    (Hypercall::XENOPROF_OP, 20),
    (Hypercall::HVM_OP, 26),
];

/// Operations of sched_op that would end the machine when dom0 calls them.
const SCHED_ENDS: [u64; 4] = [2, 4, 5, 6];

impl Machine {
    /// A number that is likelier than others to mean something.
    fn word(&self, input: &mut Input<'_>) -> u64 {
        let page = |input: &mut Input<'_>| {
            let n = usize::from(input.u8());
            self.pool[n % self.pool.len()].get()
        };
        match input.u8() % 16 {
            0..=3 => input.u8().into(),
            4 => page(input),
            5 | 6 => page(input) << 12 | u64::from(input.u16() & 0xfff),
            // A page-table entry.
            7 | 8 => {
                page(input) << 12 | input.pick(&[0x67, 0x65, 0x27, 0x07, 0x05, 0x01, 0x00, 0xe7])
            }
            9 => BUFFER + u64::from(input.u8()) * 64,
            10 => input.pick(&[SELF, 0, 1, 0x7ff1, 0x7ff2, 0x7ff4, 0xffff_ffff]),
            // A virtual address of the few that are mapped.
            11 => u64::from(input.u8() % 16) << 12,
            12 => u64::from(input.u8()) | u64::from(input.u8()) << 32,
            // Two domains' ids, as event channels' operations have them.
            14 => input.pick(&[SELF, 0, 1]) | input.pick(&[SELF, 0, 1]) << 16,
            13 => u64::from(input.u16()) << 16 | u64::from(input.u8()),
            _ => input.u64(),
        }
    }

    /// The guest grants a page to the other, or takes a grant back, by writing to its table (version 1).
    fn grant(&self, caller: usize, input: &mut Input<'_>) {
        let table = arch::hosted::frame(self.grants[caller]);
        let entry = usize::from(input.u8() % 16) * 8;
        let page = self.word(input) & 0x3ff;
        let flags: u32 = input.pick(&[1, 1, 1, 5, 0, 2]);
        let to = 1 - caller as u32;
        table.write_u32(entry + 4, page as u32);
        table.write_u32(entry, flags | to << 16);
    }

    /// One hypercall by vCPU `vcpu` of one of the domains. False if the domain is to be crashed for it.
    pub fn step(&self, input: &mut Input<'_>, calls: &[Call], vcpu: usize) -> bool {
        let caller = usize::from(!input.u8().is_multiple_of(3));
        if calls.iter().any(|c| c.0 == Hypercall::GRANT_TABLE_OP) && input.u8().is_multiple_of(8) {
            self.grant(caller, input);
        }
        let domain = self.domains[caller].domain.clone();
        let cx = Context {
            vcpu: domain.vcpus()[vcpu].clone(),
            domain,
        };
        let (number, operations) = input.pick(calls);
        let mut args: [u64; 6] = std::array::from_fn(|_| 0);
        let mut first = 0;
        if operations > 0 {
            args[0] = u64::from(input.u8() % (operations + 1));
            first = 1;
        }
        // An array of requests, and how many of them.
        let at = u64::from(input.u8() & 31) * 256;
        let words: Vec<u64> = (0..8).map(|_| self.word(input)).collect();
        args[first] = put(at, &words);
        args[first + 1] = input.pick(&[1, 1, 1, 2, 0, 3]);
        for arg in &mut args[first + 2..] {
            *arg = input.pick(&[0, 0, SELF, 1, BUFFER]);
        }
        // The calls that take numbers rather than an array.
        if matches!(
            number,
            Hypercall::UPDATE_VA_MAPPING
                | Hypercall::UPDATE_VA_MAPPING_OTHERDOMAIN
                | Hypercall::UPDATE_DESCRIPTOR
                | Hypercall::STACK_SWITCH
                | Hypercall::SET_CALLBACKS
                | Hypercall::SET_DEBUGREG
                | Hypercall::GET_DEBUGREG
                | Hypercall::SET_SEGMENT_BASE
                | Hypercall::SET_TIMER_OP
                | Hypercall::VM_ASSIST
        ) {
            for arg in &mut args[first..] {
                *arg = self.word(input);
            }
        }
        if matches!(
            number,
            Hypercall::EVENT_CHANNEL_OP | Hypercall::VCPU_OP | Hypercall::SCHED_OP
        ) && operations > 0
        {
            // (operation, argument) or (operation, vCPU, argument).
            if number == Hypercall::VCPU_OP {
                (args[1], args[2]) = (input.u8().into(), args[1]);
            }
        }
        if number == Hypercall::SCHED_OP && SCHED_ENDS.contains(&args[0]) {
            return true;
        }
        // A batch may hold what must not be called.
        if number == Hypercall::MULTICALL {
            let inner = input.pick(&[1, 12, 14, 17, 20, 26, 32]);
            put(at, &[inner]);
        }
        let result = finish(Args(args), |args| {
            hypercall::dispatch(&cx, number.0.into(), args)
        });
        if std::env::var_os("FUZZ_TRACE").is_some() {
            eprintln!("d{caller} {number:?} {args:x?} {words:x?} = {result:x?}");
        }
        // A domain that was crashed does not go on.
        !matches!(result, Err(Fail::Crash(_)))
    }
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let machine = machine::new(2);
    let mut input = Input::new(data);
    let mut steps = 0;
    while !input.is_empty() && steps < 400 {
        if !machine.step(&mut input, ALL, 0) {
            break;
        }
        steps += 1;
        if steps % 16 == 0 {
            machine.audit("a few hypercalls");
        }
    }
    machine.audit("all hypercalls");
    machine.end();
}
