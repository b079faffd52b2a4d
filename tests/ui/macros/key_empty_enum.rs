#![allow(unused)]

use diesel_advisory_lock::prelude::*;

#[derive(LockKey)]
enum Key {}

fn assert_key<K: LockKey>() {}

fn caller() {
    assert_key::<Key>();
}

fn main() {}
