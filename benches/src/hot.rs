//! 64 threads on one lock: each on a connection of its own, or all through a `LockPool` of four. On loopback, and with a
//! millisecond to the server and back.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Result;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::database::{Account, Database, Transport};
use crate::finding::{Column, Finding, Picture, Row};
use crate::report::Report;
use crate::rounds::{Contender, Plan, medians, throughput};

const THREADS: usize = 64;

pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    report.add(on(database, plan, Transport::Tcp)?)?;
    database.set_delay(Duration::from_micros(500));
    let finding = on(database, plan, Transport::Delayed);
    database.set_delay(Duration::ZERO);
    report.add(finding?)?;
    Ok(())
}

fn on(database: &Database, plan: Plan, transport: Transport) -> Result<Finding> {
    let name = LockName::named("hot");
    let account = Account { id: 1, balance: 0 };
    let at = database.by(transport);
    let locks = LockPool::new(at.pool(4)?);
    let connections: Result<Vec<_>> = (0..THREADS).map(|_| at.connect()).collect();
    let connections = RefCell::new(connections?);
    let alone = |time, work: &(dyn Fn(&mut MysqlConnection) -> Result<(), LockError> + Sync)| {
        throughput(time, &mut connections.borrow_mut(), |conn| Ok(work(conn)?))
    };
    let pooled = |time, work: &(dyn Fn() -> Result<(), LockError> + Sync)| {
        throughput(time, &mut [(); THREADS], |()| Ok(work()?))
    };
    let mut contenders = [
        Contender::ours("hold", |time| {
            alone(time, &|conn| name.lock().hold(conn, |_| Ok(())))
        }),
        Contender::ours("hold_from", |time| {
            pooled(time, &|| name.lock().hold_from(&locks, |_| Ok(())))
        }),
        Contender::ours("with_lock", |time| {
            alone(time, &|conn| account.clone().with_lock(conn, |_, _| Ok(())))
        }),
        Contender::ours("with_lock_from", |time| {
            pooled(time, &|| {
                account.clone().with_lock_from(&locks, |_, _| Ok(()))
            })
        }),
        Contender::ours(".transaction", |time| {
            alone(time, &|conn| {
                account.clone().lock().transaction(conn, |_, _| Ok(()))
            })
        }),
        Contender::ours(".transaction_from", |time| {
            pooled(time, &|| {
                account
                    .clone()
                    .lock()
                    .transaction_from(&locks, |_, _| Ok(()))
            })
        }),
    ];
    let (id, far) = match transport {
        Transport::Tcp | Transport::Socket => ("hot-loopback", "on loopback"),
        Transport::Delayed => ("hot-1ms", "with 1 ms of round trip"),
    };
    let title = format!("64 threads on one lock, {far}");
    let medians = medians(&title, plan, &mut contenders)?;
    let pairs = medians.chunks(2).zip(contenders.chunks(2));
    let rows = pairs.flat_map(|(pair, names)| {
        let of = |index: usize| Row {
            name: names[index].name.to_owned(),
            ours: true,
            cells: vec![
                Some([THREADS, 4][index] as f64),
                Some(pair[index]),
                Some(pair[index] / pair[0]),
            ],
        };
        [of(0), of(1)]
    });
    Ok(Finding {
        id: id.to_owned(),
        title,
        text: "Nothing is done under the lock, so that what is seen is the lock.".to_owned(),
        columns: vec![
            Column::new("connections", "", 0),
            Column::new("closures/s", "", 0),
            Column::new("x plain", "", 2),
        ],
        rows: rows.collect(),
        picture: Picture::Bars { column: 1 },
    })
}
