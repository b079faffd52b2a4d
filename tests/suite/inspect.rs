//! What a timeout reports, and which sessions hold which locks.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::inspect::{self, HeldLock, HoldDuration, LockedObject};
use diesel_advisory_lock::{LockStatus, prelude::*};
use server_test::server_test;

use super::support::{Db, counters};
use crate::server::{self, Account, Conn, session_id, statement};

const SHORT: Duration = Duration::from_millis(300);

fn id(conn: &mut Conn) -> u64 {
    session_id(conn).try_into().unwrap()
}

#[track_caller]
fn refused(conn: &mut Conn, name: &LockName) -> LockError {
    let refused = name.lock().timeout(SHORT).acquire(conn);
    refused.map(drop).unwrap_err()
}

#[server_test]
fn timeout_names_the_holder(db: &Db) {
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let name = LockName::named("job");
    let holders_id = id(holder);
    let held = name.lock().acquire(holder).unwrap();
    let error = refused(waiter, &name);
    let LockError::Timeout { waited, .. } = error else {
        panic!("{error:?}");
    };
    assert!(waited >= SHORT && waited < 2 * SHORT, "{waited:?}");
    let session = error.holder().expect("a holder");
    assert_eq!(session.connection_id, holders_id);
    let activity = session.activity.as_ref().expect("an activity");
    assert_eq!(activity.statement, None);
    assert!(activity.elapsed <= Duration::from_secs(2), "{activity:?}");
    assert!(!activity.user.is_empty() && !activity.host.is_empty());
    let message = error.to_string();
    assert!(
        message.contains(&format!("connection {holders_id} ({}@", activity.user)),
        "{message}"
    );
    held.release().unwrap();
    // The waiter's connection can be used again.
    name.lock().acquire(waiter).unwrap().release().unwrap();
}

#[server_test]
fn timeout_reports_what_the_holder_is_running(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn();
    let mut held = name.lock().acquire(conn).unwrap();
    thread::scope(|scope| {
        let holder = scope.spawn(move || {
            held.batch_execute(server::SLEEP).unwrap();
            held.release().unwrap();
        });
        let error = refused(&mut db.conn(), &name);
        let activity = error.holder().unwrap().activity.clone();
        assert_eq!(activity.unwrap().statement.unwrap(), server::SLEEP);
        assert!(!error.to_string().contains(server::SLEEP), "{error}");
        holder.join().unwrap();
    });
}

#[server_test]
fn timeout_of_an_unprivileged_account_reports_only_the_holders_connection_id(db: &Db) {
    let account = Account::create(db);
    let (holder, waiter) = (&mut db.conn(), &mut account.conn());
    let name = LockName::named("job");
    let holders_id = id(holder);
    let _held = name.lock().acquire(holder).unwrap();
    let error = refused(waiter, &name);
    let session = error.holder().expect("a holder");
    assert_eq!(session.connection_id, holders_id);
    assert_eq!(session.activity, None);
}

#[server_test]
fn timeout_of_a_set_names_the_holder_of_the_taken_lock(db: &Db) {
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let holders_id = id(holder);
    let (free, taken) = (LockName::named("free"), LockName::named("taken"));
    let _held = taken.lock().acquire(holder).unwrap();
    let refused = lock_all((&free, &taken))
        .timeout(SHORT)
        .run(waiter, |_, _| Ok::<_, LockError>(()));
    let error = refused.unwrap_err();
    assert_eq!(error.name(), &taken);
    assert_eq!(error.holder().unwrap().connection_id, holders_id);
}

#[server_test]
fn deadlock_names_the_session_that_holds_the_lock(db: &Db) {
    let (one, other) = (&mut db.conn(), &mut db.conn());
    let (ones_id, others_id) = (id(one), id(other));
    let (a, b) = (LockName::named("a"), LockName::named("b"));
    let mut one = a.lock().acquire(one).unwrap();
    let mut other = b.lock().acquire(other).unwrap();
    let refused = thread::scope(|scope| {
        let waiter = scope.spawn({
            let b = &b;
            move || {
                let error = b.lock().acquire(&mut one).map(drop).err();
                // The other session may wait for the lock that this one holds.
                drop(one);
                error.map(|error| (error, others_id))
            }
        });
        db.wait_until_blocked(ones_id.try_into().unwrap());
        let closing = a.lock().acquire(&mut other).map(drop).err();
        let refused = closing.map(|error| (error, ones_id));
        drop(other);
        // Either session is refused.
        let waiters = waiter.join().unwrap();
        refused.or(waiters)
    });
    let (error, holder) = refused.expect("a deadlock");
    assert!(matches!(error, LockError::Deadlock { .. }), "{error:?}");
    assert_eq!(error.holder().expect("a holder").connection_id, holder);
}

#[server_test]
fn status_returns_free_held_here_or_held_by(db: &Db) {
    let (holder, other) = (&mut db.conn(), &mut db.conn());
    let connection_id = id(holder);
    let names = [
        LockName::named("job"),
        LockName::row(counters::table, 1).scope("send"),
        LockName::named("job").namespace("elsewhere"),
        LockName::exact(format!("{} by hand", db.schema)).unwrap(),
    ];
    for name in &names {
        assert_eq!(name.status(other).unwrap(), LockStatus::Free, "{name}");
        let mut held = name.lock().acquire(holder).unwrap();
        assert_eq!(name.status(&mut held).unwrap(), LockStatus::HeldHere);
        assert_eq!(
            name.status(other).unwrap(),
            LockStatus::HeldBy { connection_id },
            "{name}"
        );
        held.release().unwrap();
        assert_eq!(name.status(other).unwrap(), LockStatus::Free, "{name}");
    }
    let refused = LockName::exact("a").unwrap().scope("b").status(other);
    assert!(matches!(refused, Err(LockError::InvalidName { .. })));
}

#[server_test(own_server)]
fn held_locks_are_listed_with_their_holders_and_waiters(db: &Db) {
    server::enable_lock_inspection(&mut db.conn(), db.kind());
    let (holder, other) = (&mut db.conn(), &mut db.conn());
    let holders_id = id(holder);
    let row = LockName::row(counters::table, 1);
    let job = LockName::named("job");
    // A lock whose name is not one of the library's.
    server::acquire(other, &db.schema).unwrap();
    thread::scope(|scope| {
        let mut outer = row.lock().acquire(holder).unwrap();
        // Listed once, although the server counts it twice.
        let mut inner = row.lock().acquire(&mut outer).unwrap();
        let held_job = job.lock().acquire(&mut inner).unwrap();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let mut conn = db.conn();
                let id = session_id(&mut conn);
                scope.spawn({
                    let row = &row;
                    move || row.lock().acquire(&mut conn).unwrap().release().unwrap()
                });
                db.wait_until_blocked(id);
                u64::try_from(id).unwrap()
            })
            .collect();
        thread::sleep(Duration::from_millis(1_100));
        let held: Vec<_> = inspect::held_locks(other)
            .unwrap()
            .into_iter()
            .filter(|lock| server::is_of_library(&db.schema, lock))
            .collect();
        assert_eq!(held.len(), 2, "{held:?}");
        let of = |name| {
            let full_name = db.full_name(name);
            let is_it = |lock: &&HeldLock| server::is_lock(lock, &full_name);
            held.iter().find(is_it).expect("the lock")
        };
        let (job_lock, row_lock) = (of(&job), of(&row));
        if server::LISTS_NAMES_WITHOUT_WAITERS {
            assert_eq!(job_lock.name.as_str(), db.full_name(&job));
        }
        assert_eq!(row_lock.name.as_str(), db.full_name(&row));
        for lock in &held {
            assert_eq!(lock.holder.connection_id, holders_id);
            let activity = lock.holder.activity.as_ref().unwrap();
            assert_eq!(activity.statement, None);
            assert!(activity.elapsed >= Duration::from_secs(1));
            let (shortest, is_exact) = match lock.held_for {
                HoldDuration::Exactly(age) => (age, true),
                HoldDuration::AtLeast(age) => (age, false),
            };
            assert_eq!(is_exact, server::reports_age_of_locks(db.kind()));
            let seconds = shortest.as_secs_f64();
            assert!((1.0..10.0).contains(&seconds), "{seconds}");
        }
        assert_eq!(job_lock.waiters, []);
        let found = row_lock.waiters.iter().map(|waiter| waiter.connection_id);
        let mut found: Vec<_> = found.collect();
        found.sort_unstable();
        assert_eq!(found, waiters);
        let waiter = row_lock.waiters[0].activity.as_ref().unwrap();
        assert!(waiter.statement.as_ref().unwrap().contains(statement::WAIT));
        held_job.release().unwrap();
        inner.release().unwrap();
        outer.release().unwrap();
    });
    let after = inspect::held_locks(other).unwrap();
    assert!(
        !after
            .iter()
            .any(|lock| server::is_of_library(&db.schema, lock))
    );
}

/// Each lock has a waiter, without which PostgreSQL does not know the name.
#[server_test(own_server)]
fn held_lock_names_are_parsed(db: &Db) {
    server::enable_lock_inspection(&mut db.conn(), db.kind());
    let long = "x".repeat(60);
    let row = LockName::row(counters::table, 7).scope("send");
    let names = [row, LockName::named(&long)];
    let mut holders = [db.conn(), db.conn()];
    thread::scope(|scope| {
        let held = names.iter().zip(&mut holders);
        let held: Vec<_> = held
            .map(|(name, conn)| name.lock().acquire(conn).unwrap())
            .collect();
        for name in &names {
            let mut conn = db.conn();
            let id = session_id(&mut conn);
            scope.spawn(move || name.lock().acquire(&mut conn).unwrap().release().unwrap());
            db.wait_until_blocked(id);
        }
        let mut found = inspect::held_locks(&mut db.conn()).unwrap();
        found.retain(|lock| server::is_of_library(&db.schema, lock));
        let is_hashed =
            |lock: &&HeldLock| matches!(lock.name.subject(), LockedObject::Hashed { .. });
        let hashed = found.iter().find(is_hashed).expect("the named lock");
        let row = found.iter().find(|lock| !is_hashed(lock)).expect("the row");
        assert_eq!(row.name.as_str(), db.full_name(&names[0]));
        assert_eq!(row.name.scope(), Some("send"));
        assert_eq!(
            row.name.subject(),
            &LockedObject::Row {
                table: "counters".into(),
                key: vec!["7".into()]
            }
        );
        let LockedObject::Hashed { resembles } = hashed.name.subject() else {
            panic!("{hashed:?}");
        };
        assert_eq!(*resembles, format!("-{}", &long[..27]));
        for held in held {
            held.release().unwrap();
        }
    });
}

/// `unwrap` and `?` in `main` print `Debug`, and so may a logger. The output must not contain SQL
/// of another session.
#[server_test(own_server)]
fn debug_output_hides_the_holders_statement(db: &Db) {
    let statement = format!(
        "SELECT {}, '4111-1111-1111-1111' AS pan",
        server::SLEEPING_EXPRESSION
    );
    let statement = &statement[..];
    server::enable_lock_inspection(&mut db.conn(), db.kind());
    let name = LockName::named("cards");
    let conn = &mut db.conn();
    let holders_id = id(conn);
    let mut held = name.lock().acquire(conn).unwrap();
    thread::scope(|scope| {
        let holder = scope.spawn(move || {
            diesel::sql_query(statement).execute(&mut *held).unwrap();
            held.release().unwrap();
        });
        let waiter = &mut db.conn();
        let error = refused(waiter, &name);
        let activity = error.holder().unwrap().activity.as_ref().unwrap();
        assert_eq!(activity.statement.as_deref(), Some(statement));
        let locks = inspect::held_locks(waiter).unwrap();
        let lock = locks
            .into_iter()
            .find(|lock| server::is_of_library(&db.schema, lock));
        let lock: HeldLock = lock.expect("the lock");
        let seen = lock.holder.activity.as_ref().unwrap();
        assert_eq!(seen.statement.as_deref(), Some(statement));
        for text in [
            format!("{error:?}"),
            format!("{error:#?}"),
            format!("{lock:?}"),
        ] {
            assert!(!text.contains("4111") && !text.contains("SELECT"), "{text}");
            let hidden = format!("<{} characters, not shown>", statement.len());
            assert!(text.contains(&hidden), "{text}");
            assert!(text.contains(&holders_id.to_string()), "{text}");
        }
        holder.join().unwrap();
    });
}
