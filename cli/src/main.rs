//! `diesel-lock`: lists the advisory locks of a server, and ends the session of a stuck holder.

#[cfg(not(any(feature = "mysql", feature = "postgres")))]
compile_error!("enable the feature `mysql`, `postgres` or both");

mod args;
mod commands;
mod lock;
mod name;
mod output;
mod readable;
mod server;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Error, Result};
use clap::Parser;

use args::{Cli, Command};
use commands::{check, end, key, list, watch, who};

/// The exit code of every command that fails. It is also clap's for wrong arguments.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        // The program that reads the output has seen enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            ExitCode::from(FAILED)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let url = cli.database_url.as_deref();
    match &cli.command {
        Command::List(args) => list::run(url, args),
        Command::Watch(args) => watch::run(url, args),
        Command::Who(args) => who::run(url, args),
        Command::Check(args) => check::run(url, args),
        Command::End(args) => end::run(url, args),
        Command::Key(args) => key::run(args),
    }
}

fn is_closed_pipe(error: &Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes to the standard output.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
