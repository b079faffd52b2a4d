//! What the programs for all servers have in common.

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::{coordinator, worker};

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        #[cfg(feature = "async")]
        Some(Command::Worker(options)) if options.is_async => {
            crate::async_worker::run(options).map(|()| true)
        }
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
