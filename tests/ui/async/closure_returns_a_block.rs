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

async fn caller(notification: &mut Notification, conn: &mut AsyncMysqlConnection) {
    let deleted = notification.with_lock(conn, |notification, conn| async move {
        diesel::delete(&*notification).execute(conn).await?;
        QueryResult::Ok(())
    });
    deleted.await.unwrap();
}

fn main() {}
