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

#[locked]
fn send(notification: &mut Notification, conn: &mut MysqlConnection) -> QueryResult<()> {
    notification.message.clear();
    Ok(())
}

fn caller(notification: &mut Notification, conn: &mut MysqlConnection) {
    let _ = send(notification, conn);
}

fn main() {}
