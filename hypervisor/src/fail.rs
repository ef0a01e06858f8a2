//! Whose fault it is: how a hypercall ends when it does not simply succeed.

use hypercall_abi::Errno;

/// The six argument registers of a hypercall, in ABI order (rdi, rsi, rdx, r10, r8, r9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Args(pub [u64; 6]);

/// Why a hypercall did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail {
    /// The caller's fault: it gets this error, negated.
    Errno(Errno),
    /// Not finished: run the same hypercall again with these arguments, after interrupts and other vCPUs had
    /// their turn. The arguments land in the guest's registers (or its multicall entry), so they are allegations
    /// again when they come back.
    Continue(Args),
    /// Done, and the guest goes on where the frame on its kernel's stack says (`iret`). Whatever else it asked for in the
    /// same entry, as a multicall may, is not for the mode that it returns to (XSA-213).
    Iret,
    /// The domain broke its own contract beyond repair: it is crashed with this reason.
    Crash(&'static str),
}

impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<arch::guest::Fault> for Fail {
    fn from(_: arch::guest::Fault) -> Self {
        Self::Errno(Errno::EFAULT)
    }
}

/// What every hypercall handler returns: the value for the guest's rax, or why not.
pub type Return = Result<u64, Fail>;

/// A hypercall handler: the calling context and the raw arguments.
pub type Handler = fn(&crate::domain::Context, Args) -> Return;
