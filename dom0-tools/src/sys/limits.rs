//! What this process may have of things that the kernel counts.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A few open files per guest, and there may be 32,752 of them.
const FILES: u64 = 100_000;

/// Lets this process open as many files as a daemon that serves all guests needs, or as many as
/// it may.
pub fn raise_file_limit() {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|now| now >= FILES) {
        return;
    }
    let most = now.maximum.map_or(FILES, |most| most.max(FILES));
    let wanted = Rlimit {
        current: Some(FILES),
        maximum: Some(most),
    };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        let within = Rlimit {
            current: now.maximum,
            maximum: now.maximum,
        };
        // Then there are fewer: most hosts do not need as many.
        let _ = setrlimit(Resource::Nofile, within);
    }
}
