//! PgBouncer between the client and the server. In transaction mode its clients share sessions.

use std::thread;

use diesel::connection::{CacheSize, SimpleConnection};
use diesel::prelude::*;
use diesel_advisory_lock::check_server;
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::server::Finding;
use server_test::server_test;
use test_server::{PgBouncer, PoolMode, Server};

use crate::server::session_id;
use crate::suite::support::{Counter, Db, Hook, Then, When, counters};

fn start(db: &Db, mode: PoolMode, pool_size: u32) -> PgBouncer {
    PgBouncer::start(Server::shared(db.kind()), mode, pool_size).unwrap()
}

fn connect(db: &Db, pool: &PgBouncer) -> PgConnection {
    PgConnection::establish(&pool.url(&db.schema)).unwrap()
}

/// How the check has recognized the pooler.
#[track_caller]
fn refused(conn: &mut PgConnection) -> &'static str {
    let error = check_server(conn).unwrap_err();
    let report = error.report().expect("a report");
    let [finding @ Finding::TransactionPooling { sign, .. }] = report.findings() else {
        panic!("{report}");
    };
    assert!(finding.is_refusal());
    assert!(finding.to_string().contains("`pool_mode = session`"));
    sign
}

#[server_test(own_server)]
fn transaction_and_statement_pooling_are_refused_by_the_check(db: &Db) {
    for mode in [PoolMode::Transaction, PoolMode::Statement] {
        let pool = start(db, mode, 2);
        let sign = refused(&mut connect(db, &pool));
        assert_eq!(sign, "PgBouncer has renamed a prepared statement", "{mode}");
    }
}

#[server_test(own_server)]
fn session_pooling_is_accepted_and_keeps_locks(db: &Db) {
    let pool = start(db, PoolMode::Session, 4);
    let [mut one, mut other] = [connect(db, &pool), connect(db, &pool)];
    assert_eq!(check_server(&mut one).unwrap().findings(), []);
    let name = LockName::named("job");
    let held = name.lock().acquire(&mut one).unwrap();
    assert!(name.lock().try_acquire(&mut other).unwrap().is_none());
    held.release().unwrap();
    name.lock().acquire(&mut other).unwrap().release().unwrap();
}

/// Without named statements, as of a pooler that does not rename them.
#[server_test(own_server)]
fn exchanged_session_is_refused_by_the_check(db: &Db) {
    const STATEMENTS: [&str; 2] = [
        "pg_catalog.pg_prepared_statements",
        "current_setting('diesel_advisory_lock.check'",
    ];
    for statement in STATEMENTS {
        let pool = start(db, PoolMode::Transaction, 2);
        let [mut conn, mut other] = [connect(db, &pool), connect(db, &pool)];
        conn.set_prepared_statement_cache_size(CacheSize::Disabled);
        let hook = Hook::default();
        hook.watch(&mut conn);
        // The other client takes the session that was used last.
        let take = Then::Call(Box::new(move || {
            other.batch_execute("BEGIN").unwrap();
            std::mem::forget(other);
        }));
        hook.arm(When::Start(statement), take);
        assert_eq!(
            refused(&mut conn),
            "two statements ran in different sessions"
        );
        assert!(hook.disarm());
    }
}

/// As of a pooler that resets a session between two clients.
#[server_test(own_server)]
fn reset_session_is_refused_by_the_check(db: &Db) {
    let pool = start(db, PoolMode::Transaction, 1);
    let [mut conn, mut other] = [connect(db, &pool), connect(db, &pool)];
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    let hook = Hook::default();
    hook.watch(&mut conn);
    let reset = Then::Call(Box::new(move || other.batch_execute("RESET ALL").unwrap()));
    hook.arm(
        When::Start("current_setting('diesel_advisory_lock.check'"),
        reset,
    );
    assert_eq!(
        refused(&mut conn),
        "a setting of the session was lost between two statements"
    );
}

#[server_test(own_server)]
fn lock_of_a_session_that_is_exchanged_is_lost(db: &Db) {
    let pool = start(db, PoolMode::Transaction, 2);
    let name = LockName::named("job");
    let take = |other: &mut PgConnection| other.batch_execute("BEGIN").unwrap();

    let [mut conn, mut other] = [connect(db, &pool), connect(db, &pool)];
    let mut held = name.lock().acquire(&mut conn).unwrap();
    take(&mut other);
    let error = held.verify().unwrap_err();
    assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
    drop(held);
    other
        .batch_execute("ROLLBACK; SELECT pg_advisory_unlock_all()")
        .unwrap();
    drop(other);

    let pool = start(db, PoolMode::Transaction, 2);
    let [mut conn, mut other] = [connect(db, &pool), connect(db, &pool)];
    let lost = LockName::named("other").lock().run(&mut conn, |_, _| {
        take(&mut other);
        Ok::<_, LockError>(())
    });
    let error = lost.unwrap_err();
    assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
}

/// Its locks end with the transaction, for which the pooler keeps the session.
#[server_test(own_server)]
fn transactions_under_locks_lose_no_update_behind_transaction_pooling(db: &Db) {
    const CLIENTS: i64 = 8;
    const EACH: i64 = 100;
    let pool = start(db, PoolMode::Transaction, 4);
    db.counter(1);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let conn = &mut connect(db, &pool);
                for _ in 0..EACH {
                    let mut counter = Counter { id: 1, value: 0 };
                    counter
                        .lock()
                        .transaction(conn, |counter, conn| {
                            diesel::update(counters::table.find(1_i64))
                                .set(counters::value.eq(counter.value + 1))
                                .execute(conn)
                        })
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(db.value(1), CLIENTS * EACH);
}

/// Why such a pooler is refused: the server grants one session's lock to both of its clients.
#[server_test(own_server)]
fn session_that_two_clients_share_grants_its_lock_to_both(db: &Db) {
    let pool = start(db, PoolMode::Transaction, 1);
    let [mut one, mut other] = [connect(db, &pool), connect(db, &pool)];
    assert_eq!(session_id(&mut one), session_id(&mut other));
    let name = LockName::named("job");
    let first = name.lock().acquire(&mut one).unwrap();
    assert!(name.lock().try_acquire(&mut other).unwrap().is_some());
    drop(first);
    for conn in [&mut one, &mut other] {
        refused(conn);
    }
}
