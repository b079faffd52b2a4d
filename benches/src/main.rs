//! Measures the library on a private server. All competitors run interleaved in one process, so
//! that disturbances of the machine affect all alike: read the ratios, not the numbers.

mod capacity;
mod competitors;
mod contended;
mod control;
mod counts;
mod cpu;
mod database;
mod finding;
mod hot;
mod interleave;
mod machine;
mod many_names;
mod memory;
mod options;
mod report;
mod rounds;
mod scaling;
mod starvation;
mod sweep;
mod uncontended;

use std::cell::LazyCell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use test_server::ServerKind;
use time::OffsetDateTime;

use competitors::redis;
use database::Database;
use interleave::Plan;
use machine::Machine;
use options::{Benchmark, Options};
use report::{Report, Run, docs};
use uncontended::Calls;

fn main() -> Result<()> {
    let options = Options::parse();
    if options.page {
        return docs::write_page();
    }
    if let Some(times) = options.times {
        return repeat(&options, times);
    }
    let plan = Plan {
        rounds: options.rounds,
        time: Duration::from_secs_f64(options.seconds),
    };
    let database = Database::start(options.server)?;
    let directory = directory(options.server);
    let run = run(&options, &database)?;
    let mut report = Report::new(directory.clone())?;
    let redis = LazyCell::new(|| redis::start(&database));
    for benchmark in Benchmark::value_variants() {
        if !options.only.is_empty() && !options.only.contains(benchmark) {
            continue;
        }
        let (database, report) = (&database, &mut report);
        match benchmark {
            Benchmark::Counts => counts::run(database, report),
            Benchmark::Uncontended => Calls::Blocking.run(database, redis.as_ref(), plan, report),
            Benchmark::Async => Calls::Async.run(database, None, plan, report),
            Benchmark::Contended => contended::run(database, redis.as_ref(), plan, report),
            Benchmark::ManyNames => many_names::run(database, redis.as_ref(), plan, report),
            Benchmark::Cpu => cpu::run(database, &directory.join("criterion"), report),
            Benchmark::Scaling => scaling::run(database, plan, report),
            Benchmark::Hot => hot::run(database, plan, report),
            Benchmark::HotSet => hot::run_set(database, plan, report),
            Benchmark::Starvation => starvation::run(database, plan, report),
            Benchmark::Capacity => capacity::run(database, plan, report),
        }?;
        let recording = report.finish(benchmark.to_string(), run.clone())?;
        if options.record {
            docs::record(options.server, &recording, &directory)?;
        }
    }
    println!("The results and charts are in {}", directory.display());
    Ok(())
}

/// What valgrind runs.
fn repeat(options: &Options, times: u64) -> Result<()> {
    let calls = match options.only.as_slice() {
        [Benchmark::Async] => Calls::Async,
        _ => Calls::Blocking,
    };
    let port = options.port.context("no port")?;
    let competitor = options.competitor.context("no competitor")?;
    counts::repeat(calls, port, competitor, times)
}

/// Returns the report's directory, below `target/`.
fn directory(server: ServerKind) -> PathBuf {
    let servers = test_server::cache_dir();
    let target = servers.parent().unwrap_or(&servers);
    target.join("bench").join(server.to_string())
}

fn run(options: &Options, database: &Database) -> Result<Run> {
    let Options {
        server,
        rounds,
        seconds,
        ..
    } = options;
    Ok(Run {
        server: database.version()?,
        date: OffsetDateTime::now_utc().date().to_string(),
        command: format!(
            "cargo xtask bench --server {server} --rounds {rounds} --seconds {seconds}"
        ),
        machine: Machine::this().to_string(),
    })
}
