//! [`LockKey`]: a primary key as text.

use std::borrow::Cow;

mod parts;

pub use parts::KeyParts;

/// A primary key, or one column of it, that can be part of a lock's name.
///
/// It is implemented for the types that Diesel loads key columns into: all integers, `bool`,
/// strings, bytes, and tuples of these for composite keys. The features `uuid`, `chrono` and `time`
/// add the types of those crates. For a custom type use [the derive](derive@crate::LockKey), or
/// write the value that it wraps:
///
/// ```
/// use diesel_advisory_lock::{KeyParts, LockKey};
///
/// struct AccountId(i64);
///
/// impl LockKey for AccountId {
///     fn write_parts(&self, parts: &mut KeyParts<'_>) {
///         self.0.write_parts(parts);
///     }
/// }
/// ```
///
/// The text must depend only on the column's value: two processes that write different text for one
/// row do not exclude each other. [`LockName::row`](crate::LockName::row) also requires Diesel's
/// `AsExpression`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a lock's name",
    label = "this primary key does not implement `LockKey`",
    note = "for a custom key type, add `#[derive(LockKey)]`",
    note = "for a type of `uuid`, `chrono` or `time`, enable the feature of that name in \
            `diesel-advisory-lock`"
)]
pub trait LockKey {
    /// Writes one part for each column of the key, in the order of the columns.
    fn write_parts(&self, parts: &mut KeyParts<'_>);
}

macro_rules! keys {
    ($($type:ty),+ => |$key:ident, $parts:ident| $write:expr) => {$(
        impl LockKey for $type {
            fn write_parts(&self, $parts: &mut KeyParts<'_>) {
                let $key = self;
                $write
            }
        }
    )+};
}

keys!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize => |key, parts| parts.display(key));
keys!(bool => |key, parts| parts.text(if *key { "1" } else { "0" }));
keys!(str, String => |key, parts| parts.text(key));
keys!([u8], Vec<u8> => |key, parts| parts.bytes(key));

impl<const N: usize> LockKey for [u8; N] {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        parts.bytes(self);
    }
}

impl<K: LockKey + ?Sized> LockKey for &K {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        (**self).write_parts(parts);
    }
}

impl<K: LockKey + ?Sized> LockKey for Box<K> {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        (**self).write_parts(parts);
    }
}

impl<K: LockKey + ToOwned + ?Sized> LockKey for Cow<'_, K> {
    fn write_parts(&self, parts: &mut KeyParts<'_>) {
        (**self).write_parts(parts);
    }
}

/// One impl for each length: names are removed from the first list one by one, the second list
/// stays.
macro_rules! tuples {
    ([] [$($kept:ident)*]) => {};
    ([$first:ident $($more:ident)*] [$($kept:ident)*]) => {
        impl<$first: LockKey, $($more: LockKey,)* $($kept: LockKey),*> LockKey
            for ($first, $($more,)* $($kept,)*)
        {
            #[allow(non_snake_case, reason = "a variable is named after its type")]
            fn write_parts(&self, parts: &mut KeyParts<'_>) {
                let ($first, $($more,)* $($kept,)*) = self;
                $first.write_parts(parts);
                $($more.write_parts(parts);)*
                $($kept.write_parts(parts);)*
            }
        }
        tuples!([$($more)*] [$($kept)*]);
    };
}

// The same widths and features as Diesel's tuples.
tuples!([
    K1 K2 K3 K4 K5 K6 K7 K8 K9 K10 K11 K12 K13 K14 K15 K16
] []);
#[cfg(feature = "32-column-tables")]
tuples!([
    K17 K18 K19 K20 K21 K22 K23 K24 K25 K26 K27 K28 K29 K30 K31 K32
] [
    K1 K2 K3 K4 K5 K6 K7 K8 K9 K10 K11 K12 K13 K14 K15 K16
]);
#[cfg(feature = "64-column-tables")]
tuples!([
    K33 K34 K35 K36 K37 K38 K39 K40 K41 K42 K43 K44 K45 K46 K47 K48 K49 K50 K51 K52 K53 K54 K55
    K56 K57 K58 K59 K60 K61 K62 K63 K64
] [
    K1 K2 K3 K4 K5 K6 K7 K8 K9 K10 K11 K12 K13 K14 K15 K16 K17 K18 K19 K20 K21 K22 K23 K24 K25
    K26 K27 K28 K29 K30 K31 K32
]);
#[cfg(feature = "128-column-tables")]
tuples!([
    K65 K66 K67 K68 K69 K70 K71 K72 K73 K74 K75 K76 K77 K78 K79 K80 K81 K82 K83 K84 K85 K86 K87
    K88 K89 K90 K91 K92 K93 K94 K95 K96 K97 K98 K99 K100 K101 K102 K103 K104 K105 K106 K107 K108
    K109 K110 K111 K112 K113 K114 K115 K116 K117 K118 K119 K120 K121 K122 K123 K124 K125 K126
    K127 K128
] [
    K1 K2 K3 K4 K5 K6 K7 K8 K9 K10 K11 K12 K13 K14 K15 K16 K17 K18 K19 K20 K21 K22 K23 K24 K25
    K26 K27 K28 K29 K30 K31 K32 K33 K34 K35 K36 K37 K38 K39 K40 K41 K42 K43 K44 K45 K46 K47 K48
    K49 K50 K51 K52 K53 K54 K55 K56 K57 K58 K59 K60 K61 K62 K63 K64
]);

#[cfg(feature = "uuid")]
keys!(uuid::Uuid => |key, parts| parts.bytes(key.as_bytes()));

#[cfg(feature = "chrono")]
mod chrono;
#[cfg(feature = "time")]
mod time;

#[cfg(any(feature = "chrono", feature = "time"))]
mod calendar;
