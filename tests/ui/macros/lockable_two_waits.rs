#![allow(unused)]

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

#[derive(Identifiable, Queryable, Selectable, Lockable)]
#[lock(timeout = "5s", wait_forever)]
struct Notification {
    id: i32,
    message: String,
}

fn caller(notification: &mut Notification, conn: &mut MysqlConnection) -> QueryResult<()> {
    notification.with_lock(conn, |_, _| Ok(()))
}

fn main() {}
