//! `stress-check DIRECTORY` checks the history of a run.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use stress_check::rules::Rule;
use stress_check::{Report, Run, trace};

#[derive(Parser)]
#[command(about = "Check the history of a stress run")]
struct Options {
    /// The directory of the run
    directory: PathBuf,

    /// Succeed only if the run broke one of these rules
    #[arg(long, value_name = "RULE,..", value_delimiter = ',')]
    expect: Vec<Rule>,

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
    Ok(as_expected(&report, &options.expect))
}

fn as_expected(report: &Report, expected: &[Rule]) -> bool {
    if expected.is_empty() {
        return report.is_clean();
    }
    let broken = report.by_rule();
    let found = expected.iter().any(|rule| broken.contains_key(rule));
    if !found {
        let words: Vec<_> = expected.iter().map(|rule| rule.word()).collect();
        eprintln!("No expected rule was broken: {}.", words.join(", "));
    }
    found
}
