use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

#[derive(Identifiable, Queryable)]
struct Notification {
    id: i32,
    message: String,
}

fn send(
    one: &mut Notification,
    other: &mut Notification,
    conn: &mut MysqlConnection,
) -> Result<(), LockError> {
    lock_all((one, other)).run(conn, |_, _| Ok(()))
}

fn main() {}
