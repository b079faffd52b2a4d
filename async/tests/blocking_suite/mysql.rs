//! The suite of the blocking crate, through this crate, on MySQL and MariaDB: the files of `tests/suite/`.
//!
//! ```sh
//! cargo xtask test --server mariadb -- -p diesel-advisory-lock-async --test suite_mysql
//! ```

// The cases that both crates share find the same names in either.
extern crate diesel_advisory_lock_async as diesel_advisory_lock;

use diesel_async::AsyncMysqlConnection as Conn;

/// Generates the tests of a case for each kind of server: see `#[server_test]`.
macro_rules! server_tests {
    ($($case:tt)*) => {
        server_test::tests! { crate::suite::support::ServerTest; mariadb, mysql; $($case)* }
    };
}

mod api;
#[path = "../../../tests/mysql/server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "some are for blocking cases")]
mod server;
mod suite;
