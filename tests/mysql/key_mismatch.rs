//! Keys that MySQL and MariaDB take for equal.

use diesel_advisory_lock::prelude::*;
use server_test::server_test;

use crate::suite::key_mismatch::{assert_refused, create_users, user};
use crate::suite::support::Db;

/// Blanks at the end do not count under the column's collation, on either server.
#[server_test]
fn key_with_a_trailing_blank_is_refused_on_every_path(db: &Db) {
    create_users(db);
    assert_refused(db, &user("Alice "), &user("Alice").lock_name());
}
