//! The command line. `cargo xtask stress` includes this file, to answer `--help` before the stress test is built.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use stress_check::history::FaultKind;
use test_server::ServerKind;

#[derive(Parser)]
#[command(
    about = "Locks from many processes, injects faults, and checks the history",
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) run: RunOptions,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// What the coordinator starts
    #[command(hide = true)]
    Worker(WorkerOptions),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunOptions {
    /// The server to start: mariadb or mysql
    #[arg(long, value_name = "KIND", default_value = "mariadb")]
    pub(crate) server: ServerKind,

    /// How long the stress test lasts
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    minutes: Option<u64>,

    /// The same in seconds [default: 60]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    /// Decides on all faults and all work, but not on how threads are scheduled [default: a new one]
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// What is made to go wrong: a comma list of kinds, all, or none
    #[arg(long, value_name = "KINDS", default_value = "all")]
    pub(crate) faults: Faults,

    /// How many worker processes
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) processes: u32,

    /// How many threads each
    #[arg(long, value_name = "T", default_value_t = 6)]
    pub(crate) threads: u16,

    /// Where the history goes; what is there is removed
    /// [default: target/stress/ and the server]
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,

    /// Another program for the workers: one that was built without a protection
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub(crate) worker_program: Option<PathBuf>,
}

impl RunOptions {
    pub(crate) fn lasts(&self) -> Duration {
        match (self.minutes, self.seconds) {
            (Some(minutes), _) => Duration::from_secs(minutes * 60),
            (None, seconds) => Duration::from_secs(seconds.unwrap_or(60)),
        }
    }
}

/// What a worker is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerOptions {
    #[arg(long)]
    pub(crate) number: u32,

    #[arg(long)]
    pub(crate) threads: u16,

    #[arg(long)]
    pub(crate) seed: u64,

    #[arg(long)]
    pub(crate) directory: PathBuf,

    /// Of the server itself
    #[arg(long)]
    pub(crate) direct: String,

    /// Of the proxy in front of it
    #[arg(long)]
    pub(crate) proxied: String,

    #[arg(long)]
    pub(crate) faults: Faults,
}

impl WorkerOptions {
    /// As it reads them back.
    pub(crate) fn arguments(&self) -> Vec<String> {
        vec![
            "worker".to_owned(),
            format!("--number={}", self.number),
            format!("--threads={}", self.threads),
            format!("--seed={}", self.seed),
            format!("--directory={}", self.directory.display()),
            format!("--direct={}", self.direct),
            format!("--proxied={}", self.proxied),
            format!("--faults={}", self.faults),
        ]
    }
}

/// The kinds of faults to cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Faults {
    /// By the coordinator.
    pub(crate) kinds: Vec<FaultKind>,
    /// By the workers themselves.
    pub(crate) own: Vec<WorkerFault>,
}

/// What workers do to themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerFault {
    /// Two locks, nested in either order.
    Deadlock,
    /// The body acquires its lock once more and never releases that.
    Leak,
    /// A key that is spelled otherwise than the row's.
    Misspelled,
    /// Of a body, and of Diesel's instrumentation while a lock is acquired.
    Panic,
    /// `autocommit = 0` and `completion_type = CHAIN`.
    Settings,
    /// A pool of one connection.
    Undersized,
    /// The body puts another connection in the index of its own.
    Swap,
    /// The body gives its lock back behind the library's back.
    Theft,
}

impl WorkerFault {
    const ALL: [Self; 8] = [
        Self::Deadlock,
        Self::Leak,
        Self::Misspelled,
        Self::Panic,
        Self::Settings,
        Self::Undersized,
        Self::Swap,
        Self::Theft,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Deadlock => "deadlock",
            Self::Leak => "leak",
            Self::Misspelled => "misspelled",
            Self::Panic => "panic",
            Self::Settings => "settings",
            Self::Undersized => "undersized",
            Self::Swap => "swap",
            Self::Theft => "theft",
        }
    }
}

impl Faults {
    pub(crate) fn has(&self, own: WorkerFault) -> bool {
        self.own.contains(&own)
    }

    fn all() -> Self {
        let kinds = FaultKind::ALL.iter().copied();
        Self {
            kinds: kinds.filter(|kind| kind.is_counted()).collect(),
            own: WorkerFault::ALL.to_vec(),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.kinds.iter().map(|kind| kind.word());
        let words: Vec<_> = kinds.chain(self.own.iter().map(|own| own.word())).collect();
        f.write_str(if words.is_empty() { "none" } else { "" })?;
        f.write_str(&words.join(","))
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::all()),
            "none" => {
                return Ok(Self {
                    kinds: Vec::new(),
                    own: Vec::new(),
                });
            }
            _ => {}
        }
        let all = Self::all();
        let mut faults = Self {
            kinds: Vec::new(),
            own: Vec::new(),
        };
        for word in text.split(',') {
            if let Some(&kind) = all.kinds.iter().find(|kind| kind.word() == word) {
                faults.kinds.push(kind);
            } else if let Some(&own) = all.own.iter().find(|own| own.word() == word) {
                faults.own.push(own);
            } else {
                return Err(format!("`{word}` is none of {all}"));
            }
        }
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_written() {
        for text in ["all", "none", "kill-holder,worker-stop,panic", "theft"] {
            let faults: Faults = text.parse().expect(text);
            assert_eq!(faults.to_string().parse(), Ok(faults), "{text}");
        }
        let error = "kill-holder,earthquake"
            .parse::<Faults>()
            .expect_err("an unknown word");
        assert!(
            error.starts_with("`earthquake` is none of kill-holder,"),
            "{error}"
        );
    }

    #[test]
    fn a_worker_reads_what_it_is_told() {
        let options = WorkerOptions {
            number: 3,
            threads: 2,
            seed: 9,
            directory: "/somewhere".into(),
            direct: "mysql://a".to_owned(),
            proxied: "mysql://b".to_owned(),
            faults: "none".parse().expect("a word"),
        };
        let line = ["stress".to_owned()].into_iter().chain(options.arguments());
        let Ok(Cli {
            command: Some(Command::Worker(read)),
            ..
        }) = Cli::try_parse_from(line)
        else {
            panic!("no worker");
        };
        assert_eq!(format!("{read:?}"), format!("{options:?}"));
    }
}
