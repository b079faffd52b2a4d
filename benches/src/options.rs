//! The command line. `cargo xtask bench` includes this file, to answer `--help` before the benchmarks are built.

use clap::{Parser, ValueEnum};
use test_server::ServerKind;

#[derive(Parser)]
#[command(bin_name = "cargo xtask bench", about = "Measure the library")]
pub(crate) struct Options {
    /// The server: mariadb or mysql
    #[arg(long, value_name = "KIND", default_value = "mariadb")]
    pub(crate) server: ServerKind,

    /// How often each contender runs
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,

    /// How long each runs in a round
    #[arg(long, default_value_t = 0.5)]
    pub(crate) seconds: f64,

    /// What to measure [default: all]
    #[arg(long, value_enum)]
    pub(crate) only: Vec<LockedObject>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum LockedObject {
    /// One session and an uncontended lock
    Alone,
    /// 2 to 256 threads on one lock
    Contended,
    /// 64 threads on 1 to 100,000 locks
    Spread,
    /// One session, and half a millisecond or five to the server and back
    Distance,
    /// Names and statements without a server
    Cpu,
    /// What grows with locks held, with waiters, and with names
    Growth,
    /// 64 threads on one lock
    Hot,
    /// What a hot lock does to others who use the pool
    Crowd,
}
