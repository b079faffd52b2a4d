//! Every connection that `#[locked]` takes, in a crate that allows no warning.
#![deny(warnings, missing_docs)]
#![forbid(unsafe_code)]
#![warn(clippy::pedantic)]

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel_advisory_lock::prelude::*;
use diesel_advisory_lock::{LockSource, Reload};

#[allow(missing_docs)]
mod schema {
    diesel::table! {
        notifications (id) {
            id -> Integer,
            message -> Text,
            sent -> Bool,
        }
    }
}

use schema::notifications;

/// A model with a policy.
#[derive(Debug, Identifiable, Queryable, Selectable, AsChangeset, Lockable)]
#[lock(timeout = "1m 30s")]
pub struct Notification {
    id: i32,
    message: String,
    sent: bool,
}

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

impl Notification {
    #[locked]
    fn plain(&mut self, conn: &mut MysqlConnection) -> QueryResult<usize> {
        diesel::update(&*self).set(&*self).execute(conn)
    }

    #[locked]
    fn of_a_pool(
        &mut self,
        conn: &mut PooledConnection<ConnectionManager<MysqlConnection>>,
    ) -> QueryResult<usize> {
        self.plain(conn)
    }

    #[locked(conn = pooled)]
    fn of_an_alias(&self, pooled: &mut Pooled) -> QueryResult<usize> {
        diesel::update(self).set(self).execute(pooled)
    }

    #[locked]
    fn nested(&mut self, held: &mut LockGuard<'_, MysqlConnection>) -> QueryResult<usize> {
        self.plain(held)
    }

    #[locked]
    fn of_a_guard(&mut self, held: &mut PooledLockGuard<MysqlConnection>) -> QueryResult<usize> {
        self.plain(held)
    }

    #[locked]
    fn any(
        &mut self,
        conn: &mut impl LockSource<Connection = MysqlConnection>,
    ) -> QueryResult<usize> {
        self.plain(conn.connection())
    }

    #[locked]
    fn any_on_a_copy(
        &self,
        conn: &mut impl LockSource<Connection = MysqlConnection>,
    ) -> QueryResult<usize> {
        diesel::update(self).set(self).execute(conn.connection())
    }

    #[locked(conn = database)]
    fn generic<C>(&mut self, database: &mut C) -> Result<(), LockError>
    where
        C: LockSource,
        Self: Reload<C::Connection>,
    {
        let _ = database.connection();
        Ok(())
    }

    #[locked(conn = database)]
    fn generic_on_a_copy<C>(&self, database: &mut C) -> Result<bool, LockError>
    where
        C: LockSource,
        Self: Reload<C::Connection>,
    {
        let _ = database.connection();
        Ok(self.sent)
    }
}

fn callers(notification: &mut Notification, pooled: &mut Pooled) -> QueryResult<()> {
    notification.plain(pooled)?;
    notification.of_a_pool(pooled)?;
    notification.of_an_alias(pooled)?;
    notification.any(pooled)?;
    notification.any_on_a_copy(pooled)?;
    notification.generic(pooled)?;
    notification.generic_on_a_copy(pooled)?;
    let mut held = notification.lock().acquire(pooled)?;
    notification.nested(&mut held)?;
    held.release()?;
    let _ = notifications::table;
    Ok(())
}

fn callers_with_a_lock_pool(
    notification: &mut Notification,
    locks: &LockPool<MysqlConnection>,
) -> QueryResult<()> {
    locks.run(notification.lock(), Notification::plain)?;
    let mut held = locks.acquire(notification.lock())?;
    notification.plain(&mut held)?;
    notification.of_a_guard(&mut held)?;
    held.release()?;
    Ok(())
}

fn main() {
    let _ = (callers, callers_with_a_lock_pool);
}
