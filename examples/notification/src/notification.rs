//! The model, and `send`, which mails a notification once, however many processes call it.

use anyhow::Result;
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use lettre::{FileTransport, Message, Transport};

use super::DbConnection;
use crate::schema::notifications;

#[derive(Queryable, Selectable, Identifiable, AsChangeset)]
pub(crate) struct Notification {
    pub(crate) id: i64,
    message: String,
    sent: bool,
}

impl Notification {
    /// Mails the message if it has not been mailed yet. Returns whether this call has mailed it.
    ///
    /// `#[locked]` acquires the row's lock, reloads `self`, runs the body and releases the lock.
    #[locked]
    pub(crate) fn send(&mut self, conn: &mut DbConnection, outbox: &FileTransport) -> Result<bool> {
        self.send_without_lock(conn, outbox)
    }

    /// The body of `send`. Without the lock it is a race: two callers may both find `sent` false.
    pub(crate) fn send_without_lock(
        &mut self,
        conn: &mut DbConnection,
        outbox: &FileTransport,
    ) -> Result<bool> {
        if self.sent {
            return Ok(false);
        }
        mail_admins(outbox, self.id, &self.message)?;
        // If the process dies here, the next call mails the message again. No lock prevents that.
        self.sent = true;
        diesel::update(&*self).set(&*self).execute(conn)?;
        Ok(true)
    }
}

fn mail_admins(outbox: &FileTransport, id: i64, message: &str) -> Result<()> {
    let mail = Message::builder()
        .from("Notifications <notifications@example.org>".parse()?)
        .to("Admins <admins@example.org>".parse()?)
        .subject(format!("Notification {id}"))
        .body(message.to_owned())?;
    outbox.send(&mail)?;
    Ok(())
}
