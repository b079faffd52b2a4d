//! More and more threads that all want one lock, with closures that do nothing: this measures how the
//! lock passes from one caller to the next.

use anyhow::Result;

use crate::contenders::{
    CClient, Call, DistributedLock, ForUpdate, Load, LockTable, Lockers, MysqlCrate, Others, Ours,
    Size, Watch,
};
use crate::database::{Database, Transport};
use crate::lines::{Axis, CONNECTIONS, Growing, P50, P99, THROUGHPUT, UNFAIRNESS};
use crate::report::Report;
use crate::rounds::Plan;

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
    let growing = Growing {
        id: "contended",
        title: "Many threads, one lock",
        axis: &THREADS,
        load: &|threads| Load {
            threads,
            names: 1,
            time: plan.time,
            watch: Watch::Waits,
        },
        measures: &[THROUGHPUT, P50, P99, UNFAIRNESS, CONNECTIONS],
    };
    growing.run(lockers(database, others), plan.rounds, report)
}

fn lockers<'a>(database: &'a Database, others: &'a mut Others) -> Lockers<'a> {
    let transport = Transport::Tcp;
    let at = database.by(transport);
    let mut lockers: Lockers<'a> = vec![
        Box::new(Ours::plain(at, Call::Hold)),
        Box::new(Ours::pooled(at, Call::Hold, Size::OneFor(16))),
        Box::new(CClient(at)),
        Box::new(MysqlCrate(at)),
        Box::new(DistributedLock(at)),
        Box::new(ForUpdate(at)),
        Box::new(LockTable(at)),
    ];
    lockers.extend(others.all(transport));
    lockers
}
