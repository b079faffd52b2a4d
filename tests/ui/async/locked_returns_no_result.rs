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

type Count = usize;

impl Notification {
    #[locked]
    async fn count(&mut self, conn: &mut AsyncMysqlConnection) -> Count {
        1
    }
}

fn main() {}
