//! `keep_alive` and the three limits of PostgreSQL on sessions that are idle.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::server::session_id;
use crate::suite::support::{Db, wait_until_queued};

const SECOND: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_millis(700);
const LONGER: Duration = Duration::from_millis(1_500);
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// The limits that the server has: 17 and later have three.
pub(crate) fn limits(conn: &mut PgConnection) -> Vec<String> {
    let limits: Vec<Limit> = diesel::sql_query(
        "SELECT name, setting::bigint AS ms FROM pg_settings WHERE name IN \
         ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')",
    )
    .load(conn)
    .unwrap();
    limits.into_iter().map(|limit| limit.name).collect()
}

#[derive(QueryableByName)]
struct Limit {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    ms: i64,
}

/// The value of a limit in milliseconds.
fn value(conn: &mut PgConnection, limit: &str) -> i64 {
    let sql = format!("SELECT name, setting::bigint AS ms FROM pg_settings WHERE name = '{limit}'");
    let found: Limit = diesel::sql_query(sql).get_result(conn).unwrap();
    found.ms
}

fn set(conn: &mut PgConnection, limit: &str, time: Duration) {
    conn.batch_execute(&format!("SET {limit} = {}", time.as_millis()))
        .unwrap();
}

fn job() -> Lock<LockName> {
    LockName::named("job").lock()
}

#[server_test]
fn all_limits_are_raised_and_restored(db: &Db) {
    let conn = &mut db.conn();
    let limits = limits(conn);
    let has_all = db.kind() == test_server::ServerKind::Postgres18;
    assert_eq!(limits.len(), if has_all { 3 } else { 2 });
    for limit in &limits {
        set(conn, limit, 100 * SECOND);
    }
    for limit in &limits {
        let seen = |conn: &mut PgConnection| Ok::<_, LockError>(value(conn, limit));
        let long = || job().keep_alive(TEN_MINUTES);
        assert_eq!(long().run(conn, |_, conn| seen(conn)).unwrap(), 600_000);
        assert_eq!(value(conn, limit), 100_000, "{limit} after run");
        let in_transaction = long().transaction(conn, |_, conn| seen(conn));
        assert_eq!(in_transaction.unwrap(), 600_000);
        assert_eq!(value(conn, limit), 100_000, "{limit} after transaction");
        // Acquires the lock before the transaction begins.
        let in_transaction = long().no_wait().transaction(conn, |_, conn| seen(conn));
        assert_eq!(in_transaction.unwrap(), 600_000);
        assert_eq!(value(conn, limit), 100_000, "{limit} after no_wait");
        let mut held = long().acquire(conn).unwrap();
        assert_eq!(value(&mut held, limit), 600_000);
        held.release().unwrap();
        assert_eq!(value(conn, limit), 100_000, "{limit} after release");
        conn.transaction(|conn| {
            long().until_commit(conn)?;
            assert_eq!(value(conn, limit), 600_000);
            QueryResult::Ok(())
        })
        .unwrap();
        assert_eq!(value(conn, limit), 100_000, "{limit} after COMMIT");
    }
}

#[server_test]
fn transaction_that_fails_restores_all_limits(db: &Db) {
    let conn = &mut db.conn();
    let limits = limits(conn);
    for limit in &limits {
        set(conn, limit, 100 * SECOND);
    }
    let failed = job()
        .keep_alive(TEN_MINUTES)
        .transaction(conn, |_, conn| conn.batch_execute("SELECT 1 / 0"));
    failed.unwrap_err();
    for limit in &limits {
        assert_eq!(value(conn, limit), 100_000, "{limit}");
    }
}

/// Each limit ends an idle holder, unless the lock has a keep-alive.
#[server_test]
fn idle_transaction_with_keep_alive_outlives_each_limit(db: &Db) {
    let of_transactions = |limit: &String| limit != "idle_session_timeout";
    for limit in limits(&mut db.conn()).into_iter().filter(of_transactions) {
        let idle = |request: Lock<LockName>, keep_alive: bool| {
            let conn = &mut db.conn();
            set(conn, &limit, SHORT);
            let request = match keep_alive {
                true => request.keep_alive(10 * SECOND),
                false => request,
            };
            request.transaction(conn, |_, conn| {
                thread::sleep(LONGER);
                diesel::select(diesel::dsl::sql::<BigInt>("1::bigint")).get_result::<i64>(conn)
            })
        };
        assert!(idle(job(), false).is_err(), "{limit}");
        for request in [job(), job().no_wait()] {
            assert_eq!(idle(request, true).unwrap(), 1, "{limit}");
        }
        // The server has ended the session.
        let conn = &mut db.conn();
        set(conn, &limit, SHORT);
        let id = session_id(conn);
        let lost = job().run(conn, |_, conn| {
            conn.transaction(|_| {
                thread::sleep(LONGER);
                QueryResult::Ok(())
            })
        });
        assert!(lost.is_err() && !db.has_session(id), "{limit}");
        // A transaction of the closure's.
        let conn = &mut db.conn();
        set(conn, &limit, SHORT);
        let request = job().keep_alive(10 * SECOND);
        request
            .run(conn, |_, conn| {
                conn.transaction(|_| {
                    thread::sleep(LONGER);
                    QueryResult::Ok(())
                })
            })
            .unwrap();
        // A transaction of the caller's.
        conn.transaction(|conn| {
            job().keep_alive(10 * SECOND).until_commit(conn)?;
            thread::sleep(LONGER);
            QueryResult::Ok(())
        })
        .unwrap();
    }
}

#[server_test]
fn keep_alive_is_rounded_up_to_milliseconds_and_at_most_24_days(db: &Db) {
    let conn = &mut db.conn();
    let limit = "idle_session_timeout";
    set(conn, limit, SECOND);
    for (keep_alive, ms) in [
        (Duration::from_micros(1_000_001), 1_001),
        (Duration::MAX, i64::from(i32::MAX)),
    ] {
        let request = job().keep_alive(keep_alive);
        let seen = request.run(conn, |_, conn| Ok::<_, LockError>(value(conn, limit)));
        assert_eq!(seen.unwrap(), ms);
        assert_eq!(value(conn, limit), 1_000);
    }
}

#[server_test]
fn keep_alive_of_a_transaction_is_not_handed_off_with_the_lock(db: &Db) {
    let limits = limits(&mut db.conn());
    let prepare = {
        let limits = limits.clone();
        move |conn: &mut PgConnection| {
            for limit in &limits {
                set(conn, limit, 100 * SECOND);
            }
        }
    };
    let locks = LockPool::new(Db::pool_at(&db.url(), 1, prepare).0);
    let seen = |keep_alive: Option<Duration>| {
        let request = match keep_alive {
            Some(keep_alive) => job().keep_alive(keep_alive),
            None => job(),
        };
        let values = |conn: &mut PgConnection| {
            let values = limits.iter().map(|limit| value(conn, limit));
            values.collect::<Vec<_>>()
        };
        locks
            .transaction(request, |_, conn| Ok::<_, LockError>(values(conn)))
            .unwrap()
    };
    let first = locks.acquire(job().keep_alive(TEN_MINUTES)).unwrap();
    thread::scope(|scope| {
        let others = [Some(200 * SECOND), None, Some(300 * SECOND), None];
        let others: Vec<_> = (1..)
            .zip(others)
            .map(|(nth, keep_alive)| {
                let seen = &seen;
                let other = scope.spawn(move || seen(keep_alive));
                wait_until_queued(&locks, nth);
                other
            })
            .collect();
        first.release().unwrap();
        for (other, expected) in others.into_iter().zip([200_000, 100_000, 300_000, 100_000]) {
            assert_eq!(other.join().unwrap(), vec![expected; limits.len()]);
        }
    });
    let conn = &mut locks.pool().get().unwrap();
    for limit in &limits {
        assert_eq!(value(conn, limit), 100_000, "{limit}");
    }
}
