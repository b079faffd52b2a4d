//! A release that fails leaves no lock behind, even if its connection stays open.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use super::support::{Db, Hook, Path, Then, When, lock_error, wait_until};
use crate::server::{self, Conn, session_id, statement};

/// Stops the threads of a scope. After a failed assertion the scope would wait for them forever.
struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Each round acquires and releases until one of the two is killed.
#[server_test(serial)]
fn error_of_a_killed_statement_leaves_the_lock_free(db: &Db) {
    let name = &LockName::named("job");
    let (target, stop) = (&AtomicI64::new(0), &AtomicBool::new(false));
    thread::scope(|scope| {
        let _stops = StopOnDrop(stop);
        for _ in 0..2 {
            scope.spawn(move || {
                let killer = &mut db.conn();
                while !stop.load(Ordering::SeqCst) {
                    match target.load(Ordering::SeqCst) {
                        0 => thread::yield_now(),
                        // The session may be gone.
                        id => drop(server::kill_statement(killer, id)),
                    }
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(4);
        let mut interrupted = 0;
        while Instant::now() < end && interrupted < 200 {
            let conn = &mut db.conn();
            let once = |conn: &mut Conn| name.lock().no_wait().acquire(conn)?.release();
            once(conn).unwrap();
            target.store(session_id(conn), Ordering::SeqCst);
            let error = (0..1_000).find_map(|_| once(conn).err());
            target.store(0, Ordering::SeqCst);
            if let Some(error) = error {
                interrupted += 1;
                wait_until(&format!("the lock is free after {error:?}"), || {
                    db.holder(name).is_none()
                });
            }
        }
        assert!(
            interrupted > 0 || !server::kills_short_statements(db.kind()),
            "no statement was interrupted"
        );
    });
}

/// Ends the session just before it would release its locks.
fn failing_release(db: &Db, path: Path) -> QueryResult<()> {
    let hook = Hook::default();
    let client = &mut path.hooked_client(&db.url(), &hook);
    let session = client.session_id();
    let url = db.url();
    let kill = move || {
        let mut killer = Conn::establish(&url).unwrap();
        server::kill_session(&mut killer, session).unwrap();
    };
    hook.arm(When::Start(statement::RELEASE), Then::Call(Box::new(kill)));
    let result = client.run_on_counter(|counter, conn| counter.add_one(conn).map(drop));
    assert!(hook.disarm(), "{path:?}");
    db.wait_until_paths_are_free(&format!("{path:?}"));
    // The pool has discarded the connection.
    if path.is_from_pool() {
        assert_ne!(client.session_id(), session, "{path:?}");
    }
    result
}

#[server_test]
fn failed_release_after_commit_returns_no_error(db: &Db) {
    db.lock_before_begin();
    db.counter(1);
    for (done, path) in (1..).zip(Path::essential_transactions()) {
        let result = failing_release(db, path);
        assert_eq!(result, Ok(()), "{path:?}");
        assert_eq!(db.value(1), done, "{path:?}");
    }
}

#[server_test]
fn failed_release_after_a_run_returns_lost(db: &Db) {
    db.counter(1);
    for path in Path::essential_runs() {
        let error = lock_error(failing_release(db, path));
        assert!(
            matches!(error, LockError::Lost { .. }),
            "{path:?}: {error:?}"
        );
    }
}
