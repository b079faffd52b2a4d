//! Three processes of the program: one leads at a time, and another takes over.

use std::thread::sleep;
use std::time::{Duration, Instant};

#[cfg(feature = "mysql")]
use diesel::MysqlConnection;
#[cfg(feature = "postgres")]
use diesel::PgConnection;
use diesel_advisory_lock::LockName;
use replica::Replica;
use test_database::TestDatabase;
use test_server::is_postgres_url;

#[path = "../../shared/replica.rs"]
mod replica;
#[path = "../../shared/test_database.rs"]
mod test_database;

const STEPS: &str =
    "SELECT CAST(process AS CHAR(20)) AS value FROM leader_example_steps ORDER BY id";

fn start(database: &TestDatabase) -> Replica {
    Replica::start(env!("CARGO_BIN_EXE_leader"), &database.url(), &[])
}

/// The processes that have led, in order. Two that led at the same time would alternate.
fn leaders(database: &TestDatabase) -> Vec<u32> {
    let steps = database.query(STEPS).into_iter();
    let mut leaders: Vec<u32> = steps
        .map(|process| process.trim().parse().expect("a process"))
        .collect();
    leaders.dedup();
    leaders
}

/// Waits until that many leaders have followed each other, and the last one has made some steps.
fn wait_for_leaders(database: &TestDatabase, count: usize) -> Vec<u32> {
    let start = Instant::now();
    loop {
        let leaders = leaders(database);
        if leaders.len() >= count {
            // Time for a second leader to interfere.
            sleep(Duration::from_millis(300));
            return self::leaders(database);
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{leaders:?}");
        sleep(Duration::from_millis(20));
    }
}

/// Starts a replica that leads, and then others that wait.
fn start_all(database: &TestDatabase, others: usize) -> (Replica, Vec<Replica>) {
    let mut leader = start(database);
    assert_eq!(leader.line(), format!("{} leads", leader.id()));
    let others = (0..others).map(|_| start(database)).collect();
    // The others wait for the lock, or they would lead as well.
    sleep(Duration::from_millis(500));
    assert_eq!(wait_for_leaders(database, 1), [leader.id()]);
    (leader, others)
}

fn remove(replicas: &mut Vec<Replica>, id: u32) -> Replica {
    let place = replicas.iter().position(|replica| replica.id() == id);
    replicas.remove(place.expect("a replica leads"))
}

#[test]
fn killing_the_leader_lets_one_other_replica_take_over() {
    TestDatabase::on_each_server("killed_leader", |database| {
        let (leader, mut others) = start_all(database, 2);
        let first = leader.id();
        leader.kill();
        let led = wait_for_leaders(database, 2);
        assert_eq!(led.len(), 2, "{led:?}");
        remove(&mut others, led[1]).kill();
        let last = others[0].id();
        assert_eq!(wait_for_leaders(database, 3), [first, led[1], last]);
        assert!(others[0].is_running());
    });
}

#[test]
fn leader_whose_session_has_ended_steps_down_and_may_lead_again() {
    TestDatabase::on_each_server("ended_session", |database| {
        // The session may end after `verify`, within the step, but not three times in a row.
        assert!((0..3).any(|_| leader_that_lost_its_session_works_no_more(database)));
    });
}

/// Ends the leader's session. Returns whether the leader has begun no step since then.
fn leader_that_lost_its_session_works_no_more(database: &TestDatabase) -> bool {
    database.execute("DROP TABLE IF EXISTS leader_example_steps");
    let (mut leader, mut others) = start_all(database, 1);
    let (first, second) = (leader.id(), others[0].id());
    end_session_of_leader(database);
    assert_eq!(wait_for_leaders(database, 2), [first, second]);
    assert!(leader.is_running());
    let first = first.to_string();
    let mut steps = database.query(STEPS);
    steps.retain(|process| process.trim() == first);

    remove(&mut others, second).kill();
    let [led @ .., last] = &wait_for_leaders(database, 3)[..] else {
        panic!("no leader");
    };
    assert_eq!((led.len(), last.to_string()), (2, first.clone()));
    let mut begun = 0;
    while leader.line() == format!("{first} works") {
        begun += 1;
    }
    begun == steps.len()
}

/// Ends the session that holds the lock, as a server does with an idle one.
fn end_session_of_leader(database: &TestDatabase) {
    if is_postgres_url(&database.url()) {
        database.query(
            "SELECT CAST(pg_terminate_backend(pid) AS TEXT) AS value FROM pg_locks
             WHERE locktype = 'advisory' AND granted AND database = (
                 SELECT oid FROM pg_database WHERE datname = current_database())",
        );
    } else {
        let schema = database.query("SELECT DATABASE() AS value").concat();
        let name = LockName::named("leader").full_name(&schema);
        let holder = format!("SELECT CAST(IS_USED_LOCK('{name}') AS CHAR) AS value");
        let holder = database.query(&holder).concat();
        database.execute(&format!("KILL {holder}"));
    }
}
