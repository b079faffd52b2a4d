//! The stress test on PostgreSQL: the program `stress` with another module `server`.

#[cfg(feature = "async")]
mod async_worker;
mod cli;
mod coordinator;
mod model;
mod program;
#[path = "postgres/mod.rs"]
mod server;
mod work;
mod worker;

fn main() -> std::process::ExitCode {
    program::main()
}
