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
#[lock(table = notifications, key(id))]
struct Notification {
    id: i32,
    message: String,
}

fn main() {}
