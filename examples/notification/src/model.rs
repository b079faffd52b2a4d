//! The model: a notification, which is mailed once.

use std::time::Instant;

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
    /// Mails the message under the row's lock: however many try, one mail goes out.
    #[locked]
    pub(crate) fn send(
        &mut self,
        conn: &mut MysqlConnection,
        mailer: &Mailer,
    ) -> Result<Delivery, SendError> {
        self.send_without_lock(conn, mailer)
    }

    /// The same and nothing else, but without the lock it is a race: two callers may both find
    /// `sent` to be false.
    pub(crate) fn send_without_lock(
        &mut self,
        conn: &mut MysqlConnection,
        mailer: &Mailer,
    ) -> Result<Delivery, SendError> {
        let begun = Instant::now();
        let mailed = !self.sent;
        if mailed {
            mailer.mail_admins(self.id, &self.message)?;
            // If the process dies here, the mail is out and the row does not say so: the next one
            // sends it again. No lock can help that.
            self.sent = true;
            diesel::update(&*self).set(&*self).execute(conn)?;
        }
        Ok(Delivery { mailed, begun })
    }
}

/// What came of a call of `send`.
pub(crate) struct Delivery {
    /// Whether there was still a mail to send.
    pub(crate) mailed: bool,
    /// When the body began: under the lock, when the wait was over.
    pub(crate) begun: Instant,
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
