//! More and more threads that all want one lock, with nothing to do under it: what is seen is how it is handed over.

use anyhow::Result;

use crate::contenders::{
    CClient, Connections, DistributedLock, ForUpdate, Hold, HoldFrom, Load, LockTable, Lockers,
    MysqlCrate, Others, Watch,
};
use crate::database::{Database, Transport};
use crate::lines::{self, Axis, CONNECTIONS, P50, P99, THROUGHPUT, UNFAIRNESS};
use crate::report::Report;
use crate::rounds::{Plan, under_loads};

const THREADS: Axis = Axis {
    name: "threads",
    at: &[2, 4, 8, 16, 64, 256],
};

pub(crate) fn run(
    database: &Database,
    others: &mut Others,
    plan: Plan,
    report: &mut Report,
) -> Result<()> {
    let title = "Many threads, one lock";
    let mut lockers = lockers(database, others);
    let loads: Vec<_> = THREADS
        .at
        .iter()
        .map(|&threads| Load {
            threads,
            names: 1,
            time: plan.time,
            watch: Watch::Waits,
        })
        .collect();
    let table = under_loads(title, plan.rounds, &mut lockers, &loads)?;
    for measure in [THROUGHPUT, P50, P99, UNFAIRNESS, CONNECTIONS] {
        let subject = ("contended", title);
        report.add(lines::finding(
            subject, &THREADS, &measure, &lockers, &table,
        ))?;
    }
    Ok(())
}

fn lockers<'a>(database: &'a Database, others: &'a mut Others) -> Lockers<'a> {
    let transport = Transport::Tcp;
    let at = database.by(transport);
    let mut lockers: Lockers<'a> = vec![
        Box::new(Hold(at)),
        Box::new(HoldFrom {
            at,
            connections: Connections::OneFor(16),
        }),
        Box::new(CClient(at)),
        Box::new(MysqlCrate(at)),
        Box::new(DistributedLock(at)),
        Box::new(ForUpdate(at)),
        Box::new(LockTable(at)),
    ];
    lockers.extend(others.all(transport));
    lockers
}
