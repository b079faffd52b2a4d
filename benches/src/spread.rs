//! Many threads and ever more locks, of which each turn takes one at random: from all for one to one for each.

use anyhow::Result;

use crate::contenders::{
    CClient, Connections, DistributedLock, ForUpdate, Hold, HoldFrom, Load, Lockers, MysqlCrate,
    Others, Watch,
};
use crate::database::{Database, Transport};
use crate::lines::{self, Axis, P99, THROUGHPUT};
use crate::report::Report;
use crate::rounds::{Plan, under_loads};

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
    let title = "64 threads, more and more locks";
    let mut lockers = lockers(database, others);
    let loads: Vec<_> = NAMES
        .at
        .iter()
        .map(|&names| Load {
            threads: THREADS,
            names,
            time: plan.time,
            watch: Watch::Waits,
        })
        .collect();
    let table = under_loads(title, plan.rounds, &mut lockers, &loads)?;
    for measure in [THROUGHPUT, P99] {
        let subject = ("spread", title);
        report.add(lines::finding(subject, &NAMES, &measure, &lockers, &table))?;
    }
    Ok(())
}

fn lockers<'a>(database: &'a Database, others: &'a Others) -> Lockers<'a> {
    let transport = Transport::Tcp;
    let at = database.by(transport);
    let pool = |connections| HoldFrom {
        at,
        connections: Connections::Always(connections),
    };
    let mut lockers: Lockers<'a> = vec![
        Box::new(Hold(at)),
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
