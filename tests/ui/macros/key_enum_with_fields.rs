#![allow(unused)]

use diesel_advisory_lock::prelude::*;

#[derive(LockKey)]
enum Key {
    Europe,
    Other(String),
}

fn assert_key<K: LockKey>() {}

fn caller() {
    assert_key::<Key>();
}

fn main() {}
