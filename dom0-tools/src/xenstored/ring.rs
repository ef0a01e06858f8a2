//! The ring between a domain and the store (Xen `public/io/xs_wire.h`,
//! `docs/misc/xenstore-ring.txt`), over any memory.
//!
//! The domain writes its side at any time and may write nonsense. Each index is read once per
//! step and checked; bytes are copied out before anything looks at them.

use hypercall_abi::io::xs_wire::XENSTORE_RING_SIZE;

/// Bytes of each direction.
pub const SIZE: u32 = XENSTORE_RING_SIZE;
/// Where requests are.
const REQUESTS: usize = 0;
/// Where replies are.
const REPLIES: usize = 1024;
const REQ_CONS: usize = 2048;
const REQ_PROD: usize = 2052;
const RSP_CONS: usize = 2056;
const RSP_PROD: usize = 2060;
const CONNECTION: usize = 2068;
const ERROR: usize = 2072;

/// The shared page. Words are read and written whole, in the order of the calls.
pub trait Memory {
    /// The word at a byte offset.
    fn load(&self, offset: usize) -> u32;
    /// Sets the word at a byte offset; everything written before is seen before it.
    fn store(&self, offset: usize, value: u32);
    /// Copies bytes out.
    fn read(&self, offset: usize, bytes: &mut [u8]);
    /// Copies bytes in.
    fn write(&self, offset: usize, bytes: &[u8]);
}

/// The indices make no sense: more is in the ring than fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// The store's end of a ring.
#[derive(Debug)]
pub struct Ring<M> {
    memory: M,
}

impl<M: Memory> Ring<M> {
    /// The ring in that page.
    pub fn new(memory: M) -> Self {
        Self { memory }
    }

    /// The page.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    fn filled(&self, prod: usize, cons: usize) -> Result<(u32, u32, u32), Corrupt> {
        let (cons, prod) = (self.memory.load(cons), self.memory.load(prod));
        let filled = prod.wrapping_sub(cons);
        if filled > SIZE {
            return Err(Corrupt);
        }
        Ok((cons, prod, filled))
    }

    /// Whether requests wait; nonsense counts as something to look at.
    pub fn has_requests(&self) -> bool {
        self.memory.load(REQ_PROD) != self.memory.load(REQ_CONS)
    }

    /// Takes up to `bytes.len()` bytes of requests out. Gives how many.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub fn take(&self, bytes: &mut [u8]) -> Result<usize, Corrupt> {
        let (cons, _, filled) = self.filled(REQ_PROD, REQ_CONS)?;
        let count = bytes.len().min(filled as usize);
        let start = (cons % SIZE) as usize;
        let first = count.min(SIZE as usize - start);
        let (head, tail) = bytes[..count].split_at_mut(first);
        self.memory.read(REQUESTS + start, head);
        self.memory.read(REQUESTS, tail);
        if count > 0 {
            self.memory.store(REQ_CONS, cons.wrapping_add(count as u32));
        }
        Ok(count)
    }

    /// Puts as many bytes of replies in as there is room for. Gives how many. If that is not all of them, the ring was full
    /// after the last one was there to be seen, so that the domain, which takes bytes meanwhile, says when there is room:
    /// it does so only where it finds the ring full.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub fn put(&self, bytes: &[u8]) -> Result<usize, Corrupt> {
        let mut put = 0;
        while let Some(rest) = bytes.get(put..).filter(|rest| !rest.is_empty()) {
            match self.put_once(rest)? {
                0 => break,
                count => put += count,
            }
        }
        Ok(put)
    }

    /// What there is room for as the indices are now.
    fn put_once(&self, bytes: &[u8]) -> Result<usize, Corrupt> {
        let (_, prod, filled) = self.filled(RSP_PROD, RSP_CONS)?;
        let count = bytes.len().min((SIZE - filled) as usize);
        let start = (prod % SIZE) as usize;
        let first = count.min(SIZE as usize - start);
        let (head, tail) = bytes[..count].split_at(first);
        self.memory.write(REPLIES + start, head);
        self.memory.write(REPLIES, tail);
        if count > 0 {
            self.memory.store(RSP_PROD, prod.wrapping_add(count as u32));
        }
        Ok(count)
    }

    /// How many bytes of requests were taken and of replies put in all, as the indices have it.
    pub fn position(&self) -> (u32, u32) {
        (self.memory.load(REQ_CONS), self.memory.load(RSP_PROD))
    }

    /// The bytes of requests that were taken since that many had been; `None` if they are not
    /// in the page any more. The domain may have changed them.
    pub fn taken_since(&self, position: u32) -> Option<Vec<u8>> {
        let (cons, prod) = (self.memory.load(REQ_CONS), self.memory.load(REQ_PROD));
        let taken = cons.wrapping_sub(position);
        // What is put in goes over what was taken longest ago.
        if taken > SIZE || prod.wrapping_sub(position) > SIZE {
            return None;
        }
        let mut bytes = vec![0; taken as usize];
        let start = (position % SIZE) as usize;
        let first = bytes.len().min(SIZE as usize - start);
        let (head, tail) = bytes.split_at_mut(first);
        self.memory.read(REQUESTS + start, head);
        self.memory.read(REQUESTS, tail);
        Some(bytes)
    }

    /// Empties both directions.
    pub fn reset(&self) {
        for index in [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD] {
            self.memory.store(index, 0);
        }
    }

    /// The domain waits for the store to come (back): says that it is there. Gives whether the
    /// domain is to be notified.
    pub fn acknowledge_reconnect(&self) -> bool {
        let waits = self.memory.load(CONNECTION) == hypercall_abi::io::xs_wire::XENSTORE_RECONNECT;
        if waits {
            let connected = hypercall_abi::io::xs_wire::XENSTORE_CONNECTED;
            self.memory.store(CONNECTION, connected);
        }
        waits
    }

    /// Says why the domain is not listened to.
    pub fn set_error(&self, error: u32) {
        self.memory.store(ERROR, error);
    }
}

/// A page of this process, for tests and fuzzers; a copy is the same page.
#[derive(Clone, Debug)]
pub struct Page(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

impl Default for Page {
    fn default() -> Self {
        Self(std::rc::Rc::new(std::cell::RefCell::new(vec![0; 4096])))
    }
}

impl Memory for Page {
    fn load(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        self.read(offset, &mut bytes);
        u32::from_ne_bytes(bytes)
    }

    fn store(&self, offset: usize, value: u32) {
        self.write(offset, &value.to_ne_bytes());
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        let page = self.0.borrow();
        bytes.copy_from_slice(&page[offset..offset + bytes.len()]);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        let mut page = self.0.borrow_mut();
        page[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// The domain's end, for tests and fuzzers.
pub mod guest {
    use super::{Memory, REPLIES, REQ_CONS, REQ_PROD, REQUESTS, RSP_CONS, RSP_PROD, SIZE};

    /// Puts bytes of requests in, as many as fit.
    pub fn send(memory: &impl Memory, bytes: &[u8]) -> usize {
        let (cons, mut prod) = (memory.load(REQ_CONS), memory.load(REQ_PROD));
        let mut sent = 0;
        for byte in bytes {
            if prod.wrapping_sub(cons) >= SIZE {
                break;
            }
            memory.write(REQUESTS + (prod % SIZE) as usize, &[*byte]);
            prod = prod.wrapping_add(1);
            sent += 1;
        }
        memory.store(REQ_PROD, prod);
        sent
    }

    /// Takes all bytes of replies.
    pub fn receive(memory: &impl Memory) -> Vec<u8> {
        let (mut cons, prod) = (memory.load(RSP_CONS), memory.load(RSP_PROD));
        let mut bytes = Vec::new();
        while cons != prod && bytes.len() <= SIZE as usize {
            let mut byte = [0];
            memory.read(REPLIES + (cons % SIZE) as usize, &mut byte);
            bytes.push(byte[0]);
            cons = cons.wrapping_add(1);
        }
        memory.store(RSP_CONS, cons);
        bytes
    }

    /// Writes any word of the page, as a hostile domain can.
    pub fn scribble(memory: &impl Memory, offset: usize, value: u32) {
        memory.store(offset.min(4092) & !3, value);
    }

    /// Where the indices are.
    pub const INDICES: [usize; 4] = [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_round_the_ring_in_both_directions() {
        let ring = Ring::new(Page::default());
        // Indices that are about to wrap.
        for index in guest::INDICES {
            guest::scribble(ring.memory(), index, u32::MAX - 100);
        }
        for round in 0..50u8 {
            let text = [round; 333];
            assert_eq!(guest::send(ring.memory(), &text), 333);
            assert!(ring.has_requests());
            let mut got = [0; 1000];
            assert_eq!(ring.take(&mut got), Ok(333));
            assert_eq!(got[..333], text);
            assert_eq!(ring.put(&text), Ok(333));
            assert_eq!(guest::receive(ring.memory()), text);
        }
    }

    #[test]
    fn what_was_taken_is_there_until_something_goes_over_it() {
        let ring = Ring::new(Page::default());
        for index in guest::INDICES {
            guest::scribble(ring.memory(), index, u32::MAX - 100);
        }
        let (before, _) = ring.position();
        let text: Vec<u8> = (0..200).collect();
        guest::send(ring.memory(), &text);
        ring.take(&mut [0; 150]).unwrap();
        assert_eq!(ring.taken_since(before).as_deref(), Some(&text[..150]));
        let (now, _) = ring.position();
        assert_eq!(ring.taken_since(now).as_deref(), Some(&[][..]));
        assert_eq!(ring.taken_since(now.wrapping_add(1)), None);
        assert_eq!(guest::send(ring.memory(), &[0; 824]), 824);
        assert!(ring.taken_since(before).is_some());
        assert_eq!(guest::send(ring.memory(), &[0; 1]), 1);
        assert_eq!(ring.taken_since(before), None);
    }

    /// A page whose domain takes so many bytes of replies right after its index was read.
    struct Busy(Page, std::cell::Cell<u32>);

    impl Memory for Busy {
        fn load(&self, offset: usize) -> u32 {
            let value = self.0.load(offset);
            if offset == RSP_CONS {
                let taken = self.1.take();
                self.0.store(RSP_CONS, value.wrapping_add(taken));
            }
            value
        }
        fn store(&self, offset: usize, value: u32) {
            self.0.store(offset, value);
        }
        fn read(&self, offset: usize, bytes: &mut [u8]) {
            self.0.read(offset, bytes);
        }
        fn write(&self, offset: usize, bytes: &[u8]) {
            self.0.write(offset, bytes);
        }
    }

    /// The domain saw a ring that was not full, so it tells nobody that it took something.
    #[test]
    fn room_that_is_made_meanwhile_is_used() {
        let ring = Ring::new(Busy(Page::default(), 0.into()));
        assert_eq!(ring.put(&[1; 500]), Ok(500));
        ring.memory().1.set(100);
        assert_eq!(ring.put(&[2; 2000]), Ok(624));
        let (_, _, filled) = ring.filled(RSP_PROD, RSP_CONS).unwrap();
        assert_eq!(filled, SIZE, "or the domain would not notify");
    }

    #[test]
    fn a_full_ring_takes_no_more() {
        let ring = Ring::new(Page::default());
        assert_eq!(ring.put(&[7; 2000]), Ok(1024));
        assert_eq!(ring.put(&[7; 1]), Ok(0));
        assert_eq!(guest::receive(ring.memory()).len(), 1024);
        assert_eq!(ring.put(&[7; 1]), Ok(1));
        assert_eq!(ring.take(&mut [0; 10]), Ok(0));
    }

    #[test]
    fn nonsense_indices_are_noticed() {
        let ring = Ring::new(Page::default());
        guest::scribble(ring.memory(), REQ_PROD, 1025);
        guest::scribble(ring.memory(), RSP_CONS, 1);
        assert_eq!(ring.take(&mut [0; 10]), Err(Corrupt));
        assert_eq!(ring.put(&[0; 10]), Err(Corrupt));
        ring.reset();
        assert_eq!(ring.take(&mut [0; 10]), Ok(0));
    }

    #[test]
    fn a_domain_that_reconnects_is_answered_once() {
        let ring = Ring::new(Page::default());
        assert!(!ring.acknowledge_reconnect());
        guest::scribble(ring.memory(), CONNECTION, 1);
        assert!(ring.acknowledge_reconnect());
        assert!(!ring.acknowledge_reconnect());
    }
}
