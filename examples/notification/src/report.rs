//! What came of it: the table, the sentence below it, and the exit code.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use crate::cli::WorkerOptions;
use crate::outbox::{self, MailCount};
use crate::protocol::{Attempt, Outcome};

/// What the workers have reported.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) attempts: usize,
    /// How often each notification was reported as sent.
    pub(crate) sent: MailCount,
    pub(crate) refused: usize,
    pub(crate) timed_out: usize,
    /// All threads together.
    pub(crate) waited: Duration,
    pub(crate) longest_wait: Duration,
    pub(crate) took: Duration,
}

impl Tally {
    pub(crate) fn add(&mut self, attempt: &Attempt) {
        self.attempts += 1;
        self.waited += attempt.waited;
        self.longest_wait = self.longest_wait.max(attempt.waited);
        match attempt.outcome {
            Outcome::Sent => *self.sent.entry(attempt.notification).or_default() += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::TimedOut => self.timed_out += 1,
        }
    }
}

/// The result of a race.
#[derive(Debug)]
pub(crate) struct Summary {
    processes: u32,
    options: WorkerOptions,
    tally: Tally,
    notifications: usize,
    mails: usize,
    /// Notifications that were mailed more than once.
    doubled: usize,
    missing: usize,
    /// The mails in the outbox are those that the workers reported; under SMTP nobody can tell.
    confirmed: bool,
}

impl Summary {
    /// Counts the mails in the outbox, or under SMTP (`None`) those that the workers reported.
    pub(crate) fn new(
        processes: u32,
        options: WorkerOptions,
        ids: &[i64],
        tally: Tally,
        in_outbox: Option<MailCount>,
    ) -> Self {
        let mails = in_outbox.as_ref().unwrap_or(&tally.sent);
        Self {
            processes,
            options,
            notifications: ids.len(),
            mails: mails.values().sum(),
            doubled: mails.values().filter(|&&count| count > 1).count(),
            missing: ids.iter().filter(|&id| !mails.contains_key(id)).count(),
            confirmed: *mails == tally.sent,
            tally,
        }
    }

    /// Mails beyond the first of a notification.
    fn duplicates(&self) -> usize {
        self.mails + self.missing - self.notifications
    }

    fn is_exactly_once(&self) -> bool {
        self.duplicates() == 0 && self.missing == 0 && self.confirmed
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.is_exactly_once() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn table(&self) -> Table {
        let tally = &self.tally;
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        let mut row = |what: &str, number: String, meaning: &str| {
            table.add_row([what, &number, meaning]);
        };
        let count = |number: usize| number.to_string();
        let time = |duration: Duration| format!("{duration:.1?}");

        row(
            "notifications",
            count(self.notifications),
            "to be mailed once each",
        );
        row("mails", count(self.mails), &self.counted());
        row(
            "duplicates",
            count(self.duplicates()),
            "mails beyond a notification's first",
        );
        row(
            "missing",
            count(self.missing),
            "notifications without a mail",
        );
        row(
            "attempts",
            count(tally.attempts),
            &format!(
                "by {} processes of {} threads",
                self.processes, self.options.threads
            ),
        );
        row(
            "refusals",
            count(tally.refused),
            "attempts that found the mail already sent",
        );
        if !self.options.without_lock {
            row(
                "time-outs",
                count(tally.timed_out),
                "attempts that did not get the lock",
            );
            row(
                "waited",
                time(tally.waited),
                "for locks, all threads together",
            );
            row("longest wait", time(tally.longest_wait), "for one lock");
        }
        row("time", time(tally.took), "for the whole race");
        if let Some(numbers) = table.column_mut(1) {
            numbers.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn counted(&self) -> String {
        match &self.options.outbox {
            Some(directory) => format!(".eml files in {}", outbox::shown(directory)),
            None => "taken by the mail server, as the workers report".to_owned(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.table())?;
        if self.is_exactly_once() {
            return write!(f, "Every notification was mailed exactly once.");
        }
        let mut sentences = Vec::new();
        if self.doubled > 0 {
            sentences.push(format!(
                "{} of {} notifications were mailed more than once.",
                self.doubled, self.notifications
            ));
        }
        if self.missing > 0 {
            sentences.push(format!(
                "{} of {} notifications were not mailed.",
                self.missing, self.notifications
            ));
        }
        if !self.confirmed {
            sentences
                .push("The outbox does not hold the mails that the workers report.".to_owned());
        }
        if self.options.without_lock {
            sentences.push("Run the race again without --without-lock.".to_owned());
        }
        write!(f, "FAILED: {}", sentences.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::cli::Cli;

    fn summary(reported: &[(i64, usize)], in_outbox: Option<&[(i64, usize)]>) -> Summary {
        let tally = Tally {
            sent: reported.iter().copied().collect(),
            ..Tally::default()
        };
        let options = Cli::parse_from(["notification"]).race.worker;
        let in_outbox = in_outbox.map(|mails| mails.iter().copied().collect());
        Summary::new(4, options, &[1, 2], tally, in_outbox)
    }

    #[test]
    fn exactly_once_is_success() {
        let once = [(1, 1), (2, 1)];
        assert!(summary(&once, Some(&once)).is_exactly_once());
        assert!(summary(&once, None).is_exactly_once());
    }

    #[test]
    fn a_doubled_mail_does_not_make_up_for_a_missing_one() {
        let summary = summary(&[(1, 2)], None);
        assert!(!summary.is_exactly_once());
        assert_eq!((summary.duplicates(), summary.missing), (1, 1));
    }

    #[test]
    fn the_outbox_must_agree_with_the_workers() {
        let summary = summary(&[(1, 1), (2, 2)], Some(&[(1, 1), (2, 1)]));
        assert!(!summary.is_exactly_once());
        assert!(summary.to_string().contains("outbox does not hold"));
    }

    #[test]
    fn attempts_are_added_up() {
        let mut tally = Tally::default();
        for (outcome, millis) in [
            (Outcome::Sent, 3),
            (Outcome::Refused, 5),
            (Outcome::TimedOut, 4),
        ] {
            tally.add(&Attempt {
                outcome,
                notification: 9,
                waited: Duration::from_millis(millis),
            });
        }
        assert_eq!((tally.attempts, tally.refused, tally.timed_out), (3, 1, 1));
        assert_eq!(tally.sent, MailCount::from([(9, 1)]));
        assert_eq!(tally.waited, Duration::from_millis(12));
        assert_eq!(tally.longest_wait, Duration::from_millis(5));
    }
}
