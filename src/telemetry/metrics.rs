//! `metrics`: wait and hold times, contention, timeouts and losses, by table.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{
    Key, Label, Level, Metadata, Unit, describe_counter, describe_gauge, describe_histogram,
    with_recorder,
};

use crate::name::NameLabel;

const WAIT: &str = "diesel_advisory_lock_wait_seconds";
const HOLD: &str = "diesel_advisory_lock_hold_seconds";
const CONTENDED: &str = "diesel_advisory_lock_contended_total";
const TIMEOUTS: &str = "diesel_advisory_lock_timeouts_total";
const LOST: &str = "diesel_advisory_lock_lost_total";
const QUEUED: &str = "diesel_advisory_lock_queued";

/// Registers a description of each metric with the installed recorder.
///
/// Call it once, after the recorder is installed. Without it the metrics have no descriptions.
///
/// The label of each metric is `table`. Its counters exist, at 0, from the label's first request
/// on.
///
/// | `table` | locks |
/// |---|---|
/// | a table's name | of its rows, and of the whole table |
/// | `=name` | a readable named lock, for the first 100 distinct names |
/// | `(named)` | all other named locks |
/// | `(exact)` | exact names |
/// | `(dynamic)` | tables that are values |
pub fn describe_metrics() {
    describe_histogram!(
        WAIT,
        Unit::Seconds,
        "Time from the request for a lock until it is acquired or the request fails"
    );
    describe_histogram!(
        HOLD,
        Unit::Seconds,
        "Time from acquiring a lock to the end of its release"
    );
    describe_counter!(
        CONTENDED,
        Unit::Count,
        "Requests that found the lock held elsewhere"
    );
    describe_counter!(
        TIMEOUTS,
        Unit::Count,
        "Requests that timed out, except those of a `try_` form"
    );
    describe_counter!(
        LOST,
        Unit::Count,
        "Locks whose release the server did not confirm"
    );
    describe_gauge!(
        QUEUED,
        Unit::Count,
        "Requests that wait in the queue of a `LockPool`"
    );
}

/// The series of one label.
pub(super) struct Series {
    wait: Key,
    hold: Key,
    contended: Key,
    timeouts: Key,
    lost: Key,
    queued: Key,
}

/// Further names share a label, as all hashed names do, so that a name for each user does not
/// become a series for each user.
const MAX_NAMED_SERIES: usize = 100;

const NAMED: &str = "(named)";
const EXACT: &str = "(exact)";

#[derive(Default)]
struct Known {
    tables: BTreeMap<String, &'static Series>,
    named: BTreeMap<String, &'static Series>,
}

static KNOWN: RwLock<Known> = RwLock::new(Known {
    tables: BTreeMap::new(),
    named: BTreeMap::new(),
});

/// Returns the series of a label, and registers its counters at 0, so that an alert on an increase
/// sees the first event.
pub(super) fn of(label: NameLabel<'_>) -> &'static Series {
    let series = find(label).unwrap_or_else(|| add(label));
    // On each call, since another recorder may have been installed.
    for counter in [&series.contended, &series.timeouts, &series.lost] {
        count(counter, 0);
    }
    series
}

fn find(label: NameLabel<'_>) -> Option<&'static Series> {
    // Poisoning is ignored: a panic cannot leave the maps half written.
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    match label {
        NameLabel::Table(table) => known.tables.get(table),
        NameLabel::Exact => known.tables.get(EXACT),
        NameLabel::Hashed => known.tables.get(NAMED),
        NameLabel::Named(name) => known.named.get(name),
    }
    .copied()
}

fn add(label: NameLabel<'_>) -> &'static Series {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let is_full = known.named.len() >= MAX_NAMED_SERIES;
    let (map, text) = match label {
        NameLabel::Table(table) => (&mut known.tables, table),
        NameLabel::Exact => (&mut known.tables, EXACT),
        NameLabel::Named(name) if !is_full || known.named.contains_key(name) => {
            (&mut known.named, name)
        }
        NameLabel::Named(_) | NameLabel::Hashed => (&mut known.tables, NAMED),
    };
    map.entry(text.to_owned())
        .or_insert_with(|| Series::new(text))
}

impl Series {
    /// Series are few and never freed.
    fn new(table: &str) -> &'static Self {
        let labels: &'static [Label] = Box::leak(Box::new([Label::new("table", table.to_owned())]));
        let key = |name| Key::from_static_labels(name, labels);
        Box::leak(Box::new(Series {
            wait: key(WAIT),
            hold: key(HOLD),
            contended: key(CONTENDED),
            timeouts: key(TIMEOUTS),
            lost: key(LOST),
            queued: key(QUEUED),
        }))
    }

    pub(super) fn waited(&self, wait: Duration) {
        record(&self.wait, wait);
    }

    pub(super) fn held(&self, hold: Duration) {
        record(&self.hold, hold);
    }

    pub(super) fn contended(&self) {
        count(&self.contended, 1);
    }

    pub(super) fn timed_out(&self) {
        count(&self.timeouts, 1);
    }

    pub(super) fn lost(&self) {
        count(&self.lost, 1);
    }

    pub(super) fn queued(&self, more: f64) {
        with_recorder(|recorder| {
            recorder
                .register_gauge(&self.queued, &METADATA)
                .increment(more);
        });
    }
}

static METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

fn count(counter: &Key, more: u64) {
    with_recorder(|recorder| {
        recorder
            .register_counter(counter, &METADATA)
            .increment(more);
    });
}

fn record(histogram: &Key, time: Duration) {
    with_recorder(|recorder| {
        recorder
            .register_histogram(histogram, &METADATA)
            .record(time.as_secs_f64());
    });
}
