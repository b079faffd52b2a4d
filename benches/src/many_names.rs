//! 64 threads that lock random names out of 1 to 100,000.

use anyhow::Result;

use crate::competitors::{
    CClient, Call, Competitor, Competitors, DistributedLock, ForUpdate, Load, MysqlCrate, Ours,
    Size, Until, Watch, on_postgres, redis,
};
use crate::database::{Database, Transport};
use crate::interleave::Plan;
use crate::report::Report;
use crate::sweep::{Axis, P99, Sweep, THROUGHPUT};

const THREADS: usize = 64;

const NAMES: Axis = Axis {
    name: "names",
    at: &[1, 10, 1_000, 100_000],
};

pub(crate) fn run(
    database: &Database,
    redis: Option<&redis::Server>,
    plan: Plan,
    report: &mut Report,
) -> Result<()> {
    let sweep = Sweep {
        id: "many-names",
        title: "64 threads, 1 to 100,000 names",
        axis: &NAMES,
        load: &|names| Load {
            threads: THREADS,
            names,
            until: Until::Elapsed(plan.time),
            watch: Watch::Waits,
        },
        measures: &[THROUGHPUT, P99],
    };
    let at = database.by(Transport::Tcp);
    let lock_pool = |size| Ours::lock_pool(at, Call::Run, Size::Fixed(size));
    let mut competitors: Competitors<'_> = vec![
        Box::new(Ours::plain(at, Call::Run)),
        Box::new(lock_pool(4)),
        Box::new(lock_pool(THREADS)),
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
        ]),
    }
    competitors.extend(redis::competitors(redis, at.transport));
    sweep.run(database, competitors, plan.rounds, report)
}
