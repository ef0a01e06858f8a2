//! The page that a guest's console shares with the daemon (Xen `public/io/console.h`): a ring of
//! input to the guest and one of output from it.
//!
//! The guest may write anything there at any time. Indices are read once and checked; what cannot
//! be is skipped, so that the console heals as soon as the guest plays by the rules again.

use hypercall_abi::io::console::XenconsInterface;

use crate::sys::page::SharedPage;

const IN: usize = std::mem::offset_of!(XenconsInterface, r#in);
const OUT: usize = std::mem::offset_of!(XenconsInterface, out);
const IN_CONS: usize = std::mem::offset_of!(XenconsInterface, in_cons);
const IN_PROD: usize = std::mem::offset_of!(XenconsInterface, in_prod);
const OUT_CONS: usize = std::mem::offset_of!(XenconsInterface, out_cons);
const OUT_PROD: usize = std::mem::offset_of!(XenconsInterface, out_prod);
const IN_SIZE: u32 = (OUT - IN) as u32;
const OUT_SIZE: u32 = (IN_CONS - OUT) as u32;

/// Memory that another domain writes to as well.
pub trait Shared {
    /// The word at an offset; what is read afterwards is at least as new.
    fn load(&self, offset: usize) -> u32;
    /// Sets the word at an offset, after all that was written before.
    fn store(&self, offset: usize, value: u32);
    /// Copies bytes out.
    fn read(&self, offset: usize, bytes: &mut [u8]);
    /// Copies bytes in.
    fn write(&self, offset: usize, bytes: &[u8]);
}

impl Shared for SharedPage {
    fn load(&self, offset: usize) -> u32 {
        Self::load(self, offset)
    }

    fn store(&self, offset: usize, value: u32) {
        Self::store(self, offset, value);
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        Self::read(self, offset, bytes);
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        Self::write(self, offset, bytes);
    }
}

/// Output taken from a ring.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// These bytes, perhaps none.
    Bytes(Vec<u8>),
    /// The indices made no sense; what they stood for is lost.
    Corrupt,
}

/// Takes all output there is. The guest is to be told if it is more than none.
pub fn take_output(page: &impl Shared) -> Output {
    let (cons, prod) = (page.load(OUT_CONS), page.load(OUT_PROD));
    let size = prod.wrapping_sub(cons);
    if size > OUT_SIZE {
        page.store(OUT_CONS, prod);
        return Output::Corrupt;
    }
    let mut bytes = vec![0; size as usize];
    let start = (cons % OUT_SIZE) as usize;
    let until_end = bytes.len().min(OUT_SIZE as usize - start);
    let (first, second) = bytes.split_at_mut(until_end);
    page.read(OUT + start, first);
    page.read(OUT, second);
    if size > 0 {
        page.store(OUT_CONS, prod);
    }
    Output::Bytes(bytes)
}

/// How many bytes of input there is room for; none in a ring that makes no sense.
pub fn input_room(page: &impl Shared) -> usize {
    let waiting = page.load(IN_PROD).wrapping_sub(page.load(IN_CONS));
    IN_SIZE.saturating_sub(waiting) as usize
}

/// Puts input, as much as there is room for, and says how much that was.
pub fn put_input(page: &impl Shared, bytes: &[u8]) -> usize {
    let bytes = &bytes[..bytes.len().min(input_room(page))];
    let prod = page.load(IN_PROD);
    let start = (prod % IN_SIZE) as usize;
    let (first, second) = bytes.split_at(bytes.len().min(IN_SIZE as usize - start));
    page.write(IN + start, first);
    page.write(IN, second);
    if !bytes.is_empty() {
        page.store(IN_PROD, prod.wrapping_add(bytes.len() as u32));
    }
    bytes.len()
}

/// For fuzzers: a page of anything is answered, and is in order afterwards.
pub fn fuzz(data: &[u8]) {
    let page = local::Page::default();
    page.write(0, &data[..data.len().min(4096)]);
    if let Output::Bytes(bytes) = take_output(&page) {
        assert!(bytes.len() <= OUT_SIZE as usize);
    }
    assert_eq!(take_output(&page), Output::Bytes(Vec::new()));
    let room = input_room(&page);
    assert!(room <= IN_SIZE as usize);
    assert_eq!(put_input(&page, &[7; 4096]), room);
}

mod local {
    //! A page that is shared with nobody.

    use std::cell::RefCell;

    #[derive(Debug)]
    pub struct Page(RefCell<Vec<u8>>);

    impl Default for Page {
        fn default() -> Self {
            Self(RefCell::new(vec![0; 4096]))
        }
    }

    impl super::Shared for Page {
        fn load(&self, offset: usize) -> u32 {
            let mut word = [0; 4];
            self.read(offset, &mut word);
            u32::from_ne_bytes(word)
        }

        fn store(&self, offset: usize, value: u32) {
            self.write(offset, &value.to_ne_bytes());
        }

        fn read(&self, offset: usize, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.0.borrow()[offset..offset + bytes.len()]);
        }

        fn write(&self, offset: usize, bytes: &[u8]) {
            self.0.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::local::Page;
    use super::*;
    use proptest::prelude::*;

    /// What a guest does: fills the output ring as far as there is room.
    fn say(page: &Page, bytes: &[u8]) -> usize {
        let (cons, prod) = (page.load(OUT_CONS), page.load(OUT_PROD));
        let room = (OUT_SIZE - prod.wrapping_sub(cons)) as usize;
        let bytes = &bytes[..bytes.len().min(room)];
        for (at, byte) in bytes.iter().enumerate() {
            let place = prod.wrapping_add(at as u32) % OUT_SIZE;
            page.write(OUT + place as usize, &[*byte]);
        }
        page.store(OUT_PROD, prod.wrapping_add(bytes.len() as u32));
        bytes.len()
    }

    fn hear(page: &Page) -> Vec<u8> {
        let (cons, prod) = (page.load(IN_CONS), page.load(IN_PROD));
        let byte = |at: u32| {
            let mut byte = [0];
            page.read(IN + (at % IN_SIZE) as usize, &mut byte);
            byte[0]
        };
        let bytes = (0..prod.wrapping_sub(cons)).map(|at| byte(cons.wrapping_add(at)));
        let bytes = bytes.collect();
        page.store(IN_CONS, prod);
        bytes
    }

    #[test]
    fn indices_wrap_like_the_numbers_they_are() {
        let page = Page::default();
        for index in [OUT_CONS, OUT_PROD, IN_CONS, IN_PROD] {
            page.store(index, u32::MAX - 2);
        }
        assert_eq!(say(&page, b"hello"), 5);
        assert_eq!(take_output(&page), Output::Bytes(b"hello".to_vec()));
        assert_eq!(put_input(&page, b"world"), 5);
        assert_eq!(hear(&page), b"world");
    }

    #[test]
    fn a_corrupt_ring_heals() {
        let page = Page::default();
        page.store(OUT_PROD, OUT_SIZE + 1);
        assert_eq!(take_output(&page), Output::Corrupt);
        assert_eq!(say(&page, b"again"), 5);
        assert_eq!(take_output(&page), Output::Bytes(b"again".to_vec()));
        page.store(IN_PROD, IN_SIZE + 1);
        assert_eq!((input_room(&page), put_input(&page, b"x")), (0, 0));
    }

    #[test]
    fn a_full_ring_takes_no_more() {
        let page = Page::default();
        assert_eq!(put_input(&page, &[1; 2000]), IN_SIZE as usize);
        assert_eq!(put_input(&page, &[1]), 0);
        assert_eq!(say(&page, &[2; 3000]), OUT_SIZE as usize);
        assert_eq!(
            take_output(&page),
            Output::Bytes(vec![2; OUT_SIZE as usize])
        );
    }

    proptest! {
        #[test]
        fn any_page_is_answered(indices in any::<[u32; 4]>(), some in any::<[u8; 16]>()) {
            let mut page = vec![0; IN_CONS + 16];
            page[..16].copy_from_slice(&some);
            for (at, index) in indices.iter().enumerate() {
                page[IN_CONS + 4 * at..][..4].copy_from_slice(&index.to_ne_bytes());
            }
            fuzz(&page);
        }

        #[test]
        fn all_comes_through_in_order(start in any::<u32>(), parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 1..8)) {
            let page = Page::default();
            for index in [OUT_CONS, OUT_PROD, IN_CONS, IN_PROD] {
                page.store(index, start);
            }
            for part in parts {
                let said = say(&page, &part);
                prop_assert_eq!(take_output(&page), Output::Bytes(part[..said].to_vec()));
                let put = put_input(&page, &part);
                prop_assert_eq!(hear(&page), &part[..put]);
            }
        }
    }
}
