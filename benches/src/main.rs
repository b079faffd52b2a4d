//! Measures the library on a private server. All competitors run interleaved in one process, so
//! that disturbances of the machine affect all alike: read the ratios, not the numbers.

mod async_calls;
mod competitors;
mod contended;
mod cpu;
mod database;
mod distance;
mod finding;
mod hot;
mod interleave;
mod machine;
mod many_names;
mod memory;
mod options;
mod report;
mod scaling;
mod starvation;
mod sweep;
mod uncontended;

use std::cell::LazyCell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use test_server::ServerKind;
use time::OffsetDateTime;

use competitors::redis;
use database::{Database, IS_POSTGRES};
use interleave::Plan;
use machine::Machine;
use options::{Benchmark, Options};
use report::Report;

fn main() -> Result<()> {
    let options = Options::parse();
    let plan = Plan {
        rounds: options.rounds,
        time: Duration::from_secs_f64(options.seconds),
    };
    let database = Database::start(options.server)?;
    let directory = directory(options.server);
    let mut report = Report::new(directory.clone(), run(&options, &database)?)?;
    let redis = LazyCell::new(|| redis::start(&database));
    for benchmark in Benchmark::value_variants() {
        if options.only.is_empty() || options.only.contains(benchmark) {
            if IS_POSTGRES && matches!(benchmark, Benchmark::Cpu | Benchmark::Scaling) {
                println!("cpu and scaling run on MariaDB and MySQL only\n");
                continue;
            }
            match benchmark {
                Benchmark::Uncontended => {
                    uncontended::run(&database, redis.as_ref(), plan, &mut report)?
                }
                Benchmark::Contended => {
                    contended::run(&database, redis.as_ref(), plan, &mut report)?
                }
                Benchmark::ManyNames => {
                    many_names::run(&database, redis.as_ref(), plan, &mut report)?
                }
                Benchmark::Distance => distance::run(&database, plan, &mut report)?,
                Benchmark::Async => async_calls::run(&database, plan, &mut report)?,
                Benchmark::Cpu => {
                    cpu::run(&database, &directory.join("criterion"), &mut report)?;
                }
                Benchmark::Scaling => scaling::run(&database, plan, &mut report)?,
                Benchmark::Hot => hot::run(&database, plan, &mut report)?,
                Benchmark::HotSet => hot::run_set(&database, plan, &mut report)?,
                Benchmark::Starvation => starvation::run(&database, plan, &mut report)?,
            }
        }
    }
    println!("The report: file://{}", report.page().display());
    Ok(())
}

/// Returns the report's directory, below `target/`.
fn directory(server: ServerKind) -> PathBuf {
    let servers = test_server::cache_dir();
    let target = servers.parent().unwrap_or(&servers);
    target.join("bench").join(server.to_string())
}

fn run(options: &Options, database: &Database) -> Result<report::Run> {
    Ok(report::Run {
        server: database.version()?,
        method: format!(
            "{}, `cargo xtask bench --server {} --rounds {} --seconds {}`. A private server and \
             all competitors run on one machine. The competitors alternate, in a different order \
             in each round, so that disturbances affect all alike. A number is the median of {} \
             rounds of {} s; compare the ratios. Each competitor is first checked for mutual \
             exclusion.",
            OffsetDateTime::now_utc().date(),
            options.server,
            options.rounds,
            options.seconds,
            options.rounds,
            options.seconds,
        ),
        machine: Machine::this(),
    })
}
