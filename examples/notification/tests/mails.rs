//! The program as a user runs it: real processes, real mails.

use std::fs;
use std::process::{Command, Output};

#[cfg(feature = "mysql")]
use diesel::MysqlConnection;
#[cfg(feature = "postgres")]
use diesel::PgConnection;
use test_database::TestDatabase;

#[path = "../../shared/test_database.rs"]
mod test_database;

/// Runs the program with 200 notifications. Returns its output and the number of its mails.
fn race(database: &TestDatabase, options: &[&str]) -> (Output, usize) {
    let outbox = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_notification"))
        .args(["--notifications=200", "--processes=4", "--threads=4"])
        .arg("--outbox")
        .arg(outbox.path())
        .args(options)
        .env("DATABASE_URL", database.url())
        .output()
        .expect("the program runs");
    let mails = fs::read_dir(outbox.path()).expect("the outbox").count();
    (output, mails)
}

#[test]
fn with_the_lock_each_mail_is_sent_exactly_once() {
    TestDatabase::on_each_server("exactly_once", |database| {
        let (output, mails) = race(database, &[]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(mails, 200);
    });
}

#[test]
fn without_the_lock_mails_are_doubled_and_the_program_fails() {
    TestDatabase::on_each_server("doubled", |database| {
        let (output, mails) = race(database, &["--without-lock"]);
        assert!(mails > 200, "no mail was doubled: {output:?}");
        assert!(!output.status.success(), "{output:?}");
    });
}
