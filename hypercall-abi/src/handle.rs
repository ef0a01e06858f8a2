//! Guest handles (`XEN_GUEST_HANDLE`): addresses that a guest names and nobody
//! has checked yet.

use core::fmt;
use core::marker::PhantomData;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A virtual address in the calling guest where a `T`, or an array of them, is
/// alleged to be. Has no way to dereference: the hypervisor copies through it,
/// the tools fill it in.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub struct GuestHandle<T: ?Sized>(u64, PhantomData<fn() -> T>);

/// A handle in a 64-bit field of domctl and sysctl; for 64-bit callers the same.
pub type GuestHandle64<T> = GuestHandle<T>;

impl<T: ?Sized> GuestHandle<T> {
    /// The null handle; in many calls it asks for a size only.
    pub const NULL: Self = Self::new(0);

    /// A handle that names `addr`.
    pub const fn new(addr: u64) -> Self {
        Self(addr, PhantomData)
    }

    /// The guest virtual address.
    pub const fn addr(self) -> u64 {
        self.0
    }

    /// Whether this is the null handle.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The same address for another type.
    pub const fn cast<U: ?Sized>(self) -> GuestHandle<U> {
        GuestHandle::new(self.0)
    }
}

impl<T> GuestHandle<T> {
    /// The handle of element `index` of the array here; `None` if the address
    /// computation overflows.
    pub const fn offset(self, index: u64) -> Option<Self> {
        match index.checked_mul(size_of::<T>() as u64) {
            Some(bytes) => match self.0.checked_add(bytes) {
                Some(addr) => Some(Self::new(addr)),
                None => None,
            },
            None => None,
        }
    }
}

// Written out because derives would ask the same of `T`.
impl<T: ?Sized> Clone for GuestHandle<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: ?Sized> Copy for GuestHandle<T> {}
impl<T: ?Sized> PartialEq for GuestHandle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T: ?Sized> Eq for GuestHandle<T> {}
impl<T: ?Sized> Default for GuestHandle<T> {
    fn default() -> Self {
        Self::NULL
    }
}
impl<T: ?Sized> fmt::Debug for GuestHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn element_addresses_do_not_wrap() {
        let handle = GuestHandle::<u64>::new(0x1000);
        assert_eq!(handle.offset(2).map(GuestHandle::addr), Some(0x1010));
        assert!(handle.offset(u64::MAX / 8 + 1).is_none());
        assert!(GuestHandle::<u64>::new(u64::MAX - 7).offset(1).is_none());
    }
}
