//! Error numbers (Xen public/errno.h). Hypercalls return them negated.

use core::fmt;

/// An error number, positive as in the header.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
)]
#[repr(transparent)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl Errno {
            $(
                #[doc = concat!($text, ".")]
                pub const $name: Self = Self($value);
            )*

            /// The symbolic name, if the number has one.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// A short English text, if the number has one.
            pub fn text(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }
        /// What this module defines, for the header check.
        #[doc(hidden)]
        pub const ENUMS: &[crate::check::Const] = &[$(
            crate::check::Const {
                rust: concat!("Errno::", stringify!($name)),
                c: concat!("XEN_", stringify!($name)),
                value: $value,
            },
        )*];
    };
}

errnos! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such entry";
    ESRCH = 3, "no such domain";
    EINTR = 4, "interrupted";
    EIO = 5, "input/output error";
    ENXIO = 6, "no such device or address";
    E2BIG = 7, "argument list too long";
    ENOEXEC = 8, "not an executable format";
    EBADF = 9, "bad descriptor";
    ECHILD = 10, "no child";
    EAGAIN = 11, "try again";
    ENOMEM = 12, "out of memory";
    EACCES = 13, "permission denied";
    EFAULT = 14, "bad address";
    EBUSY = 16, "busy";
    EEXIST = 17, "exists already";
    EXDEV = 18, "crosses devices";
    ENODEV = 19, "no such device";
    ENOTDIR = 20, "not a directory";
    EISDIR = 21, "is a directory";
    EINVAL = 22, "invalid argument";
    ENFILE = 23, "table full";
    EMFILE = 24, "too many open";
    ENOSPC = 28, "no space left";
    EROFS = 30, "read-only";
    EMLINK = 31, "too many links";
    EDOM = 33, "argument outside of the domain";
    ERANGE = 34, "result not representable";
    EDEADLK = 35, "would deadlock";
    ENAMETOOLONG = 36, "name too long";
    ENOLCK = 37, "no locks available";
    ENOSYS = 38, "not implemented";
    ENOTEMPTY = 39, "not empty";
    ENODATA = 61, "no data available";
    ETIME = 62, "timer expired";
    EBADMSG = 74, "not a valid message";
    EOVERFLOW = 75, "value too large for its type";
    EILSEQ = 84, "illegal byte sequence";
    ERESTART = 85, "to be restarted";
    ENOTSOCK = 88, "not a socket";
    EMSGSIZE = 90, "message too large";
    EOPNOTSUPP = 95, "operation not supported";
    EADDRINUSE = 98, "address in use";
    EADDRNOTAVAIL = 99, "address not available";
    ENOBUFS = 105, "no buffer space";
    EISCONN = 106, "connected already";
    ENOTCONN = 107, "not connected";
    ETIMEDOUT = 110, "timed out";
    ECONNREFUSED = 111, "connection refused";
}

impl Errno {
    /// Another name for [`Errno::EAGAIN`].
    pub const EWOULDBLOCK: Self = Self::EAGAIN;
    /// Another name for [`Errno::EDEADLK`].
    pub const EDEADLOCK: Self = Self::EDEADLK;

    /// What a hypercall returns for this error: the number, negated.
    pub const fn to_ret(self) -> i64 {
        -(self.0 as i64)
    }

    /// The error in a hypercall's return value; `None` for success (0 and above)
    /// and for values that are no error numbers (below -4095).
    pub const fn from_ret(ret: i64) -> Option<Self> {
        if ret < 0 && ret >= -4095 {
            Some(Self(-ret as i32))
        } else {
            None
        }
    }

    /// A hypercall's return value as a result.
    ///
    /// # Errors
    /// The error number, if `ret` is a negated one; anything else negative is
    /// [`Errno::EINVAL`].
    pub const fn check(ret: i64) -> Result<u64, Self> {
        match Self::from_ret(ret) {
            Some(error) => Err(error),
            None if ret < 0 => Err(Self::EINVAL),
            None => Ok(ret as u64),
        }
    }

    /// The return value of a hypercall that ends with this result.
    pub fn ret_of<T: Into<i64>>(result: Result<T, Self>) -> i64 {
        match result {
            Ok(value) => value.into(),
            Err(error) => error.to_ret(),
        }
    }
}

impl From<Errno> for i64 {
    fn from(error: Errno) -> i64 {
        error.to_ret()
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.text()) {
            (Some(name), Some(text)) => write!(f, "{name} ({text})"),
            _ => write!(f, "error {}", self.0),
        }
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_and_errors_convert_both_ways() {
        assert_eq!(Errno::EINVAL.to_ret(), -22);
        assert_eq!(Errno::from_ret(-22), Some(Errno::EINVAL));
        assert_eq!(Errno::from_ret(0), None);
        assert_eq!(Errno::from_ret(-4096), None);
        assert_eq!(Errno::check(7), Ok(7));
        assert_eq!(Errno::check(-3), Err(Errno::ESRCH));
        assert_eq!(Errno::check(i64::MIN), Err(Errno::EINVAL));
        assert_eq!(Errno::ret_of(Ok::<i64, _>(5)), 5);
        assert_eq!(Errno::ret_of(Err::<i64, _>(Errno::EFAULT)), -14);
    }

    #[test]
    fn every_known_number_has_one_name() {
        for (index, constant) in ENUMS.iter().enumerate() {
            assert!(
                ENUMS[index + 1..]
                    .iter()
                    .all(|other| other.value != constant.value)
            );
            assert!(Errno(constant.value as i32).name().is_some());
        }
    }
}
