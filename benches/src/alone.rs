//! One session, a lock that nobody else wants: what locking costs by itself, beside the floor and what people do instead.

use anyhow::Result;

use crate::contenders::{
    CClient, Call, DieselSelect, DistributedLock, ForUpdate, HoldStatements, Load, LockTable,
    Lockers, MysqlCrate, Others, Ours, SqlQuery, Watch,
};
use crate::database::{Database, Endpoint, Transport};
use crate::finding::{Column, Finding, Picture, Row};
use crate::report::Report;
use crate::rounds::{Plan, median_of, under_loads};

pub(crate) fn run(
    database: &Database,
    others: &mut Others,
    plan: Plan,
    report: &mut Report,
) -> Result<()> {
    report.add(on(database, others, plan, Transport::Tcp)?)?;
    report.add(on(database, others, plan, Transport::Socket)?)?;
    Ok(())
}

/// All that lock in the server itself. The first is the floor.
pub(crate) fn on_the_server(at: Endpoint<'_>) -> Lockers<'_> {
    vec![
        Box::new(CClient(at)),
        Box::new(MysqlCrate(at)),
        Box::new(DieselSelect(at)),
        Box::new(HoldStatements(at)),
        Box::new(Ours::plain(at, Call::Hold)),
        Box::new(SqlQuery(at)),
        Box::new(Ours::plain(at, Call::WithLock)),
        Box::new(ForUpdate(at)),
        Box::new(Ours::plain(at, Call::Transaction)),
        Box::new(LockTable(at)),
        Box::new(DistributedLock(at)),
    ]
}

fn on(
    database: &Database,
    others: &mut Others,
    plan: Plan,
    transport: Transport,
) -> Result<Finding> {
    let (id, way) = match transport {
        Transport::Tcp | Transport::Delayed => ("alone-tcp", "over TCP on loopback"),
        Transport::Socket => ("alone-socket", "over a Unix socket"),
    };
    let title = format!("Lock and release, uncontended, {way}");
    let mut lockers = on_the_server(database.by(transport));
    lockers.extend(others.all(transport));
    // On which processors client and server meet is drawn anew with each connection, and weighs more than anything that is
    // to be seen here: so many short runs, not a few long ones.
    let parts = 5;
    let load = Load {
        threads: 1,
        names: 1,
        time: plan.time / parts,
        watch: Watch::Nothing,
    };
    let rounds = plan.rounds * parts as usize;
    let table = under_loads(&title, rounds, &mut lockers, &[load])?;
    let per_second: Vec<_> = table
        .iter()
        .map(|row| median_of(&row[0], |measures| measures.per_second))
        .collect();
    let rows = lockers.iter().zip(&per_second).map(|(locker, &own)| Row {
        name: locker.name(),
        ours: locker.ours(),
        cells: vec![
            own.map(|own| 1e6 / own),
            own.zip(per_second[0]).map(|(own, floor)| floor / own),
        ],
    });
    Ok(Finding {
        id: id.to_owned(),
        title,
        text: format!(
            "One session, and a lock that nobody else wants; {rounds} runs of {:?} each.",
            load.time
        ),
        columns: vec![
            Column::new("time", "µs", 1),
            Column::new("x the C client", "", 2),
        ],
        rows: rows.collect(),
        picture: Picture::Bars { column: 0 },
    })
}
