//! The memory that remains after a process has used 1 to 100,000 names.

use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use anyhow::Result;
use diesel_advisory_lock::prelude::*;

use crate::database::{Conn, Database, Transport, accounts};
use crate::finding::{Cell, Chart, Column, Finding, Row};
use crate::interleave::progress;
use crate::memory;

const COUNTS: [i64; 4] = [1, 1_000, 10_000, 100_000];
const THREADS: i64 = 4;

pub(crate) fn run(database: &Database) -> Result<Finding> {
    let title = "A process that has used many names";
    let locks = LockPool::new(database.by(Transport::Tcp).pool(4)?);
    let (mut process, mut server) = (Vec::new(), Vec::new());
    let bar = progress(title, COUNTS.len());
    let mut used = 0;
    // Allocates what both processes keep for any number of names.
    use_names(&locks, -THREADS..0)?;
    let before = memory::of_both(database);
    for count in COUNTS {
        use_names(&locks, used..count)?;
        used = count;
        let now = memory::of_both(database);
        let grown = |before: Option<u64>, now: Option<u64>| {
            let (before, now) = before.zip(now)?;
            Some(Cell::Number((now as f64 - before as f64) / count as f64))
        };
        process.push(grown(before.process, now.process));
        server.push(grown(before.server, now.server));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Finding {
        id: "scaling-names".to_owned(),
        title: format!("{title}: remaining memory, bytes per name"),
        text:
            "Each name was locked through a LockPool and released. The numbers are the growth of \
               the resident memory, in pages of 4 KiB. Tests count allocations: none remain."
                .to_owned(),
        note: String::new(),
        columns: COUNTS
            .map(|count| Column::new(format!("{count} names"), "", 1))
            .to_vec(),
        rows: vec![
            Row {
                name: "the process".to_owned(),
                ours: true,
                cells: process,
            },
            Row {
                name: "the server".to_owned(),
                ours: false,
                cells: server,
            },
        ],
        chart: Chart::None,
    })
}

/// Locks each name once, in several threads.
fn use_names(locks: &LockPool<Conn>, names: Range<i64>) -> Result<()> {
    let part = &|thread: i64| {
        for id in names
            .clone()
            .skip(thread as usize)
            .step_by(THREADS as usize)
        {
            let name = LockName::row(accounts::table, id);
            locks.run(name.lock(), |_, _| Ok::<_, LockError>(()))?;
        }
        anyhow::Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| scope.spawn(move || part(number)))
            .collect();
        let mut results = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        results.try_for_each(|result| result)
    })
}
