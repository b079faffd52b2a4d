//! What the fuzz targets check, as plain functions of the bytes that the fuzzer makes up. They panic
//! on what must not be.

mod attributes;
mod names;
mod text;

pub use attributes::check as attributes;
pub use names::check as lock_names;

// The macros themselves: what a proc-macro crate exports can only be called by the compiler.
#[path = "../../../derive/src/lock_key.rs"]
mod lock_key;
#[path = "../../../derive/src/lockable.rs"]
mod lockable;
#[path = "../../../derive/src/locked.rs"]
mod locked;
#[path = "../../../derive/src/options.rs"]
mod options;
