//! A guest that consumes FIFO events as the published design tells guests to.

use arch::frame::RawFrame;

use super::*;

pub const P: u32 = 1 << EVTCHN_FIFO_PENDING;
pub const M: u32 = 1 << EVTCHN_FIFO_MASKED;
pub const L: u32 = 1 << EVTCHN_FIFO_LINKED;
pub const B: u32 = 1 << EVTCHN_FIFO_BUSY;

/// The guest's side of one vCPU's queues. Control block at offset 0 of its frame, `array` in order of ports.
pub struct Guest {
    pub control: RawFrame,
    pub array: Vec<RawFrame>,
    heads: [u32; 16],
    ready: u32,
}

impl Guest {
    pub fn new(control: u64, array: &[u64]) -> Self {
        let frame = |&n: &u64| arch::hosted::frame(Mfn::new(n));
        Self {
            control: frame(&control),
            array: array.iter().map(frame).collect(),
            heads: [0; 16],
            ready: 0,
        }
    }

    fn at(&self, port: u32) -> (RawFrame, usize) {
        (
            self.array[(port / 1024) as usize],
            (port % 1024) as usize * 4,
        )
    }

    pub fn word(&self, port: u32) -> u32 {
        let (frame, offset) = self.at(port);
        frame.read_u32(offset)
    }

    pub fn mask(&self, port: u32) {
        let (frame, offset) = self.at(port);
        frame.fetch_or_u32(offset, M);
    }

    /// Unmasks without the hypervisor's help; false if the word was BUSY or an event is pending, and a hypercall is
    /// needed.
    pub fn try_unmask(&self, port: u32) -> bool {
        let (frame, offset) = self.at(port);
        let mut now = frame.read_u32(offset);
        while now & M != 0 {
            if now & (B | P) != 0 {
                return false;
            }
            match frame.cmpxchg_u32(offset, now, now & !M) {
                Ok(_) => return true,
                Err(found) => now = found,
            }
        }
        now & P == 0
    }

    /// Takes the next event off the queues, highest priority first: its port and priority, after PENDING was cleared.
    pub fn take(&mut self) -> Option<(u32, u32)> {
        loop {
            self.ready |= self.control.fetch_and_u32(0, 0);
            if self.ready == 0 {
                return None;
            }
            let priority = self.ready.trailing_zeros();
            let head = &mut self.heads[priority as usize];
            if *head == 0 {
                *head = self.control.read_u32(8 + priority as usize * 4);
            }
            let port = *head;
            assert_ne!(port, 0, "a ready queue has a head");
            let (frame, offset) = (
                self.array[(port / 1024) as usize],
                (port % 1024) as usize * 4,
            );
            let mut now = frame.read_u32(offset);
            let link = loop {
                assert_ne!(now & L, 0, "port {port} is queued");
                match frame.cmpxchg_u32(offset, now, now & !(L | EVTCHN_FIFO_LINK_MASK)) {
                    Ok(_) => break now & EVTCHN_FIFO_LINK_MASK,
                    Err(found) => now = found,
                }
            };
            self.heads[priority as usize] = link;
            if link == 0 {
                self.ready &= !(1 << priority);
            }
            let now = frame.read_u32(offset);
            if now & P != 0 && now & M == 0 {
                frame.fetch_and_u32(offset, !P);
                return Some((port, priority));
            }
        }
    }

    pub fn take_all(&mut self) -> Vec<(u32, u32)> {
        std::iter::from_fn(|| self.take()).collect()
    }
}

pub fn init_control(d: &Arc<Domain>, vcpu: u32, gfn: u64, offset: u32) -> Result<u8, Errno> {
    let mut op = EvtchnInitControl {
        control_gfn: gfn,
        offset,
        vcpu,
        ..Default::default()
    };
    call(d, EvtchnOp::INIT_CONTROL, &mut op).map(|()| op.link_bits)
}

pub fn expand(d: &Arc<Domain>, gfn: u64) -> Result<(), Errno> {
    let mut op = EvtchnExpandArray { array_gfn: gfn };
    call(d, EvtchnOp::EXPAND_ARRAY, &mut op)
}

pub fn set_priority(d: &Arc<Domain>, port: u32, priority: u32) -> Result<(), Errno> {
    let mut op = EvtchnSetPriority { port, priority };
    call(d, EvtchnOp::SET_PRIORITY, &mut op)
}

/// Switches to FIFO: control blocks of vCPU n in frame 20 + n, the array in frame 40.
pub fn fifo_guest(d: &Arc<Domain>) -> Vec<Guest> {
    let guests = (0..d.vcpus().len() as u64)
        .map(|n| {
            assert_eq!(init_control(d, n as u32, 20 + n, 0), Ok(17));
            Guest::new(20 + n, &[40])
        })
        .collect();
    expand(d, 40).unwrap();
    guests
}
