//! `#[derive(Lockable)]` and `#[derive(LockKey)]` at run time.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{HasLockPolicy, LockPolicy, Reload};
use server_test::{both, server_test};

use super::support::{Db, assert_times_out, counters, documents};
use crate::api::{RunQueryDsl, thread};
use crate::server::{Backend, Conn};

/// A model of `counters` with a derived policy.
#[derive(Clone, Debug, Queryable, Selectable, Identifiable, Lockable)]
#[diesel(table_name = counters, check_for_backend(Backend))]
#[lock(timeout = "150ms")]
struct TimedCounter {
    id: i64,
}

#[both]
impl TimedCounter {
    #[locked(conn = _conn)]
    async fn by_policy(&mut self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }

    #[locked(conn = _conn, timeout = "300ms")]
    async fn by_option(&mut self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }
}

#[server_test(serial)]
async fn derived_policy_sets_the_timeout_of_the_models_requests(db: &Db) {
    let name = db.counter(1).await.lock_name();
    let mut model = TimedCounter { id: 1 };
    let conn = &mut db.conn().await;
    assert_eq!(model.lock_name(), name);
    assert_eq!(
        TimedCounter::LOCK_POLICY,
        LockPolicy::new().timeout(Duration::from_millis(150))
    );
    let by_policy = Duration::from_millis(150);
    assert_times_out(db, &name, by_policy, async || {
        model.with_lock(conn, async |_, _| Ok(())).await
    })
    .await;
    assert_times_out(db, &name, by_policy, async || {
        model.lock().transaction(conn, async |_, _| Ok(())).await
    })
    .await;
    assert_times_out(db, &name, by_policy, async || model.by_policy(conn).await).await;
    let locks = db.locks(1).await;
    assert_times_out(db, &name, by_policy, async || {
        locks.run(model.lock(), async |_, _| Ok(())).await
    })
    .await;
    assert_times_out(db, &name, by_policy, async || {
        LockPool::new(locks.pool().clone())
            .transaction(model.lock(), async |_, _| Ok(()))
            .await
    })
    .await;
    assert_times_out(db, &name, Duration::from_millis(300), async || {
        model.by_option(conn).await
    })
    .await;
    assert_times_out(db, &name, Duration::ZERO, async || {
        model.lock().no_wait().run(conn, async |_, _| Ok(())).await
    })
    .await;
}

#[server_test(serial)]
async fn derived_policy_does_not_make_try_forms_wait(db: &Db) {
    let name = db.counter(1).await.lock_name();
    let mut model = TimedCounter { id: 1 };
    let (holder, conn) = (&mut db.conn().await, &mut db.conn().await);
    let held = name.lock().acquire(holder).await.unwrap();
    let start = Instant::now();
    assert_eq!(
        model
            .try_with_lock(conn, async |_, _| Ok::<_, LockError>(()))
            .await
            .unwrap(),
        None
    );
    assert!(
        start.elapsed() < Duration::from_millis(100),
        "{:?}",
        start.elapsed()
    );
    let locks = db.locks(1).await;
    let none = locks
        .try_run(model.lock(), async |_, _| Ok::<_, LockError>(()))
        .await;
    assert_eq!(none.unwrap(), None);
    held.release().await.unwrap();
    assert_eq!(
        model
            .try_with_lock(conn, async |_, _| Ok::<_, LockError>(7))
            .await
            .unwrap(),
        Some(7)
    );
}

#[both]
async fn by_policy<T>(model: &mut T, conn: &mut Conn) -> Result<(), LockError>
where
    T: Lockable + HasLockPolicy + Reload<Conn>,
{
    model
        .lock()
        .policy(T::LOCK_POLICY)
        .run(conn, async |_, _| Ok(()))
        .await
}

#[both]
async fn by_default<T>(model: &mut T, conn: &mut Conn) -> Result<(), LockError>
where
    T: Lockable + Reload<Conn>,
{
    model.with_lock(conn, async |_, _| Ok(())).await
}

#[server_test(serial)]
async fn generic_code_with_the_policy_constant_waits_by_the_policy(db: &Db) {
    let name = db.counter(1).await.lock_name();
    let conn = &mut db.conn().await;
    assert_times_out(db, &name, Duration::from_millis(150), async || {
        by_policy(&mut TimedCounter { id: 1 }, conn).await
    })
    .await;
}

#[server_test(serial)]
async fn generic_code_without_the_policy_constant_waits_by_the_default(db: &Db) {
    let name = db.counter(1).await.lock_name();
    let conn = &mut db.conn().await;
    assert_outlasts_the_policy(db, &name, async || {
        by_default(&mut TimedCounter { id: 1 }, conn).await
    })
    .await;
}

#[server_test(serial)]
async fn lock_all_with_the_policy_constant_waits_by_the_policy(db: &Db) {
    let name = db.counter(1).await.lock_name();
    let report = LockName::named("report");
    let conn = &mut db.conn().await;
    assert_times_out(db, &name, Duration::from_millis(150), async || {
        lock_all((&mut TimedCounter { id: 1 }, &report))
            .policy(TimedCounter::LOCK_POLICY)
            .run(conn, async |_, _| Ok(()))
            .await
    })
    .await;
}

#[server_test(serial)]
async fn lock_all_without_the_policy_constant_waits_by_the_default(db: &Db) {
    let name = db.counter(1).await.lock_name();
    let report = LockName::named("report");
    let conn = &mut db.conn().await;
    assert_outlasts_the_policy(db, &name, async || {
        lock_all((&mut TimedCounter { id: 1 }, &report))
            .run(conn, async |_, _| Ok(()))
            .await
    })
    .await;
}

/// Asserts that `attempt` waits and succeeds while another session holds the lock for twice the
/// timeout of `TimedCounter`.
#[both]
async fn assert_outlasts_the_policy(
    db: &Db,
    name: &LockName,
    attempt: impl AsyncFnOnce() -> Result<(), LockError>,
) {
    let hold = Duration::from_millis(300);
    let holder = &mut db.conn().await;
    let held = name.lock().acquire(holder).await.unwrap();
    let start = Instant::now();
    thread::scope(async |scope| {
        scope.spawn(async move || {
            thread::sleep(hold).await;
            held.release().await.unwrap();
        });
        attempt().await.unwrap();
    })
    .await;
    assert!(start.elapsed() >= hold, "{:?}", start.elapsed());
}

/// A model of `counters` with a policy implemented by hand.
#[derive(Clone, Debug, Queryable, Selectable, Identifiable)]
#[diesel(table_name = counters, check_for_backend(Backend))]
struct ByHand {
    id: i64,
}

impl HasLockPolicy for ByHand {
    const LOCK_POLICY: LockPolicy = LockPolicy::new().timeout(Duration::from_millis(150));
}

#[both]
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

#[server_test(serial)]
async fn locked_methods_use_a_policy_implemented_by_hand(db: &Db) {
    let name = db.counter(1).await.lock_name();
    let mut by_hand = ByHand { id: 1 };
    let conn = &mut db.conn().await;
    let by_policy = Duration::from_millis(150);
    assert_times_out(db, &name, by_policy, async || by_hand.in_place(conn).await).await;
    assert_times_out(db, &name, by_policy, async || by_hand.on_a_copy(conn).await).await;
}

/// A command about a row.
#[derive(Lockable)]
#[lock(table = counters, key(from_id), timeout = "120ms")]
struct Withdrawal {
    from_id: i64,
    amount: i64,
}

#[server_test(serial)]
async fn struct_with_a_derived_key_locks_the_row(db: &Db) {
    let account = db.counter(1).await;
    let withdrawal = Withdrawal {
        from_id: 1,
        amount: 3,
    };
    assert_eq!(withdrawal.lock_name(), account.lock_name());
    let conn = &mut db.conn().await;
    withdrawal
        .lock()
        .run(conn, async |_, conn| {
            diesel::update(counters::table.find(withdrawal.from_id))
                .set(counters::value.eq(counters::value - withdrawal.amount))
                .execute(conn)
                .await
        })
        .await
        .unwrap();
    assert_eq!(db.value(1).await, -3);
    let name = account.lock_name();
    assert_times_out(db, &name, Duration::from_millis(120), async || {
        withdrawal.lock().run(conn, async |_, _| Ok(())).await
    })
    .await;
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
#[lock(table = documents, key(key))]
struct Keyed<K: LockKey> {
    key: K,
}

#[server_test(serial)]
async fn derived_keys_name_the_locks_of_their_values(db: &Db) {
    fn row(key: impl LockKey) -> LockName {
        Keyed { key }.lock_name()
    }
    assert_eq!(row(AccountId(42)), row(42));
    assert_eq!(row(Wrapped { inner: "alice" }), row("alice"));
    assert_eq!(row((Region::Europe, AccountId(1))), row(("eu", 1)));
    assert_eq!(row(Region::Asia), row("Asia"));
    assert_eq!(row(Region::r#virtual), row("virtual"));
    let conn = &mut db.conn().await;
    row(AccountId(42))
        .lock()
        .acquire(conn)
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
}
