//! One session, an uncontended lock: the cost of locking, beside the alternatives.

use anyhow::Result;

use crate::competitors::{
    CClient, Call, Competitors, DieselSelect, DistributedLock, ForUpdate, Load, LockTable,
    MysqlCrate, Ours, RunStatements, Size, SqlQuery, Watch, on_postgres, redis,
};
use crate::database::{Database, Endpoint, Transport};
use crate::finding::{Chart, Column, Finding, Row};
use crate::interleave::{Plan, median_of, under_loads};
use crate::report::Report;

pub(crate) fn run(
    database: &Database,
    redis: Option<&redis::Server>,
    plan: Plan,
    report: &mut Report,
) -> Result<()> {
    report.add(measure(database, redis, plan, Transport::Tcp)?)?;
    report.add(measure(database, redis, plan, Transport::Socket)?)
}

/// The competitors that lock in the database server. The first is the reference of the ratios.
pub(crate) fn on_database_server(at: Endpoint<'_>) -> Competitors<'_> {
    if let Some(mut competitors) = on_postgres(at) {
        for call in [Call::Run, Call::WithLock, Call::Transaction] {
            competitors.push(Box::new(Ours::plain(at, call)));
        }
        for call in [Call::Run, Call::Transaction] {
            competitors.push(Box::new(Ours::lock_pool(at, call, Size::Fixed(1))));
        }
        return competitors;
    }
    vec![
        Box::new(CClient(at)),
        Box::new(MysqlCrate(at)),
        Box::new(DieselSelect(at)),
        Box::new(RunStatements(at)),
        Box::new(Ours::plain(at, Call::Run)),
        Box::new(SqlQuery(at)),
        Box::new(Ours::plain(at, Call::WithLock)),
        Box::new(ForUpdate(at)),
        Box::new(Ours::plain(at, Call::Transaction)),
        Box::new(LockTable(at)),
        Box::new(DistributedLock(at)),
    ]
}

fn measure(
    database: &Database,
    redis: Option<&redis::Server>,
    plan: Plan,
    transport: Transport,
) -> Result<Finding> {
    let (id, path) = match transport {
        Transport::Tcp | Transport::Delayed => ("uncontended-tcp", "TCP on loopback"),
        Transport::Socket => ("uncontended-socket", "a Unix socket"),
    };
    let title = format!("One uncontended lock over {path}");
    let mut competitors = on_database_server(database.by(transport));
    competitors.extend(redis::competitors(redis, transport));
    // Many short runs: each connection is scheduled on other processors, which affects the time
    // more than the differences to be measured.
    let parts = 5;
    let load = Load {
        threads: 1,
        names: 1,
        time: plan.time / parts,
        watch: Watch::Nothing,
    };
    let rounds = plan.rounds * parts as usize;
    let table = under_loads(&title, rounds, &mut competitors, &[load])?;
    let per_second: Vec<_> = table
        .iter()
        .map(|row| median_of(&row[0], |measures| measures.per_second))
        .collect();
    let rows = competitors
        .iter()
        .zip(&per_second)
        .map(|(competitor, &own)| Row {
            name: competitor.name(),
            ours: competitor.ours(),
            cells: vec![
                own.map(|own| 1e6 / own),
                own.zip(per_second[0]).map(|(own, first)| first / own),
            ],
        });
    Ok(Finding {
        id: id.to_owned(),
        title,
        text: format!(
            "The time to acquire and release, in one session; {rounds} runs of {:?} each.",
            load.time
        ),
        columns: vec![
            Column::new("time", "µs", 1),
            Column::new("x C client", "", 2),
        ],
        rows: rows.collect(),
        chart: Chart::Bars { column: 0 },
    })
}
