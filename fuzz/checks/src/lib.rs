//! What the fuzz targets check, as plain functions of the bytes that the fuzzer makes up. They panic
//! on what must not be.

mod attributes;
mod names;
mod text;

pub use attributes::check as attributes;
pub use names::check as lock_names;

// The macros themselves: what a proc-macro crate exports can only be called by the compiler.
#[path = "../../../derive/src"]
mod derive {
    pub(crate) mod generics;
    pub(crate) mod lock_key;
    pub(crate) mod lockable;
    pub(crate) mod locked;
    pub(crate) mod options;
}

// Where they look for each other.
use derive::{generics, lock_key, lockable, locked, options};
