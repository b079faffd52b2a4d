//! Many threads and ever more locks, of which each turn takes one at random: from all for one to one for each.

use anyhow::Result;

use crate::contenders::{
    CClient, Call, DistributedLock, ForUpdate, Load, Lockers, MysqlCrate, Others, Ours, Size, Watch,
};
use crate::database::{Database, Transport};
use crate::lines::{Axis, Growing, P99, THROUGHPUT};
use crate::report::Report;
use crate::rounds::Plan;

const THREADS: usize = 64;

const NAMES: Axis = Axis {
    name: "names",
    at: &[1, 10, 1_000, 100_000],
};

pub(crate) fn run(
    database: &Database,
    others: &mut Others,
    plan: Plan,
    report: &mut Report,
) -> Result<()> {
    let growing = Growing {
        id: "spread",
        title: "64 threads, more and more locks",
        axis: &NAMES,
        load: &|names| Load {
            threads: THREADS,
            names,
            time: plan.time,
            watch: Watch::Waits,
        },
        measures: &[THROUGHPUT, P99],
    };
    growing.run(lockers(database, others), plan.rounds, report)
}

fn lockers<'a>(database: &'a Database, others: &'a mut Others) -> Lockers<'a> {
    let transport = Transport::Tcp;
    let at = database.by(transport);
    let pool = |connections| Ours::pooled(at, Call::Hold, Size::Always(connections));
    let mut lockers: Lockers<'a> = vec![
        Box::new(Ours::plain(at, Call::Hold)),
        Box::new(pool(4)),
        Box::new(pool(THREADS)),
        Box::new(CClient(at)),
        Box::new(MysqlCrate(at)),
        Box::new(DistributedLock(at)),
        Box::new(ForUpdate(at)),
    ];
    lockers.extend(others.redis(transport));
    lockers
}
