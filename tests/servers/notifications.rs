//! The original's promise, with the example: real processes, real mails.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::{Db, example};

cases![
    each_mail_is_sent_exactly_once,
    without_the_lock_mails_are_doubled,
];

/// Runs the example as a stranger would, four processes of four threads; gives the mails too.
fn race(db: &Db, arguments: &[&str]) -> (Output, usize) {
    let outbox = tempfile::tempdir().unwrap();
    let output = Command::new(example("notification"))
        .args([
            "--notifications",
            "200",
            "--processes",
            "4",
            "--threads",
            "4",
            "--outbox",
        ])
        .arg(outbox.path())
        .args(arguments)
        .env("DATABASE_URL", db.url())
        .env_remove("SMTP_URL")
        .output()
        .unwrap();
    let mails = walk(outbox.path().to_owned());
    (output, mails)
}

fn walk(directory: PathBuf) -> usize {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| match path.extension() {
            Some(eml) if eml == "eml" => 1,
            _ if path.is_dir() => walk(path),
            _ => 0,
        })
        .sum()
}

fn each_mail_is_sent_exactly_once(db: &Db) {
    let (output, mails) = race(db, &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(mails, 200);
}

fn without_the_lock_mails_are_doubled(db: &Db) {
    let (output, mails) = race(db, &["--without-lock"]);
    assert!(
        mails > 200,
        "no mail was doubled: the race is not one\n{output:?}"
    );
    assert!(
        !output.status.success(),
        "the example must tell of doubled mails"
    );
}
