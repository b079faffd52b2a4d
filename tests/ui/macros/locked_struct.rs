#![allow(unused)]

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

#[locked]
#[derive(Identifiable, Queryable, Selectable)]
struct Notification {
    id: i32,
    message: String,
}

fn main() {}
