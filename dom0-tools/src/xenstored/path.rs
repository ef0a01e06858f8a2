//! Names of nodes: what is allowed, and the way up.

use hypercall_abi::io::xs_wire::XENSTORE_REL_PATH_MAX;

/// Where domains have their own part of the tree.
const DOMAINS: &str = "/local/domain/";
/// The longest name of a special watch, and the highest `path-max` quota.
pub const REL_PATH_MAX: usize = XENSTORE_REL_PATH_MAX as usize;

/// The part of the tree that belongs to a domain; relative names start there.
pub fn domain_path(domid: u32) -> String {
    format!("{DOMAINS}{domid}")
}

/// A name as the client gave it, made absolute. Special names (`@...`) stay as they are.
pub fn canonical(name: &[u8], implicit: &str) -> Vec<u8> {
    match name.first() {
        Some(b'/' | b'@') => name.to_vec(),
        _ => [implicit.as_bytes(), b"/", name].concat(),
    }
}

/// The name, if it is one that a node can have: absolute, of the allowed characters, without
/// empty parts, and not longer than `max` bytes after a domain's own prefix.
pub fn valid(name: &[u8], max: usize) -> Option<&str> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-/_@".contains(byte);
    if name.first() != Some(&b'/') || !name.iter().all(allowed) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?;
    if name.contains("//") || (name.len() > 1 && name.ends_with('/')) {
        return None;
    }
    (name.len() <= prefix(name).saturating_add(max)).then_some(name)
}

/// Bytes of `/local/domain/<up to five digits>/` at the start of a name, else 0.
fn prefix(name: &str) -> usize {
    let Some(rest) = name.strip_prefix(DOMAINS) else {
        return 0;
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let ends = rest.as_bytes().get(digits) == Some(&b'/');
    if (1..=5).contains(&digits) && ends {
        DOMAINS.len() + digits + 1
    } else {
        0
    }
}

/// The node above; the root's is the root. Works on any text, so that it can be asked for the
/// parents of what is not a valid name.
pub fn parent(name: &str) -> &str {
    match name.rfind('/') {
        None | Some(0) => "/",
        Some(end) => name.get(..end).unwrap_or("/"),
    }
}

/// The last part of a name.
pub fn leaf(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The parts of a valid name, from the root down.
pub fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split('/').filter(|part| !part.is_empty())
}

/// The name of a child.
pub fn child(name: &str, leaf: &str) -> String {
    if name == "/" {
        format!("/{leaf}")
    } else {
        format!("{name}/{leaf}")
    }
}

/// For the model in the tests: how many levels `name` is below `above`; `None` if it is not at or below it.
#[cfg(test)]
pub fn levels_below(name: &str, above: &str) -> Option<usize> {
    if above == "/" {
        return Some(parts(name).count());
    }
    let rest = name.strip_prefix(above)?;
    if rest.is_empty() {
        return Some(0);
    }
    rest.starts_with('/').then(|| parts(rest).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_absolute_and_of_few_characters() {
        for good in ["/", "/a", "/a/b-C_9@", "/local/domain/0"] {
            assert_eq!(valid(good.as_bytes(), 2048), Some(good));
        }
        for bad in [
            "", "a", "/a/", "//", "/a//b", "/a b", "/a:b", "/\u{e4}", "@x",
        ] {
            assert_eq!(valid(bad.as_bytes(), 2048), None, "{bad}");
        }
        assert_eq!(valid(b"/a\xff", 2048), None);
    }

    /// XSA-323: a length limit that holds for every path.
    #[test]
    fn xsa_323_path_length_is_limited() {
        let long = format!("/{}", "x".repeat(2047));
        assert!(valid(long.as_bytes(), 2048).is_some());
        assert!(valid(format!("{long}x").as_bytes(), 2048).is_none());
        let own = format!("/local/domain/65535/{}", "x".repeat(2048));
        assert!(valid(own.as_bytes(), 2048).is_some());
        assert!(valid(format!("{own}x").as_bytes(), 2048).is_none());
        let six = format!("/local/domain/123456/{}", "x".repeat(2048));
        assert!(valid(six.as_bytes(), 2048).is_none());
    }

    #[test]
    fn the_way_up_ends_at_the_root() {
        assert_eq!(parent("/a/b"), "/a");
        assert_eq!(parent("/a"), "/");
        assert_eq!(parent("/"), "/");
        assert_eq!(parent(""), "/");
        assert_eq!(parent("x"), "/");
        assert_eq!(leaf("/a/b"), "b");
        assert_eq!(child("/", "a"), "/a");
        assert_eq!(child("/a", "b"), "/a/b");
    }

    #[test]
    fn levels() {
        assert_eq!(levels_below("/a/b/c", "/a"), Some(2));
        assert_eq!(levels_below("/a", "/a"), Some(0));
        assert_eq!(levels_below("/ab", "/a"), None);
        assert_eq!(levels_below("/", "/a"), None);
        assert_eq!(levels_below("/a/b", "/"), Some(2));
        assert_eq!(levels_below("/", "/"), Some(0));
    }

    #[test]
    fn relative_names_are_the_domains_own() {
        assert_eq!(canonical(b"a", &domain_path(3)), b"/local/domain/3/a");
        assert_eq!(canonical(b"", "/x"), b"/x/");
        assert_eq!(canonical(b"/a", "/x"), b"/a");
        assert_eq!(canonical(b"@a", "/x"), b"@a");
    }
}
