//! How many statements the servers execute, by their own counters.

use std::thread;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::suite::lock_pool::queue_up;
use crate::suite::support::{Counter, Db, Locks, counters};

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text)]
    #[diesel(column_name = "Value")]
    value: String,
}

pub(crate) fn session_status(conn: &mut MysqlConnection, variable: &str) -> i64 {
    // Not through the statement cache, so that it costs the same each time.
    let status: Status = diesel::sql_query(format!("SHOW SESSION STATUS LIKE '{variable}'"))
        .get_result(conn)
        .unwrap();
    status.value.parse().unwrap()
}

/// Statements prepared, statements executed, and SELECTs among them, for ten runs of `work` after a
/// first one.
fn cost_of_ten(conn: &mut MysqlConnection, mut work: impl FnMut(&mut MysqlConnection)) -> [i64; 3] {
    fn read(conn: &mut MysqlConnection) -> [i64; 3] {
        ["Com_stmt_prepare", "Com_stmt_execute", "Com_select"]
            .map(|variable| session_status(conn, variable))
    }
    fn difference(before: [i64; 3], after: [i64; 3]) -> [i64; 3] {
        std::array::from_fn(|i| after[i] - before[i])
    }
    work(conn);
    let start = read(conn);
    let nothing = read(conn);
    (0..10).for_each(|_| work(conn));
    let end = read(conn);
    difference(difference(start, nothing), difference(nothing, end))
}

#[server_test]
fn uncontended_lock_takes_two_statements(db: &Db) {
    let conn = &mut db.conn();
    let name = LockName::named("job");
    let cost = cost_of_ten(conn, |conn| {
        name.lock().acquire(conn).unwrap().release().unwrap()
    });
    assert_eq!(cost, [0, 20, 20], "prepared, executed, selects");

    // Another name takes the same statements.
    let mut next = 0;
    let cost = cost_of_ten(conn, |conn| {
        next += 1;
        LockName::row(counters::table, next)
            .lock()
            .run(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap();
    });
    assert_eq!(cost, [0, 20, 20], "prepared, executed, selects");
}

/// Two statements read and set the session's namespace.
#[server_test]
fn first_lock_of_a_connection_takes_two_statements_more(db: &Db) {
    let conn = &mut db.conn();
    let cost = |conn: &mut MysqlConnection| session_status(conn, "Com_stmt_execute");
    let start = cost(conn);
    let nothing = cost(conn) - start;
    let before = cost(conn);
    let name = LockName::named("job");
    name.lock().acquire(conn).unwrap().release().unwrap();
    assert_eq!(cost(conn) - before - nothing, 4, "executed");
}

#[server_test]
fn fractional_timeout_takes_no_more_statements(db: &Db) {
    let conn = &mut db.conn();
    let mut ms = 0;
    let cost = cost_of_ten(conn, |conn| {
        ms += 1;
        let wait = std::time::Duration::from_millis(ms);
        LockName::named("job")
            .lock()
            .timeout(wait)
            .acquire(conn)
            .unwrap()
            .release()
            .unwrap();
    });
    assert_eq!(cost, [0, 20, 20], "prepared, executed, selects");
}

#[server_test]
fn reload_takes_one_statement_more(db: &Db) {
    let mut counter = db.counter(1);
    let conn = &mut db.conn();
    let cost = cost_of_ten(conn, |conn| {
        counter
            .with_lock(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap();
    });
    assert_eq!(cost, [0, 30, 30], "prepared, executed, selects");
}

/// How many statements ten requests that are handed the lock prepare and execute.
fn cost_of_ten_handoffs(
    db: &Db,
    request: impl Fn(&Locks, &mut Counter) + Copy + Send + Sync,
) -> [i64; 2] {
    db.counter(1);
    // With one connection, its count is the total.
    let (pool, _) = db.pool(1);
    // The lock is handed off to each request, however slow the machine is.
    let locks = LockPool::builder().max_handoff_time(Duration::from_secs(600));
    let locks = &locks.build(pool);
    let status = |conn: &mut MysqlConnection| {
        ["Com_stmt_prepare", "Com_stmt_execute"].map(|variable| session_status(conn, variable))
    };
    let served = |requests| {
        let mut before = [0; 2];
        thread::scope(|scope| {
            let mut counter = Counter { id: 1, value: 0 };
            let mut held = locks.acquire(counter.lock()).unwrap();
            before = status(&mut held);
            queue_up(scope, locks, 0..requests, |_| {
                move || request(locks, &mut Counter { id: 1, value: 0 })
            });
            held.release().unwrap();
        });
        let after = status(&mut locks.pool().get().unwrap());
        [0, 1].map(|i| after[i] - before[i])
    };
    served(2);
    let (few, many) = (served(2), served(12));
    [0, 1].map(|i| many[i] - few[i])
}

#[server_test]
fn handoff_takes_one_statement(db: &Db) {
    let cost = cost_of_ten_handoffs(db, |locks, counter| {
        let request = counter.lock_name().lock();
        locks.run(request, |_, _| Ok::<_, LockError>(())).unwrap();
    });
    assert_eq!(cost, [0, 10], "prepared, executed");
}

/// The statement verifies that the session holds both. Without a handoff, a request executes four.
#[server_test]
fn handoff_of_a_set_takes_one_statement(db: &Db) {
    let cost = cost_of_ten_handoffs(db, |locks, counter| {
        let set = lock_all((counter.lock_name(), LockName::named("second")));
        locks.run(set, |_, _| Ok::<_, LockError>(())).unwrap();
    });
    assert_eq!(cost, [0, 10], "prepared, executed");
}

/// The four statements are BEGIN, the reload, the verification and COMMIT.
#[server_test]
fn handoff_after_a_commit_takes_no_statement(db: &Db) {
    let cost = cost_of_ten_handoffs(db, |locks, counter| {
        let request = counter.lock();
        locks
            .transaction(request, |_, _| Ok::<_, LockError>(()))
            .unwrap();
    });
    assert_eq!(cost, [0, 40], "prepared, executed");
}
