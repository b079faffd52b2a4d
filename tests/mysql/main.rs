//! The guarantees on MariaDB and MySQL: the suite that all backends share, and cases about these
//! two servers.
//!
//! A case is a function under `#[server_test]`, which takes a new database. It is a test for each
//! kind of server:
//!
//! ```sh
//! cargo xtask test --server mysql -- --test mysql killing_the_holder   # installs what it needs
//! cargo test --test mysql -- ::mariadb                                 # all cases on MariaDB
//! ```

use diesel::mysql::MysqlConnection as Conn;

/// Generates the tests of a case for each kind of server: see `#[server_test]`.
macro_rules! server_tests {
    ($($case:tt)*) => {
        server_test::tests! { crate::suite::support::ServerTest; mariadb, mysql; $($case)* }
    };
}

#[path = "../api/mod.rs"]
mod api;
mod server;
#[path = "../suite/mod.rs"]
mod suite;

mod character_sets;
mod clusters;
mod commits;
mod faults;
mod healthy_connections;
mod inspect;
mod keep_alive;
mod key_mismatch;
mod name_spellings;
mod names;
mod open_transactions;
mod prepare_disabled;
mod release_failures;
mod round_trips;
mod server_checks;
mod session_state;
mod statements;
#[cfg(all(feature = "tracing", feature = "metrics"))]
mod telemetry;
mod tenants;
mod waits;
