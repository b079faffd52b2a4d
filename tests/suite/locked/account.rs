//! A model with `#[locked]` methods.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel_advisory_lock::LockSource;
use diesel_advisory_lock::prelude::*;

use crate::server::{Backend, Conn, idle_timeout};
use crate::suite::support::{Db, counters};

pub(super) static MAILS: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Identifiable, AsChangeset)]
#[diesel(table_name = counters, check_for_backend(Backend))]
pub(super) struct Account {
    pub(super) id: i64,
    pub(super) value: i64,
}

pub(super) type Pooled = PooledConnection<ConnectionManager<Conn>>;

impl Account {
    pub(super) fn of(db: &Db) -> Account {
        let counter = db.counter(1);
        Account {
            id: counter.id,
            value: counter.value,
        }
    }

    pub(super) fn save(&self, conn: &mut Conn) -> QueryResult<usize> {
        diesel::update(self).set(self).execute(conn)
    }

    /// Sends a mail unless it has been sent.
    #[locked(conn = conn)]
    pub(super) fn send(&mut self, conn: &mut Conn) -> QueryResult<bool> {
        if self.value > 0 {
            return Ok(false);
        }
        MAILS.fetch_add(1, Ordering::SeqCst);
        self.value = 1;
        self.save(conn)?;
        Ok(true)
    }

    #[locked(conn = conn)]
    pub(super) fn add(&mut self, conn: &mut Conn, by: i64) -> QueryResult<i64> {
        self.value += by;
        self.save(conn)?;
        Ok(self.value)
    }

    #[locked(conn = conn)]
    pub(super) fn change_and_add(&mut self, conn: &mut Conn) -> QueryResult<i64> {
        self.value = 10;
        self.add(conn, 5)
    }

    #[locked(conn = conn)]
    pub(super) fn change_and_peek(&mut self, conn: &mut Conn) -> QueryResult<i64> {
        self.value = 10;
        self.peek(conn)
    }

    #[locked(conn = _conn)]
    pub(super) fn peek(&self, _conn: &mut Conn) -> QueryResult<i64> {
        Ok(self.value)
    }

    /// Which locks of the row are held: without a scope, and with each of the two scopes below.
    fn held(&self, db: &Db) -> [bool; 3] {
        let name = self.lock_name();
        [
            name.clone(),
            name.clone().scope("held_by_own_scope"),
            name.scope("other"),
        ]
        .map(|name| db.holder(&name).is_some())
    }

    #[locked(conn = _conn)]
    pub(super) fn held_without_scope(
        &mut self,
        _conn: &mut Conn,
        db: &Db,
    ) -> QueryResult<[bool; 3]> {
        Ok(self.held(db))
    }

    #[locked(conn = conn, scope)]
    pub(super) fn held_by_own_scope(&mut self, conn: &mut Conn, db: &Db) -> QueryResult<[bool; 3]> {
        let _ = conn;
        Ok(self.held(db))
    }

    #[locked(conn = conn, scope = "other")]
    pub(super) fn held_by_other_scope(&self, conn: &mut Conn, db: &Db) -> QueryResult<[bool; 3]> {
        let _ = conn;
        Ok(self.held(db))
    }

    #[locked(conn = conn, transaction)]
    pub(super) fn add_or_fail(&mut self, conn: &mut Conn, fail: bool) -> QueryResult<()> {
        self.value += 1;
        self.save(conn)?;
        if fail {
            return Err(diesel::result::Error::RollbackTransaction);
        }
        Ok(())
    }

    #[locked(conn = conn, transaction)]
    pub(super) fn overwrite(&self, conn: &mut Conn, fail: bool) -> QueryResult<()> {
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

    #[locked(conn = _conn, timeout = "250ms")]
    pub(super) fn with_timeout(&mut self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }

    #[locked(conn = _conn, no_wait)]
    pub(super) fn without_wait(&self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }

    #[locked(conn = conn, keep_alive = "10 days")]
    pub(super) fn with_keep_alive(&mut self, conn: &mut Conn) -> QueryResult<Duration> {
        Ok(idle_timeout(conn))
    }

    #[locked(conn = _conn, wait_forever)]
    pub(super) fn waiting_forever(&mut self, _conn: &mut Conn) -> Result<(), LockError> {
        Ok(())
    }

    #[locked]
    pub(super) fn pooled(
        &mut self,
        conn: &mut PooledConnection<ConnectionManager<Conn>>,
    ) -> QueryResult<i64> {
        let conn: &mut Pooled = conn;
        self.add(conn, 1)
    }

    #[locked(conn = source)]
    pub(super) fn generic<S: LockSource<Connection = Conn>>(
        &mut self,
        source: &mut S,
    ) -> QueryResult<i64> {
        self.add(source.connection(), 1)
    }

    #[locked(conn = source)]
    pub(super) fn generic_copy<S>(&self, source: &mut S) -> QueryResult<i64>
    where
        S: LockSource<Connection = Conn>,
    {
        self.peek(source.connection())
    }

    #[locked]
    pub(super) fn in_guard(&mut self, conn: &mut LockGuard<'_, Conn>) -> QueryResult<i64> {
        let conn: &mut LockGuard<'_, Conn> = conn;
        self.add(conn, 1)
    }

    #[locked(conn = conn)]
    pub(super) fn arguments<'a, T: Default + Into<i64>, const N: usize>(
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
        self.add(conn, 1)?;
        Ok(borrowed)
    }

    #[locked(conn = _conn)]
    pub(super) fn arguments_on_a_copy<T: Default + Into<i64>>(
        &self,
        mut moved: Vec<i64>,
        (a, b): (i64, i64),
        _conn: &mut Conn,
    ) -> QueryResult<Vec<i64>> {
        moved.extend([a, b, T::default().into(), self.value]);
        Ok(moved)
    }

    #[locked(conn = _conn)]
    pub(super) fn value_mut(&mut self, _conn: &mut Conn) -> QueryResult<&mut i64> {
        Ok(&mut self.value)
    }
}

pub(super) trait Adding {
    fn add_two(&mut self, conn: &mut Conn) -> QueryResult<i64>;
}

impl Adding for Account {
    #[locked(conn = conn, transaction)]
    fn add_two(&mut self, conn: &mut Conn) -> QueryResult<i64> {
        self.add(conn, 2)
    }
}
