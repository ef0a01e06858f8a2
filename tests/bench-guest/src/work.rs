//! Role 3: how much work a guest gets done.

use crate::guest::{self, StartInfo};

/// Instructions of one piece of work: small against the times that are measured.
const PIECE: u64 = 102_400;

/// Works until the end of the time and says how many instructions that were.
pub fn run(start: StartInfo) -> ! {
    let (from, until) = (start.argument(b"from=", 0), start.argument(b"until=", 0));
    let mut pieces = 0;
    loop {
        let now = guest::ticks();
        if now >= until {
            break;
        }
        guest::execute(PIECE);
        // What began before the time does not count.
        if now >= from {
            pieces += 1;
        }
    }
    guest::report(b"work", pieces * PIECE);
    guest::end()
}
