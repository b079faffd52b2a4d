#![allow(unused)]

use diesel_advisory_lock::prelude::*;

#[derive(LockKey)]
enum Key {
    #[lock(rename = "eu", rename = "europe")]
    Europe,
}

fn assert_key<K: LockKey>() {}

fn caller() {
    assert_key::<Key>();
}

fn main() {}
