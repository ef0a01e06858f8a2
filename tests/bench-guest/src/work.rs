//! Role 3: how much work a guest gets done.

use crate::guest::{self, StartInfo};

/// Instructions of one piece of work: small against the times that are measured.
const PIECE: u64 = 102_400;
/// The figures: one for each of the times that are measured, one right after the other.
const NAMES: [&[u8]; 5] = [b"work-1", b"work-2", b"work-3", b"work-4", b"work-5"];

/// Works until the end of the last time and says how many instructions that were in each.
pub fn run(start: StartInfo) -> ! {
    let (from, length) = (start.argument(b"from=", 0), start.argument(b"length=", 1));
    let mut pieces = [0; NAMES.len()];
    loop {
        let now = guest::ticks();
        // A piece belongs to the time in which it begins; what began before the first does not count.
        let time = now.checked_sub(from).map(|since| (since / length) as usize);
        guest::execute(PIECE);
        let Some(time) = time else { continue };
        match pieces.get_mut(time) {
            Some(pieces) => *pieces += 1,
            None => break,
        }
    }
    for (name, pieces) in NAMES.into_iter().zip(pieces) {
        guest::report(name, pieces * PIECE);
    }
    guest::end()
}
