//! The load generator, and what it finds if the service has no locks.

use std::process::{Command, Output};

use crate::test_database::TestDatabase;

fn load(database: &TestDatabase, options: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_axum_wallet"))
        .args(["load", "--requests=300", "--accounts=3"])
        .args(options)
        .env("DATABASE_URL", database.url())
        .env("RUST_LOG", "off")
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    (output, text)
}

#[test]
fn load_leaves_every_balance_right() {
    TestDatabase::on_each_server("load", |database| {
        let (output, text) = load(database, &[]);
        assert!(output.status.success(), "{output:?}");
        assert!(text.contains(" 0 of 3 balances are wrong."), "{text}");
        for request in ["transfer ┆ 200 OK", "withdraw ┆ 200 OK"] {
            assert!(text.contains(request), "{text}");
        }
        assert!(!text.contains("may be done or not"), "{text}");
    });
}

#[test]
fn load_without_locks_finds_wrong_balances() {
    TestDatabase::on_each_server("load_without_lock", |database| {
        let (output, text) = load(database, &["--without-lock"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!text.contains(" 0 of 3 balances are wrong."), "{text}");
    });
}
