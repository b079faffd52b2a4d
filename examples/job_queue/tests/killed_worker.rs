//! The program as a user runs it: it kills a worker at work, and each job is finished once.

use std::process::Command;

#[cfg(feature = "mysql")]
use diesel::MysqlConnection;
#[cfg(feature = "postgres")]
use diesel::PgConnection;
use test_database::TestDatabase;

#[path = "../../shared/test_database.rs"]
mod test_database;

/// Runs the program with this many jobs.
fn assert_kills_a_worker(database: &TestDatabase, jobs: u32) {
    let output = Command::new(env!("CARGO_BIN_EXE_job_queue"))
        .args(["--jobs", &jobs.to_string()])
        .env("DATABASE_URL", database.url())
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let kill = text
        .lines()
        .find(|line| line.starts_with("Killed at work: worker "));
    let kill = kill.unwrap_or_else(|| panic!("no worker was killed:\n{text}"));
    assert!(!kill.contains(" with 0 of its jobs"), "{kill}");
    let result = format!("{jobs} of {jobs} jobs were finished exactly once.");
    assert!(text.contains(&result), "{text}");
}

#[test]
fn killing_a_worker_loses_and_repeats_no_job() {
    TestDatabase::on_each_server("no_job_lost", |database| {
        for _ in 0..5 {
            assert_kills_a_worker(database, 12);
        }
    });
}

#[test]
fn killing_the_worker_of_the_only_job_lets_another_worker_finish_it() {
    TestDatabase::on_each_server("only_job", |database| assert_kills_a_worker(database, 1));
}
