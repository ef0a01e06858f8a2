//! When and from what the image was made. `./x build` writes it into the finished image, so that the sources need no
//! rebuilding for a new commit's name; a plain `cargo build` leaves it empty.
//!
//! Format of the texts: one after the other, each ended by a zero byte, in the order of [`Text`].
#![allow(unsafe_code)]

/// Bytes that the image keeps free for the texts.
pub const CAPACITY: usize = 512;

/// The texts' place. Its name is known to `./x build`.
#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.build")]
#[used]
static OXEN_BUILD: [u8; CAPACITY] = [0; CAPACITY];

#[cfg(target_os = "none")]
unsafe extern "C" {
    /// The value of the GNU build id note (`boot/entry.rs`).
    #[link_name = "oxen_build_id"]
    static BUILD_ID: [u8; 20];
}

/// What the image says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// The commit, with its date; marked when there were changes beyond it.
    Changeset = 0,
    /// The commit's date: the same commit makes the same image.
    Date,
    /// The compiler's version.
    Compiler,
}

fn texts() -> &'static [u8] {
    #[cfg(target_os = "none")]
    {
        // The compiler must not take the zeroes for granted: the texts are written after linking.
        let start = core::hint::black_box(&raw const OXEN_BUILD).cast::<u8>();
        // SAFETY: a static of that size.
        unsafe { core::slice::from_raw_parts(start, CAPACITY) }
    }
    #[cfg(not(target_os = "none"))]
    &[]
}

/// One of the texts; none in an image that `./x build` did not finish.
#[must_use]
pub fn text(which: Text) -> Option<&'static str> {
    text_in(texts(), which)
}

fn text_in(texts: &[u8], which: Text) -> Option<&str> {
    let text = texts.split(|byte| *byte == 0).nth(which as usize)?;
    core::str::from_utf8(text).ok().filter(|t| !t.is_empty())
}

/// The build id: a digest of the image. None in an image that `./x build` did not finish.
#[must_use]
pub fn build_id() -> Option<[u8; 20]> {
    #[cfg(target_os = "none")]
    {
        let start = core::hint::black_box(&raw const BUILD_ID);
        // SAFETY: part of the image's read-only data, never written while it runs.
        let id = unsafe { start.read() };
        (id != [0; 20]).then_some(id)
    }
    #[cfg(not(target_os = "none"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart() {
        let texts = b"today git:1\0yesterday\0rustc 1\0\0\0";
        assert_eq!(text_in(texts, Text::Changeset), Some("today git:1"));
        assert_eq!(text_in(texts, Text::Compiler), Some("rustc 1"));
        assert_eq!(text_in(&[0; 8], Text::Date), None);
        assert_eq!(text_in(&[], Text::Changeset), None);
    }
}
