//! The macros of `diesel-advisory-lock` and `diesel-advisory-lock-async`, which re-export and document
//! them. The second of each pair is the async crate's.

use proc_macro::TokenStream;
use syn::parse_macro_input;

use library::Library;

mod generics;
mod library;
mod lock_key;
mod lockable;
mod locked;
mod options;
#[cfg(test)]
mod tests;

#[proc_macro_attribute]
pub fn locked(attribute: TokenStream, method: TokenStream) -> TokenStream {
    locked::expand(Library::Blocking, attribute.into(), method.into()).into()
}

#[doc(hidden)]
#[proc_macro_attribute]
pub fn locked_async(attribute: TokenStream, method: TokenStream) -> TokenStream {
    locked::expand(Library::Async, attribute.into(), method.into()).into()
}

#[proc_macro_derive(Lockable, attributes(lock))]
pub fn lockable(input: TokenStream) -> TokenStream {
    lockable::expand(Library::Blocking, &parse_macro_input!(input)).into()
}

#[doc(hidden)]
#[proc_macro_derive(LockableAsync, attributes(lock))]
pub fn lockable_async(input: TokenStream) -> TokenStream {
    lockable::expand(Library::Async, &parse_macro_input!(input)).into()
}

#[proc_macro_derive(LockKey, attributes(lock))]
pub fn lock_key(input: TokenStream) -> TokenStream {
    lock_key::expand(Library::Blocking, &parse_macro_input!(input)).into()
}

#[doc(hidden)]
#[proc_macro_derive(LockKeyAsync, attributes(lock))]
pub fn lock_key_async(input: TokenStream) -> TokenStream {
    lock_key::expand(Library::Async, &parse_macro_input!(input)).into()
}
