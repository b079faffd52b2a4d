//! A connection does not return to a pool with the lock held.

use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use super::lock_pool_faults::in_front_of;
use super::support::{Counter, Db, Form, Locks, Path, wait_until};
use crate::api::{SimpleConnection, pool};
use crate::server::{self, Conn, session_id};

/// What leaves the lock of a counter held.
#[derive(Clone, Copy, Debug)]
enum Leak {
    Guard,
    RawSql,
}

#[both]
impl Leak {
    /// The leaks that a release notices.
    fn all() -> impl Iterator<Item = Leak> {
        let raw = server::NOTICES_RAW_LOCKS.then_some(Leak::RawSql);
        std::iter::once(Leak::Guard).chain(raw)
    }

    async fn leave(self, db: &Db, counter: &Counter, conn: &mut Conn) {
        let name = counter.lock_name();
        match self {
            Leak::Guard => std::mem::forget(name.lock().acquire(conn).await.unwrap()),
            Leak::RawSql => db.acquire_raw(conn, &name).await,
        }
    }
}

#[both]
async fn assert_ends_the_session(db: &Db, leak: Leak) {
    db.counter(1).await;
    for path in Path::essential() {
        if path.form.is_transaction() && server::NESTED_LOCKS_END_WITH_TRANSACTION {
            continue;
        }
        let client = &mut path.client(db).await;
        let session = client.session_id().await;
        let result = client
            .run_on_counter(async |counter, conn| {
                leak.leave(db, counter, conn).await;
                Ok(())
            })
            .await;
        assert_eq!(result, Ok(()), "{path:?}");
        db.wait_until_paths_are_free(&format!("{path:?}")).await;
        if path.is_from_pool() {
            assert_ne!(client.session_id().await, session, "{path:?}");
            assert_eq!(client.events().discarded(), 1);
        } else {
            client
                .with(async |conn| conn.batch_execute("SELECT 1").await.unwrap_err())
                .await;
        }
    }
}

#[server_test]
async fn leaked_nested_guard_ends_the_session(db: &Db) {
    assert_ends_the_session(db, Leak::Guard).await;
}

#[server_test]
async fn raw_acquire_in_the_closure_ends_the_session(db: &Db) {
    if server::NOTICES_RAW_LOCKS {
        assert_ends_the_session(db, Leak::RawSql).await;
    }
}

/// The caller checks the connection out, so the library does not know the pool.
#[server_test]
async fn leak_on_a_pooled_connection_ends_the_session(db: &Db) {
    let mut counter = db.counter(1).await;
    for leak in Leak::all() {
        let (pool, events) = db.pool(1).await;
        let mut conn = pool::checked_out(&pool).await;
        let result = counter
            .with_lock(&mut conn, async |counter, conn| {
                leak.leave(db, counter, conn).await;
                Ok::<_, LockError>(7)
            })
            .await;
        assert_eq!(result.unwrap(), 7);
        db.wait_until_paths_are_free("its connection is still checked out")
            .await;
        drop(conn);
        wait_until("the connection is discarded", async || {
            events.discarded() == 1
        })
        .await;
    }
}

/// With a handoff budget the connection is handed off. Without one, the lock is released to other
/// sessions.
#[server_test]
async fn leak_with_queued_waiters_frees_the_lock_after_the_last(db: &Db) {
    db.counter(1).await;
    let mut sum = 0;
    for leak in Leak::all() {
        for max_handoffs in [16, 0] {
            let locks: &Locks = &LockPool::builder()
                .max_handoffs(max_handoffs)
                .build(db.pool(2).await.0);
            let add_one = async |leak: Option<Leak>| {
                let mut counter = Counter { id: 1, value: 0 };
                let result = locks
                    .transaction(counter.lock(), async |counter, conn| {
                        if let Some(leak) = leak {
                            leak.leave(db, counter, conn).await;
                        }
                        counter.add_one(conn).await
                    })
                    .await;
                assert_eq!(result, Ok(1), "{max_handoffs}");
            };
            let others = async || add_one(None).await;
            in_front_of(db, locks, 3, others, async || add_one(Some(leak)).await).await;
            sum += 4;
            assert_eq!(db.value(1).await, sum);
            db.wait_until_paths_are_free("its pool has connections")
                .await;
            db.assert_idle(locks).await;
        }
    }
}

#[both]
async fn read(counter: &mut Counter, conn: &mut Conn) -> Result<i64, LockError> {
    assert_eq!(counter.value, 7, "a stale copy");
    Ok(session_id(conn).await)
}

#[server_test]
async fn request_after_a_leaked_outermost_guard_reloads_the_row(db: &Db) {
    let mut counter = db.counter(1).await;
    db.execute("UPDATE counters SET value = 7").await;
    for form in [Form::Run, Form::Set] {
        let locks = db.locks(1).await;
        let mut conn = pool::checked_out(locks.pool()).await;
        let leaked_in = session_id(&mut conn).await;
        Leak::Guard.leave(db, &counter, &mut conn).await;
        drop(conn);
        counter.value = 0;
        let session = match form {
            Form::Run => locks.run(counter.lock(), read).await,
            _ => locks.run(lock_all(&mut counter), read).await,
        };
        assert_eq!(session.unwrap(), leaked_in);
        db.wait_until_paths_are_free(&format!("{form:?}")).await;
    }
    // A caller that checks the connection out re-enters the leaked lock, but the row is reloaded.
    let (pool, _) = db.pool(1).await;
    let mut conn = pool::checked_out(&pool).await;
    Leak::Guard.leave(db, &counter, &mut conn).await;
    drop(conn);
    counter.value = 0;
    counter
        .with_lock(&mut pool::checked_out(&pool).await, read)
        .await
        .unwrap();
}
