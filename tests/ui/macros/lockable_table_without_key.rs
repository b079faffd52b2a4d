#![allow(unused)]

use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;

diesel::table! {
    notifications (id) {
        id -> Integer,
        message -> Text,
    }
}

#[derive(Lockable)]
#[lock(table = notifications)]
struct Retract {
    notification_id: i32,
}

fn caller(retract: &Retract) -> LockName {
    retract.lock_name()
}

fn main() {}
