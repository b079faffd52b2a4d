//! The program as a user runs it: a worker is killed at work, and each job is finished once.

use std::process::Command;

use test_database::TestDatabase;

#[path = "../../shared/test_database.rs"]
mod test_database;

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
fn a_worker_is_killed_at_work_in_every_run() {
    TestDatabase::on_each_server("every_run", |database| {
        for _ in 0..5 {
            assert_kills_a_worker(database, 12);
        }
    });
}

#[test]
fn the_only_job_is_taken_over_after_its_worker_was_killed() {
    TestDatabase::on_each_server("only_job", |database| assert_kills_a_worker(database, 1));
}
