//! The stress test: workers acquire locks, a coordinator injects faults, and a checker reads the
//! history.
//!
//! `stress` is the coordinator, and its workers are the same program with a hidden command.
//! `stress-postgres` is the same program for PostgreSQL: the module `server` has all that differs.
//! The checker is the package `stress-check`, which shares no code with the library. `cargo xtask
//! stress` builds and runs all of it.

#[cfg(feature = "async")]
mod async_worker;
mod cli;
mod coordinator;
mod model;
mod program;
#[path = "mysql/mod.rs"]
mod server;
mod work;
mod worker;

fn main() -> std::process::ExitCode {
    program::main()
}
