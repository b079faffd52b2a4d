//! The guarantees on MySQL and MariaDB: the suite that all servers share.
//!
//! ```sh
//! cargo xtask test --server mariadb -- -p diesel-advisory-lock-async --test mysql
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

#[path = "../api/mod.rs"]
mod api;
#[path = "../../../tests/mysql/server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "not all cases are shared yet")]
mod server;
#[path = "../suite/mod.rs"]
mod suite;
