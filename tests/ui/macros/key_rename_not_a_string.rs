#![allow(unused)]

use diesel_advisory_lock::prelude::*;

#[derive(LockKey)]
enum Key {
    #[lock(rename = 1)]
    Europe,
}

fn assert_key<K: LockKey>() {}

fn caller() {
    assert_key::<Key>();
}

fn main() {}
