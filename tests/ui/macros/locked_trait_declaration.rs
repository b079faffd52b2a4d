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

trait Send {
    #[locked]
    fn send(&mut self, conn: &mut MysqlConnection) -> QueryResult<()>;
}

impl Send for Notification {
    fn send(&mut self, conn: &mut MysqlConnection) -> QueryResult<()> {
        Ok(())
    }
}

fn main() {}
