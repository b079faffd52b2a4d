//! `#[derive(Lockable)]` and `#[derive(LockKey)]` at work.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_advisory_lock::LockPolicy;
use diesel_advisory_lock::prelude::*;

use crate::support::{Db, counters, documents, times_out};

cases![alone:
    a_policy_is_the_models,
    a_policy_is_not_for_try_forms,
    a_struct_that_is_no_row_locks_one,
    keys_of_the_users_own_types,
];

/// The same rows, and so the same locks, with a policy of its own.
#[derive(Clone, Debug, Queryable, Selectable, Identifiable, Lockable)]
#[diesel(table_name = counters, check_for_backend(diesel::mysql::Mysql))]
#[lock(timeout = "150ms")]
struct Hasty {
    id: i64,
}

impl Hasty {
    #[locked]
    fn by_policy(&mut self, _conn: &mut MysqlConnection) -> Result<(), LockError> {
        Ok(())
    }

    #[locked(timeout = "300ms")]
    fn by_itself(&mut self, _conn: &mut MysqlConnection) -> Result<(), LockError> {
        Ok(())
    }
}

fn a_policy_is_the_models(db: &Db) {
    let name = db.counter(1).lock_name();
    let mut hasty = Hasty { id: 1 };
    let conn = &mut db.conn();
    assert_eq!(hasty.lock_name(), name);
    assert_eq!(
        Hasty::LOCK_POLICY,
        LockPolicy::new().timeout(Duration::from_millis(150))
    );
    let by_policy = Duration::from_millis(150);
    times_out(db, &name, by_policy, || {
        hasty.with_lock(conn, |_, _| Ok(()))
    });
    times_out(db, &name, by_policy, || {
        hasty.lock().transaction(conn, |_, _| Ok(()))
    });
    times_out(db, &name, by_policy, || hasty.by_policy(conn));
    let locks = db.locks(1);
    times_out(db, &name, by_policy, || {
        hasty.with_lock_from(&locks, |_, _| Ok(()))
    });
    times_out(db, &name, by_policy, || {
        hasty.lock().transaction_from(locks.pool(), |_, _| Ok(()))
    });
    times_out(db, &name, Duration::from_millis(300), || {
        hasty.by_itself(conn)
    });
    times_out(db, &name, Duration::ZERO, || {
        hasty.lock().no_wait().run(conn, |_, _| Ok(()))
    });
}

fn a_policy_is_not_for_try_forms(db: &Db) {
    let name = db.counter(1).lock_name();
    let mut hasty = Hasty { id: 1 };
    let (holder, conn) = (&mut db.conn(), &mut db.conn());
    let held = name.lock().acquire(holder).unwrap();
    let start = Instant::now();
    assert_eq!(
        hasty
            .try_with_lock(conn, |_, _| Ok::<_, LockError>(()))
            .unwrap(),
        None
    );
    assert!(
        start.elapsed() < Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
    let locks = db.locks(1);
    let none = hasty.try_with_lock_from(&locks, |_, _| Ok::<_, LockError>(()));
    assert_eq!(none.unwrap(), None);
    held.release().unwrap();
    assert_eq!(
        hasty
            .try_with_lock(conn, |_, _| Ok::<_, LockError>(7))
            .unwrap(),
        Some(7)
    );
}

/// A command: not a row, but about one.
#[derive(Lockable)]
#[lock(table = counters, key(from_id), timeout = "120ms")]
struct Withdrawal {
    from_id: i64,
    amount: i64,
}

fn a_struct_that_is_no_row_locks_one(db: &Db) {
    let account = db.counter(1);
    let withdrawal = Withdrawal {
        from_id: 1,
        amount: 3,
    };
    assert_eq!(withdrawal.lock_name(), account.lock_name());
    let conn = &mut db.conn();
    withdrawal
        .lock()
        .hold(conn, |conn| {
            diesel::update(counters::table.find(withdrawal.from_id))
                .set(counters::value.eq(counters::value - withdrawal.amount))
                .execute(conn)
        })
        .unwrap();
    assert_eq!(db.value(1), -3);
    let name = account.lock_name();
    times_out(db, &name, Duration::from_millis(120), || {
        withdrawal.lock().hold(conn, |_| Ok(()))
    });
}

#[derive(LockKey)]
struct AccountId(i64);

#[derive(LockKey)]
struct Wrapped<T> {
    inner: T,
}

#[derive(LockKey)]
enum Region {
    #[lock(rename = "eu")]
    Europe,
    Asia,
    #[allow(non_camel_case_types)]
    r#virtual,
}

fn keys_of_the_users_own_types(db: &Db) {
    let row = |key: &dyn LockKey| LockName::row(documents::table, key);
    assert_eq!(row(&AccountId(42)), row(&42));
    assert_eq!(row(&Wrapped { inner: "alice" }), row(&"alice"));
    assert_eq!(row(&(Region::Europe, AccountId(1))), row(&("eu", 1)));
    assert_eq!(row(&Region::Asia), row(&"Asia"));
    assert_eq!(row(&Region::r#virtual), row(&"virtual"));
    let conn = &mut db.conn();
    row(&AccountId(42))
        .lock()
        .acquire(conn)
        .unwrap()
        .release()
        .unwrap();
}
