//! What the servers are asked, counted by themselves.

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_advisory_lock::prelude::*;

use crate::support::Db;

cases![
    an_uncontended_lock_is_two_round_trips,
    the_first_lock_of_a_connection_costs_two_statements_more,
    a_fraction_of_a_second_is_no_more,
    a_reread_adds_one,
];

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text)]
    #[diesel(column_name = "Value")]
    value: String,
}

pub(crate) fn session_status(conn: &mut MysqlConnection, variable: &str) -> i64 {
    // Not through the statement cache, so that asking costs the same each time.
    let status: Status = diesel::sql_query(format!("SHOW SESSION STATUS LIKE '{variable}'"))
        .get_result(conn)
        .unwrap();
    status.value.parse().unwrap()
}

/// Statements prepared, statements executed, and SELECTs among them, for ten runs of `work` after a first one.
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

fn an_uncontended_lock_is_two_round_trips(db: &Db) {
    let conn = &mut db.conn();
    let name = LockName::named("job");
    let cost = cost_of_ten(conn, |conn| {
        name.lock().acquire(conn).unwrap().release().unwrap()
    });
    assert_eq!(cost, [0, 20, 20], "prepared, executed, selects");

    // Another name is no other statement.
    let mut next = 0;
    let cost = cost_of_ten(conn, |conn| {
        next += 1;
        LockName::row(crate::support::counters::table, next)
            .lock()
            .hold(conn, |_| Ok::<_, LockError>(()))
            .unwrap();
    });
    assert_eq!(cost, [0, 20, 20], "prepared, executed, selects");
}

/// It is asked whether it knows its namespace, and told to find out.
fn the_first_lock_of_a_connection_costs_two_statements_more(db: &Db) {
    let conn = &mut db.conn();
    let cost = |conn: &mut MysqlConnection| session_status(conn, "Com_stmt_execute");
    let start = cost(conn);
    let nothing = cost(conn) - start;
    let before = cost(conn);
    let name = LockName::named("job");
    name.lock().acquire(conn).unwrap().release().unwrap();
    assert_eq!(cost(conn) - before - nothing, 4, "executed");
}

fn a_fraction_of_a_second_is_no_more(db: &Db) {
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

fn a_reread_adds_one(db: &Db) {
    let mut counter = db.counter(1);
    let conn = &mut db.conn();
    let cost = cost_of_ten(conn, |conn| {
        counter
            .with_lock(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap();
    });
    assert_eq!(cost, [0, 30, 30], "prepared, executed, selects");
}
