//! `held_locks`, `status` and the holder of a lock on PostgreSQL, which knows locks by their keys.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_advisory_lock::inspect::{self, HeldLock, HoldDuration, LockedObject, PostgresKey};
use diesel_advisory_lock::{LockStatus, prelude::*};
use server_test::server_test;
use test_server::Server;

use crate::server::{Account, session_id};
use crate::suite::support::{Db, counters, wait_until};

fn held(conn: &mut PgConnection) -> Vec<HeldLock> {
    inspect::held_locks(conn).unwrap()
}

/// The only lock of the database.
#[track_caller]
fn only(conn: &mut PgConnection) -> HeldLock {
    let mut held = held(conn);
    assert_eq!(held.len(), 1, "{held:?}");
    held.remove(0)
}

fn id(conn: &mut PgConnection) -> u64 {
    session_id(conn).try_into().unwrap()
}

fn ids(sessions: &[inspect::Session]) -> Vec<u64> {
    let ids = sessions.iter().map(|session| session.connection_id);
    ids.collect()
}

#[server_test]
fn held_lock_that_no_session_waits_for_is_listed_by_its_key(db: &Db) {
    let (holder, watching) = (&mut db.conn(), &mut db.conn());
    let name = LockName::named("job");
    let _held = name.lock().acquire(holder).unwrap();
    let lock = only(watching);
    let key = PostgresKey::One(name.postgres_key(""));
    assert_eq!(lock.postgres_key, Some(key));
    assert_eq!(lock.name.subject(), &LockedObject::Key { key });
    assert_eq!(
        (lock.name.as_str(), lock.name.namespace()),
        (&*key.to_string(), "")
    );
    assert!(!lock.is_shared && lock.other_holders.is_empty());
}

#[server_test]
fn names_of_locks_are_known_from_their_waiters(db: &Db) {
    db.execute("CREATE SCHEMA other; CREATE TABLE other.rows (id INT PRIMARY KEY)");
    diesel::table! { rows (id) { id -> Integer, } }
    let exact = LockName::exact("by-hand").unwrap();
    let key = LockName::exact_keys(1, -2);
    for (name, expected) in [
        (
            LockName::row(counters::table, 1),
            LockName::row(counters::table, 1).full_name("public"),
        ),
        (
            LockName::table(rows::table),
            LockName::table(rows::table).full_name("other"),
        ),
        (
            LockName::named("job").scope("x"),
            LockName::named("job").scope("x").full_name(""),
        ),
        (
            LockName::named("job").namespace("elsewhere"),
            LockName::named("job").full_name("elsewhere"),
        ),
        (exact.clone(), "by-hand".to_owned()),
        (key.clone(), "(1, -2)".to_owned()),
    ] {
        let [mut holder, mut waiter] = [db.conn(), db.conn()];
        for conn in [&mut holder, &mut waiter] {
            conn.batch_execute("SET search_path = public, other")
                .unwrap();
        }
        let held = name.lock().acquire(&mut holder).unwrap();
        thread::scope(|scope| {
            let waiters_id = session_id(&mut waiter);
            scope.spawn({
                let name = &name;
                move || name.lock().acquire(&mut waiter).unwrap().release().unwrap()
            });
            db.wait_until_blocked(waiters_id);
            let lock = only(&mut db.conn());
            assert_eq!(lock.name.as_str(), expected);
            let is_exact = matches!(lock.name.subject(), LockedObject::Exact { .. });
            let is_key = matches!(lock.name.subject(), LockedObject::Key { .. });
            assert_eq!((is_exact, is_key), (name == exact, name == key));
            assert_eq!(ids(&lock.waiters), [waiters_id.unsigned_abs()]);
            held.release().unwrap();
        });
    }
}

#[server_test]
fn name_of_a_lock_is_known_from_a_holder_that_has_waited_for_it(db: &Db) {
    let [mut first, mut second] = [db.conn(), db.conn()];
    let name = LockName::row(counters::table, 1);
    let held = name.lock().acquire(&mut first).unwrap();
    thread::scope(|scope| {
        let waiters_id = session_id(&mut second);
        let second = &mut second;
        let waiting = scope.spawn(|| name.lock().acquire(second).unwrap());
        db.wait_until_blocked(waiters_id);
        held.release().unwrap();
        let held = waiting.join().unwrap();
        let lock = only(&mut db.conn());
        assert_eq!(lock.name.as_str(), name.full_name("public"));
        assert_eq!(lock.waiters, []);
        held.release().unwrap();
    });
}

/// The text of a comment is reported only if the key is computed from it.
#[server_test]
fn name_in_a_statement_of_another_lock_is_not_reported(db: &Db) {
    let conn = &mut db.conn();
    conn.batch_execute("SELECT pg_advisory_lock(7) /* lock =job */")
        .unwrap();
    let key = PostgresKey::One(7);
    let lock = only(&mut db.conn());
    assert_eq!(lock.name.subject(), &LockedObject::Key { key });
    assert_eq!(lock.holder.connection_id, id(conn));
}

#[server_test]
fn shared_lock_is_listed_with_all_its_holders_and_waiters(db: &Db) {
    let [mut one, mut other, mut writer, mut reader] = [(); 4].map(|()| db.conn());
    let name = LockName::named("prices");
    let readers = [id(&mut one), id(&mut other)];
    let held = [&mut one, &mut other].map(|conn| name.lock().shared().acquire(conn).unwrap());
    let waiters = [id(&mut writer), id(&mut reader)];
    thread::scope(|scope| {
        let name = &name;
        let writing = scope.spawn(move || {
            let request = name.lock().timeout(Duration::from_millis(2_500));
            request.acquire(&mut writer).map(drop).unwrap_err()
        });
        db.wait_until_blocked(waiters[0].cast_signed());
        thread::sleep(Duration::from_millis(1_100));
        // It queues behind the writer.
        let reading = scope.spawn(move || {
            let request = name.lock().shared();
            request.acquire(&mut reader).unwrap().release().unwrap();
        });
        db.wait_until_blocked(waiters[1].cast_signed());
        let lock = only(&mut db.conn());
        assert!(lock.is_shared);
        assert_eq!(lock.name.as_str(), name.full_name(""));
        let mut holders = ids(&lock.other_holders);
        holders.push(lock.holder.connection_id);
        holders.sort_unstable();
        let mut expected = readers;
        expected.sort_unstable();
        assert_eq!(holders, expected);
        assert_eq!(ids(&lock.waiters), waiters);
        let wait = |index: usize| lock.waiters[index].activity.as_ref().unwrap().elapsed;
        assert!(wait(0) >= Duration::from_secs(1) && wait(1) == Duration::ZERO);
        let error = writing.join().unwrap();
        let holder = error.holder().expect("a holder").connection_id;
        assert!(readers.contains(&holder), "{error:?}");
        reading.join().unwrap();
    });
    for held in held {
        held.release().unwrap();
    }
}

/// The row of `pg_stat_activity` says since when the whole message runs.
#[server_test]
fn wait_of_a_session_is_that_for_its_lock(db: &Db) {
    let [mut holder, mut waiter] = [db.conn(), db.conn()];
    holder.batch_execute("SELECT pg_advisory_lock(7)").unwrap();
    let waiters_id = session_id(&mut waiter);
    waiter.batch_execute("SET lock_timeout = '10s'").unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let slow = "SELECT pg_sleep(1.2); SELECT pg_advisory_lock(7)";
            waiter.batch_execute(slow).unwrap();
        });
        db.wait_until_blocked(waiters_id);
        let lock = only(&mut db.conn());
        let activity = lock.waiters[0].activity.as_ref().expect("an activity");
        assert_eq!(activity.elapsed, Duration::ZERO);
        holder
            .batch_execute("SELECT pg_advisory_unlock(7)")
            .unwrap();
    });
}

#[server_test]
fn lock_that_a_session_holds_in_both_modes_is_listed_once(db: &Db) {
    let conn = &mut db.conn();
    conn.batch_execute("SELECT pg_advisory_lock_shared(7), pg_advisory_lock(7)")
        .unwrap();
    let lock = only(&mut db.conn());
    assert!(!lock.is_shared);
    assert_eq!(lock.other_holders, []);
}

#[server_test]
fn locks_of_other_databases_are_not_listed(db: &Db) {
    let other = db.create_other();
    let conn = &mut other.conn();
    let name = LockName::named("job");
    let _held = name.lock().acquire(conn).unwrap();
    assert_eq!(held(&mut db.conn()), []);
    assert_eq!(name.status(&mut db.conn()).unwrap(), LockStatus::Free);
    assert_eq!(held(&mut other.conn()).len(), 1);
}

#[server_test]
fn account_without_pg_read_all_stats_sees_only_keys_and_connection_ids(db: &Db) {
    let account = Account::create(db);
    let [mut holder, mut waiter] = [db.conn(), db.conn()];
    let name = LockName::named("job");
    let (holders_id, waiters_id) = (id(&mut holder), session_id(&mut waiter));
    let held = name.lock().acquire(&mut holder).unwrap();
    thread::scope(|scope| {
        scope.spawn({
            let name = &name;
            move || name.lock().acquire(&mut waiter).unwrap().release().unwrap()
        });
        db.wait_until_blocked(waiters_id);
        let watching = &mut account.conn();
        let lock = only(watching);
        assert!(matches!(lock.name.subject(), LockedObject::Key { .. }));
        assert_eq!(lock.holder.connection_id, holders_id);
        assert_eq!(lock.holder.activity, None);
        assert_eq!(lock.held_for, HoldDuration::AtLeast(Duration::ZERO));
        assert_eq!(lock.waiters[0].activity, None);
        account.grant("pg_read_all_stats");
        let lock = only(watching);
        assert_eq!(lock.name.as_str(), name.full_name(""));
        assert!(lock.holder.activity.is_some() && lock.waiters[0].activity.is_some());
        held.release().unwrap();
    });
}

#[server_test]
fn holder_in_a_statement_that_locks_may_just_have_acquired_the_lock(db: &Db) {
    let mut conn = db.conn();
    thread::scope(|scope| {
        scope.spawn(move || {
            let slow = "SELECT pg_sleep(1.1), pg_advisory_lock(7), pg_sleep(1)";
            conn.batch_execute(slow).unwrap();
        });
        let watching = &mut db.conn();
        wait_until("the lock is held", || !held(watching).is_empty());
        let lock = only(watching);
        let activity = lock.holder.activity.as_ref().expect("an activity");
        assert!(activity.elapsed >= Duration::from_secs(1), "{activity:?}");
        assert_eq!(lock.held_for, HoldDuration::AtLeast(Duration::ZERO));
    });
}

#[server_test(own_server)]
fn lock_of_a_prepared_transaction_is_listed_without_a_session(db: &Db) {
    let server = Server::start_with(db.kind(), &["-c", "max_prepared_transactions=1"]).unwrap();
    let conn = &mut PgConnection::establish(&server.url("")).unwrap();
    conn.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(7); PREPARE TRANSACTION 'orphan'")
        .unwrap();
    let lock = only(conn);
    assert_eq!(lock.postgres_key, Some(PostgresKey::One(7)));
    assert_eq!((lock.holder.connection_id, lock.holder.activity), (0, None));
    let name = LockName::exact_key(7);
    let status = name.status(conn).unwrap();
    assert_eq!(status, LockStatus::HeldBy { connection_id: 0 });
    let refused = name.lock().no_wait().acquire(conn).map(drop);
    let holder = refused.unwrap_err().holder().map(|it| it.connection_id);
    assert_eq!(holder, Some(0));
    conn.batch_execute("ROLLBACK PREPARED 'orphan'").unwrap();
    assert_eq!(held(conn), []);
}
