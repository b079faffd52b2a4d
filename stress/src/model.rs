//! What is locked: rows of a table of counters, and a few names.

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_advisory_lock::prelude::*;

use crate::server::{self, Conn};

/// The database of the tables.
pub(crate) const DATABASE: &str = "stress";

/// The number of rows: few, so that calls contend.
pub(crate) const ROWS: i64 = 8;

/// The first of the rows that are locked in sets.
pub(crate) const SET_ROWS: i64 = 3;

pub(crate) const JOBS: i64 = 4;

/// The number of rows with a text key, which the collation compares case-insensitively.
pub(crate) const LABELS: i64 = 2;

/// The scope of scoped locks.
pub(crate) const SCOPE: &str = "send";

diesel::table! {
    counters (id) {
        id -> BigInt,
        value -> BigInt,
    }
}

diesel::table! {
    labels (name) {
        name -> Text,
    }
}

#[derive(Debug, Queryable, Selectable, Identifiable)]
#[diesel(table_name = labels, primary_key(name))]
pub(crate) struct Label {
    pub(crate) name: String,
}

impl Label {
    /// A label whose key differs from the row's `Label1` in its case.
    pub(crate) fn misspelled(id: i64) -> Self {
        let name = format!("LABEL{id}");
        Self { name }
    }
}

#[derive(Clone, Debug, Queryable, QueryableByName, Selectable, Identifiable, AsChangeset)]
#[diesel(table_name = counters)]
pub(crate) struct Counter {
    pub(crate) id: i64,
    pub(crate) value: i64,
}

impl Counter {
    /// Loads the row. The statement is not cached: a cached statement that is killed while its
    /// result is read must not run again.
    pub(crate) fn load(id: i64, conn: &mut Conn) -> QueryResult<Self> {
        let row = diesel::sql_query(server::LOAD_COUNTER);
        row.bind::<BigInt, _>(id).get_result(conn)
    }

    /// Adds one to the loaded value. In SQL, an update of a stale copy would not be lost.
    pub(crate) fn increment(&mut self, conn: &mut Conn) -> QueryResult<Written> {
        self.value += 1;
        self.save(conn)
    }

    pub(crate) fn save(&self, conn: &mut Conn) -> QueryResult<Written> {
        diesel::update(self).set(self).execute(conn)?;
        let &Self { id, value } = self;
        Ok(Written { id, value })
    }
}

/// A value that a body has written to a counter and is about to commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) id: i64,
    pub(crate) value: i64,
}

/// Another struct for the rows of `counters`, with a shorter timeout.
#[derive(Debug, Queryable, Selectable, Identifiable, Lockable)]
#[diesel(table_name = counters)]
#[lock(timeout = "250ms")]
pub(crate) struct Impatient {
    pub(crate) id: i64,
}

/// The timeout of [`Impatient`] in milliseconds.
pub(crate) const IMPATIENT_MS: u64 = 250;

/// Which lock an operation acquires, or which set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Row(i64),
    Scoped(i64),
    Job(i64),
    /// The lock of a misspelled key, which no row has but which finds one.
    Misspelled(i64),
    /// Two rows, and a row's scope. No job, since jobs are locked one inside another.
    Set {
        rows: (i64, i64),
        scoped: i64,
    },
}

impl Target {
    /// The only lock, or the first of the set.
    pub(crate) fn name(self) -> LockName {
        match self {
            Self::Row(id) | Self::Set { rows: (id, _), .. } => row_name(id),
            Self::Scoped(id) => row_name(id).scope(SCOPE),
            Self::Job(number) => LockName::named(format!("job-{number}")),
            Self::Misspelled(id) => {
                LockName::row(labels::table, Label::misspelled(id).name.as_str())
            }
        }
    }

    pub(crate) fn names(self) -> Vec<LockName> {
        match self {
            Self::Set { rows, scoped } => {
                let scoped = Self::Scoped(scoped).name();
                vec![row_name(rows.0), row_name(rows.1), scoped]
            }
            one => vec![one.name()],
        }
    }

    /// The number of the row or the job, or of the set's first row.
    pub(crate) fn id(self) -> i64 {
        match self {
            Self::Row(id) | Self::Scoped(id) | Self::Job(id) | Self::Misspelled(id) => id,
            Self::Set { rows, .. } => rows.0,
        }
    }

    /// Every lock of the stress test.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let rows = (1..=ROWS).flat_map(|id| [Self::Row(id), Self::Scoped(id)]);
        let jobs = (1..=JOBS).map(Self::Job);
        rows.chain(jobs).chain((1..=LABELS).map(Self::Misspelled))
    }
}

fn row_name(id: i64) -> LockName {
    LockName::row(counters::table, id)
}

/// The name of a counter in the history, which is the name of its row's lock.
pub(crate) fn counter_name(id: i64) -> String {
    row_name(id).to_string()
}

/// The rows of `counters` and of `labels` at the start, as SQL.
pub(crate) fn initial_rows() -> (String, String) {
    let counters: Vec<_> = (1..=ROWS).map(|id| format!("({id}, 0)")).collect();
    let labels: Vec<_> = (1..=LABELS).map(|id| format!("('Label{id}')")).collect();
    (counters.join(", "), labels.join(", "))
}
