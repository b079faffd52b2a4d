//! One call that acquires locks: what its body does, and what it records.

use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, panic_any};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use diesel_async::{AnsiTransactionManager, AsyncConnection, RunQueryDsl, TransactionManager};
use futures_util::FutureExt;
use stress_check::history::{self, Event, OpFault, Outcome, WaitMs};

use super::Worker;
use crate::model::{Counter, Target, counter_name};
use crate::server;
use crate::server::asynchronous::Conn;
use crate::worker::{Deliberate, Done, Ending, WITHOUT_LOCK, WorkError, claim, outcome};

/// A call that is being made.
pub(crate) struct Op {
    pub(super) worker: Arc<Worker>,
    pub(super) task: u16,
    pub(super) id: u32,
    pub(crate) operation: &'static str,
    pub(crate) target: Target,
    pub(crate) wait: Duration,
    pub(super) ending: Ending,
    pub(super) dwell: Duration,
    pub(super) source: String,
}

/// A number that no other statement of the process selects.
#[derive(QueryableByName)]
struct Numbered {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(embed)]
    found: server::Holder,
}

impl Op {
    /// A stale copy of the row.
    pub(crate) fn counter(&self) -> Counter {
        self.copy(self.target.id())
    }

    pub(super) fn copy(&self, id: i64) -> Counter {
        Counter { id, value: 0 }
    }

    /// A call for the same locks within the body of this one.
    pub(super) fn nested(&self, operation: &'static str) -> Self {
        Self {
            worker: Arc::clone(&self.worker),
            task: self.task,
            id: self.worker.next_op.fetch_add(1, Ordering::Relaxed),
            operation,
            target: self.target,
            wait: diesel_advisory_lock_async::DEFAULT_TIMEOUT,
            ending: Ending::Normal,
            dwell: Duration::ZERO,
            source: self.source.clone(),
        }
    }

    fn write(&self, event: &Event<'_>) {
        self.worker.history.write(event);
    }

    fn inject(&self, fault: OpFault) {
        self.write(&Event::Injected { op: self.id, fault });
    }

    /// Records the call, and its outcome: also that its future was dropped, after which the call
    /// returns `Ok(None)`.
    pub(super) async fn perform(
        &self,
        session: Option<u64>,
        call: impl Future<Output = Option<Done>>,
    ) -> Option<Done> {
        let names: Vec<_> = self
            .target
            .names()
            .iter()
            .map(ToString::to_string)
            .collect();
        self.write(&Event::Invoke {
            op: self.id,
            thread: self.task,
            operation: self.operation,
            names: &names.join("+"),
            wait: WaitMs(u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX)),
            source: &self.source,
        });
        self.worker.call_begins(self.id, self.task);
        if let Some(session) = session {
            self.write(&Event::Checked {
                op: self.id,
                session,
            });
        }
        let mut ending = Returned {
            op: self,
            word: Outcome::Cut,
            claim: None,
        };
        let done = AssertUnwindSafe(call).catch_unwind().await;
        let done = match done {
            Ok(done) => done?,
            Err(panic) => {
                ending.word = match panic.is::<Deliberate>() {
                    true => Outcome::Panicked,
                    false => Outcome::Other,
                };
                return None;
            }
        };
        (ending.word, ending.claim) = (outcome(&done), claim(&done));
        if let (Outcome::Other | Outcome::Database, Err(error)) = (ending.word, &done) {
            eprintln!("call {}: {error:?}", self.id);
        }
        Some(done)
    }

    /// Records that the connection was not marked as broken after a cut.
    pub(super) fn kept(&self) {
        self.write(&Event::Kept { op: self.id });
    }

    /// Asks for the session and the holder of the locks. The answer must be that of this statement.
    async fn ask(&self, conn: &mut Conn) -> Result<server::Holder, WorkError> {
        let number = i64::from(self.worker.next_op.fetch_add(1, Ordering::Relaxed));
        let found = server::holder_sql(self.target, self.operation);
        let sql = format!("SELECT {number} AS number, found.* FROM ({found}) AS found");
        // The column would be a smaller integer on PostgreSQL.
        let sql = sql.replacen(&number.to_string(), &format!("({number} + 4294967296)"), 1);
        let answer: Numbered = sql_query(sql).get_result(conn).await?;
        match answer.number == number + 4_294_967_296 {
            true => Ok(answer.found),
            false => Err(WorkError::WrongAnswer),
        }
    }

    /// Asks a connection for its session before the library uses it. If that fails or is cut, the
    /// connection is marked as broken, since it may have an answer to come.
    pub(super) async fn check(&self, conn: &mut Conn) -> Result<u64, WorkError> {
        let mut checking = Checking(Some(conn));
        let Some(conn) = &mut checking.0 else {
            unreachable!("it was just put in");
        };
        let found = self.ask(conn).await?;
        checking.0 = None;
        Ok(found.session.unsigned_abs())
    }

    /// Appends a line to the file of each lock. No transaction protects these files.
    fn append_effect(&self, word: &str) {
        let line = format!("{word} {} {}\n", self.worker.options.number, self.id);
        for name in self.target.names() {
            let directory = &self.worker.options.directory;
            let path = history::effects_file(directory, &name.to_string());
            let file = OpenOptions::new().append(true).create(true).open(&path);
            if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
                panic!("{}: {error}", path.display());
            }
        }
    }

    /// Releases the lock by SQL. A lock of a transaction ends only with it.
    async fn steal(&self, conn: &mut Conn) -> Result<(), WorkError> {
        self.inject(OpFault::Theft);
        let unlock = server::unlock_sql(self.target, self.operation);
        sql_query(unlock).execute(conn).await?;
        if server::asynchronous::still_holds(conn, self.target).await? {
            self.inject(OpFault::VainTheft);
        }
        Ok(())
    }
}

/// Runs the body of a lock. It asks the server which session holds the lock, appends to the lock's
/// file, adds one to each of the rows, and ends as [`Ending`] says.
pub(crate) async fn body(op: &Op, conn: &mut Conn, rows: &mut [Counter]) -> Result<(), WorkError> {
    let found = op.ask(conn).await;
    let (session, holder) = match &found {
        Ok(found) => (
            Some(found.session.unsigned_abs()),
            found.holder.map(i64::unsigned_abs),
        ),
        Err(_) => (None, None),
    };
    op.write(&Event::Acquired {
        op: op.id,
        session,
        holder,
    });
    op.worker.cycles.fetch_add(1, Ordering::Relaxed);
    let mut end = End {
        op,
        wrote: Vec::new(),
    };
    found?;
    op.append_effect("begin");
    let mut wrote = Vec::new();
    for row in rows {
        row.value += 1;
        diesel::update(&*row).set(&*row).execute(conn).await?;
        wrote.push((row.id, row.value));
    }
    if !op.dwell.is_zero() {
        tokio::time::sleep(op.dwell).await;
    }
    match op.ending {
        Ending::Normal => {}
        Ending::Fails => return Err(WorkError::Deliberate),
        Ending::Panics => panic_any(Deliberate),
        Ending::Steals => {
            op.steal(conn).await?;
            tokio::time::sleep(WITHOUT_LOCK).await;
        }
        Ending::Swaps => {
            let url = match op.source.ends_with("-direct") {
                true => &op.worker.direct,
                false => &op.worker.proxied,
            };
            if let Ok(other) = Conn::establish(url).await {
                op.inject(OpFault::Swap);
                *conn = other;
                tokio::time::sleep(WITHOUT_LOCK).await;
            }
        }
    }
    op.append_effect("end");
    end.wrote = wrote;
    Ok(())
}

/// Records the end of the body on drop, so also after an error, a panic or a cut.
struct End<'o> {
    op: &'o Op,
    wrote: Vec<(i64, i64)>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let wrote = self.wrote.iter();
        let wrote: Vec<_> = wrote
            .map(|&(id, value)| format!("{}={value}", counter_name(id)))
            .collect();
        let wrote = wrote.join("+");
        self.op.write(&Event::End {
            op: self.op.id,
            wrote: if wrote.is_empty() { "-" } else { &wrote },
        });
    }
}

/// Records the outcome on drop.
struct Returned<'o> {
    op: &'o Op,
    word: Outcome,
    claim: Option<history::Claim>,
}

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        self.op.worker.call_ends(self.op.id);
        self.op.write(&Event::Outcome {
            op: self.op.id,
            word: self.word,
            claim: self.claim,
        });
    }
}

/// A connection that is broken if this is dropped.
struct Checking<'c>(Option<&'c mut Conn>);

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
        }
    }
}
