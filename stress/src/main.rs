//! Locks under fire: worker processes lock, a coordinator makes everything go wrong that it can, and a
//! judge reads what they wrote down.
//!
//! `stress` is the coordinator; its workers are the same program with a hidden command. The judge is the
//! package `stress-check`, which knows nothing of the library. `cargo xtask stress` builds and runs it all.

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
