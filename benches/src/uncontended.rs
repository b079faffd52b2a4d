//! One session, an uncontended lock: the cost of locking, beside the alternatives, on loopback and
//! at a distance.

use std::time::Duration;

use anyhow::Result;

use crate::competitors::{
    CClient, Call, Competitors, DieselSelect, DistributedLock, ForUpdate, Load, LockTable,
    MysqlCrate, Ours, RunStatements, Size, SqlQuery, Until, in_tasks, on_postgres, redis,
};
use crate::database::{Database, Endpoint, Transport};
use crate::finding::{Cell, Chart, Column, Finding, Row};
use crate::interleave::{Plan, median_of, times_ratio, under_loads};
use crate::report::Report;
use crate::rounds::Quality;

/// The two crates, each beside its alternatives.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Calls {
    Blocking,
    Async,
}

/// How the server is reached: the heading, the transport, and the round trip that a proxy adds.
type Path = (&'static str, Transport, Duration);

const LOOPBACK: Path = ("loopback", Transport::Tcp, Duration::ZERO);
const SOCKET: Path = ("socket", Transport::Socket, Duration::ZERO);
const NEAR: Path = ("0.5 ms", Transport::Delayed, Duration::from_micros(500));
const FAR: Path = ("5 ms", Transport::Delayed, Duration::from_millis(5));

impl Calls {
    pub(crate) fn id(self) -> &'static str {
        match self {
            Calls::Blocking => "uncontended",
            Calls::Async => "async",
        }
    }

    /// The competitors that lock in the database server. The first is the reference of the ratios.
    pub(crate) fn competitors(self, at: Endpoint<'_>) -> Competitors<'_> {
        match self {
            Calls::Blocking => blocking(at),
            Calls::Async => in_tasks(at),
        }
    }

    fn paths(self) -> &'static [Path] {
        match self {
            Calls::Blocking => &[LOOPBACK, SOCKET, NEAR, FAR],
            Calls::Async => &[LOOPBACK, NEAR, FAR],
        }
    }

    pub(crate) fn run(
        self,
        database: &Database,
        redis: Option<&redis::Server>,
        plan: Plan,
        report: &mut Report,
    ) -> Result<()> {
        let finding = self.measure(database, redis, plan);
        database.set_delay(Duration::ZERO)?;
        report.add(finding?)
    }

    fn measure(
        self,
        database: &Database,
        redis: Option<&redis::Server>,
        plan: Plan,
    ) -> Result<Finding> {
        let title = match self {
            Calls::Blocking => "One uncontended lock",
            Calls::Async => "One uncontended lock, async",
        };
        // Many short runs: each connection is scheduled on other processors, which affects the
        // time more than the differences to be measured.
        let parts = 5;
        let time = plan.time / parts;
        let rounds = plan.rounds * parts as usize;
        let mut columns = vec![Column::new("loopback", "µs", 1)];
        let mut rows: Vec<Row> = Vec::new();
        let mut quality = Quality::default();
        for &(heading, transport, round_trip) in self.paths() {
            database.set_delay(round_trip / 2)?;
            let mut competitors = self.competitors(database.by(transport));
            competitors.extend(redis::competitors(
                redis.filter(|_| self == Calls::Blocking && round_trip.is_zero()),
                transport,
            ));
            let title = format!("{title}, {heading}");
            let load = Load::single(Until::Elapsed(time));
            let table = under_loads(&title, database, rounds, &mut competitors, &[load])?;
            quality += table.quality;
            let is_first = rows.is_empty();
            if is_first {
                rows.extend(competitors.iter().map(|competitor| Row {
                    name: competitor.name(),
                    ours: competitor.ours(),
                    cells: Vec::new(),
                }));
            }
            columns.push(Column::new(format!("{heading}, x"), "", 2));
            let rounds = |index: usize| table.cells.get(index).map(|loads| &loads[0][..]);
            let reference = rounds(0).unwrap_or_default();
            for (index, row) in rows.iter_mut().enumerate() {
                // Redis is only measured on loopback.
                let own = rounds(index).unwrap_or_default();
                if is_first {
                    let micros = median_of(own, |measures| 1e6 / measures.per_second);
                    row.cells.push(micros.map(Cell::Number));
                }
                row.cells.push(times_ratio(own, reference));
            }
        }
        Ok(Finding {
            id: self.id().to_owned(),
            title: title.to_owned(),
            text: "The time to acquire and release on one connection, and how many times as long \
                   as in the first row it takes: on loopback, over a Unix socket, and with a round \
                   trip that a proxy adds."
                .to_owned(),
            note: format!("Runs of {time:?}. {}", quality.sentence()),
            columns,
            rows,
            chart: Chart::Bars { column: 0 },
        })
    }
}

fn blocking(at: Endpoint<'_>) -> Competitors<'_> {
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
