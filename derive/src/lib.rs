//! The macros of `diesel-advisory-lock`, which re-exports and documents them.

use proc_macro::TokenStream;
use syn::parse_macro_input;

mod lock_key;
mod lockable;
mod locked;
mod options;

/// Runs a method under the lock of its row: the decorator.
///
/// On `&mut self` the row is read again into `self` before the body runs; on `&self` the body
/// runs on a copy that was read under the lock. Callers call the method as ever. See the
/// crate's documentation for the options.
#[proc_macro_attribute]
pub fn locked(attribute: TokenStream, method: TokenStream) -> TokenStream {
    locked::expand(attribute.into(), method.into()).into()
}

/// Gives a model a lock policy: `#[lock(timeout = "5s")]`, `#[lock(no_wait)]`, `#[lock(wait_forever)]`.
///
/// For a struct that is not `Identifiable`, `#[lock(table = accounts, key(from_id))]` says whose row it
/// locks.
#[proc_macro_derive(Lockable, attributes(lock))]
pub fn lockable(input: TokenStream) -> TokenStream {
    lockable::expand(&parse_macro_input!(input)).into()
}

/// Lets a newtype, or an enum without fields, stand in a lock's name.
#[proc_macro_derive(LockKey, attributes(lock))]
pub fn lock_key(input: TokenStream) -> TokenStream {
    lock_key::expand(&parse_macro_input!(input)).into()
}
