//! The guarantees on PostgreSQL: the suite that all servers share, and what only it has.
//!
//! ```sh
//! cargo xtask test --server postgres -- -p diesel-advisory-lock-async --test postgres
//! ```

// The cases that both crates share find the same names in either.
extern crate diesel_advisory_lock_async as diesel_advisory_lock;

use diesel_async::AsyncPgConnection as Conn;

/// Generates the tests of a case for each kind of server: see `#[server_test]`.
macro_rules! server_tests {
    ($($case:tt)*) => {
        server_test::tests! { crate::suite::support::ServerTest; postgres, postgres18; $($case)* }
    };
}

#[path = "../api/mod.rs"]
mod api;
#[path = "../../../tests/postgres/server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "not all cases are shared yet")]
mod server;
#[path = "../suite/mod.rs"]
mod suite;
mod transactions;
