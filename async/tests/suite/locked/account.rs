//! A model with `#[locked]` methods.

use diesel::prelude::*;
use diesel_advisory_lock_async::LockSource;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::RunQueryDsl;
use diesel_async::pooled_connection::deadpool::Object;

use crate::server::Conn;
use crate::suite::support::{Db, counters};

#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Identifiable, AsChangeset)]
#[diesel(table_name = counters)]
pub(super) struct Account {
    pub(super) id: i64,
    pub(super) value: i64,
}

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

    /// Its copy, and its row under another scope, are reloaded. It is not.
    #[locked(conn = conn)]
    pub(super) async fn change_and_read_others(
        &mut self,
        conn: &mut Conn,
    ) -> QueryResult<[i64; 2]> {
        self.value = 10;
        let copy = self.clone().peek(conn).await?;
        Ok([self.peek(conn).await?, copy])
    }

    #[locked(conn = conn)]
    pub(super) async fn change_and_peek_scoped(&mut self, conn: &mut Conn) -> QueryResult<i64> {
        self.value = 10;
        self.peek_scoped(conn).await
    }

    #[locked(conn = _conn)]
    pub(super) async fn peek(&self, _conn: &mut Conn) -> QueryResult<i64> {
        Ok(self.value)
    }

    #[locked(conn = _conn, scope)]
    pub(super) async fn peek_scoped(&self, _conn: &mut Conn) -> QueryResult<i64> {
        Ok(self.value)
    }

    /// Adds 1 as many times, each time in a nested call.
    #[locked(conn = conn)]
    pub(super) async fn add_times(&mut self, conn: &mut Conn, times: u32) -> QueryResult<i64> {
        if times == 0 {
            self.save(conn).await?;
            return Ok(self.value);
        }
        self.value += 1;
        Box::pin(self.add_times(conn, times - 1)).await
    }

    /// The same on a copy, which is in use in all calls.
    #[locked(conn = conn)]
    pub(super) async fn depth(&self, conn: &mut Conn, times: u32) -> QueryResult<Vec<usize>> {
        let mut addresses = vec![std::ptr::from_ref(self).addr()];
        if times > 0 {
            addresses.extend(Box::pin(self.depth(conn, times - 1)).await?);
        }
        Ok(addresses)
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
        let set = diesel::update(self).set(counters::value.eq(value));
        set.execute(conn).await?;
        if fail {
            Err(diesel::result::Error::RollbackTransaction)
        } else {
            Ok(())
        }
    }

    #[locked(conn = conn)]
    pub(super) async fn run(
        &mut self,
        conn: &mut Conn,
        then: impl AsyncFnOnce(&mut Conn),
    ) -> QueryResult<()> {
        then(conn).await;
        Ok(())
    }

    #[locked]
    pub(super) async fn of_deadpool(&mut self, conn: &mut Object<Conn>) -> QueryResult<i64> {
        let conn: &mut Object<Conn> = conn;
        self.add(conn, 1).await
    }

    #[locked(conn = source)]
    pub(super) async fn generic<S: LockSource<Connection = Conn>>(
        &mut self,
        source: &mut S,
    ) -> QueryResult<i64> {
        self.add(source.connection(), 1).await
    }

    #[locked]
    pub(super) async fn of_any(
        &mut self,
        source: &mut impl LockSource<Connection = Conn>,
    ) -> QueryResult<i64> {
        self.add(source.connection(), 1).await
    }

    #[locked(conn = _conn)]
    pub(super) async fn value_mut(&mut self, _conn: &mut Conn) -> QueryResult<&mut i64> {
        Ok(&mut self.value)
    }

    #[locked(conn = conn)]
    pub(super) async fn digits(
        &mut self,
        conn: &mut Conn,
    ) -> QueryResult<impl Iterator<Item = char> + use<>> {
        self.value = 12;
        self.save(conn).await?;
        Ok(self
            .value
            .to_string()
            .into_bytes()
            .into_iter()
            .map(char::from))
    }

    /// Yields between the statements, so that its future is polled on several threads.
    #[locked(conn = conn, transaction)]
    pub(super) async fn add_slowly(&mut self, conn: &mut Conn) -> QueryResult<i64> {
        let value = self.value;
        tokio::task::yield_now().await;
        self.value = value + 1;
        self.save(conn).await?;
        Ok(self.value)
    }
}
