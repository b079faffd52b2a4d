//! Pages for reading.

/// Which of the calls to use, and what each costs.
#[doc = include_str!("guide/choosing.md")]
pub mod choosing {}

/// The calls of other libraries, beside those of this one.
#[doc = include_str!("guide/coming_from.md")]
pub mod coming_from {}

/// Blocking connections in an async program: `deadpool-diesel`, and `spawn_blocking`.
#[doc = include_str!("guide/async_programs.md")]
pub mod async_programs {}
