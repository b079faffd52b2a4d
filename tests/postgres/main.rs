//! The guarantees on PostgreSQL 15 and 18: the suite that all backends share, and cases about this
//! server.
//!
//! A case is a function under `#[server_test]`, which takes a new database. It is a test for each
//! kind of server:
//!
//! ```sh
//! cargo xtask test --server postgres -- --test postgres killing_the_holder  # installs what it needs
//! cargo test --features postgres --test postgres -- ::postgres18            # all cases on 18
//! ```

use diesel::pg::PgConnection as Conn;

/// Generates the tests of a case for each kind of server: see `#[server_test]`.
macro_rules! server_tests {
    ($($case:tt)*) => {
        server_test::tests! {
            crate::suite::support::ServerTest; postgres, postgres18; $($case)*
        }
    };
}

#[path = "../api/mod.rs"]
mod api;
mod docs;
mod exact_keys;
mod inspect;
mod keep_alive;
mod names;
mod open_transactions;
mod pgbouncer;
mod round_trips;
mod search_path;
mod server;
mod server_checks;
mod shadowed_functions;
mod shared;
#[path = "../suite/mod.rs"]
mod suite;
mod transactions;
mod undone_acquisitions;
mod until_commit;
mod waits;
