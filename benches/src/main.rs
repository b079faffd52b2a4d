//! Measures the library on a private server. Everything that is compared runs interleaved in one process, so that
//! what disturbs the machine disturbs all alike; read the ratios, not the numbers.

mod alone;
mod contended;
mod contenders;
mod cpu;
mod crowd;
mod database;
mod distance;
mod finding;
mod growth;
mod hot;
mod lines;
mod machine;
mod memory;
mod options;
mod report;
mod rounds;
mod spread;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use test_server::ServerKind;
use time::OffsetDateTime;

use contenders::Others;
use database::Database;
use machine::Machine;
use options::{LockedObject, Options};
use report::Report;
use rounds::Plan;

fn main() -> Result<()> {
    let options = Options::parse();
    let plan = Plan {
        rounds: options.rounds,
        time: Duration::from_secs_f64(options.seconds),
    };
    let database = Database::start(options.server)?;
    let directory = directory(options.server);
    let mut report = Report::new(directory.clone(), run(&options, &database)?)?;
    let mut others = None;
    let start = || Others::start(&database);
    for subject in LockedObject::value_variants() {
        if options.only.is_empty() || options.only.contains(subject) {
            match subject {
                LockedObject::Alone => {
                    let others = others.get_or_insert_with(start);
                    alone::run(&database, others, plan, &mut report)?;
                }
                LockedObject::Contended => {
                    let others = others.get_or_insert_with(start);
                    contended::run(&database, others, plan, &mut report)?;
                }
                LockedObject::Spread => {
                    let others = others.get_or_insert_with(start);
                    spread::run(&database, others, plan, &mut report)?;
                }
                LockedObject::Distance => {
                    let others = others.get_or_insert_with(start);
                    distance::run(&database, others, plan, &mut report)?;
                }
                LockedObject::Cpu => {
                    cpu::run(&database, &directory.join("criterion"), &mut report)?
                }
                LockedObject::Growth => growth::run(&database, plan, &mut report)?,
                LockedObject::Hot => hot::run(&database, plan, &mut report)?,
                LockedObject::Crowd => crowd::run(&database, plan, &mut report)?,
            }
        }
    }
    println!(
        "All of it, with pictures: file://{}",
        report.page().display()
    );
    Ok(())
}

/// In the target directory, beside the private servers' files.
fn directory(server: ServerKind) -> PathBuf {
    let servers = test_server::cache_dir();
    let target = servers.parent().unwrap_or(&servers);
    target.join("bench").join(server.to_string())
}

fn run(options: &Options, database: &Database) -> Result<report::Run> {
    Ok(report::Run {
        server: database.version()?,
        method: format!(
            "{}. A private server and all contenders on one machine, in one run of `cargo xtask bench --server {} --rounds {} --seconds {}`. \
             Contenders take turns, A B C, A C B, ..: what disturbs the machine disturbs all alike. A number is the median of \
             {} rounds of {} s; ratios say more than numbers. Before it is measured, each contender has to show that it excludes.",
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
