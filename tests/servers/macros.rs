//! `#[locked]`, `#[derive(Lockable)]` and `#[derive(LockKey)]` at work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{LockPolicy, LockSource};

use crate::support::{Db, counters, documents};

cases![alone:
    sixteen_threads_send_one_mail,
    a_mutable_self_is_read_again,
    a_shared_self_becomes_a_fresh_copy,
    a_nested_call_keeps_unsaved_changes,
    a_nested_call_on_a_shared_self_sees_them,
    the_lock_is_held_while_the_body_runs,
    the_lock_ends_with_return_and_question_mark,
    a_transaction_commits_or_rolls_back,
    a_transaction_on_a_copy_too,
    a_scope_is_the_methods_or_its_own,
    a_wait_is_the_methods_own,
    a_long_hold_is_the_methods_own,
    a_policy_is_the_models,
    a_policy_is_not_for_try_forms,
    a_pooled_connection_stays_what_it_is,
    a_guard_is_a_connection_too,
    a_generic_connection_will_do,
    arguments_are_moved_borrowed_and_taken_apart,
    a_borrow_of_self_may_be_returned,
    a_method_of_a_trait_may_be_locked,
    a_struct_that_is_no_row_locks_one,
    keys_of_the_users_own_types,
];

static MAILS: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Identifiable, AsChangeset)]
#[diesel(table_name = counters, check_for_backend(diesel::mysql::Mysql))]
struct Account {
    id: i64,
    value: i64,
}

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

impl Account {
    fn of(db: &Db) -> Account {
        let counter = db.counter(1);
        Account {
            id: counter.id,
            value: counter.value,
        }
    }

    fn save(&self, conn: &mut MysqlConnection) -> QueryResult<usize> {
        diesel::update(self).set(self).execute(conn)
    }

    /// The original's example.
    #[locked]
    fn send(&mut self, conn: &mut MysqlConnection) -> QueryResult<bool> {
        if self.value > 0 {
            return Ok(false);
        }
        MAILS.fetch_add(1, Ordering::SeqCst);
        self.value = 1;
        self.save(conn)?;
        Ok(true)
    }

    #[locked]
    fn add(&mut self, conn: &mut MysqlConnection, by: i64) -> QueryResult<i64> {
        self.value += by;
        self.save(conn)?;
        Ok(self.value)
    }

    #[locked]
    fn change_and_add(&mut self, conn: &mut MysqlConnection) -> QueryResult<i64> {
        self.value = 10;
        self.add(conn, 5)
    }

    #[locked]
    fn change_and_peek(&mut self, conn: &mut MysqlConnection) -> QueryResult<i64> {
        self.value = 10;
        self.peek(conn)
    }

    #[locked]
    fn peek(&self, _conn: &mut MysqlConnection) -> QueryResult<i64> {
        Ok(self.value)
    }

    #[locked]
    fn holder(&mut self, _conn: &mut MysqlConnection, db: &Db) -> QueryResult<[bool; 3]> {
        let name = self.lock_name();
        Ok([
            name.clone(),
            name.clone().scope("holder_by_scope"),
            name.scope("other"),
        ]
        .map(|name| db.holder(&name).is_some()))
    }

    #[locked(scope)]
    fn holder_by_scope(&mut self, conn: &mut MysqlConnection, db: &Db) -> QueryResult<[bool; 3]> {
        let name = self.lock_name();
        let _ = conn;
        Ok([
            name.clone(),
            name.clone().scope("holder_by_scope"),
            name.scope("other"),
        ]
        .map(|name| db.holder(&name).is_some()))
    }

    #[locked(scope = "other")]
    fn holder_by_other(&self, conn: &mut MysqlConnection, db: &Db) -> QueryResult<[bool; 3]> {
        let name = self.lock_name();
        let _ = conn;
        Ok([
            name.clone(),
            name.clone().scope("holder_by_scope"),
            name.scope("other"),
        ]
        .map(|name| db.holder(&name).is_some()))
    }

    #[locked(transaction)]
    fn add_or_fail(&mut self, conn: &mut MysqlConnection, fail: bool) -> QueryResult<()> {
        self.value += 1;
        self.save(conn)?;
        if fail {
            return Err(diesel::result::Error::RollbackTransaction);
        }
        Ok(())
    }

    #[locked(transaction)]
    fn overwrite(&self, conn: &mut MysqlConnection, fail: bool) -> QueryResult<()> {
        let value = self.value + 1;
        diesel::update(self)
            .set(counters::value.eq(value))
            .execute(conn)?;
        if fail {
            Err(diesel::result::Error::RollbackTransaction)
        } else {
            Ok(())
        }
    }

    #[locked(timeout = "250ms")]
    fn patient(&mut self, _conn: &mut MysqlConnection) -> Result<(), LockError> {
        Ok(())
    }

    #[locked(no_wait)]
    fn impatient(&self, _conn: &mut MysqlConnection) -> Result<(), LockError> {
        Ok(())
    }

    #[locked(longest_hold = "10 days")]
    fn busy_elsewhere(&mut self, conn: &mut MysqlConnection) -> QueryResult<i64> {
        wait_timeout(conn)
    }

    #[locked(wait_forever)]
    fn persistent(&mut self, _conn: &mut MysqlConnection) -> Result<(), LockError> {
        Ok(())
    }

    #[locked]
    fn pooled(
        &mut self,
        conn: &mut PooledConnection<ConnectionManager<MysqlConnection>>,
    ) -> QueryResult<i64> {
        let conn: &mut Pooled = conn;
        self.add(conn, 1)
    }

    #[locked(conn = source)]
    fn generic<S: LockSource<Connection = MysqlConnection>>(
        &mut self,
        source: &mut S,
    ) -> QueryResult<i64> {
        self.add(source.connection(), 1)
    }

    #[locked(conn = source)]
    fn generic_copy<S>(&self, source: &mut S) -> QueryResult<i64>
    where
        S: LockSource<Connection = MysqlConnection>,
    {
        self.peek(source.connection())
    }

    #[locked]
    fn in_guard(&mut self, conn: &mut Held<'_, MysqlConnection>) -> QueryResult<i64> {
        let conn: &mut Held<'_, MysqlConnection> = conn;
        self.add(conn, 1)
    }

    #[locked]
    fn arguments<'a, T: Default + Into<i64>, const N: usize>(
        &mut self,
        mut moved: Vec<i64>,
        conn: &mut MysqlConnection,
        (a, b): (i64, i64),
        borrowed: &'a mut Vec<i64>,
        any: impl Fn(i64) -> i64,
    ) -> QueryResult<&'a mut Vec<i64>> {
        moved.push(a);
        borrowed.extend(moved);
        borrowed.push(any(b));
        borrowed.push(T::default().into());
        borrowed.push(i64::try_from(N).unwrap());
        self.add(conn, 1)?;
        Ok(borrowed)
    }

    #[locked]
    fn arguments_on_a_copy<T: Default + Into<i64>>(
        &self,
        mut moved: Vec<i64>,
        (a, b): (i64, i64),
        _conn: &mut MysqlConnection,
    ) -> QueryResult<Vec<i64>> {
        moved.extend([a, b, T::default().into(), self.value]);
        Ok(moved)
    }

    #[locked]
    fn value_mut(&mut self, _conn: &mut MysqlConnection) -> QueryResult<&mut i64> {
        Ok(&mut self.value)
    }
}

trait Adding {
    fn add_two(&mut self, conn: &mut MysqlConnection) -> QueryResult<i64>;
}

impl Adding for Account {
    #[locked(transaction)]
    fn add_two(&mut self, conn: &mut MysqlConnection) -> QueryResult<i64> {
        self.add(conn, 2)
    }
}

fn set(db: &Db, value: i64) {
    diesel::update(counters::table.find(1))
        .set(counters::value.eq(value))
        .execute(&mut db.conn())
        .unwrap();
}

fn sixteen_threads_send_one_mail(db: &Db) {
    let account = Account::of(db);
    let before = MAILS.load(Ordering::SeqCst);
    let sent: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                let mut copy = account.clone();
                scope.spawn(move || copy.send(&mut db.conn()).unwrap())
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| usize::from(thread.join().unwrap()))
            .sum()
    });
    assert_eq!((sent, MAILS.load(Ordering::SeqCst) - before), (1, 1));
}

fn a_mutable_self_is_read_again(db: &Db) {
    let mut account = Account::of(db);
    set(db, 7);
    assert_eq!(account.add(&mut db.conn(), 1).unwrap(), 8);
    assert_eq!((account.value, db.value(1)), (8, 8));
    db.assert_free(&account.lock_name());
}

fn a_shared_self_becomes_a_fresh_copy(db: &Db) {
    let account = Account::of(db);
    set(db, 7);
    assert_eq!(account.peek(&mut db.conn()).unwrap(), 7);
    assert_eq!(account.value, 0, "the caller's own is untouched");
    db.assert_free(&account.lock_name());
}

fn a_nested_call_keeps_unsaved_changes(db: &Db) {
    assert_eq!(Account::of(db).change_and_add(&mut db.conn()).unwrap(), 15);
    assert_eq!(db.value(1), 15);
}

fn a_nested_call_on_a_shared_self_sees_them(db: &Db) {
    assert_eq!(Account::of(db).change_and_peek(&mut db.conn()).unwrap(), 10);
}

fn the_lock_is_held_while_the_body_runs(db: &Db) {
    let held = Account::of(db).holder(&mut db.conn(), db).unwrap();
    assert_eq!(held, [true, false, false]);
}

fn a_scope_is_the_methods_or_its_own(db: &Db) {
    let mut account = Account::of(db);
    assert_eq!(
        account.holder_by_scope(&mut db.conn(), db).unwrap(),
        [false, true, false]
    );
    assert_eq!(
        account.holder_by_other(&mut db.conn(), db).unwrap(),
        [false, false, true]
    );
}

fn the_lock_ends_with_return_and_question_mark(db: &Db) {
    let mut account = Account::of(db);
    let conn = &mut db.conn();
    assert!(account.send(conn).unwrap());
    assert!(!account.send(conn).unwrap(), "an early return");
    db.assert_free(&account.lock_name());
    db.execute(&format!(
        "ALTER TABLE {}.counters DROP COLUMN value",
        db.schema
    ));
    account.add(conn, 1).unwrap_err();
    db.assert_free(&account.lock_name());
}

fn a_transaction_commits_or_rolls_back(db: &Db) {
    let mut account = Account::of(db);
    let conn = &mut db.conn();
    account.add_or_fail(conn, false).unwrap();
    assert_eq!(db.value(1), 1);
    let failed = account.add_or_fail(conn, true);
    assert_eq!(failed, Err(diesel::result::Error::RollbackTransaction));
    assert_eq!(db.value(1), 1);
    db.assert_free(&account.lock_name());
    // In an open transaction it is refused, as by hand.
    let refused = conn
        .transaction(|conn| account.add_or_fail(conn, false))
        .unwrap_err();
    assert!(matches!(
        LockError::in_diesel(&refused),
        Some(LockError::OpenTransaction { .. })
    ));
}

fn a_transaction_on_a_copy_too(db: &Db) {
    let account = Account::of(db);
    set(db, 7);
    let conn = &mut db.conn();
    account.overwrite(conn, false).unwrap();
    assert_eq!(db.value(1), 8);
    account.overwrite(conn, true).unwrap_err();
    assert_eq!(db.value(1), 8);
    db.assert_free(&account.lock_name());
}

/// Runs `attempt` while another session has the lock; it must time out after `expected`.
fn times_out(
    db: &Db,
    name: &LockName,
    expected: Duration,
    attempt: impl FnOnce() -> Result<(), LockError>,
) {
    let holder = &mut db.conn();
    let held = name.lock().acquire(holder).unwrap();
    let start = Instant::now();
    let result = attempt();
    let elapsed = start.elapsed();
    assert!(
        matches!(result, Err(LockError::Timeout { .. })),
        "{result:?}"
    );
    assert!(
        elapsed >= expected && elapsed < expected + Duration::from_millis(100),
        "{elapsed:?}"
    );
    held.release().unwrap();
}

fn a_wait_is_the_methods_own(db: &Db) {
    let mut account = Account::of(db);
    let name = account.lock_name();
    let conn = &mut db.conn();
    times_out(db, &name, Duration::from_millis(250), || {
        account.patient(conn)
    });
    times_out(db, &name, Duration::ZERO, || account.impatient(conn));
    account.persistent(conn).unwrap();
}

fn wait_timeout(conn: &mut MysqlConnection) -> QueryResult<i64> {
    let variable = "CAST(@@SESSION.wait_timeout AS SIGNED)";
    diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(variable)).get_result(conn)
}

fn a_long_hold_is_the_methods_own(db: &Db) {
    let conn = &mut db.conn();
    let usual = wait_timeout(conn).unwrap();
    let seen = Account::of(db).busy_elsewhere(conn).unwrap();
    assert_eq!(seen, 10 * 24 * 60 * 60);
    assert_eq!(wait_timeout(conn).unwrap(), usual);
}

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
    let name = Account::of(db).lock_name();
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
    let name = Account::of(db).lock_name();
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

fn a_pooled_connection_stays_what_it_is(db: &Db) {
    let mut account = Account::of(db);
    let (pool, _) = db.pool(1);
    let mut conn = pool.get().unwrap();
    assert_eq!(account.pooled(&mut conn).unwrap(), 1);
    assert_eq!(
        account.add(&mut conn, 1).unwrap(),
        2,
        "coerced to the plain one"
    );
    db.assert_free(&account.lock_name());
}

fn a_guard_is_a_connection_too(db: &Db) {
    let mut account = Account::of(db);
    let outer = LockName::named("outer");
    let conn = &mut db.conn();
    let mut held = outer.lock().acquire(conn).unwrap();
    assert_eq!(account.in_guard(&mut held).unwrap(), 1);
    assert!(db.holder(&outer).is_some());
    held.release().unwrap();
}

fn a_generic_connection_will_do(db: &Db) {
    let mut account = Account::of(db);
    let (pool, _) = db.pool(1);
    assert_eq!(account.generic(&mut pool.get().unwrap()).unwrap(), 1);
    assert_eq!(account.generic(&mut db.conn()).unwrap(), 2);
    assert_eq!(account.generic_copy(&mut db.conn()).unwrap(), 2);
}

fn arguments_are_moved_borrowed_and_taken_apart(db: &Db) {
    let mut account = Account::of(db);
    let conn = &mut db.conn();
    let mut borrowed = vec![0];
    let back = account
        .arguments::<i32, 9>(vec![1], conn, (2, 3), &mut borrowed, |n| n * 10)
        .unwrap();
    back.push(-1);
    assert_eq!(borrowed, [0, 1, 2, 30, 0, 9, -1]);
    let copied = account
        .arguments_on_a_copy::<i32>(vec![4], (5, 6), conn)
        .unwrap();
    assert_eq!(copied, [4, 5, 6, 0, 1]);
}

fn a_borrow_of_self_may_be_returned(db: &Db) {
    let mut account = Account::of(db);
    set(db, 3);
    *account.value_mut(&mut db.conn()).unwrap() += 1;
    assert_eq!(account.value, 4);
}

fn a_method_of_a_trait_may_be_locked(db: &Db) {
    assert_eq!(Account::of(db).add_two(&mut db.conn()).unwrap(), 2);
    assert_eq!(db.value(1), 2);
}

/// A command: not a row, but about one.
#[derive(Lockable)]
#[lock(table = counters, key(from_id), timeout = "120ms")]
struct Withdrawal {
    from_id: i64,
    amount: i64,
}

fn a_struct_that_is_no_row_locks_one(db: &Db) {
    let account = Account::of(db);
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
