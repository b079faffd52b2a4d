//! What a timeout reports, and which sessions hold which locks.

use std::time::Duration;

use diesel_advisory_lock::inspect::{self, HeldLock, HoldDuration, LockedObject};
use diesel_advisory_lock::{LockStatus, prelude::*};
use server_test::{both, server_test};

use super::support::{Db, counters};
use crate::api::{RunQueryDsl, SimpleConnection, status, thread};
use crate::server::{self, Account, Conn, session_id, statement};

const SHORT: Duration = Duration::from_millis(300);

#[both]
async fn id(conn: &mut Conn) -> u64 {
    session_id(conn).await.try_into().unwrap()
}

#[both]
async fn refused(conn: &mut Conn, name: &LockName) -> LockError {
    let refused = name.lock().timeout(SHORT).acquire(conn).await;
    refused.map(drop).unwrap_err()
}

#[server_test]
async fn timeout_names_the_holder(db: &Db) {
    let (holder, waiter) = (&mut db.conn().await, &mut db.conn().await);
    let name = LockName::named("job");
    let holders_id = id(holder).await;
    let held = name.lock().acquire(holder).await.unwrap();
    let error = refused(waiter, &name).await;
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
    held.release().await.unwrap();
    // The waiter's connection can be used again.
    name.lock()
        .acquire(waiter)
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
}

#[server_test]
async fn timeout_reports_what_the_holder_is_running(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn().await;
    let mut held = name.lock().acquire(conn).await.unwrap();
    thread::scope(async |scope| {
        let holder = scope.spawn(async move || {
            held.batch_execute(server::SLEEP).await.unwrap();
            held.release().await.unwrap();
        });
        let error = refused(&mut db.conn().await, &name).await;
        let activity = error.holder().unwrap().activity.clone();
        assert_eq!(activity.unwrap().statement.unwrap(), server::SLEEP);
        assert!(!error.to_string().contains(server::SLEEP), "{error}");
        holder.join().await.unwrap();
    })
    .await;
}

#[server_test]
async fn timeout_of_an_unprivileged_account_reports_only_the_holders_connection_id(db: &Db) {
    let account = Account::create(db).await;
    let (holder, waiter) = (&mut db.conn().await, &mut account.conn().await);
    let name = LockName::named("job");
    let holders_id = id(holder).await;
    let _held = name.lock().acquire(holder).await.unwrap();
    let error = refused(waiter, &name).await;
    let session = error.holder().expect("a holder");
    assert_eq!(session.connection_id, holders_id);
    assert_eq!(session.activity, None);
}

#[server_test]
async fn timeout_of_a_set_names_the_holder_of_the_taken_lock(db: &Db) {
    let (holder, waiter) = (&mut db.conn().await, &mut db.conn().await);
    let holders_id = id(holder).await;
    let (free, taken) = (LockName::named("free"), LockName::named("taken"));
    let _held = taken.lock().acquire(holder).await.unwrap();
    let refused = lock_all((&free, &taken))
        .timeout(SHORT)
        .run(waiter, async |_, _| Ok::<_, LockError>(()))
        .await;
    let error = refused.unwrap_err();
    assert_eq!(error.name(), &taken);
    assert_eq!(error.holder().unwrap().connection_id, holders_id);
}

#[server_test]
async fn deadlock_names_the_session_that_holds_the_lock(db: &Db) {
    let (one, other) = (&mut db.conn().await, &mut db.conn().await);
    let (ones_id, others_id) = (id(one).await, id(other).await);
    let (a, b) = (LockName::named("a"), LockName::named("b"));
    let mut one = a.lock().acquire(one).await.unwrap();
    let mut other = b.lock().acquire(other).await.unwrap();
    let refused = thread::scope(async |scope| {
        let waiter = scope.spawn({
            let b = &b;
            async move || {
                let error = b.lock().acquire(&mut one).await.map(drop).err();
                // The other session may wait for the lock that this one holds.
                drop(one);
                error.map(|error| (error, others_id))
            }
        });
        db.wait_until_blocked(ones_id.try_into().unwrap()).await;
        let closing = a.lock().acquire(&mut other).await.map(drop).err();
        let refused = closing.map(|error| (error, ones_id));
        drop(other);
        // Either session is refused.
        let waiters = waiter.join().await.unwrap();
        refused.or(waiters)
    })
    .await;
    let (error, holder) = refused.expect("a deadlock");
    assert!(matches!(error, LockError::Deadlock { .. }), "{error:?}");
    assert_eq!(error.holder().expect("a holder").connection_id, holder);
}

#[server_test]
async fn status_returns_free_held_here_or_held_by(db: &Db) {
    let (holder, other) = (&mut db.conn().await, &mut db.conn().await);
    let connection_id = id(holder).await;
    let names = [
        LockName::named("job"),
        LockName::row(counters::table, 1).scope("send"),
        LockName::named("job").namespace("elsewhere"),
        LockName::exact(format!("{} by hand", db.schema)).unwrap(),
    ];
    for name in &names {
        assert_eq!(
            status(name, other).await.unwrap(),
            LockStatus::Free,
            "{name}"
        );
        let mut held = name.lock().acquire(holder).await.unwrap();
        assert_eq!(status(name, &mut held).await.unwrap(), LockStatus::HeldHere);
        assert_eq!(
            status(name, other).await.unwrap(),
            LockStatus::HeldBy { connection_id },
            "{name}"
        );
        held.release().await.unwrap();
        assert_eq!(
            status(name, other).await.unwrap(),
            LockStatus::Free,
            "{name}"
        );
    }
    let invalid = LockName::exact("a").unwrap().scope("b");
    let refused = status(&invalid, other).await;
    assert!(matches!(refused, Err(LockError::InvalidName { .. })));
}

#[server_test(own_server)]
async fn held_locks_are_listed_with_their_holders_and_waiters(db: &Db) {
    server::enable_lock_inspection(&mut db.conn().await, db.kind()).await;
    let (holder, other) = (&mut db.conn().await, &mut db.conn().await);
    let holders_id = id(holder).await;
    let row = LockName::row(counters::table, 1);
    let job = LockName::named("job");
    // A lock whose name is not one of the library's.
    server::acquire(other, &db.schema).await.unwrap();
    thread::scope(async |scope| {
        let mut outer = row.lock().acquire(holder).await.unwrap();
        // Listed once, although the server counts it twice.
        let mut inner = row.lock().acquire(&mut outer).await.unwrap();
        let held_job = job.lock().acquire(&mut inner).await.unwrap();
        let mut waiters = Vec::new();
        for _ in 0..2 {
            let mut conn = db.conn().await;
            let id = session_id(&mut conn).await;
            let row = &row;
            scope.spawn(async move || {
                let held = row.lock().acquire(&mut conn).await.unwrap();
                held.release().await.unwrap();
            });
            db.wait_until_blocked(id).await;
            waiters.push(u64::try_from(id).unwrap());
        }
        thread::sleep(Duration::from_millis(1_100)).await;
        let held: Vec<_> = inspect::held_locks(other)
            .await
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
        held_job.release().await.unwrap();
        inner.release().await.unwrap();
        outer.release().await.unwrap();
    })
    .await;
    let after = inspect::held_locks(other).await.unwrap();
    assert!(
        !after
            .iter()
            .any(|lock| server::is_of_library(&db.schema, lock))
    );
}

/// Each lock has a waiter, without which PostgreSQL does not know the name.
#[server_test(own_server)]
async fn held_lock_names_are_parsed(db: &Db) {
    server::enable_lock_inspection(&mut db.conn().await, db.kind()).await;
    let long = "x".repeat(60);
    let row = LockName::row(counters::table, 7).scope("send");
    let names = [row, LockName::named(&long)];
    let mut holders = [db.conn().await, db.conn().await];
    thread::scope(async |scope| {
        let mut held = Vec::new();
        for (name, conn) in names.iter().zip(&mut holders) {
            held.push(name.lock().acquire(conn).await.unwrap());
        }
        for name in &names {
            let mut conn = db.conn().await;
            let id = session_id(&mut conn).await;
            scope.spawn(async move || {
                name.lock()
                    .acquire(&mut conn)
                    .await
                    .unwrap()
                    .release()
                    .await
                    .unwrap()
            });
            db.wait_until_blocked(id).await;
        }
        let mut found = inspect::held_locks(&mut db.conn().await).await.unwrap();
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
            held.release().await.unwrap();
        }
    })
    .await;
}

/// `unwrap` and `?` in `main` print `Debug`, and so may a logger. The output must not contain SQL
/// of another session.
#[server_test(own_server)]
async fn debug_output_hides_the_holders_statement(db: &Db) {
    let statement = format!(
        "SELECT {}, '4111-1111-1111-1111' AS pan",
        server::SLEEPING_EXPRESSION
    );
    let statement = &statement[..];
    server::enable_lock_inspection(&mut db.conn().await, db.kind()).await;
    let name = LockName::named("cards");
    let conn = &mut db.conn().await;
    let holders_id = id(conn).await;
    let mut held = name.lock().acquire(conn).await.unwrap();
    thread::scope(async |scope| {
        let holder = scope.spawn(async move || {
            diesel::sql_query(statement)
                .execute(&mut *held)
                .await
                .unwrap();
            held.release().await.unwrap();
        });
        let waiter = &mut db.conn().await;
        let error = refused(waiter, &name).await;
        let activity = error.holder().unwrap().activity.as_ref().unwrap();
        assert_eq!(activity.statement.as_deref(), Some(statement));
        let locks = inspect::held_locks(waiter).await.unwrap();
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
        holder.join().await.unwrap();
    })
    .await;
}
