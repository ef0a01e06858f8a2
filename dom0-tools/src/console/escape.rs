//! The way out of a console: Ctrl-].

/// What Ctrl-] sends.
const ESCAPE: u8 = 0x1d;

/// What of the typed bytes goes to the guest, and whether the way out was among them.
pub fn split(typed: &[u8]) -> (&[u8], bool) {
    match typed.iter().position(|&byte| byte == ESCAPE) {
        Some(at) => (&typed[..at], true),
        None => (typed, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_escape_is_passed_on() {
        assert_eq!(split(b"ls\r"), (&b"ls\r"[..], false));
        assert_eq!(split(b"\x1d"), (&b""[..], true));
        assert_eq!(split(b"ls\x1dmore"), (&b"ls"[..], true));
    }
}
