//! `stress-check DIR`: the verdict on a run that has left its history there.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use stress_check::picture::Picture;
use stress_check::rules::Rule;
use stress_check::{Run, Verdict};

#[derive(Parser)]
#[command(about = "Decides whether the history of a stress run is one that locks allow")]
struct Options {
    /// Where the run has left its history
    directory: PathBuf,

    /// The run was made to break one of these rules: succeed if it did, and fail otherwise
    #[arg(long, value_name = "RULE,..", value_delimiter = ',')]
    expect: Vec<Rule>,

    /// Draw a stretch of it
    #[arg(long, value_name = "FILE.svg")]
    picture: Option<PathBuf>,

    /// Draw from so many seconds after the start [default: where most happens]
    #[arg(long, requires = "picture")]
    from: Option<f64>,

    /// Draw so many seconds
    #[arg(long, default_value_t = Picture::SECONDS, requires = "picture")]
    length: f64,
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
    let verdict = Verdict::on(Run::read(&options.directory)?);
    println!("{verdict}");
    if let Some(file) = &options.picture {
        let picture = Picture::of(verdict.run(), options.from, options.length);
        fs::write(file, picture.to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("The picture is {}.", file.display());
    }
    Ok(as_expected(&verdict, &options.expect))
}

fn as_expected(verdict: &Verdict, expected: &[Rule]) -> bool {
    if expected.is_empty() {
        return verdict.is_clean();
    }
    let found = expected.iter().any(|&rule| verdict.broke(rule));
    if !found {
        let words: Vec<_> = expected.iter().map(|rule| rule.word()).collect();
        eprintln!("Expected to be broken, but was not: {}.", words.join(", "));
    }
    found
}
