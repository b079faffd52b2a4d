#![allow(unused)]

use diesel::prelude::*;
use diesel_advisory_lock_async::prelude::*;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

#[derive(Identifiable, Queryable, Selectable)]
struct Notification {
    id: i32,
    message: String,
}

impl Notification {
    #[locked]
    async fn send(&mut self, conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
        let message = std::rc::Rc::new(self.message.clone());
        diesel::delete(&*self).execute(conn).await?;
        drop(message);
        Ok(())
    }
}

fn spawn(_task: impl Future + Send) {}

fn caller(notification: &mut Notification, conn: &mut AsyncMysqlConnection) {
    spawn(notification.send(conn));
}

fn main() {}
