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

/// Like the connection of a pool of mobc.
struct Pooled(AsyncMysqlConnection);

async fn caller(notification: &mut Notification, conn: &mut Pooled) {
    let deleted = notification.with_lock(conn, async |_, _| QueryResult::Ok(()));
    deleted.await.unwrap();
}

fn main() {}
