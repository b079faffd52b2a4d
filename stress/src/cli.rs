//! The command line. `cargo xtask stress` includes this file, so that `--help` needs no build of
//! the stress test.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use stress_check::history::FaultKind;
use test_server::ServerKind;

#[derive(Parser)]
#[command(
    about = "Acquire locks in many processes, inject faults, and check the history",
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
    /// Run one worker process
    #[command(hide = true)]
    Worker(WorkerOptions),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RunOptions {
    /// The server to start: mariadb, mysql, postgres or postgres18
    #[arg(long, value_name = "KIND", default_value = "mariadb")]
    pub(crate) server: ServerKind,

    /// Duration in minutes
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    minutes: Option<u64>,

    /// Duration in seconds [default: 60]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    /// Seed of all faults and all work, but not of the scheduling [default: random]
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// Faults to inject: a comma-separated list of kinds, all, or none
    #[arg(long, value_name = "KINDS", default_value = "all")]
    pub(crate) faults: Faults,

    /// Number of worker processes
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) processes: u32,

    /// Number of threads in each worker
    #[arg(long, value_name = "T", default_value_t = 6)]
    pub(crate) threads: u16,

    /// Run tasks in place of threads, on diesel-async
    #[arg(long = "async")]
    pub(crate) is_async: bool,

    /// Directory of the history, which is emptied first [default: target/stress/ and the server]
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

impl RunOptions {
    pub(crate) fn duration(&self) -> Duration {
        match (self.minutes, self.seconds) {
            (Some(minutes), _) => Duration::from_secs(minutes * 60),
            (None, seconds) => Duration::from_secs(seconds.unwrap_or(60)),
        }
    }
}

/// The options of a worker, from the coordinator.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerOptions {
    #[arg(long)]
    pub(crate) number: u32,

    #[arg(long)]
    pub(crate) threads: u16,

    #[arg(long = "async")]
    pub(crate) is_async: bool,

    #[arg(long)]
    pub(crate) seed: u64,

    #[arg(long)]
    pub(crate) directory: PathBuf,

    /// URL of the server
    #[arg(long)]
    pub(crate) direct: String,

    /// URL of the proxy in front of it
    #[arg(long)]
    pub(crate) proxied: String,

    #[arg(long)]
    pub(crate) faults: Faults,
}

impl WorkerOptions {
    /// The arguments of the worker's command line.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "worker".to_owned(),
            format!("--number={}", self.number),
            format!("--threads={}", self.threads),
            format!("--seed={}", self.seed),
            format!("--directory={}", self.directory.display()),
            format!("--direct={}", self.direct),
            format!("--proxied={}", self.proxied),
            format!("--faults={}", self.faults),
        ];
        arguments.extend(self.is_async.then(|| "--async".to_owned()));
        arguments
    }
}

/// The kinds of faults to inject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Faults of the coordinator.
    pub(crate) kinds: Vec<FaultKind>,
    /// Faults that workers cause in their own calls.
    by_workers: Vec<WorkerFault>,
}

/// A fault that workers cause in their own calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerFault {
    /// The futures of calls are dropped, tasks are aborted, and runtimes are shut down.
    Cut,
    /// Two locks, nested in either order.
    Deadlock,
    /// The body acquires its lock once more and never releases it.
    Leak,
    /// The model's key is spelled differently from the row's.
    Misspelled,
    /// A body panics, or Diesel's instrumentation does while a lock is acquired.
    Panic,
    /// Settings and statements that change the session: `SET`, a raw `BEGIN`, `DISCARD ALL`.
    Settings,
    /// The body swaps its connection with another one.
    Swap,
    /// The body releases the lock by SQL.
    Theft,
    /// Pools of one connection.
    Undersized,
}

impl WorkerFault {
    const ALL: [Self; 9] = [
        Self::Cut,
        Self::Deadlock,
        Self::Leak,
        Self::Misspelled,
        Self::Panic,
        Self::Settings,
        Self::Swap,
        Self::Theft,
        Self::Undersized,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Deadlock => "deadlock",
            Self::Leak => "leak",
            Self::Misspelled => "misspelled",
            Self::Panic => "panic",
            Self::Settings => "settings",
            Self::Swap => "swap",
            Self::Theft => "theft",
            Self::Undersized => "undersized",
        }
    }
}

impl Faults {
    pub(crate) fn has(&self, fault: WorkerFault) -> bool {
        self.by_workers.contains(&fault)
    }

    fn all() -> Self {
        let kinds = FaultKind::ALL.iter().copied();
        Self {
            kinds: kinds.filter(|kind| kind.is_counted()).collect(),
            by_workers: WorkerFault::ALL.to_vec(),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.kinds.iter().map(|kind| kind.word());
        let by_workers = self.by_workers.iter().map(|fault| fault.word());
        let words: Vec<_> = kinds.chain(by_workers).collect();
        f.write_str(if words.is_empty() { "none" } else { "" })?;
        f.write_str(&words.join(","))
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::all()),
            "none" => return Ok(Self::default()),
            _ => {}
        }
        let all = Self::all();
        let mut faults = Self::default();
        for word in text.split(',') {
            if let Some(&kind) = all.kinds.iter().find(|kind| kind.word() == word) {
                faults.kinds.push(kind);
            } else if let Some(&fault) = all.by_workers.iter().find(|it| it.word() == word) {
                faults.by_workers.push(fault);
            } else {
                return Err(format!("`{word}` is not one of {all}"));
            }
        }
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_survive_a_round_trip() {
        for text in ["all", "none", "kill-holder,worker-stop,panic", "theft"] {
            let faults: Faults = text.parse().expect(text);
            assert_eq!(faults.to_string().parse(), Ok(faults), "{text}");
        }
        let error = "kill-holder,earthquake"
            .parse::<Faults>()
            .expect_err("an unknown word");
        assert!(
            error.starts_with("`earthquake` is not one of kill-holder,"),
            "{error}"
        );
    }

    #[test]
    fn the_options_of_a_worker_survive_a_round_trip() {
        let options = WorkerOptions {
            number: 3,
            threads: 2,
            is_async: true,
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
            panic!("not the command of a worker");
        };
        assert_eq!(format!("{read:?}"), format!("{options:?}"));
    }
}
