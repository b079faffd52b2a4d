//! Diesel's instrumentation panics before the body runs. The lock must not remain.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::server::Conn;
use diesel::connection::{Connection, InstrumentationEvent};
use diesel_advisory_lock::{LockDsl, LockSource};
use stress_check::history::OpFault;

use super::{Locks, Operation, WaitFor};
use crate::cli::WorkerFault;
use crate::worker::{Deliberate, Done, Op, Reached};

/// More instrumentation events, and more statements, than a call has before its body runs.
const EVENTS: u32 = 24;
const STATEMENTS: u32 = 5;

/// The countdown at which no event panics.
const DISARMED: i64 = -1;

pub(super) struct Panicking;

impl Operation for Panicking {
    const NAME: &'static str = "panicking";
    const LOCKS: Locks = Locks::Row;
    const WAIT: WaitFor = WaitFor::Chosen;
    const CAUSES: Option<WorkerFault> = Some(WorkerFault::Panic);
    const WEIGHT: usize = 2;

    fn run<S: LockSource<Connection = Conn>>(op: &Op<'_>, conn: &mut S) -> Done {
        // Usually at the end of a statement: the one that acquires the lock is among the first.
        let at_any_event = op.random_below(4) == 0;
        let count = if at_any_event { EVENTS } else { STATEMENTS };
        let countdown = Arc::new(AtomicI64::new(op.random_below(count).into()));
        let counts = Arc::clone(&countdown);
        conn.connection()
            .set_instrumentation(move |event: InstrumentationEvent<'_>| {
                let counts_here =
                    at_any_event || matches!(event, InstrumentationEvent::FinishQuery { .. });
                if counts_here && counts.fetch_sub(1, Ordering::Relaxed) == 0 {
                    panic_any(Deliberate);
                }
            });
        let body_ran = AtomicBool::new(false);
        let done = catch_unwind(AssertUnwindSafe(|| {
            op.with_row(|lock| {
                lock.transaction(conn, |counter, conn| {
                    countdown.store(DISARMED, Ordering::Relaxed);
                    body_ran.store(true, Ordering::Relaxed);
                    op.transaction_body(conn, |conn| Ok(vec![counter.increment(conn)?]))
                })
            })
        }));
        conn.connection()
            .set_instrumentation(|_: InstrumentationEvent<'_>| {});
        match done {
            Ok(done) => done.map(|()| Reached::End),
            Err(panic) => {
                if !body_ran.into_inner() {
                    op.inject(OpFault::PanicWhileAcquiring);
                }
                resume_unwind(panic)
            }
        }
    }
}
