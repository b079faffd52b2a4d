//! The history: what everybody did and when, one event a line.
//!
//! A run has a directory. The coordinator writes `coordinator.history` there, each worker process
//! `worker-<number>.history`, and `effects/` has what the bodies did to the world outside of the
//! database. A file's first line is
//!
//! ```text
//! stress-history 2
//! ```
//!
//! and each further line is a time, a word, and what the word takes, with one space between them. The
//! time is nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share. A line goes out
//! as one `write`, so that a killed process leaves whole lines; a last line without its newline is
//! counted and not read. `-` stands for nothing. Names of locks are as the library displays them, and
//! contain no space; several are joined by `+`.
//!
//! Workers write:
//!
//! | line | meaning |
//! |---|---|
//! | `invoke OP THREAD WAY NAMES WAIT SOURCE` | a lock is about to be asked for; `WAIT` in milliseconds |
//! | `granted OP SESSION HOLDER` | the body has begun: the connection's id there, and whom the server calls the lock's holder |
//! | `struck OP FAULT` | the worker causes a fault in this operation; the words are [`OpFault`] |
//! | `end OP WROTE` | the body has ended; `WROTE` is `NAME=VALUE` of each counter that is about to be committed, joined by `+` |
//! | `outcome OP WORD CLAIM` | what the call returned, in the words of [`Outcome`], and what its error says became of the work, in those of [`Claim`] |
//! | `unconnected THREAD SOURCE` | no connection could be had |
//! | `drained SOURCE SESSION NAMES` | at the end: the locks that an idle connection still holds |
//! | `finished` | the worker's last line |
//!
//! `WAY` is the way of locking. `left_open`, `in_transaction`, `settings_in_body`, `settings_in_transaction` and what was struck by `misspelled`,
//! `no-autocommit` or `chain` must never succeed. `SOURCE` is the kind of connection:
//!
//! - with `squeezed` in it, a pool that has fewer connections than the process has threads, so that
//!   `pool` needs no fault;
//! - with `lock-pool` in it, one that hands a connection off with its locks from thread to thread;
//! - with `-direct` at its end, one that does not go through the proxy.
//!
//! An operation is nested in another of its thread that has no outcome yet.
//!
//! The coordinator writes:
//!
//! | line | meaning |
//! |---|---|
//! | `run KEY VALUE` | seed, server and the like, for the reader |
//! | `worker NUMBER STATE` | [`WorkerState`] |
//! | `begin FAULT KIND TARGET` | a fault is about to be caused; `TARGET` is `KEY=VALUE,..` |
//! | `over FAULT WORD` | it has been caused, and what lasted is over: `done`, or `missed` if it struck nothing |
//! | `final NAME VALUE` | what is in a counter at the end; all began at 0 |
//! | `left THING WHICH` | found at the end: a `lock`, `session`, `process` or `directory` |
//! | `done` | everything at the end was looked at |

use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_gettime};

mod event;
mod words;
mod writer;

pub use event::{Event, WaitMs, parse};
pub use words::{Claim, FaultKind, OpFault, Outcome, WorkerState};
pub use writer::Writer;

/// A file's first line.
pub const HEADER: &str = "stress-history 2";

/// The coordinator's file.
pub const COORDINATOR: &str = "coordinator.history";

/// Where bodies leave their traces, one file for each lock.
pub const EFFECTS: &str = "effects";

/// A worker's file.
pub fn worker_file(number: u32) -> String {
    format!("worker-{number}.history")
}

/// The file of a lock's effects; a name may contain what a file's must not.
pub fn effects_file(directory: &Path, name: &str) -> PathBuf {
    let file: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    directory.join(EFFECTS).join(file)
}

/// Nanoseconds on the clock that all processes share.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither part is ever negative on this clock.
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}
