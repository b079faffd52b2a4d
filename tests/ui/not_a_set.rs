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

fn send(all: &mut Vec<Notification>, conn: &mut MysqlConnection) -> Result<(), LockError> {
    lock_all(all).run(conn, |_, _| Ok(()))
}

fn main() {}
