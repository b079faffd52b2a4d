//! `stress-check DIRECTORY` checks the history of a run.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use stress_check::{Report, Run, trace};

#[derive(Parser)]
#[command(about = "Check the history of a stress run")]
struct Options {
    /// The directory of the run
    directory: PathBuf,

    /// Write a trace of the run, which https://ui.perfetto.dev opens
    #[arg(long, value_name = "FILE.json")]
    trace: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    let report = Report::of(Run::read(&options.directory)?);
    println!("{report}");
    if let Some(file) = &options.trace {
        trace::write(&report, file)?;
        println!("The trace is {}.", file.display());
    }
    Ok(report.is_clean())
}
