//! The derives at run time.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_advisory_lock_async::prelude::*;
use diesel_advisory_lock_async::{HasLockPolicy, LockPolicy, Reload};
use diesel_async::RunQueryDsl;
use server_test::server_test;

use super::support::{Counter, Db, assert_times_out, counters};
use crate::server::Conn;

/// A model of `counters` with a derived policy.
#[derive(Clone, Debug, Queryable, Selectable, Identifiable, Lockable)]
#[diesel(table_name = counters)]
#[lock(timeout = "1s")]
struct TimedCounter {
    id: i64,
}

const BY_POLICY: Duration = Duration::from_secs(1);

impl TimedCounter {
    #[locked(conn = _conn)]
    async fn by_policy(&mut self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }

    #[locked(conn = _conn, timeout = "2s")]
    async fn by_option(&mut self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }

    async fn nothing(&mut self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }
}

#[server_test]
fn derived_policy_sets_the_timeout_of_the_models_requests(db: &Db) {
    db.run(async {
        let name = &db.counter(1).await.lock_name();
        let mut model = TimedCounter { id: 1 };
        let conn = &mut db.conn().await;
        assert_eq!(model.lock_name(), *name);
        assert_eq!(
            TimedCounter::LOCK_POLICY,
            LockPolicy::new().timeout(BY_POLICY)
        );
        assert_times_out(db, name, BY_POLICY, async || {
            model.with_lock(conn, TimedCounter::nothing).await
        })
        .await;
        assert_times_out(db, name, BY_POLICY, async || {
            model.lock().transaction(conn, async |_, _| Ok(())).await
        })
        .await;
        assert_times_out(db, name, BY_POLICY, async || model.by_policy(conn).await).await;
        let by_option = Duration::from_secs(2);
        assert_times_out(db, name, by_option, async || model.by_option(conn).await).await;
        assert_times_out(db, name, Duration::ZERO, async || {
            model.lock().no_wait().run(conn, async |_, _| Ok(())).await
        })
        .await;
    });
}

#[server_test]
fn derived_policy_does_not_make_try_forms_wait(db: &Db) {
    db.run(async {
        let name = db.counter(1).await.lock_name();
        let mut model = TimedCounter { id: 1 };
        let (mut holder, mut conn) = (db.conn().await, db.conn().await);
        let held = name.lock().acquire(&mut holder).await.unwrap();
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            let none = model.try_with_lock(&mut conn, TimedCounter::nothing).await;
            assert_eq!(none.unwrap(), None);
            fastest = fastest.min(start.elapsed());
        }
        assert!(fastest < BY_POLICY, "{fastest:?}");
        held.release().await.unwrap();
        let some = model.try_with_lock(&mut conn, async |_, _| Ok::<_, LockError>(7));
        assert_eq!(some.await.unwrap(), Some(7));
    });
}

/// The futures of the derived methods are `Send`, also in generic code.
#[server_test]
fn derived_methods_reload_and_run_in_tasks(db: &Db) {
    #[derive(Debug, Queryable, Selectable, Identifiable, AsChangeset, Lockable)]
    #[diesel(table_name = counters)]
    struct Model {
        id: i64,
        value: i64,
    }

    impl Model {
        async fn add_one(&mut self, conn: &mut Conn) -> QueryResult<i64> {
            self.value += 1;
            diesel::update(&*self).set(&*self).execute(conn).await?;
            Ok(self.value)
        }
    }

    db.run(async {
        db.counter(1).await;
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let mut conn = db.conn().await;
            tasks.push(tokio::spawn(async move {
                let mut model = Model { id: 1, value: -1 };
                for _ in 0..5 {
                    model.with_lock(&mut conn, Model::add_one).await.unwrap();
                    let add = model.with_lock(&mut conn, async |model, conn| {
                        model.value += 1;
                        model.add_one(conn).await
                    });
                    add.await.unwrap();
                }
                let tried = model.try_with_lock(&mut conn, Model::add_one);
                drop(tried);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(db.value(1).await, 60);
    });
}

async fn by_policy<T>(model: &mut T, conn: &mut Conn) -> Result<(), LockError>
where
    T: Lockable + HasLockPolicy + Reload<Conn>,
{
    let lock = model.lock().policy(T::LOCK_POLICY);
    lock.run(conn, async |_, _| Ok(())).await
}

async fn by_default<T>(model: &mut T, conn: &mut Conn) -> Result<(), LockError>
where
    T: Lockable + Reload<Conn>,
{
    model.with_lock(conn, async |_, _| Ok(())).await
}

#[server_test]
fn generic_code_waits_by_the_policy_constant_alone(db: &Db) {
    db.run(async {
        let name = &db.counter(1).await.lock_name();
        let model = &mut TimedCounter { id: 1 };
        let conn = &mut db.conn().await;
        assert_times_out(db, name, BY_POLICY, async || by_policy(model, conn).await).await;
        assert_outlasts_the_policy(db, name, by_default(model, conn)).await;
    });
}

#[server_test]
fn lock_all_waits_by_the_policy_constant_alone(db: &Db) {
    db.run(async {
        let name = &db.counter(1).await.lock_name();
        let model = &mut TimedCounter { id: 1 };
        let report = LockName::named("report");
        let conn = &mut db.conn().await;
        assert_times_out(db, name, BY_POLICY, async || {
            let set = lock_all((&mut *model, &report)).policy(TimedCounter::LOCK_POLICY);
            set.run(conn, async |_, _| Ok(())).await
        })
        .await;
        let set = lock_all((&mut *model, &report));
        let ran = set.run(conn, async |_, _| Ok(()));
        assert_outlasts_the_policy(db, name, ran).await;
    });
}

/// Asserts that `attempt` waits and succeeds while another session holds the lock for twice the
/// timeout of `TimedCounter`.
async fn assert_outlasts_the_policy(
    db: &Db,
    name: &LockName,
    attempt: impl Future<Output = Result<(), LockError>>,
) {
    let mut holder = db.conn().await;
    let held = name.lock().acquire(&mut holder).await.unwrap();
    let start = Instant::now();
    let release = async {
        tokio::time::sleep(2 * BY_POLICY).await;
        held.release().await.unwrap();
    };
    let (attempt, ()) = tokio::join!(attempt, release);
    attempt.unwrap();
    assert!(start.elapsed() >= 2 * BY_POLICY, "{:?}", start.elapsed());
}

/// A model of `counters` with a policy implemented by hand.
#[derive(Clone, Debug, Queryable, Selectable, Identifiable)]
#[diesel(table_name = counters)]
struct ByHand {
    id: i64,
}

impl HasLockPolicy for ByHand {
    const LOCK_POLICY: LockPolicy = LockPolicy::new().timeout(BY_POLICY);
}

impl ByHand {
    #[locked(conn = _conn)]
    async fn in_place(&mut self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }

    #[locked(conn = _conn)]
    async fn on_a_copy(&self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }
}

#[server_test]
fn locked_methods_use_a_policy_implemented_by_hand(db: &Db) {
    db.run(async {
        let name = &db.counter(1).await.lock_name();
        let mut by_hand = ByHand { id: 1 };
        let conn = &mut db.conn().await;
        assert_times_out(db, name, BY_POLICY, async || by_hand.in_place(conn).await).await;
        assert_times_out(db, name, BY_POLICY, async || by_hand.on_a_copy(conn).await).await;
    });
}

/// A command about a row.
#[derive(Lockable)]
#[lock(table = counters, key(from_id), timeout = "120ms")]
struct Withdrawal {
    from_id: i64,
    amount: i64,
}

#[server_test]
fn struct_with_a_derived_key_locks_the_row(db: &Db) {
    db.run(async {
        let name = &db.counter(1).await.lock_name();
        let withdrawal = Withdrawal {
            from_id: 1,
            amount: 3,
        };
        assert_eq!(withdrawal.lock_name(), *name);
        let conn = &mut db.conn().await;
        let ran = withdrawal.lock().run(conn, async |_, conn| {
            assert!(db.holder(name).await.is_some());
            diesel::update(counters::table.find(withdrawal.from_id))
                .set(counters::value.eq(counters::value - withdrawal.amount))
                .execute(conn)
                .await
        });
        assert_eq!(ran.await, Ok(1));
        assert_eq!(db.value(1).await, -3);
        let timeout = Duration::from_millis(120);
        assert_times_out(db, name, timeout, async || {
            withdrawal.lock().run(conn, async |_, _| Ok(())).await
        })
        .await;
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

/// A struct whose key need not be one that Diesel's `find` takes.
#[derive(Lockable)]
#[lock(table = counters, key(key))]
struct Keyed<K: LockKey> {
    key: K,
}

#[server_test]
fn derived_keys_name_the_locks_of_their_values(db: &Db) {
    fn row(key: impl LockKey) -> LockName {
        Keyed { key }.lock_name()
    }
    assert_eq!(row(AccountId(1)), Counter::stale(1).lock_name());
    assert_eq!(row(Wrapped { inner: "alice" }), row("alice"));
    assert_eq!(row((Region::Europe, AccountId(1))), row(("eu", 1)));
    assert_eq!(row(Region::Asia), row("Asia"));
    assert_eq!(row(Region::r#virtual), row("virtual"));
    db.run(async {
        let mut conn = db.conn().await;
        let name = row(AccountId(42));
        let held = name.lock().acquire(&mut conn).await.unwrap();
        assert!(db.holder(&name).await.is_some());
        held.release().await.unwrap();
    });
}
