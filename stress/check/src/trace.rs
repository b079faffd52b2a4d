//! A run as a trace in Chrome's trace event format, which <https://ui.perfetto.dev> and
//! `chrome://tracing` open.
//!
//! Each worker process is a process of the trace, and each of its threads is a row. A call is a
//! slice, which contains a slice `wait` until the body begins, and a slice `hold` until the body
//! ends. Faults and violations are instant events.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serializer;
use serde_json::{Value, json};

use crate::report::Report;
use crate::rules::Violation;
use crate::run::{Fault, Op, Run};

/// Writes the trace of a run to a file.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    let written = || -> Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        let events = events(report.run(), report.violations());
        serde_json::Serializer::new(&mut file).collect_seq(events)?;
        Ok(file.flush()?)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

fn events<'r>(run: &'r Run, violations: &'r [Violation]) -> impl Iterator<Item = Value> + 'r {
    let rows: BTreeSet<_> = run.ops.iter().map(|op| (op.worker, op.thread)).collect();
    let threads = rows.into_iter().map(|(worker, thread)| {
        let name = format!("thread {thread}");
        named("thread_name", worker, tid(worker, thread), &name)
    });
    let workers = run.workers.keys().map(|&number| {
        let name = format!("worker {number}");
        named("process_name", number, tid(number, 0), &name)
    });
    let violations = violations.iter().flat_map(|found| violated(run, found));
    [named("process_name", 0, 0, "coordinator")]
        .into_iter()
        .chain(workers)
        .chain(threads)
        .chain(run.ops.iter().flat_map(|op| call(run, op)))
        .chain(run.faults.iter().map(|fault| injected(run, fault)))
        .chain(violations)
}

/// Thread ids must be unique across processes: Perfetto names threads by their id alone.
fn tid(worker: u32, thread: u16) -> u64 {
    u64::from(worker) * 100_000 + u64::from(thread)
}

fn named(what: &str, pid: u32, tid: u64, name: &str) -> Value {
    json!({ "ph": "M", "name": what, "pid": pid, "tid": tid, "args": { "name": name } })
}

/// The slices of a call, the outer one first, and the faults that its worker caused in it.
fn call(run: &Run, op: &Op) -> Vec<Value> {
    let (pid, tid) = (op.worker, tid(op.worker, op.thread));
    let slice = |name: &str, from: u64, to: u64, args: Value| {
        let (ts, dur) = (micros(run, from), to.saturating_sub(from) as f64 / 1e3);
        json!({
            "ph": "X", "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args,
        })
    };
    let end = run.end_of(op);
    let args = json!({
        "number": op.id,
        "locks": op.names.join("+"),
        "timeout_ms": op.wait.0,
        "connection": &*op.source,
        "session": op.session,
        "outcome": op.outcome.map(|(_, outcome)| outcome.word()),
        "error_claims": op.claim.map(|claim| claim.word()),
    });
    let mut events = vec![
        slice(&op.operation, op.invoked, end, args),
        slice("wait", op.invoked, op.acquired.unwrap_or(end), json!({})),
    ];
    if let Some(acquired) = op.acquired {
        events.push(slice("hold", acquired, op.ended.unwrap_or(end), json!({})));
    }
    events.extend(op.faults.iter().map(|&(time, fault)| {
        let args = json!({ "number": op.id });
        instant(run, fault.word(), "t", (pid, tid), time, args)
    }));
    events
}

/// A fault of the coordinator, in the worker's process or in all of them.
fn injected(run: &Run, fault: &Fault) -> Value {
    let lasted = fault.over.map(|over| (over - fault.begun) as f64 / 1e6);
    let args = json!({ "target": fault.target, "hit": fault.hit, "lasted_ms": lasted });
    let (scope, row) = match fault.worker() {
        Some(worker) => ("p", (worker, tid(worker, 0))),
        None => ("g", (0, 0)),
    };
    instant(run, fault.kind.word(), scope, row, fault.begun, args)
}

/// A violation, in each of its calls. One without calls shows at the end of the run.
fn violated(run: &Run, violation: &Violation) -> Vec<Value> {
    let name = format!("violation {}", violation.rule);
    let args = json!({ "violation": violation.what });
    let mark = |scope, row, time| instant(run, &name, scope, row, time, args.clone());
    let calls = violation.ops.iter().map(|&index| &run.ops[index]);
    let mut events: Vec<_> = calls
        .map(|op| {
            let time = violation.from.clamp(op.invoked, run.end_of(op));
            mark("t", (op.worker, tid(op.worker, op.thread)), time)
        })
        .collect();
    if events.is_empty() {
        events.push(mark("g", (0, 0), violation.from));
    }
    events
}

/// An event without a duration. Its scope is one row (`t`), one process (`p`) or all rows (`g`).
fn instant(
    run: &Run,
    name: &str,
    scope: &str,
    (pid, tid): (u32, u64),
    time: u64,
    args: Value,
) -> Value {
    let ts = micros(run, time);
    json!({ "ph": "i", "name": name, "s": scope, "pid": pid, "tid": tid, "ts": ts, "args": args })
}

/// Microseconds since the start of the run, the unit of the format.
fn micros(run: &Run, time: u64) -> f64 {
    time.saturating_sub(run.from) as f64 / 1e3
}
