//! The directory that mails are written to: a fresh one, and what is in it in the end.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::mail::NOTIFICATION_ID;

/// How many mails went out, by the notification's id.
pub(crate) type MailCount = BTreeMap<i64, usize>;

/// A directory of its own for this run, under cargo's `target`.
pub(crate) fn fresh() -> Result<PathBuf, OutboxError> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.ancestors().nth(2).unwrap_or(package);
    let parent = workspace.join("target/outbox");
    fs::create_dir_all(&parent).map_err(OutboxError::using(&parent))?;
    for number in 1_u32.. {
        let directory = parent.join(number.to_string());
        match fs::create_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made.map_err(OutboxError::using(&directory))?;
                return Ok(directory);
            }
        }
    }
    unreachable!("four thousand million outboxes")
}

/// The directory that the user named: made if need be, and without mails, which would be counted.
pub(crate) fn named(directory: &Path) -> Result<PathBuf, OutboxError> {
    fs::create_dir_all(directory).map_err(OutboxError::using(directory))?;
    let directory = fs::canonicalize(directory).map_err(OutboxError::using(directory))?;
    if mails(&directory)?.is_empty() {
        Ok(directory)
    } else {
        Err(OutboxError::NotEmpty(directory))
    }
}

/// For the user: relative to the working directory, if it lies there.
pub(crate) fn shown(directory: &Path) -> impl fmt::Display {
    let here = env::current_dir().unwrap_or_default();
    let relative = directory.strip_prefix(here).unwrap_or(directory);
    relative.display().to_string()
}

/// Reads the mails back.
pub(crate) fn count(directory: &Path) -> Result<MailCount, OutboxError> {
    let mut count = MailCount::new();
    for path in mails(directory)? {
        let mail = File::open(&path).map_err(OutboxError::using(&path))?;
        let id = notification_id(BufReader::new(mail)).map_err(OutboxError::using(&path))?;
        *count
            .entry(id.ok_or(OutboxError::Foreign(path))?)
            .or_default() += 1;
    }
    Ok(count)
}

fn mails(directory: &Path) -> Result<Vec<PathBuf>, OutboxError> {
    let mut mails = Vec::new();
    for entry in fs::read_dir(directory).map_err(OutboxError::using(directory))? {
        let path = entry.map_err(OutboxError::using(directory))?.path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            mails.push(path);
        }
    }
    Ok(mails)
}

/// Only what stands before the first empty line is a header.
fn notification_id(mail: impl BufRead) -> io::Result<Option<i64>> {
    for line in mail.lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        match line.split_once(':') {
            Some((name, id)) if name.eq_ignore_ascii_case(NOTIFICATION_ID) => {
                return Ok(id.trim().parse().ok());
            }
            _ => {}
        }
    }
    Ok(None)
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboxError {
    #[error("cannot use {path}; name another directory with --outbox", path = .path.display())]
    Io { path: PathBuf, source: io::Error },

    #[error("there are mails in {directory} already; name an empty directory with --outbox", directory = .0.display())]
    NotEmpty(PathBuf),

    #[error("{path} is not a mail of this program", path = .0.display())]
    Foreign(PathBuf),
}

impl OutboxError {
    fn using(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::cli::Cli;
    use crate::mail::Mailer;

    fn mailer(directory: &Path) -> Mailer {
        let mut options = Cli::parse_from(["notification"]).race.worker;
        options.outbox = Some(directory.to_owned());
        Mailer::new(&options).expect("a mailer")
    }

    #[test]
    fn mails_are_counted_by_notification() {
        let outbox = tempfile::tempdir().expect("a directory");
        let mailer = mailer(outbox.path());
        for id in [7, 8, 7] {
            mailer.mail_admins(id, "Hello").expect("a mail");
        }
        fs::write(outbox.path().join("notes.txt"), "no mail").expect("a file");
        let count = count(outbox.path()).expect("a count");
        assert_eq!(count, MailCount::from([(7, 2), (8, 1)]));
    }

    #[test]
    fn the_text_of_a_mail_is_not_its_header() {
        let mail = "LockedObject: x\r\n\r\nNotification-Id: 7\r\n";
        assert_eq!(notification_id(mail.as_bytes()).expect("no error"), None);
    }

    #[test]
    fn a_named_outbox_must_hold_no_mails() {
        let outbox = tempfile::tempdir().expect("a directory");
        let inner = outbox.path().join("a/b");
        assert!(named(&inner).is_ok());
        mailer(&inner).mail_admins(1, "Hello").expect("a mail");
        assert!(matches!(named(&inner), Err(OutboxError::NotEmpty(_))));
    }

    #[test]
    fn a_foreign_mail_is_an_error() {
        let outbox = tempfile::tempdir().expect("a directory");
        fs::write(outbox.path().join("x.eml"), "LockedObject: x\r\n\r\n").expect("a file");
        assert!(matches!(count(outbox.path()), Err(OutboxError::Foreign(_))));
    }
}
