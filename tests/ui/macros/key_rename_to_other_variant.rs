#![allow(unused)]

use diesel_advisory_lock::prelude::*;

#[derive(LockKey)]
enum Key {
    Europe,
    #[lock(rename = "Europe")]
    Asia,
}

fn assert_key<K: LockKey>() {}

fn caller() {
    assert_key::<Key>();
}

fn main() {}
