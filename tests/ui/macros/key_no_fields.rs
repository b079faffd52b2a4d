#![allow(unused)]

use diesel_advisory_lock::prelude::*;

#[derive(LockKey)]
struct Key;

fn assert_key<K: LockKey>() {}

fn caller() {
    assert_key::<Key>();
}

fn main() {}
