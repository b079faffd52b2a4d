//! The history of a run: which process did what, and when, with one event on each line.
//!
//! A run has a directory. The coordinator writes `coordinator.history` there, and each worker
//! process writes `worker-<number>.history`. The folder `effects/` has a file for each lock, to
//! which bodies append lines. The first line of a history file is
//!
//! ```text
//! stress-history 2
//! ```
//!
//! Each further line is a time, a word, and the fields of that word, separated by single spaces.
//! The time is in nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share. A line
//! is one `write`, so that a killed process leaves whole lines. A last line without its newline is
//! counted and ignored. `-` means no value. Lock names are written as the library displays them,
//! without spaces. Several names are joined by `+`.
//!
//! Workers write:
//!
//! | line | meaning |
//! |---|---|
//! | `invoke OP THREAD OPERATION NAMES WAIT SOURCE` | a call begins; `WAIT` is its timeout in ms |
//! | `acquired OP SESSION HOLDER` | the body begins; `HOLDER` is as the server reports it |
//! | `checked OP SESSION` | the connection of the call answered, before the library used it |
//! | `injected OP FAULT` | the worker causes a fault in this call, an [`OpFault`] |
//! | `end OP WROTE` | the body ends; `WROTE` is `NAME=VALUE` of each counter, joined by `+` |
//! | `outcome OP OUTCOME CLAIM` | the call returned; `CLAIM` is its error's claim about the work |
//! | `kept OP` | after the call was cut or panicked, its connection was not marked as broken |
//! | `unconnected THREAD SOURCE` | no connection was available |
//! | `drained SOURCE SESSION NAMES` | the locks that an idle connection holds at the end |
//! | `finished` | the worker's last line |
//!
//! `OUTCOME` is an [`Outcome`] and `CLAIM` a [`Claim`]. `OP` is the call's number in its process.
//! `OPERATION` is the name of the operation in `stress/src/`. A call must not succeed if its
//! operation is `left_open`, `in_transaction`, `upgrade`, `settings_in_body` or
//! `settings_in_transaction`, or if its fault is `misspelled`, `no-autocommit`, `chain` or
//! `raw-begin`. An operation whose name begins with `shared` locks in shared mode. `SOURCE` is the
//! kind of connection:
//!
//! - `undersized` in it means a pool with fewer connections than the process has threads, in which
//!   `pool` needs no fault;
//! - `lock-pool` in it means a `LockPool`, which hands off a connection with its locks;
//! - `repeatable-read` or `serializable` at its beginning is the isolation level of its
//!   transactions;
//! - `-direct` at its end means a connection that bypasses the proxy.
//!
//! An asynchronous worker has tasks in place of threads. `cut` is the outcome of a call whose future
//! was dropped, and `THREAD` is the number of its task.
//!
//! A call is nested in another call of its thread that has no outcome yet.
//!
//! The coordinator writes:
//!
//! | line | meaning |
//! |---|---|
//! | `run KEY VALUE` | a fact for the reader, such as the seed or the server |
//! | `worker NUMBER STATE` | a worker's [`WorkerState`] |
//! | `begin FAULT KIND TARGET` | a fault begins; `TARGET` is `KEY=VALUE,..` |
//! | `over FAULT WORD` | the fault is over: `done`, or `missed` if it hit nothing |
//! | `final NAME VALUE` | the value of a counter at the end; all counters begin at 0 |
//! | `left THING WHICH` | a `lock`, `session`, `process` or `directory` that remained at the end |
//! | `done` | the coordinator has finished its checks at the end |

use std::path::{Path, PathBuf};

use rustix::time::{ClockId, clock_gettime};

mod event;
mod words;
mod writer;

pub use event::{Event, WaitMs, parse};
pub use words::{Claim, FaultKind, OpFault, Outcome, WorkerState};
pub use writer::Writer;

/// The first line of a history file.
pub const HEADER: &str = "stress-history 2";

/// The coordinator's file.
pub const COORDINATOR: &str = "coordinator.history";

/// The folder to which bodies write, with one file for each lock.
pub const EFFECTS: &str = "effects";

/// A worker's file.
pub fn worker_file(number: u32) -> String {
    format!("worker-{number}.history")
}

/// The file of a lock's effects.
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
