//! The job queue example: a worker is killed at work, and each job is finished exactly once.

use std::process::Command;

use crate::support::{Db, example};

cases![
    a_worker_is_killed_at_work_in_every_run,
    the_only_job_is_taken_up_again_after_its_worker_was_killed,
];

fn assert_kills_a_worker(db: &Db, jobs: u32) {
    let output = Command::new(example("job_queue"))
        .args(["--jobs", &jobs.to_string()])
        .env("DATABASE_URL", db.url())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let kill = text
        .lines()
        .find(|line| line.starts_with("Killed at work: worker "));
    let kill = kill.unwrap_or_else(|| panic!("no worker was killed:\n{text}"));
    assert!(!kill.contains(" with 0 of its jobs"), "{kill}");
    let result = format!("{jobs} of {jobs} jobs were finished exactly once.");
    assert!(text.contains(&result), "{text}");
}

fn a_worker_is_killed_at_work_in_every_run(db: &Db) {
    for _ in 0..5 {
        assert_kills_a_worker(db, 12);
    }
}

fn the_only_job_is_taken_up_again_after_its_worker_was_killed(db: &Db) {
    assert_kills_a_worker(db, 1);
}
