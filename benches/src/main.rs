//! Measures the library on a private server. Everything that is compared runs interleaved in one process, so that
//! what disturbs the machine disturbs all alike; read the ratios, not the numbers.

mod alone;
mod crowd;
mod database;
mod finding;
mod hot;
mod report;
mod rounds;

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use test_server::Kind;

use database::Database;
use report::Report;
use rounds::Plan;

#[derive(Parser)]
#[command(bin_name = "cargo xtask bench", about = "Measure the library")]
struct Options {
    /// The server: mariadb or mysql
    #[arg(long, value_name = "KIND", default_value = "mariadb")]
    server: Kind,

    /// How often each contender runs
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// How long each runs in a round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,

    /// What to measure [default: all]
    #[arg(long, value_enum)]
    only: Vec<Subject>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Subject {
    /// One session and a lock that nobody else wants
    Alone,
    /// 64 threads on one lock
    Hot,
    /// What a hot lock does to others who use the pool
    Crowd,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let plan = Plan {
        rounds: options.rounds,
        time: Duration::from_secs_f64(options.seconds),
    };
    let database = Database::start(options.server)?;
    let mut report = Report::default();
    for subject in Subject::value_variants() {
        if options.only.is_empty() || options.only.contains(subject) {
            match subject {
                Subject::Alone => alone::run(&database, plan, &mut report)?,
                Subject::Hot => hot::run(&database, plan, &mut report)?,
                Subject::Crowd => crowd::run(&database, plan, &mut report)?,
            }
        }
    }
    Ok(())
}
