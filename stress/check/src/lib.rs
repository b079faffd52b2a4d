//! The checker of a stress run. It reads the history that the processes of a run have written, and
//! decides whether correct locks could have produced it.
//!
//! It shares no code with the library, and uses neither Diesel nor SQL. [`rules`] has the rules, a
//! file for each, and [`history`] describes the format.

pub mod history;
pub mod report;
pub mod rules;
pub mod run;
pub mod trace;

pub use report::Report;
pub use run::Run;
