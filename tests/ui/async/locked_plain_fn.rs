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
    fn send(&mut self, conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
        Ok(())
    }
}

fn caller(notification: &mut Notification, conn: &mut AsyncMysqlConnection) {
    let _ = notification.send(conn);
}

fn main() {}
