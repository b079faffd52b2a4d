//! A release that fails leaves no lock behind, although its connection lives on.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::LockStatus;
use diesel_advisory_lock::prelude::*;

use crate::support::{
    Case, Clients, Counter, Db, Form, Hook, Stingy, Then, When, Work, lock_error, session_id, until,
};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(an_error_of_a_killed_statement_leaves_the_lock_free).alone(),
        case!(a_release_that_cannot_be_prepared_frees_the_lock).private(),
        case!(a_session_that_returns_no_rows_frees_the_lock),
        case!(a_release_that_fails_after_a_commit_is_not_the_callers_error),
        case!(a_release_that_fails_after_a_run_is_reported_as_lost),
    ]
}

/// A failed assertion would otherwise wait for the threads of its scope for ever.
struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Each round acquires and releases until a `KILL QUERY` strikes one of the two.
fn an_error_of_a_killed_statement_leaves_the_lock_free(db: &Db) {
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
                        id => drop(killer.batch_execute(&format!("KILL QUERY {id}"))),
                    }
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(4);
        let mut struck = 0;
        while Instant::now() < end && struck < 200 {
            let conn = &mut db.conn();
            let once = |conn: &mut MysqlConnection| name.lock().no_wait().acquire(conn)?.release();
            once(conn).unwrap();
            target.store(session_id(conn), Ordering::SeqCst);
            let error = (0..1_000).find_map(|_| once(conn).err());
            target.store(0, Ordering::SeqCst);
            eprintln!(
                "{struck} {:?} {error:?}",
                end.saturating_duration_since(Instant::now())
            );
            if let Some(error) = error {
                struck += 1;
                until(&format!("the lock is free after {error:?}"), || {
                    db.holder(name).is_none()
                });
            }
        }
        // MariaDB does not look whether it was killed in statements as short as these.
        assert!(struck > 0 || db.is_mariadb(), "no kill struck");
    });
}

/// On a server of its own, whose prepared statements run out while the closure runs.
fn a_release_that_cannot_be_prepared_frees_the_lock(db: &Db) {
    let server = Stingy::start(db);
    let url = server.url_with_counter();
    let probe = &mut MysqlConnection::establish(&url).unwrap();
    for (expected, (form, work)) in (1..).zip(Form::all()) {
        let clients = &mut Clients::new(&url);
        let before = clients.session(form);
        let result = clients.call((form, work), |counter, conn| {
            counter.add_one(conn)?;
            server.forbid();
            Ok(())
        });
        server.permit();
        assert_eq!(result, Ok(()), "{form:?} {work:?}");
        for name in [
            Counter { id: 1, value: 0 }.lock_name(),
            LockName::named("job"),
        ] {
            let status = name.status(probe).unwrap();
            assert_eq!(status, LockStatus::Free, "{form:?} {work:?}");
        }
        assert_eq!(clients.session(form), before, "{form:?} {work:?}");
        let value = clients.call((Form::Connection, Work::Run), |counter, _| {
            assert_eq!(counter.value, expected, "{form:?} {work:?}");
            Ok(())
        });
        value.unwrap();
    }
}

/// The answers of `RELEASE_LOCK` do not arrive.
fn a_session_that_returns_no_rows_frees_the_lock(db: &Db) {
    db.counter(1);
    for (form, work) in Form::all() {
        let clients = &mut db.clients();
        let result = clients.call((form, work), |_, conn| {
            conn.batch_execute("SET sql_select_limit = 0")
        });
        assert_eq!(result, Ok(()), "{form:?} {work:?}");
        let counter = Counter { id: 1, value: 0 }.lock_name();
        for name in [counter, LockName::named("job")] {
            assert_eq!(db.holder(&name), None, "{form:?} {work:?}");
        }
    }
}

/// Ends the session just before it would release its locks.
fn failing_release(db: &Db, (form, work): (Form, Work)) -> QueryResult<()> {
    let hook = Hook::default();
    let clients = &mut Clients::hooked(&db.url(), &hook);
    let session = clients.session(form);
    let url = db.url();
    let kill = move || {
        let mut conn = MysqlConnection::establish(&url).unwrap();
        let kill = format!("KILL CONNECTION {session}");
        conn.batch_execute(&kill).unwrap();
    };
    hook.arm(When::Start("RELEASE_LOCK"), Then::Call(Box::new(kill)));
    let result = clients.call((form, work), |counter, conn| {
        counter.add_one(conn).map(drop)
    });
    assert!(hook.disarm(), "{form:?} {work:?}");
    db.until_free(&format!("{form:?} {work:?}"));
    // A pool does not lend the connection again.
    if form.is_pooled() {
        assert_ne!(clients.session(form), session, "{form:?} {work:?}");
    }
    result
}

fn a_release_that_fails_after_a_commit_is_not_the_callers_error(db: &Db) {
    db.counter(1);
    for (done, form) in (1..).zip(Form::of(Work::Transaction)) {
        let result = failing_release(db, (form, Work::Transaction));
        assert_eq!(result, Ok(()), "{form:?}");
        assert_eq!(db.value(1), done, "{form:?}");
    }
}

fn a_release_that_fails_after_a_run_is_reported_as_lost(db: &Db) {
    db.counter(1);
    for form in Form::of(Work::Run) {
        let error = lock_error(failing_release(db, (form, Work::Run)));
        assert!(
            matches!(error, LockError::Lost { .. }),
            "{form:?}: {error:?}"
        );
    }
}
