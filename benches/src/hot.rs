//! A hot lock on plain connections and through a `LockPool`, on loopback and with a round trip of
//! 1 ms.

use std::time::Duration;

use anyhow::Result;

use crate::competitors::{Call, Competitors, Load, Ours, Size, Until, Watch};
use crate::database::{Database, Endpoint, Transport};
use crate::finding::{Cell, Chart, Column, Finding, Row};
use crate::interleave::{Plan, median_of, times_ratio, under_loads};
use crate::report::Report;

const CONNECTIONS: usize = 4;

/// One lock, 64 threads: on a connection for each thread, and through a `LockPool` of four.
pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    let hot = Hot {
        id: "hot",
        title: "64 threads, one lock",
        threads: 64,
        competitors: |at| {
            let mut competitors: Competitors<'_> = Vec::new();
            for call in [Call::Run, Call::WithLock, Call::Transaction] {
                competitors.push(Box::new(Ours::plain(at, call)));
                let size = Size::Fixed(CONNECTIONS);
                competitors.push(Box::new(Ours::lock_pool(at, call, size)));
            }
            competitors
        },
    };
    hot.run(database, plan, report)
}

/// A set of two locks, 16 threads: on a pool of four connections, and through a `LockPool` of four.
pub(crate) fn run_set(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    let hot = Hot {
        id: "hot-set",
        title: "16 threads, a set of two locks",
        threads: 16,
        competitors: |at| {
            let size = Size::Fixed(CONNECTIONS);
            vec![
                Box::new(Ours::on_pool(at, Call::RunSet, CONNECTIONS)),
                Box::new(Ours::lock_pool(at, Call::RunSet, size)),
            ]
        },
    };
    hot.run(database, plan, report)
}

struct Hot {
    id: &'static str,
    title: &'static str,
    threads: usize,
    /// Returns pairs: without and with a `LockPool`.
    competitors: fn(Endpoint<'_>) -> Competitors<'_>,
}

impl Hot {
    fn run(&self, database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
        let near = database.by(Transport::Tcp);
        report.add(self.measure(near, plan, "loopback", "on loopback")?)?;
        database.set_delay(Duration::from_micros(500))?;
        let far = database.by(Transport::Delayed);
        let far = self.measure(far, plan, "1ms", "round trip of 1 ms");
        database.set_delay(Duration::ZERO)?;
        report.add(far?)
    }

    fn measure(
        &self,
        at: Endpoint<'_>,
        plan: Plan,
        distance_id: &str,
        distance: &str,
    ) -> Result<Finding> {
        let mut competitors = (self.competitors)(at);
        let title = format!("{}, {distance}", self.title);
        let load = Load {
            threads: self.threads,
            names: 1,
            until: Until::Elapsed(plan.time),
            watch: Watch::Nothing,
        };
        let (database, loads) = (at.database, [load]);
        let table = under_loads(&title, database, plan.rounds, &mut competitors, &loads)?;
        let rounds = |index: usize| &table.cells[index][0];
        let of = |index, of: fn(&_) -> f64| median_of(rounds(index), of).map(Cell::Number);
        let rows = competitors
            .iter()
            .enumerate()
            .map(|(index, competitor)| Row {
                name: competitor.name(),
                ours: true,
                cells: vec![
                    of(index, |measures| measures.connections),
                    of(index, |measures| measures.per_second),
                    // The plain competitor of a pair has the even index. The ratio of rates is the
                    // inverse of that of times.
                    times_ratio(rounds(index & !1), rounds(index)),
                ],
            });
        Ok(Finding {
            id: format!("{}-{distance_id}", self.id),
            title,
            text: "The closures do nothing.".to_owned(),
            note: table.quality.sentence(),
            columns: vec![
                Column::new("connections", "", 0),
                Column::new("closures/s", "", 0),
                Column::new("x without LockPool", "", 2),
            ],
            rows: rows.collect(),
            chart: Chart::Bars { column: 1 },
        })
    }
}
