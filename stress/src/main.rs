//! The stress test: workers acquire locks, a coordinator injects faults, and a checker reads the
//! history.
//!
//! `stress` is the coordinator, and its workers are the same program with a hidden command. The
//! checker is the package `stress-check`, which shares no code with the library. `cargo xtask
//! stress` builds and runs all of it.

mod cli;
mod coordinator;
mod model;
mod work;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Some(Command::Worker(options)) => worker::run(options).map(|()| true),
        None => coordinator::run(&cli.run),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}
