//! The guarantees on PostgreSQL: the suite that all servers share, and what only it has.
//!
//! ```sh
//! cargo xtask test --server postgres -- -p diesel-advisory-lock-async --test postgres
//! ```

/// Generates the tests of a case for each kind of server: see `#[server_test]`.
macro_rules! server_tests {
    ($($case:tt)*) => {
        server_test::tests! { crate::suite::support::ServerTest; postgres, postgres18; $($case)* }
    };
}

mod server;
#[path = "../suite/mod.rs"]
mod suite;
mod transactions;
