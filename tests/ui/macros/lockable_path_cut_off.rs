use diesel::prelude::*;
use diesel_advisory_lock::Lockable;

diesel::table! {
    notifications (id) {
        id -> Integer,
    }
}

#[derive(Identifiable, Queryable, Selectable, Lockable)]
#[diesel(table_name = notifications)]
#[lock(crate = diesel_advisory_lock::)]
struct Notification {
    id: i32,
}

fn main() {}
