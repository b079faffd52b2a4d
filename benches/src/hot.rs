//! 64 threads on one lock: each on a connection of its own, or all through a `LockPool` of four. On loopback, and with a
//! millisecond to the server and back.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Result;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::database::{Account, Database, Way};
use crate::report;
use crate::rounds::{Contender, Plan, medians, throughput};

const THREADS: usize = 64;

pub(crate) fn run(database: &Database, plan: Plan) -> Result<()> {
    on(database, plan, Way::Loopback, "on loopback")?;
    database.set_delay(Duration::from_micros(500));
    let run = on(database, plan, Way::Proxy, "with 1 ms of round trip");
    database.set_delay(Duration::ZERO);
    run
}

fn on(database: &Database, plan: Plan, way: Way, title: &str) -> Result<()> {
    let name = LockName::named("hot");
    let account = Account { id: 1, balance: 0 };
    let locks = LockPool::new(database.pool(way, 4)?);
    let connections = RefCell::new(database.connect(way, THREADS)?);
    let alone = |time, work: &(dyn Fn(&mut MysqlConnection) -> Result<(), LockError> + Sync)| {
        throughput(time, &mut connections.borrow_mut(), |conn| Ok(work(conn)?))
    };
    let pooled = |time, work: &(dyn Fn() -> Result<(), LockError> + Sync)| {
        throughput(time, &mut [(); THREADS], |()| Ok(work()?))
    };
    let mut contenders = [
        Contender::new("hold", |time| {
            alone(time, &|conn| name.lock().hold(conn, |_| Ok(())))
        }),
        Contender::new("hold_from", |time| {
            pooled(time, &|| name.lock().hold_from(&locks, |_| Ok(())))
        }),
        Contender::new("with_lock", |time| {
            alone(time, &|conn| account.clone().with_lock(conn, |_, _| Ok(())))
        }),
        Contender::new("with_lock_from", |time| {
            pooled(time, &|| {
                account.clone().with_lock_from(&locks, |_, _| Ok(()))
            })
        }),
        Contender::new(".transaction", |time| {
            alone(time, &|conn| {
                account.clone().lock().transaction(conn, |_, _| Ok(()))
            })
        }),
        Contender::new(".transaction_from", |time| {
            pooled(time, &|| {
                account
                    .clone()
                    .lock()
                    .transaction_from(&locks, |_, _| Ok(()))
            })
        }),
    ];
    let title = format!("64 threads on one lock, {title}");
    let medians = medians(&title, plan, &mut contenders)?;
    let mut table = report::table(["", "connections", "closures/s", "x"]);
    for (pair, names) in medians.chunks(2).zip(contenders.chunks(2)) {
        for (index, (per_second, contender)) in pair.iter().zip(names).enumerate() {
            table.add_row([
                contender.name.to_owned(),
                [THREADS, 4][index].to_string(),
                format!("{per_second:.0}"),
                format!("{:.2}", per_second / pair[0]),
            ]);
        }
    }
    report::print(&format!("{title}, with nothing to do under it:"), &table);
    Ok(())
}
