//! The macros of `diesel-advisory-lock-async`, in a crate that allows no warning.
#![deny(warnings, missing_docs)]
#![forbid(unsafe_code)]
#![warn(clippy::pedantic)]
// A future contains those of its nested calls, of 15 kB each.
#![allow(clippy::large_futures)]

use std::fmt::Display;

use diesel::prelude::*;
use diesel_advisory_lock_async::prelude::*;
use diesel_advisory_lock_async::{LockSource, Reload};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

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

/// A type by the name of the methods' constant parameters.
pub struct M;

/// The error of a method.
#[derive(Debug)]
pub enum AppError {
    /// The lock.
    Lock(LockError),
    /// The database.
    Database(diesel::result::Error),
}

impl From<LockError> for AppError {
    fn from(error: LockError) -> Self {
        AppError::Lock(error)
    }
}

impl From<diesel::result::Error> for AppError {
    fn from(error: diesel::result::Error) -> Self {
        AppError::Database(error)
    }
}

/// A model with a policy.
#[derive(Debug, Identifiable, Queryable, Selectable, AsChangeset, Lockable)]
#[lock(timeout = "1m 30s")]
pub struct Notification {
    id: i32,
    message: String,
    sent: bool,
}

/// Not a model, and generic.
#[derive(Lockable)]
#[lock(table = notifications, key(id), crate = diesel_advisory_lock_async)]
pub struct Batch<'a, T, const M: usize> {
    id: NotificationId<{ M }>,
    rest: &'a [T; M],
}

/// An id with a constant parameter.
#[derive(LockKey)]
pub struct NotificationId<const M: usize>(i32);

/// What can be sent.
pub trait Sending {
    /// Sends it.
    ///
    /// # Errors
    ///
    /// Those of the lock and of the database.
    fn send(
        &mut self,
        conn: &mut AsyncMysqlConnection,
    ) -> impl Future<Output = QueryResult<()>> + Send;
}

impl Sending for Notification {
    #[locked]
    async fn send(&mut self, conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
        self.sent = self.current(conn).await?;
        Ok(())
    }
}

impl Notification {
    /// With the model's policy.
    ///
    /// # Errors
    ///
    /// Those of the lock and of the database.
    #[locked(scope, timeout = "2s", keep_alive = "1m", transaction)]
    pub async fn publish(&mut self, conn: &mut AsyncMysqlConnection) -> Result<(), AppError> {
        if self.sent {
            return Ok(());
        }
        self.sent = true;
        diesel::update(&*self).set(&*self).execute(conn).await?;
        Ok(())
    }

    #[locked]
    async fn current(&self, conn: &mut AsyncMysqlConnection) -> QueryResult<bool> {
        let row = notifications::table.find(self.id);
        row.select(notifications::sent).first(conn).await
    }

    #[locked(no_wait)]
    async fn without_await(&self, _conn: &mut AsyncMysqlConnection) -> QueryResult<bool> {
        Ok(self.sent)
    }

    #[locked]
    async fn nested(&mut self, held: &mut LockGuard<'_, AsyncMysqlConnection>) -> QueryResult<()> {
        self.send(held).await
    }

    #[locked]
    async fn any(
        &mut self,
        conn: &mut impl LockSource<Connection = AsyncMysqlConnection>,
    ) -> QueryResult<()> {
        self.send(conn.connection()).await
    }

    #[locked(conn = database)]
    async fn generic_connection<C>(&mut self, database: &mut C) -> Result<(), LockError>
    where
        C: LockSource,
        Self: Reload<C::Connection>,
    {
        let _ = database.connection();
        Ok(())
    }

    #[locked(conn = database, crate = diesel_advisory_lock_async)]
    async fn generic_connection_on_a_copy<C>(&self, database: &mut C) -> Result<bool, LockError>
    where
        C: LockSource,
        Self: Reload<C::Connection>,
    {
        let _ = database.connection();
        Ok(self.sent)
    }

    #[locked]
    async fn generic<T, const M: usize>(
        &mut self,
        conn: &mut AsyncMysqlConnection,
        words: [T; M],
        moved: String,
    ) -> QueryResult<(String, [T; M])>
    where
        T: Display,
    {
        for word in &words {
            self.message.push_str(&word.to_string());
        }
        self.send(conn).await?;
        Ok((moved, words))
    }

    #[locked]
    async fn generic_copy<'a, T, const M: usize>(
        &self,
        conn: &mut AsyncMysqlConnection,
        words: &'a [T; M],
    ) -> QueryResult<&'a T> {
        diesel::update(self).set(self).execute(conn).await?;
        Ok(&words[0])
    }

    #[locked]
    async fn borrowed<'a>(&'a mut self, _conn: &mut AsyncMysqlConnection) -> QueryResult<&'a str> {
        Ok(&self.message)
    }

    #[locked]
    async fn bytes(
        &mut self,
        conn: &mut AsyncMysqlConnection,
    ) -> QueryResult<impl Iterator<Item = u8> + use<>> {
        self.send(conn).await?;
        Ok(self.message.clone().into_bytes().into_iter())
    }

    #[locked]
    async fn patterns(
        &mut self,
        conn: &mut AsyncMysqlConnection,
        (first, mut second): (usize, usize),
        [third, ..]: [usize; 4],
    ) -> QueryResult<usize> {
        second += 1;
        self.send(conn).await?;
        Ok(first + second + third)
    }

    #[locked]
    async fn patterns_on_a_copy(
        &self,
        conn: &mut AsyncMysqlConnection,
        (first, mut second): (usize, usize),
        mut third: usize,
        _: bool,
    ) -> QueryResult<usize> {
        second += 1;
        third += self.current(conn).await.map(usize::from)?;
        Ok(first + second + third)
    }

    #[allow(clippy::mut_mut)]
    #[locked]
    async fn r#move(
        &mut self,
        r#type: &str,
        mut conn: &mut AsyncMysqlConnection,
    ) -> QueryResult<()> {
        self.message.push_str(r#type);
        let conn = &mut conn;
        self.send(conn).await
    }

    #[locked]
    async fn sum(
        &mut self,
        conn: &mut AsyncMysqlConnection,
        numbers: &[i32],
    ) -> Result<i32, Box<dyn std::error::Error + Send + Sync>> {
        let mut sum = 0;
        for &number in numbers {
            if number < 0 {
                return Err("negative".into());
            }
            sum += number;
        }
        self.send(conn).await?;
        Ok(sum)
    }

    #[locked]
    async fn down_from(&mut self, conn: &mut AsyncMysqlConnection, n: u32) -> QueryResult<u32> {
        match n {
            0 => Ok(0),
            n => Box::pin(self.down_from(conn, n - 1)).await,
        }
    }
}

async fn callers(
    notification: &mut Notification,
    conn: &mut AsyncMysqlConnection,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    notification.send(conn).await?;
    notification
        .publish(conn)
        .await
        .map_err(|error| format!("{error:?}"))?;
    notification.without_await(conn).await?;
    notification.any(conn).await?;
    notification.generic_connection(conn).await?;
    notification.generic_connection_on_a_copy(conn).await?;
    let (_, []) = notification.generic(conn, [""; 0], String::new()).await?;
    notification.generic_copy(conn, &[M]).await?;
    notification.borrowed(conn).await?;
    notification.bytes(conn).await?.for_each(drop);
    notification.patterns(conn, (1, 2), [3; 4]).await?;
    notification
        .patterns_on_a_copy(conn, (1, 2), 3, true)
        .await?;
    notification.r#move("text", conn).await?;
    notification.sum(conn, &[1]).await?;
    notification.down_from(conn, 3).await?;
    notification.with_lock(conn, Notification::send).await?;
    notification
        .try_with_lock(conn, async |n, conn| n.send(conn).await)
        .await?;
    let mut held = notification.lock().acquire(conn).await?;
    notification.nested(&mut held).await?;
    held.release().await?;
    let batch = Batch {
        id: NotificationId(1),
        rest: &[M],
    };
    let _ = batch.rest;
    batch
        .lock()
        .run(conn, async |_, _| Ok::<_, LockError>(()))
        .await?;
    Ok(())
}

fn is_send<F: Future + Send>(
    _: fn(&'static mut Notification, &'static mut AsyncMysqlConnection) -> F,
) {
}

fn main() {
    is_send(callers);
}
