//! 64 threads on one lock: each on a connection of its own, or all through a `LockPool` of four. On loopback, and with a
//! millisecond to the server and back.

use std::time::Duration;

use anyhow::Result;

use crate::contenders::{Call, Load, Lockers, Ours, Size, Watch};
use crate::database::{Database, Transport};
use crate::finding::{Column, Finding, Picture, Row};
use crate::report::Report;
use crate::rounds::{Plan, median_of, under_loads};

const THREADS: usize = 64;
const CONNECTIONS: usize = 4;

pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    let near = measure(database, plan, Transport::Tcp, "on loopback")?;
    report.add(finding("hot-loopback", near))?;
    database.set_delay(Duration::from_micros(500));
    let far = measure(
        database,
        plan,
        Transport::Delayed,
        "with 1 ms of round trip",
    );
    database.set_delay(Duration::ZERO);
    report.add(finding("hot-1ms", far?))
}

/// The title, and a row for each call: plain, then pooled.
fn measure(
    database: &Database,
    plan: Plan,
    transport: Transport,
    far: &str,
) -> Result<(String, Vec<Row>)> {
    let at = database.by(transport);
    let mut lockers: Lockers<'_> = Vec::new();
    for call in [Call::Hold, Call::WithLock, Call::Transaction] {
        lockers.push(Box::new(Ours::plain(at, call)));
        lockers.push(Box::new(Ours::pooled(at, call, Size::Always(CONNECTIONS))));
    }
    let title = format!("64 threads on one lock, {far}");
    let load = Load {
        threads: THREADS,
        names: 1,
        time: plan.time,
        watch: Watch::Nothing,
    };
    let table = under_loads(&title, plan.rounds, &mut lockers, &[load])?;
    let of = |index: usize, of: fn(&_) -> f64| median_of(&table[index][0], of);
    let rows = lockers.iter().enumerate().map(|(index, locker)| {
        let own = of(index, |measures| measures.per_second);
        // Plain ones have the even indices.
        let plain = of(index & !1, |measures| measures.per_second);
        Row {
            name: locker.name(),
            ours: true,
            cells: vec![
                of(index, |measures| measures.connections),
                own,
                own.zip(plain).map(|(own, plain)| own / plain),
            ],
        }
    });
    Ok((title, rows.collect()))
}

fn finding(id: &str, (title, rows): (String, Vec<Row>)) -> Finding {
    Finding {
        id: id.to_owned(),
        title,
        text: "Nothing is done under the lock, so that what is seen is the lock.".to_owned(),
        columns: vec![
            Column::new("connections", "", 0),
            Column::new("closures/s", "", 0),
            Column::new("x plain", "", 2),
        ],
        rows,
        picture: Picture::Bars { column: 1 },
    }
}
