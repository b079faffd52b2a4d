#![allow(unused)]

use diesel_advisory_lock::prelude::*;

#[derive(LockKey)]
struct Key(i32, i32);

fn assert_key<K: LockKey>() {}

fn caller() {
    assert_key::<Key>();
}

fn main() {}
