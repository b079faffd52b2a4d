//! The judge of a stress run: reads the history that its processes have left, and decides whether
//! locks that keep their promises could have produced it.
//!
//! It knows nothing of the library, of Diesel or of SQL. What a run may look like is in [`rules`], a
//! file each; what it reads is in [`history`].

pub mod history;
pub mod picture;
pub mod rules;
pub mod run;
pub mod verdict;

pub use run::Run;
pub use verdict::Verdict;
