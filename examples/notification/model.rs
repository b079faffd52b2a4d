//! The model: a notification, which is mailed once.

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

use crate::mail::{MailError, Mailer};
use crate::schema::notifications;

#[derive(Debug, Queryable, Selectable, Identifiable, AsChangeset)]
#[diesel(check_for_backend(diesel::mysql::Mysql))]
pub(crate) struct Notification {
    pub(crate) id: i64,
    pub(crate) message: String,
    pub(crate) sent: bool,
}

impl Notification {
    /// Mails the message, and tells whether there was still a mail to send.
    ///
    /// Alone this is a race: two callers may both find `sent` to be false. Under the row's lock it
    /// is none: `notification.with_lock(conn, |n, conn| n.send(conn, mailer))`.
    pub(crate) fn send(
        &mut self,
        conn: &mut MysqlConnection,
        mailer: &Mailer,
    ) -> Result<bool, SendError> {
        if self.sent {
            return Ok(false);
        }
        mailer.mail_admins(self.id, &self.message)?;
        // If the process dies here, the mail is out and the row does not say so: the next one sends
        // it again. No lock can help that.
        self.sent = true;
        diesel::update(&*self).set(&*self).execute(conn)?;
        Ok(true)
    }
}

/// `From<LockError>` is all that a closure's error needs to run under a lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Lock(#[from] LockError),

    #[error("a notification could not be read or saved")]
    Database(#[from] diesel::result::Error),

    #[error(transparent)]
    Mail(#[from] MailError),
}
