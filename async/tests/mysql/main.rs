//! The guarantees on MySQL and MariaDB: the suite that all servers share.
//!
//! ```sh
//! cargo xtask test --server mariadb -- -p diesel-advisory-lock-async --test mysql
//! ```

/// Generates the tests of a case for each kind of server: see `#[server_test]`.
macro_rules! server_tests {
    ($($case:tt)*) => {
        server_test::tests! { crate::suite::support::ServerTest; mariadb, mysql; $($case)* }
    };
}

mod server;
#[path = "../suite/mod.rs"]
mod suite;
