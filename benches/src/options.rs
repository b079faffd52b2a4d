//! The command line. `cargo xtask bench` includes this file, to answer `--help` before the
//! benchmarks are built.

use std::fmt;

use clap::{Parser, ValueEnum};
use test_server::ServerKind;

#[derive(Parser)]
#[command(bin_name = "cargo xtask bench", about = "Measure the library")]
pub(crate) struct Options {
    /// The server: mariadb, mysql, postgres or postgres18
    #[arg(long, value_name = "KIND", default_value = "mariadb")]
    pub(crate) server: ServerKind,

    /// The number of rounds, in each of which every competitor runs once
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,

    /// The duration of one competitor's run, in seconds
    #[arg(long, default_value_t = 0.5)]
    pub(crate) seconds: f64,

    /// The benchmarks to run [default: all]
    #[arg(long, value_enum)]
    pub(crate) only: Vec<Benchmark>,

    /// Record the results for docs/benchmarks.md, and write that page
    #[arg(long)]
    pub(crate) record: bool,

    /// Only write docs/benchmarks.md from what is recorded
    #[arg(long)]
    pub(crate) page: bool,

    /// Only repeat a competitor this often, for valgrind
    #[arg(long, hide = true, requires = "port", requires = "competitor")]
    pub(crate) times: Option<u64>,

    /// The port of a server that another process has started
    #[arg(long, hide = true)]
    pub(crate) port: Option<u16>,

    /// The number of a competitor
    #[arg(long, hide = true)]
    pub(crate) competitor: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Benchmark {
    /// What does not depend on the machine: round trips, statements and instructions of a lock
    Counts,
    /// One session, an uncontended lock: on loopback, and round trips of 0.5 ms and 5 ms
    Uncontended,
    /// The same with one task: the async crate
    Async,
    /// 2 to 256 threads, one lock
    Contended,
    /// 64 threads, 1 to 100,000 locks
    ManyNames,
    /// Names and statements: CPU time and instructions
    Cpu,
    /// Cost by the number of held locks, of waiters and of names used
    Scaling,
    /// One lock: 64 threads on 64 connections, and through a LockPool of 4
    Hot,
    /// A set of two locks: 16 threads on a plain pool of 4, and through a LockPool of 4
    HotSet,
    /// The effect of a hot lock on other users of its pool
    Starvation,
    /// One lock and 1 to 64 callers with other work, beside a queueing model
    Capacity,
}

impl fmt::Display for Benchmark {
    /// Writes the name on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
