#![allow(unused)]

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

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
    #[locked(timeout = -)]
    fn send(&mut self, conn: &mut MysqlConnection) -> QueryResult<()> {
        Ok(())
    }
}

fn caller(notification: &mut Notification, conn: &mut MysqlConnection) {
    let _ = notification.send(conn);
}

fn main() {}
