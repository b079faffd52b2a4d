//! 2 to 256 threads that contend for one lock. The closures do nothing, so the numbers are the cost
//! of passing the lock from one caller to the next.

use anyhow::Result;

use crate::competitors::{
    CClient, Call, Competitor, Competitors, DistributedLock, ForUpdate, Load, LockTable,
    MysqlCrate, Ours, Size, Until, Watch, on_postgres, redis,
};
use crate::database::{Database, Transport};
use crate::interleave::Plan;
use crate::report::Report;
use crate::sweep::{Axis, CONNECTIONS, P99, Sweep, THROUGHPUT, UNFAIRNESS};

const THREADS: Axis = Axis {
    name: "threads",
    at: &[2, 4, 8, 16, 64, 256],
};

pub(crate) fn run(
    database: &Database,
    redis: Option<&redis::Server>,
    plan: Plan,
    report: &mut Report,
) -> Result<()> {
    let sweep = Sweep {
        id: "contended",
        title: "Many threads, one lock",
        axis: &THREADS,
        load: &|threads| Load {
            threads,
            names: 1,
            until: Until::Elapsed(plan.time),
            watch: Watch::Waits,
        },
        measures: &[THROUGHPUT, P99, UNFAIRNESS, CONNECTIONS],
    };
    let at = database.by(Transport::Tcp);
    let mut competitors: Competitors<'_> = vec![
        Box::new(Ours::plain(at, Call::Run)),
        Box::new(Ours::lock_pool(at, Call::Run, Size::OnePer(16))),
    ];
    match on_postgres(at) {
        Some(alternatives) => {
            competitors.push(Box::new(Ours::plain(at, Call::Transaction)));
            competitors.extend(alternatives);
        }
        None => competitors.extend([
            Box::new(CClient(at)) as Box<dyn Competitor>,
            Box::new(MysqlCrate(at)),
            Box::new(DistributedLock(at)),
            Box::new(ForUpdate(at)),
            Box::new(LockTable(at)),
        ]),
    }
    competitors.extend(redis::competitors(redis, at.transport));
    sweep.run(database, competitors, plan.rounds, report)
}
