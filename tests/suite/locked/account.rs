//! A model with `#[locked]` methods.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::prelude::*;
use diesel_advisory_lock::LockSource;
use diesel_advisory_lock::prelude::*;
use server_test::both;

use crate::api::RunQueryDsl;
use crate::api::pool::PooledConnection;
use crate::server::{Backend, Conn, idle_timeout};
use crate::suite::support::{Db, counters};

static MAILS: AtomicUsize = AtomicUsize::new(0);

/// How many mails have been sent.
pub(super) fn mails() -> usize {
    AtomicUsize::load(&MAILS, Ordering::SeqCst)
}

#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Identifiable, AsChangeset)]
#[diesel(table_name = counters, check_for_backend(Backend))]
pub(super) struct Account {
    pub(super) id: i64,
    pub(super) value: i64,
}

#[both]
impl Account {
    pub(super) async fn of(db: &Db) -> Account {
        let counter = db.counter(1).await;
        Account {
            id: counter.id,
            value: counter.value,
        }
    }

    pub(super) async fn save(&self, conn: &mut Conn) -> QueryResult<usize> {
        diesel::update(self).set(self).execute(conn).await
    }

    /// Sends a mail unless it has been sent.
    #[locked(conn = conn)]
    pub(super) async fn send(&mut self, conn: &mut Conn) -> QueryResult<bool> {
        if self.value > 0 {
            return Ok(false);
        }
        MAILS.fetch_add(1, Ordering::SeqCst);
        self.value = 1;
        self.save(conn).await?;
        Ok(true)
    }

    #[locked(conn = conn)]
    pub(super) async fn add(&mut self, conn: &mut Conn, by: i64) -> QueryResult<i64> {
        self.value += by;
        self.save(conn).await?;
        Ok(self.value)
    }

    #[locked(conn = conn)]
    pub(super) async fn change_and_add(&mut self, conn: &mut Conn) -> QueryResult<i64> {
        self.value = 10;
        self.add(conn, 5).await
    }

    #[locked(conn = conn)]
    pub(super) async fn change_and_peek(&mut self, conn: &mut Conn) -> QueryResult<i64> {
        self.value = 10;
        self.peek(conn).await
    }

    #[locked(conn = _conn)]
    pub(super) async fn peek(&self, _conn: &mut Conn) -> QueryResult<i64> {
        Ok(self.value)
    }

    /// Which locks of the row are held: without a scope, and with each of the two scopes below.
    async fn held(&self, db: &Db) -> [bool; 3] {
        let name = self.lock_name();
        let own_scope = name.clone().scope("held_by_own_scope");
        let other = name.clone().scope("other");
        [
            db.holder(&name).await.is_some(),
            db.holder(&own_scope).await.is_some(),
            db.holder(&other).await.is_some(),
        ]
    }

    #[locked(conn = _conn)]
    pub(super) async fn held_without_scope(
        &mut self,
        _conn: &mut Conn,
        db: &Db,
    ) -> QueryResult<[bool; 3]> {
        Ok(self.held(db).await)
    }

    #[locked(conn = conn, scope)]
    pub(super) async fn held_by_own_scope(
        &mut self,
        conn: &mut Conn,
        db: &Db,
    ) -> QueryResult<[bool; 3]> {
        let _ = conn;
        Ok(self.held(db).await)
    }

    #[locked(conn = conn, scope = "other")]
    pub(super) async fn held_by_other_scope(
        &self,
        conn: &mut Conn,
        db: &Db,
    ) -> QueryResult<[bool; 3]> {
        let _ = conn;
        Ok(self.held(db).await)
    }

    #[locked(conn = conn, transaction)]
    pub(super) async fn add_or_fail(&mut self, conn: &mut Conn, fail: bool) -> QueryResult<()> {
        self.value += 1;
        self.save(conn).await?;
        if fail {
            return Err(diesel::result::Error::RollbackTransaction);
        }
        Ok(())
    }

    #[locked(conn = conn, transaction)]
    pub(super) async fn overwrite(&self, conn: &mut Conn, fail: bool) -> QueryResult<()> {
        let value = self.value + 1;
        diesel::update(self)
            .set(counters::value.eq(value))
            .execute(conn)
            .await?;
        if fail {
            Err(diesel::result::Error::RollbackTransaction)
        } else {
            Ok(())
        }
    }

    #[locked(conn = _conn, timeout = "250ms")]
    pub(super) async fn with_timeout(&mut self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }

    #[locked(conn = _conn, no_wait)]
    pub(super) async fn without_wait(&self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }

    #[locked(conn = conn, keep_alive = "10 days")]
    pub(super) async fn with_keep_alive(&mut self, conn: &mut Conn) -> QueryResult<Duration> {
        Ok(idle_timeout(conn).await)
    }

    #[locked(conn = _conn, wait_forever)]
    pub(super) async fn waiting_forever(&mut self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }

    #[locked]
    pub(super) async fn pooled(&mut self, conn: &mut PooledConnection) -> QueryResult<i64> {
        let conn: &mut PooledConnection = conn;
        self.add(conn, 1).await
    }

    #[locked(conn = source)]
    pub(super) async fn generic<S: LockSource<Connection = Conn>>(
        &mut self,
        source: &mut S,
    ) -> QueryResult<i64> {
        self.add(source.connection(), 1).await
    }

    #[locked(conn = source)]
    pub(super) async fn generic_copy<S>(&self, source: &mut S) -> QueryResult<i64>
    where
        S: LockSource<Connection = Conn>,
    {
        self.peek(source.connection()).await
    }

    #[locked]
    pub(super) async fn in_guard(&mut self, conn: &mut LockGuard<'_, Conn>) -> QueryResult<i64> {
        let conn: &mut LockGuard<'_, Conn> = conn;
        self.add(conn, 1).await
    }

    #[locked(conn = conn)]
    pub(super) async fn arguments<'a, T: Default + Into<i64>, const N: usize>(
        &mut self,
        mut moved: Vec<i64>,
        conn: &mut Conn,
        (a, b): (i64, i64),
        borrowed: &'a mut Vec<i64>,
        any: impl Fn(i64) -> i64,
    ) -> QueryResult<&'a mut Vec<i64>> {
        moved.push(a);
        borrowed.extend(moved);
        borrowed.push(any(b));
        borrowed.push(T::default().into());
        borrowed.push(i64::try_from(N).unwrap());
        self.add(conn, 1).await?;
        Ok(borrowed)
    }

    #[locked(conn = _conn)]
    pub(super) async fn arguments_on_a_copy<T: Default + Into<i64>>(
        &self,
        mut moved: Vec<i64>,
        (a, b): (i64, i64),
        _conn: &mut Conn,
    ) -> QueryResult<Vec<i64>> {
        moved.extend([a, b, T::default().into(), self.value]);
        Ok(moved)
    }

    #[locked(conn = _conn)]
    pub(super) async fn value_mut(&mut self, _conn: &mut Conn) -> QueryResult<&mut i64> {
        Ok(&mut self.value)
    }
}

#[both]
pub(super) trait Adding {
    async fn add_two(&mut self, conn: &mut Conn) -> QueryResult<i64>;
}

#[both]
impl Adding for Account {
    #[locked(conn = conn, transaction)]
    async fn add_two(&mut self, conn: &mut Conn) -> QueryResult<i64> {
        self.add(conn, 2).await
    }
}
