//! The program as a user runs it, on real servers.
//!
//! A case is a function under `#[server_test]`, which takes a new database. It is a test for each
//! kind of server:
//!
//! ```sh
//! cargo test --package diesel-advisory-lock-cli -- ::mariadb
//! ```

/// Generates the tests of a case for each kind of server: see `#[server_test]`.
#[cfg(all(feature = "mysql", feature = "postgres"))]
macro_rules! server_tests {
    ($($case:tt)*) => {
        server_test::tests! {
            crate::support::ServerTest; mariadb, mysql, postgres, postgres18; $($case)*
        }
    };
}

#[cfg(not(feature = "postgres"))]
macro_rules! server_tests {
    ($($case:tt)*) => {
        server_test::tests! { crate::support::ServerTest; mariadb, mysql; $($case)* }
    };
}

#[cfg(not(feature = "mysql"))]
macro_rules! server_tests {
    ($($case:tt)*) => {
        server_test::tests! { crate::support::ServerTest; postgres, postgres18; $($case)* }
    };
}

mod check;
mod end;
mod errors;
mod key;
mod list;
mod privileges;
mod support;
mod watch;
mod who;
