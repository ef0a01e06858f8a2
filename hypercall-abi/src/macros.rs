//! The macros every interface module is written with.
//!
//! Each macro defines Rust items and, from the same lines, a table (`STRUCTS`,
//! `UNIONS`, `ENUMS`, `CONSTS`,
//! `STRS`) that the header check compares with Xen's C
//! headers, so nothing can be defined without being checked. A module uses each
//! macro at most once. `as "..."` gives the C name where it differs; `as ""`
//! marks what has no C name (explicit padding, bit-field containers).

/// Structures: `"C type", size N { offset => field: type, ... }`.
///
/// Derives what a plain value needs; `Default` is all zeroes. Size and offsets
/// are asserted at compile time.
macro_rules! abi_structs {
    (@repr packed $($body:tt)*) => { #[repr(C, packed)] $($body)* };
    (@repr $($body:tt)*) => { #[repr(C)] $($body)* };
    (@cname $field:ident) => { stringify!($field) };
    (@cname $field:ident $c:literal) => { $c };
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident: $cname:literal, size $size:literal $($packed:ident)? {
            $($(#[$fmeta:meta])* $off:literal => $field:ident: $ty:ty $(as $fc:literal)?,)*
        }
    )*) => {
        $(
            abi_structs! { @repr $($packed)?
                $(#[$meta])*
                #[allow(missing_docs)] // fields bear the header's names and meanings
                #[derive(Clone, Copy, Debug, PartialEq, Eq)]
                #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
                pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }
            }
            const _: () = {
                assert!(core::mem::size_of::<$name>() == $size);
                $(assert!(core::mem::offset_of!($name, $field) == $off);)*
            };
            impl Default for $name {
                fn default() -> Self { zerocopy::FromZeros::new_zeroed() }
            }
        )*
        /// What this module defines, for the header check.
        #[doc(hidden)]
        pub const STRUCTS: &[$crate::check::Struct] = &[$(
            $crate::check::Struct {
                rust: stringify!($name),
                c: $cname,
                size: core::mem::size_of::<$name>(),
                fields: &[$(
                    $crate::check::Field {
                        c: abi_structs!(@cname $field $($fc)?),
                        offset: core::mem::offset_of!($name, $field),
                        size: core::mem::size_of::<$ty>(),
                    },
                )*],
            },
        )*];
    };
}

/// C unions: bytes of the right size and alignment, read and written through one
/// typed accessor pair per member. Writing a member zeroes the rest.
macro_rules! abi_unions {
    (@cname $field:ident) => { stringify!($field) };
    (@cname $field:ident $c:literal) => { $c };
    ($(
        $(#[$meta:meta])*
        pub union $name:ident: $cname:literal, [$unit:ident; $n:literal] {
            $($get:ident / $set:ident: $ty:ty $(as $fc:literal)?,)*
        }
    )*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
            #[repr(transparent)]
            pub struct $name(pub [$unit; $n]);
            $(const _: () = assert!(core::mem::size_of::<$ty>() <= core::mem::size_of::<$name>());)*
            impl Default for $name {
                fn default() -> Self { zerocopy::FromZeros::new_zeroed() }
            }
            impl $name {
                $(
                    #[doc = concat!("The bytes read as member `", stringify!($get), "`.")]
                    pub fn $get(&self) -> $ty {
                        $crate::check::read_prefix(zerocopy::IntoBytes::as_bytes(self))
                    }
                    #[doc = concat!("Makes this member `", stringify!($get), "`, zeroes behind it.")]
                    pub fn $set(&mut self, value: $ty) {
                        *self = Self::default();
                        $crate::check::write_prefix(zerocopy::IntoBytes::as_mut_bytes(self), &value);
                    }
                )*
            }
        )*
        /// What this module defines, for the header check.
        #[doc(hidden)]
        pub const UNIONS: &[$crate::check::Struct] = &[$(
            $crate::check::Struct {
                rust: stringify!($name),
                c: $cname,
                size: core::mem::size_of::<$name>(),
                fields: &[$(
                    $crate::check::Field {
                        c: abi_unions!(@cname $get $($fc)?),
                        offset: 0,
                        size: core::mem::size_of::<$ty>(),
                    },
                )*],
            },
        )*];
    };
}

/// Open enums: a number that a guest chooses, with names for the known values.
/// The C name of a constant is the prefix and the constant's name, any case.
macro_rules! open_enums {
    (@cname $prefix:literal $var:ident) => { concat!($prefix, stringify!($var)) };
    (@cname $prefix:literal $var:ident $c:literal) => { $c };
    ($(
        $(#[$meta:meta])*
        pub enum $name:ident($ty:ident) $prefix:literal {
            $($(#[$vmeta:meta])* $var:ident = $value:expr $(, as $vc:literal)?;)*
        }
    )*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
            #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
            #[repr(transparent)]
            pub struct $name(pub $ty);
            impl $name {
                $(
                    $(#[$vmeta])*
                    #[doc = concat!("C: `", open_enums!(@cname $prefix $var $($vc)?), "` (in any case).")]
                    pub const $var: Self = Self($value);
                )*
                /// The constant's name, if the value has one.
                pub fn name(self) -> Option<&'static str> {
                    $(if self.0 == $value { return Some(stringify!($var)); })*
                    None
                }
            }
            impl core::fmt::Debug for $name {
                fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    match self.name() {
                        Some(name) => f.write_str(name),
                        None => write!(f, concat!(stringify!($name), "({})"), self.0),
                    }
                }
            }
            impl From<$ty> for $name {
                fn from(value: $ty) -> Self { Self(value) }
            }
            impl From<$name> for $ty {
                fn from(value: $name) -> Self { value.0 }
            }
        )*
        /// What this module defines, for the header check.
        #[doc(hidden)]
        pub const ENUMS: &[$crate::check::Const] = &[$($(
            $crate::check::Const {
                rust: concat!(stringify!($name), "::", stringify!($var)),
                c: open_enums!(@cname $prefix $var $($vc)?),
                value: $name::$var.0 as u64,
            },
        )*)*];
    };
}

/// Plain constants, grouped by type. C names are the same, in any case.
macro_rules! abi_consts {
    (@cname $name:ident) => { stringify!($name) };
    (@cname $name:ident $c:literal) => { $c };
    ($($ty:ident { $($(#[$meta:meta])* $name:ident = $value:expr $(, as $c:literal)?;)* })*) => {
        $($(
            $(#[$meta])*
            #[doc = concat!("C: `", abi_consts!(@cname $name $($c)?), "` (names in any case).")]
            pub const $name: $ty = $value;
        )*)*
        /// What this module defines, for the header check.
        #[doc(hidden)]
        pub const CONSTS: &[$crate::check::Const] = &[$($(
            $crate::check::Const {
                rust: stringify!($name),
                c: abi_consts!(@cname $name $($c)?),
                value: $name as u64,
            },
        )*)*];
    };
}

/// String constants.
macro_rules! abi_strs {
    ($($name:ident = $value:literal;)*) => {
        $(
            #[doc = concat!("C: `", stringify!($name), "`.")]
            pub const $name: &str = $value;
        )*
        /// What this module defines, for the header check.
        #[doc(hidden)]
        pub const STRS: &[$crate::check::Str] = &[$(
            $crate::check::Str { c: stringify!($name), value: $name },
        )*];
    };
}

pub(crate) use {abi_consts, abi_strs, abi_structs, abi_unions, open_enums};

#[cfg(test)]
mod tests {
    use crate::event_channel::{EvtchnStatus, EvtchnStatusInterdomain, EvtchnStatusU};
    use crate::xen::{DomId, Hypercall};
    use zerocopy::IntoBytes;

    #[test]
    fn setting_a_union_member_leaves_nothing_of_another() {
        let mut payload = EvtchnStatusU([u32::MAX; 2]);
        payload.set_pirq(7);
        assert_eq!(payload, EvtchnStatusU([7, 0]));
        let peer = EvtchnStatusInterdomain {
            dom: DomId(3),
            port: 9,
            ..Default::default()
        };
        payload.set_interdomain(peer);
        assert_eq!(payload.interdomain(), peer);
        assert_eq!(payload.unbound().dom, DomId(3));
    }

    #[test]
    fn defaults_are_zero_bytes_and_padding_is_among_them() {
        assert!(
            EvtchnStatus::default()
                .as_bytes()
                .iter()
                .all(|byte| *byte == 0)
        );
    }

    #[test]
    fn open_enums_keep_unknown_values() {
        assert_eq!(Hypercall(1).name(), Some("MMU_UPDATE"));
        assert_eq!(Hypercall(4711).name(), None);
        assert_eq!(u32::from(Hypercall::from(4711)), 4711);
    }
}
