//! Timers in order of their deadlines: a binary heap whose entries know their place, so that any of them can be
//! cancelled or moved in logarithmic time. Allocates only when more timers are armed than ever before.

use alloc::vec::Vec;

/// Names one arming of a timer: a slot, and which use of that slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    slot: u32,
    stamp: u64,
}

#[derive(Debug)]
struct Slot<T> {
    stamp: u64,
    /// Place in `order`, when armed.
    place: usize,
    deadline: u64,
    payload: Option<T>,
}

/// Armed timers.
#[derive(Debug)]
pub struct Heap<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    order: Vec<u32>,
    stamp: u64,
}

impl<T> Heap<T> {
    /// No timer.
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            order: Vec::new(),
            stamp: 0,
        }
    }

    /// How many are armed.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is armed.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// What is armed, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.payload.as_ref())
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<u64> {
        self.order.first().map(|&slot| self.deadline(slot))
    }

    fn deadline(&self, slot: u32) -> u64 {
        self.slots[slot as usize].deadline
    }

    /// Arms a timer.
    pub fn insert(&mut self, deadline: u64, payload: T) -> Key {
        self.stamp += 1;
        let fresh = Slot {
            stamp: self.stamp,
            place: self.order.len(),
            deadline,
            payload: Some(payload),
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = fresh;
                slot
            }
            None => {
                self.slots.push(fresh);
                self.slots.len() as u32 - 1
            }
        };
        self.order.push(slot);
        self.up(self.order.len() - 1);
        Key {
            slot,
            stamp: self.stamp,
        }
    }

    /// Disarms a timer; none if it was not armed (any more).
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get(key.slot as usize)?;
        if slot.stamp != key.stamp || slot.payload.is_none() {
            return None;
        }
        self.remove_at(slot.place).map(|(_, payload)| payload)
    }

    /// Takes out the earliest if its deadline is not after `now`.
    pub fn pop_expired(&mut self, now: u64) -> Option<(Key, T)> {
        if self.next()? > now {
            return None;
        }
        self.remove_at(0)
    }

    fn remove_at(&mut self, place: usize) -> Option<(Key, T)> {
        let slot = self.order.swap_remove(place);
        if let Some(&moved) = self.order.get(place) {
            self.slots[moved as usize].place = place;
            self.up(place);
            self.down(self.slots[moved as usize].place);
        }
        self.free.push(slot);
        let entry = &mut self.slots[slot as usize];
        let key = Key {
            slot,
            stamp: entry.stamp,
        };
        entry.payload.take().map(|payload| (key, payload))
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.order.swap(a, b);
        self.slots[self.order[a] as usize].place = a;
        self.slots[self.order[b] as usize].place = b;
    }

    fn up(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.deadline(self.order[parent]) <= self.deadline(self.order[place]) {
                break;
            }
            self.swap(parent, place);
            place = parent;
        }
    }

    fn down(&mut self, mut place: usize) {
        loop {
            let earlier = [2 * place + 1, 2 * place + 2]
                .into_iter()
                .filter(|&child| child < self.order.len())
                .min_by_key(|&child| self.deadline(self.order[child]));
            match earlier {
                Some(child)
                    if self.deadline(self.order[child]) < self.deadline(self.order[place]) =>
                {
                    self.swap(child, place);
                    place = child;
                }
                _ => break,
            }
        }
    }
}

impl<T> Default for Heap<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Arm(u64),
        Cancel(usize),
        Expire(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u64..1000).prop_map(Step::Arm),
            (0usize..64).prop_map(Step::Cancel),
            (0u64..1000).prop_map(Step::Expire),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_list(steps in proptest::collection::vec(step(), 1..300)) {
            let mut heap = Heap::new();
            let mut model: Vec<(u64, u32, Key)> = Vec::new();
            let mut old: Vec<Key> = Vec::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Arm(deadline) => {
                        next += 1;
                        model.push((deadline, next, heap.insert(deadline, next)));
                    }
                    Step::Cancel(i) if i < model.len() => {
                        let (_, name, key) = model.swap_remove(i);
                        prop_assert_eq!(heap.remove(key), Some(name));
                        old.push(key);
                    }
                    Step::Cancel(i) => {
                        // A key of an earlier arming never hits a later one in the same slot.
                        if let Some(&key) = old.get(i) {
                            prop_assert_eq!(heap.remove(key), None);
                        }
                    }
                    Step::Expire(now) => {
                        let mut last = 0;
                        while let Some((key, name)) = heap.pop_expired(now) {
                            let i = model.iter().position(|m| m.2 == key).expect("was armed");
                            let (deadline, expected, _) = model.swap_remove(i);
                            prop_assert_eq!(name, expected);
                            prop_assert!(deadline <= now && deadline >= last);
                            last = deadline;
                            old.push(key);
                        }
                        prop_assert!(model.iter().all(|m| m.0 > now));
                    }
                }
                prop_assert_eq!(heap.len(), model.len());
                prop_assert_eq!(heap.next(), model.iter().map(|m| m.0).min());
            }
        }
    }
}
