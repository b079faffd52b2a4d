//! The command line. `cargo xtask bench` includes this file, to answer `--help` before the
//! benchmarks are built.

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
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Benchmark {
    /// One session, an uncontended lock
    Uncontended,
    /// 2 to 256 threads, one lock
    Contended,
    /// 64 threads, 1 to 100,000 locks
    ManyNames,
    /// One session, an uncontended lock, round trips of 0.5 ms and 5 ms
    Distance,
    /// One task, an uncontended lock: the async crate
    Async,
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
}
