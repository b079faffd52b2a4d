//! The macros of `diesel-advisory-lock`, which re-exports and documents them.

use proc_macro::TokenStream;
use syn::parse_macro_input;

mod generics;
mod lock_key;
mod lockable;
mod locked;
mod options;
#[cfg(test)]
mod tests;

#[proc_macro_attribute]
pub fn locked(attribute: TokenStream, method: TokenStream) -> TokenStream {
    locked::expand(attribute.into(), method.into()).into()
}

#[proc_macro_derive(Lockable, attributes(lock))]
pub fn lockable(input: TokenStream) -> TokenStream {
    lockable::expand(&parse_macro_input!(input)).into()
}

#[proc_macro_derive(LockKey, attributes(lock))]
pub fn lock_key(input: TokenStream) -> TokenStream {
    lock_key::expand(&parse_macro_input!(input)).into()
}
