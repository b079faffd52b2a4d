//! A release that fails leaves no lock behind, even if its connection stays open.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use super::support::{Db, Hook, Path, Then, When, lock_error, wait_until};
use crate::api::{Connection, block_on, thread};
use crate::server::{self, Conn, session_id, statement};

#[both]
async fn once(name: &LockName, conn: &mut Conn) -> Result<(), LockError> {
    name.lock().no_wait().acquire(conn).await?.release().await
}

/// Stops the threads of a scope. After a failed assertion the scope would wait for them forever.
pub(crate) struct StopOnDrop<'s>(pub(crate) &'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Each round acquires and releases until one of the two is killed.
#[server_test(serial)]
async fn error_of_a_killed_statement_leaves_the_lock_free(db: &Db) {
    let name = &LockName::named("job");
    let (target, stop) = (&AtomicI64::new(0), &AtomicBool::new(false));
    thread::scope(async |scope| {
        let _stops = StopOnDrop(stop);
        for _ in 0..2 {
            scope.spawn(async move || {
                let killer = &mut db.conn().await;
                while !stop.load(Ordering::SeqCst) {
                    match target.load(Ordering::SeqCst) {
                        0 => thread::yield_now().await,
                        // The session may be gone.
                        id => drop(server::kill_statement(killer, id).await),
                    }
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(4);
        let mut interrupted = 0;
        while Instant::now() < end && interrupted < 200 {
            let conn = &mut db.conn().await;
            once(name, conn).await.unwrap();
            target.store(session_id(conn).await, Ordering::SeqCst);
            let mut error = None;
            for _ in 0..1_000 {
                error = once(name, conn).await.err();
                if error.is_some() {
                    break;
                }
            }
            target.store(0, Ordering::SeqCst);
            if let Some(error) = error {
                interrupted += 1;
                // No transaction was open, so none may be reported.
                assert!(
                    !matches!(error, LockError::TransactionLeftOpen { .. }),
                    "{error:?}"
                );
                wait_until(&format!("the lock is free after {error:?}"), async || {
                    db.holder(name).await.is_none()
                })
                .await;
            }
        }
        assert!(
            interrupted > 0 || !server::kills_short_statements(db.kind()),
            "no statement was interrupted"
        );
    })
    .await;
}

/// Ends the session just before it would release its locks.
#[both]
async fn failing_release(db: &Db, path: Path) -> QueryResult<()> {
    let hook = Hook::default();
    let client = &mut path.hooked_client(&db.url(), &hook).await;
    let session = client.session_id().await;
    let url = db.url();
    let kill = move || {
        block_on(async || {
            let mut killer = Conn::establish(&url).await.unwrap();
            server::kill_session(&mut killer, session).await.unwrap();
        });
    };
    hook.arm(When::Start(statement::RELEASE), Then::Call(Box::new(kill)));
    let result = client
        .run_on_counter(async |counter, conn| counter.add_one(conn).await.map(drop))
        .await;
    assert!(hook.disarm(), "{path:?}");
    db.wait_until_paths_are_free(&format!("{path:?}")).await;
    // The pool has discarded the connection.
    if path.is_from_pool() {
        assert_ne!(client.session_id().await, session, "{path:?}");
    }
    result
}

#[server_test]
async fn failed_release_after_commit_returns_no_error(db: &Db) {
    db.lock_before_begin().await;
    db.counter(1).await;
    for (done, path) in (1..).zip(Path::essential_transactions()) {
        let result = failing_release(db, path).await;
        assert_eq!(result, Ok(()), "{path:?}");
        assert_eq!(db.value(1).await, done, "{path:?}");
    }
}

#[server_test]
async fn failed_release_after_a_run_returns_lost(db: &Db) {
    db.counter(1).await;
    for path in Path::essential_runs() {
        let error = lock_error(failing_release(db, path).await);
        assert!(
            matches!(error, LockError::Lost { .. }),
            "{path:?}: {error:?}"
        );
    }
}
