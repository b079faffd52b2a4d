//! The findings that follow from the facts of a server.
//!
//! Sources: `tests/postgres/server_checks.rs` and `tests/postgres/pgbouncer.rs`; the documentation
//! of [CockroachDB][cockroach] and [YugabyteDB][yugabyte], which were not run.
//!
//! A session above READ COMMITTED is no finding: its locks hold, and only cost more round trips.
//!
//! [cockroach]: https://www.cockroachlabs.com/docs/stable/functions-and-operators
//! [yugabyte]: https://docs.yugabyte.com/stable/explore/transactions/explicit-locking/

use std::time::Duration;

use super::facts::{Facts, vendor};
use crate::backend::{Finding, ServerReport, Vendor};

/// A release takes far less than a millisecond, so it exceeds a limit of this length only on a
/// server that is stalled. A shorter one may be exceeded under load.
const SHORT_STATEMENT: Duration = Duration::from_secs(1);

/// What PostgreSQL's default settings leave room for.
const USUAL_LOCKS: u64 = 64 * 100;

impl Facts {
    pub(super) fn report(&self, keep_alive: Option<Duration>) -> ServerReport {
        let mut findings: Vec<Finding> = [
            self.pooling(),
            self.vendor_limits(),
            self.is_standby.then_some(Finding::Replica),
            self.statement_timeout(),
            self.few_locks(),
        ]
        .into_iter()
        .flatten()
        .chain(keep_alive.into_iter().flat_map(|it| self.idle_timeouts(it)))
        .collect();
        findings.sort_by_key(|finding| !finding.is_refusal());
        ServerReport {
            vendor: self.vendor(),
            version: self.short_version().to_owned(),
            wait_timeout: self.limit("idle_session_timeout"),
            findings,
        }
    }

    fn vendor(&self) -> Vendor {
        vendor(&self.version)
    }

    /// Such as `15.20 (Debian 15.20-0+deb12u1)`; of CockroachDB `v24.1.0`.
    fn short_version(&self) -> &str {
        let of_vendor = || {
            let mut words = self.version.split_whitespace();
            words.find(|word| {
                let number = word.strip_prefix('v');
                number.is_some_and(|it| it.starts_with(|char: char| char.is_ascii_digit()))
            })
        };
        let of_settings = self.settings.get("server_version").map(String::as_str);
        of_settings.or_else(of_vendor).unwrap_or(&self.version)
    }

    fn pooling(&self) -> Option<Finding> {
        let sign = self.pooling?.sign();
        Some(Finding::TransactionPooling { sign })
    }

    fn vendor_limits(&self) -> Option<Finding> {
        match self.vendor() {
            Vendor::CockroachDb => Some(Finding::CockroachDb),
            Vendor::YugabyteDb => {
                let (_, version) = self.version.split_once("-YB-")?;
                let silenced = "yb_silence_advisory_locks_not_supported_error";
                (!has_advisory_locks(version)).then(|| Finding::YugabyteDb {
                    locks_nothing: self.settings.get(silenced).is_some_and(|it| it == "on"),
                })
            }
            _ => None,
        }
    }

    fn statement_timeout(&self) -> Option<Finding> {
        let statement_timeout = self.limit("statement_timeout")?;
        (statement_timeout < SHORT_STATEMENT)
            .then_some(Finding::ShortStatementTimeout { statement_timeout })
    }

    /// The size of the table of locks, by the manual.
    fn few_locks(&self) -> Option<Finding> {
        if self.vendor() != Vendor::PostgreSql {
            return None;
        }
        let sessions =
            self.number("max_connections")? + self.number("max_prepared_transactions")?;
        let locks = self.number("max_locks_per_transaction")? * sessions;
        (locks < USUAL_LOCKS).then_some(Finding::FewLocks { locks })
    }

    fn idle_timeouts(&self, keep_alive: Duration) -> impl Iterator<Item = Finding> {
        let short = move |setting| self.limit(setting).filter(|&limit| limit < keep_alive);
        [
            short("idle_session_timeout").map(|wait_timeout| Finding::ShortWaitTimeout {
                setting: "idle_session_timeout",
                wait_timeout,
                keep_alive,
            }),
            short("idle_in_transaction_session_timeout").map(|limit| {
                Finding::ShortIdleTransactionTimeout {
                    variable: "idle_in_transaction_session_timeout".to_owned(),
                    limit,
                    keep_alive,
                }
            }),
            short("transaction_timeout")
                .map(|limit| Finding::ShortTransactionTimeout { limit, keep_alive }),
        ]
        .into_iter()
        .flatten()
    }

    /// A setting in milliseconds. 0 means no limit.
    fn limit(&self, setting: &str) -> Option<Duration> {
        let ms = self.number(setting)?;
        (ms > 0).then_some(Duration::from_millis(ms))
    }

    fn number(&self, setting: &str) -> Option<u64> {
        self.settings.get(setting)?.parse().ok()
    }
}

/// Releases have been numbered by years since 2024. Those of 2024 are older than 2.25.
fn has_advisory_locks(version: &str) -> bool {
    let mut numbers = version.split(|char: char| !char.is_ascii_digit());
    let mut next = || {
        let number = numbers.next().and_then(|it| it.parse::<u32>().ok());
        number.unwrap_or(0)
    };
    let version = [next(), next(), next()];
    version >= [2, 25, 1] && version[0] != 2024
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::super::pooling::Pooling;
    use super::*;

    /// A server of this version without findings.
    fn facts(version: &str) -> Facts {
        let settings = [
            ("statement_timeout", "0"),
            ("idle_session_timeout", "0"),
            ("idle_in_transaction_session_timeout", "0"),
            ("transaction_timeout", "0"),
            ("max_locks_per_transaction", "64"),
            ("max_connections", "100"),
            ("max_prepared_transactions", "0"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Facts {
            version: version.to_owned(),
            settings: settings.into_iter().collect(),
            ..Facts::default()
        }
    }

    const POSTGRES: &str = "PostgreSQL 15.20 (Debian 15.20-0+deb12u1) on x86_64-pc-linux-gnu";

    fn with(settings: &[(&str, &str)]) -> Facts {
        let mut facts = facts(POSTGRES);
        for (name, value) in settings {
            facts.settings.insert((*name).into(), (*value).into());
        }
        facts
    }

    fn of_yugabyte(version: &str) -> Vec<Finding> {
        let version = format!("PostgreSQL 15.2-YB-{version}-b0 on x86_64-pc-linux-gnu");
        facts(&version).report(None).findings
    }

    #[test]
    fn postgres_with_its_default_settings_has_no_findings() {
        let report = facts(POSTGRES).report(Some(Duration::MAX));
        assert_eq!(report.vendor(), Vendor::PostgreSql);
        assert_eq!((report.findings(), report.wait_timeout()), (&[][..], None));
    }

    #[test]
    fn cockroachdb_is_refused() {
        let version = "CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu, built 2024/05/15)";
        let facts = Facts {
            version: version.to_owned(),
            ..Facts::default()
        };
        let report = facts.report(None);
        assert_eq!(
            (report.vendor(), report.version()),
            (Vendor::CockroachDb, "v24.1.0")
        );
        assert_eq!(report.findings(), [Finding::CockroachDb]);
        assert!(Finding::CockroachDb.is_refusal());
    }

    #[test]
    fn yugabytedb_before_its_advisory_locks_is_a_warning() {
        let warning = Finding::YugabyteDb {
            locks_nothing: false,
        };
        assert!(!warning.is_refusal());
        for version in ["2.14.1.0", "2.25.0.0", "2024.2.3.0"] {
            assert_eq!(
                of_yugabyte(version),
                *slice::from_ref(&warning),
                "{version}"
            );
        }
        for version in ["2.25.1.0", "2.29.0.0", "2025.1.0.0"] {
            assert_eq!(of_yugabyte(version), [], "{version}");
        }
    }

    #[test]
    fn yugabytedb_whose_functions_lock_nothing_is_refused() {
        let mut facts = facts("PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64");
        let silenced = "yb_silence_advisory_locks_not_supported_error";
        facts.settings.insert(silenced.into(), "on".into());
        let report = facts.report(None);
        assert_eq!(report.vendor(), Vendor::YugabyteDb);
        assert!(report.findings()[0].is_refusal(), "{report}");
    }

    #[test]
    fn each_sign_of_a_pooler_is_refused() {
        for pooling in [
            Pooling::Renamed,
            Pooling::NotPrepared,
            Pooling::Exchanged,
            Pooling::Reset,
        ] {
            let mut facts = with(&[("statement_timeout", "100")]);
            facts.pooling = Some(pooling);
            let report = facts.report(None);
            let [pooler, timeout] = report.findings() else {
                panic!("{report}");
            };
            assert!(pooler.is_refusal() && !timeout.is_refusal(), "{report}");
            assert!(pooler.to_string().contains(pooling.sign()), "{report}");
        }
    }

    #[test]
    fn statement_timeouts_below_a_second_are_warnings() {
        let found = |ms| with(&[("statement_timeout", ms)]).report(None).findings;
        assert_eq!(found("1000"), []);
        let findings = found("999");
        let statement_timeout = Duration::from_millis(999);
        assert_eq!(
            findings,
            [Finding::ShortStatementTimeout { statement_timeout }]
        );
        assert!(!findings[0].is_refusal());
    }

    #[test]
    fn less_room_for_locks_than_by_default_is_a_warning() {
        let found = |connections| {
            with(&[("max_connections", connections)])
                .report(None)
                .findings
        };
        assert_eq!(found("100"), []);
        assert_eq!(found("20"), [Finding::FewLocks { locks: 1_280 }]);
        let many_prepared = with(&[
            ("max_connections", "20"),
            ("max_prepared_transactions", "80"),
        ]);
        assert_eq!(many_prepared.report(None).findings, []);
    }

    #[test]
    fn limits_below_the_keep_alive_are_warnings() {
        let settings = [
            "idle_session_timeout",
            "idle_in_transaction_session_timeout",
            "transaction_timeout",
        ];
        for setting in settings {
            let facts = with(&[(setting, "60000")]);
            let found = |seconds| facts.report(Some(Duration::from_secs(seconds))).findings;
            assert_eq!(facts.report(None).findings, [], "{setting}");
            assert_eq!(found(60), [], "{setting}");
            let findings = found(61);
            let [finding] = &findings[..] else {
                panic!("{setting}: {findings:?}");
            };
            let text = finding.to_string();
            assert!(!finding.is_refusal() && text.contains(setting), "{text}");
        }
    }

    #[test]
    fn report_names_the_idle_timeout_of_the_server() {
        let report = with(&[("idle_session_timeout", "60000")]).report(None);
        let text = report.to_string();
        assert!(text.contains("60s (`idle_session_timeout`)"), "{text}");
    }
}
