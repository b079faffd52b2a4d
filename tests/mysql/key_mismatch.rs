//! Keys that MySQL and MariaDB compare as equal.

use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::suite::key_mismatch::{assert_refused, create_users, user};
use crate::suite::support::Db;

/// The column's collation ignores trailing blanks on both servers.
#[server_test]
fn key_with_a_trailing_blank_is_refused_on_every_path(db: &Db) {
    create_users(db);
    assert_refused(db, &user("Alice "), &user("Alice").lock_name());
}
