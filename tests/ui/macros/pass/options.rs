//! Every option of `#[locked]`, in a crate that allows no warning.
#![deny(warnings, missing_docs)]
#![forbid(unsafe_code)]
#![warn(clippy::pedantic)]

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

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

/// The error of the methods.
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

impl Notification {
    /// With the model's policy.
    ///
    /// # Errors
    ///
    /// Those of the lock and of the database.
    #[locked]
    pub fn send(&mut self, conn: &mut MysqlConnection) -> Result<(), AppError> {
        if self.sent {
            return Ok(());
        }
        self.sent = true;
        diesel::update(&*self).set(&*self).execute(conn)?;
        Ok(())
    }

    #[locked(scope)]
    pub(crate) fn scoped(&mut self, _conn: &mut MysqlConnection) -> QueryResult<()> {
        Ok(())
    }

    #[locked(scope = "archive", timeout = "500ms", transaction)]
    fn archive(&mut self, conn: &mut MysqlConnection, by: &str) -> QueryResult<usize> {
        self.message.push_str(by);
        diesel::update(&*self).set(&*self).execute(conn)
    }

    #[locked(no_wait)]
    fn now(&self, _: usize, conn: &mut MysqlConnection) -> QueryResult<bool> {
        notifications::table
            .find(self.id)
            .select(notifications::sent)
            .first(conn)
    }

    #[locked(wait_forever, keep_alive = "90s", transaction)]
    fn patient(&self, conn: &mut MysqlConnection) -> Result<usize, AppError> {
        Ok(diesel::delete(self).execute(conn)?)
    }

    #[locked(conn = primary, crate = diesel_advisory_lock)]
    fn two(
        &mut self,
        primary: &mut MysqlConnection,
        replica: &mut MysqlConnection,
    ) -> QueryResult<usize> {
        diesel::update(&*self).set(&*self).execute(primary)?;
        diesel::update(&*self).set(&*self).execute(replica)
    }
}

fn callers(
    notification: &mut Notification,
    conn: &mut MysqlConnection,
    replica: &mut MysqlConnection,
) -> Result<(), AppError> {
    notification.send(conn)?;
    notification.scoped(conn)?;
    notification.archive(conn, "admin")?;
    notification.now(1, conn)?;
    notification.patient(conn)?;
    notification.two(conn, replica)?;
    notification.with_lock(conn, Notification::send)
}

fn main() {
    let _ = callers;
}
