//! The suite of the blocking crate, through this crate, on PostgreSQL: the files of `tests/suite/`.
//!
//! ```sh
//! cargo xtask test --server postgres -- -p diesel-advisory-lock-async --test suite_postgres
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

mod api;
#[path = "../../../tests/postgres/server/mod.rs"]
#[allow(dead_code, unused_imports, reason = "some are for blocking cases")]
mod server;
mod suite;
#[path = "../../../tests/postgres/undone_acquisitions.rs"]
mod undone_acquisitions;
