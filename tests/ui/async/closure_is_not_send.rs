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
    let deleted = notification.with_lock(conn, async |notification, conn| {
        let message = std::rc::Rc::new(notification.message.clone());
        diesel::delete(&*notification).execute(conn).await?;
        drop(message);
        QueryResult::Ok(())
    });
    deleted.await.unwrap();
}

fn main() {}
