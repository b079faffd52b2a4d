#![allow(unused)]

use diesel_advisory_lock::prelude::*;

#[derive(LockKey)]
#[lock(rename = "region")]
enum Key {
    Europe,
}

fn assert_key<K: LockKey>() {}

fn caller() {
    assert_key::<Key>();
}

fn main() {}
