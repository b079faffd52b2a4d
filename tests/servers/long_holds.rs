//! A holder that is busy elsewhere for longer than the server bears with an idle session.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::{LockPolicy, LockStatus, prelude::*};

use crate::support::{Case, Db, Locks, Stingy, until_in_line, wait_timeout};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_lock_is_lost_to_wait_timeout),
        case!(a_long_hold_is_not),
        case!(the_limit_is_raised_and_set_back),
        case!(a_nested_long_hold_leaves_the_outer_one_its_own),
        case!(a_part_of_a_second_is_rounded_up_and_a_year_is_the_most),
        case!(several_locks_raise_it_once),
        case!(who_is_handed_a_lock_has_times_of_its_own),
        case!(a_lock_whose_limit_cannot_be_raised_is_given_back).private(),
        case!(a_verified_lock_is_still_ours),
        case!(a_lost_lock_is_told_by_verify),
        case!(a_pooled_lock_is_verified_too),
    ]
}

const SECOND: Duration = Duration::from_secs(1);

fn limited(db: &Db, seconds: i64) -> MysqlConnection {
    let mut conn = db.conn();
    conn.batch_execute(&format!("SET SESSION wait_timeout = {seconds}"))
        .unwrap();
    conn
}

fn a_lock_is_lost_to_wait_timeout(db: &Db) {
    let conn = &mut limited(db, 1);
    let held = LockName::named("job").lock().acquire(conn).unwrap();
    thread::sleep(3 * SECOND);
    let error = held.release().unwrap_err();
    assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
}

fn a_long_hold_is_not(db: &Db) {
    let conn = &mut limited(db, 1);
    let mut counter = db.counter(1);
    let request = counter.lock().longest_hold(10 * SECOND);
    request
        .run(conn, |_, _| {
            thread::sleep(3 * SECOND);
            Ok::<_, LockError>(())
        })
        .unwrap();
    assert_eq!(wait_timeout(conn), 1);
}

fn the_limit_is_raised_and_set_back(db: &Db) {
    let conn = &mut limited(db, 100);
    let name = LockName::named("job");
    let seen = |longest: u64, conn: &mut MysqlConnection| {
        let request = name.lock().longest_hold(Duration::from_secs(longest));
        request
            .hold(conn, |conn| Ok::<_, LockError>(wait_timeout(conn)))
            .unwrap()
    };
    assert_eq!(seen(600, conn), 600);
    assert_eq!(wait_timeout(conn), 100);
    // What is long enough is left alone.
    assert_eq!(seen(60, conn), 100);
    assert_eq!(wait_timeout(conn), 100);
    // Also if nobody releases, or the closure fails.
    let held = name.lock().longest_hold(600 * SECOND).acquire(conn);
    drop(held.unwrap());
    assert_eq!(wait_timeout(conn), 100);
    let failed = name.lock().longest_hold(600 * SECOND).hold(conn, |_| {
        Err::<(), LockError>(LockName::exact("").unwrap_err())
    });
    assert!(matches!(failed, Err(LockError::InvalidName { .. })));
    assert_eq!(wait_timeout(conn), 100);
    // A policy says it for a whole model; the request itself goes before it.
    let policy = LockPolicy::new().longest_hold(600 * SECOND);
    let by_policy = |conn: &mut MysqlConnection| Ok::<_, LockError>(wait_timeout(conn));
    let seen = name.lock().policy(policy).hold(conn, by_policy).unwrap();
    assert_eq!(seen, 600);
    let own = name.lock().longest_hold(700 * SECOND).policy(policy);
    assert_eq!(own.hold(conn, by_policy).unwrap(), 700);
    assert_eq!(wait_timeout(conn), 100);
}

fn a_nested_long_hold_leaves_the_outer_one_its_own(db: &Db) {
    let conn = &mut limited(db, 100);
    let name = LockName::named("job");
    let mut outer = name
        .lock()
        .longest_hold(200 * SECOND)
        .acquire(conn)
        .unwrap();
    let mut inner = name
        .lock()
        .longest_hold(300 * SECOND)
        .acquire(&mut outer)
        .unwrap();
    assert_eq!(wait_timeout(&mut inner), 300);
    inner.release().unwrap();
    assert_eq!(wait_timeout(&mut outer), 200);
    outer.release().unwrap();
    assert_eq!(wait_timeout(conn), 100);
}

fn a_part_of_a_second_is_rounded_up_and_a_year_is_the_most(db: &Db) {
    let conn = &mut limited(db, 1);
    // MariaDB refuses what is out of range in this mode.
    conn.batch_execute("SET SESSION sql_mode = 'STRICT_ALL_TABLES'")
        .unwrap();
    for (longest, seconds) in [
        (Duration::from_millis(1_001), 2),
        (Duration::MAX, 31_536_000),
    ] {
        let request = LockName::named("job").lock().longest_hold(longest);
        let seen = request.hold(conn, |conn| Ok::<_, LockError>(wait_timeout(conn)));
        assert_eq!(seen.unwrap(), seconds);
        assert_eq!(wait_timeout(conn), 1);
    }
}

fn several_locks_raise_it_once(db: &Db) {
    let conn = &mut limited(db, 1);
    let names = ["a", "b", "c"].map(LockName::named);
    let all = LockAll::of(names.to_vec()).longest_hold(600 * SECOND);
    let seen = all.run(conn, |_, conn| Ok::<_, LockError>(wait_timeout(conn)));
    assert_eq!(seen.unwrap(), 600);
    assert_eq!(wait_timeout(conn), 1);
}

fn who_is_handed_a_lock_has_times_of_its_own(db: &Db) {
    let locks = db.locks(1);
    let name = LockName::named("job");
    let usual = wait_timeout(&mut locks.pool().get().unwrap());
    let seen = |locks: &Locks, longest: Option<u64>| {
        let mut request = name.lock();
        if let Some(days) = longest {
            request = request.longest_hold(Duration::from_secs(days * 86_400));
        }
        request
            .hold_from(locks, |conn| Ok::<_, LockError>(wait_timeout(conn)))
            .unwrap()
    };
    let first = name.lock().longest_hold(Duration::from_secs(10 * 86_400));
    let mut first = first.acquire_from(&locks).unwrap();
    thread::scope(|scope| {
        // Those who wait when the server grants the lock are handed it: the third by the second, and so on.
        let others = [Some(20), None, Some(30), None];
        let others: Vec<_> = (1..)
            .zip(others)
            .map(|(nth, longest)| {
                let other = scope.spawn({
                    let (locks, seen) = (&locks, &seen);
                    move || seen(locks, longest)
                });
                until_in_line(&locks, nth);
                other
            })
            .collect();
        assert_eq!(wait_timeout(&mut first), 864_000);
        first.release().unwrap();
        let seen: Vec<_> = others
            .into_iter()
            .map(|other| other.join().unwrap())
            .collect();
        assert_eq!(seen, [2 * 864_000, usual, 3 * 864_000, usual]);
    });
    assert_eq!(wait_timeout(&mut locks.pool().get().unwrap()), usual);
    db.assert_idle(&locks);
}

/// No statement can be prepared any more on this server of its own.
fn a_lock_whose_limit_cannot_be_raised_is_given_back(db: &Db) {
    let server = Stingy::start(db);
    let conn = &mut server.conn();
    let name = LockName::named("job");
    name.lock().acquire(conn).unwrap().release().unwrap();
    server.forbid();
    let error = name
        .lock()
        .longest_hold(600 * SECOND)
        .acquire(conn)
        .unwrap_err();
    assert!(matches!(error, LockError::Database { .. }), "{error:?}");
    server.permit();
    assert_eq!(name.status(&mut server.conn()).unwrap(), LockStatus::Free);
}

fn a_verified_lock_is_still_ours(db: &Db) {
    let conn = &mut db.conn();
    let mut held = LockName::named("job").lock().acquire(conn).unwrap();
    held.verify().unwrap();
    held.verify().unwrap();
    held.release().unwrap();
}

fn a_lost_lock_is_told_by_verify(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn();
    let mut held = name.lock().acquire(conn).unwrap();
    held.batch_execute("DO RELEASE_ALL_LOCKS()").unwrap();
    let taken_by_another = &mut db.conn();
    let others = name.lock().acquire(taken_by_another).unwrap();
    let error = held.verify().unwrap_err();
    assert!(
        matches!(error, LockError::Lost { source: None, .. }),
        "{error:?}"
    );
    drop(held);
    others.release().unwrap();

    let conn = &mut db.conn();
    let id = crate::support::session_id(conn);
    let mut held = name.lock().acquire(conn).unwrap();
    db.execute(&format!("KILL {id}"));
    let error = held.verify().unwrap_err();
    let LockError::Lost { source, .. } = error else {
        panic!("{error:?}");
    };
    assert!(source.is_some());
}

fn a_pooled_lock_is_verified_too(db: &Db) {
    let (pool, events) = db.pool(1);
    let name = LockName::named("job");
    let mut held = name.lock().acquire_from(&pool).unwrap();
    held.verify().unwrap();
    held.batch_execute("DO RELEASE_ALL_LOCKS()").unwrap();
    let error = held.verify().unwrap_err();
    assert!(matches!(error, LockError::Lost { .. }), "{error:?}");
    drop(held);
    assert_eq!(events.counts().2, 1, "discarded");
}
