//! The findings that follow from the facts of a server.
//!
//! Sources: `tests/mysql/clusters.rs`, and the vendors' documentation, linked in
//! `docs/operations.md`.

use std::time::Duration;

use super::facts::{Facts, Replicates, Values, numbers, vendor};
use crate::backend::{Finding, ServerReport, Vendor};

impl Facts {
    pub(in super::super) fn report(&self, keep_alive: Option<Duration>) -> ServerReport {
        if self.version.is_empty() {
            return ServerReport {
                vendor: Vendor::MySql,
                version: "unknown".to_owned(),
                wait_timeout: None,
                findings: vec![Finding::TextIsLost],
            };
        }
        let mut findings: Vec<Finding> = [
            self.galera(),
            self.several_primaries(),
            self.too_old(),
            self.autocommit(),
            self.completion_type(),
            self.replica(),
            self.table_names(),
            self.vendor_limits(),
            self.wait_timeout_for(keep_alive),
            self.unchecked_replica(),
            self.unchecked_variables(),
        ]
        .into_iter()
        .flatten()
        .chain(self.idle_transactions(keep_alive))
        .collect();
        findings.sort_by_key(|finding| !finding.is_refusal());
        ServerReport {
            vendor: self.vendor(),
            version: self.version.clone(),
            wait_timeout: seconds(&self.session, "wait_timeout"),
            findings,
        }
    }

    fn vendor(&self) -> Vendor {
        vendor(&self.version)
    }

    /// Without a provider Galera is not in use, though `wsrep_on` may be set.
    fn galera(&self) -> Option<Finding> {
        let provider = self.global.get("wsrep_provider");
        let has_provider = provider.is_some_and(|it| !it.is_empty() && it != "none");
        (is_on(&self.global, "wsrep_on") && has_provider).then(|| Finding::Galera {
            nodes: self
                .status
                .get("wsrep_cluster_size")
                .and_then(|size| size.parse().ok())
                .filter(|&size| size > 0),
        })
    }

    /// The variable exists if the plugin is installed.
    fn several_primaries(&self) -> Option<Finding> {
        let single = self.global.get("group_replication_single_primary_mode")?;
        (single == "OFF").then_some(Finding::SeveralPrimaries)
    }

    fn too_old(&self) -> Option<Finding> {
        let (version, first, needs) = match self.vendor() {
            Vendor::MySql => (&*self.version, [5, 7, 5], "MySQL 5.7.5"),
            Vendor::MariaDb => (&*self.version, [10, 0, 2], "MariaDB 10.0.2"),
            // Such as `8.0.11-TiDB-v8.5.1`. `IS_USED_LOCK` is documented since 7.5.
            Vendor::TiDb => {
                let (_, version) = self.version.split_once("-v")?;
                (version, [7, 5, 0], "TiDB 7.5")
            }
            _ => return None,
        };
        (numbers(version) < first).then_some(Finding::TooOld { needs })
    }

    fn autocommit(&self) -> Option<Finding> {
        let autocommit = self.session.get("autocommit");
        let is_off = !is_on(&self.session, "autocommit");
        // A variable that was not read is another finding.
        (is_off && (autocommit.is_some() || !self.too_big)).then_some(Finding::AutocommitOff)
    }

    fn completion_type(&self) -> Option<Finding> {
        let value = self.session.get("completion_type")?;
        (value != "NO_CHAIN").then(|| Finding::CompletionType {
            value: value.clone(),
        })
    }

    fn table_names(&self) -> Option<Finding> {
        let value = self.global.get("lower_case_table_names")?.parse().ok()?;
        (value != 0).then_some(Finding::CaseInsensitiveTableNames {
            lower_case_table_names: value,
        })
    }

    fn replica(&self) -> Option<Finding> {
        let takes_no_writes = ["read_only", "innodb_read_only"]
            .iter()
            .any(|variable| is_on(&self.global, variable));
        if self.replicates == Replicates::Yes {
            Some(Finding::Replica)
        } else {
            takes_no_writes.then_some(Finding::ReadOnly)
        }
    }

    fn vendor_limits(&self) -> Option<Finding> {
        match self.vendor() {
            Vendor::TiDb => Some(Finding::TiDb),
            Vendor::Vitess => Some(Finding::Vitess),
            _ => None,
        }
    }

    fn wait_timeout_for(&self, keep_alive: Option<Duration>) -> Option<Finding> {
        let keep_alive = keep_alive?;
        let wait_timeout = seconds(&self.session, "wait_timeout")?;
        (wait_timeout < keep_alive).then_some(Finding::ShortWaitTimeout {
            setting: "wait_timeout",
            wait_timeout,
            keep_alive,
        })
    }

    fn idle_transactions(&self, keep_alive: Option<Duration>) -> impl Iterator<Item = Finding> {
        let names = self.session.keys().filter(|name| name.starts_with("idle_"));
        names.filter_map(move |variable| {
            let keep_alive = keep_alive?;
            let limit = seconds(&self.session, variable)?;
            // 0 means no limit.
            (!limit.is_zero() && limit < keep_alive).then(|| Finding::ShortIdleTransactionTimeout {
                variable: variable.clone(),
                limit,
                keep_alive,
            })
        })
    }

    fn unchecked_variables(&self) -> Option<Finding> {
        self.too_big.then_some(Finding::Unchecked {
            what: "the server's variables, some of which decide whether locks hold",
            needs: "`SET sql_big_selects = 1`, because of this session's `max_join_size`",
        })
    }

    fn unchecked_replica(&self) -> Option<Finding> {
        let records_nothing = self.global.get("performance_schema");
        let records_nothing =
            records_nothing.is_some_and(|value| value == "OFF") && self.vendor() == Vendor::MySql;
        let is_unknown = self.replicates == Replicates::Denied
            || (self.replicates == Replicates::No && records_nothing);
        is_unknown.then_some(Finding::Unchecked {
            what: "whether it is a replica",
            needs: match self.vendor() {
                Vendor::MariaDb => "`GRANT SLAVE MONITOR ON *.* TO <account>`",
                _ => {
                    "`GRANT SELECT ON performance_schema.replication_connection_configuration \
                     TO <account>`, and `performance_schema = ON`"
                }
            },
        })
    }
}

fn is_on(values: &Values, variable: &str) -> bool {
    values
        .get(variable)
        .is_some_and(|value| value == "ON" || value == "1")
}

fn seconds(values: &Values, variable: &str) -> Option<Duration> {
    values.get(variable)?.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server of this version without findings.
    fn facts(version: &str) -> Facts {
        let values = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        Facts {
            version: version.to_owned(),
            global: values(&[("read_only", "OFF")]),
            session: values(&[("autocommit", "ON"), ("wait_timeout", "28800")]),
            status: Values::new(),
            replicates: Replicates::No,
            too_big: false,
        }
    }

    fn found(version: &str) -> (Vendor, Vec<Finding>) {
        let report = facts(version).report(None);
        (report.vendor, report.findings)
    }

    #[test]
    fn servers_that_are_new_enough_are_not_refused() {
        for version in ["5.7.5-m15", "8.0.36", "9.7.4-2", "8.0.36-28.1-Percona"] {
            assert_eq!(found(version), (Vendor::MySql, vec![]), "{version}");
        }
        for version in [
            "10.0.2-MariaDB",
            "10.11.19-MariaDB-0+deb12u1",
            "11.4.2-MariaDB",
        ] {
            assert_eq!(found(version), (Vendor::MariaDb, vec![]), "{version}");
        }
    }

    #[test]
    fn servers_that_hold_one_lock_at_a_time_are_refused() {
        for (version, needs) in [
            ("5.6.51-log", "MySQL 5.7.5"),
            ("5.7.4", "MySQL 5.7.5"),
            ("5.5.68-MariaDB", "MariaDB 10.0.2"),
            ("10.0.1-MariaDB", "MariaDB 10.0.2"),
        ] {
            let (_, findings) = found(version);
            assert_eq!(findings, [Finding::TooOld { needs }], "{version}");
            assert!(findings[0].is_refusal());
        }
    }

    #[test]
    fn tidb_and_vitess_are_known_by_their_versions() {
        assert_eq!(
            found("8.0.11-TiDB-v8.5.1"),
            (Vendor::TiDb, vec![Finding::TiDb])
        );
        let (_, findings) = found("5.7.25-TiDB-v7.1.0");
        assert_eq!(
            findings,
            [Finding::TooOld { needs: "TiDB 7.5" }, Finding::TiDb]
        );
        assert_eq!(
            found("8.0.30-Vitess"),
            (Vendor::Vitess, vec![Finding::Vitess])
        );
    }

    /// Debian's MariaDB sets the variable without a cluster.
    #[test]
    fn only_a_server_with_a_wsrep_provider_is_a_galera_node() {
        let mut facts = facts("10.11.19-MariaDB");
        let set = |facts: &mut Facts, name: &str, value: &str| {
            facts.global.insert(name.to_owned(), value.to_owned());
        };
        set(&mut facts, "wsrep_on", "ON");
        assert_eq!(facts.galera(), None);
        set(&mut facts, "wsrep_provider", "none");
        assert_eq!(facts.galera(), None);
        set(
            &mut facts,
            "wsrep_provider",
            "/usr/lib/galera/libgalera_smm.so",
        );
        assert_eq!(facts.galera(), Some(Finding::Galera { nodes: None }));
        set(&mut facts, "wsrep_on", "OFF");
        assert_eq!(facts.galera(), None);
    }

    /// As on MySQL before 8.0.3 under a small `max_join_size`.
    #[test]
    fn variables_that_cannot_be_read_are_reported_as_unchecked() {
        let mut facts = facts("5.7.44");
        (facts.global, facts.session) = (Values::new(), Values::new());
        facts.too_big = true;
        let report = facts.report(None);
        let [finding @ Finding::Unchecked { .. }] = report.findings() else {
            panic!("{report}");
        };
        let text = finding.to_string();
        assert!(text.contains("`SET sql_big_selects = 1`"), "{text}");
        assert_eq!(report.wait_timeout(), None);
    }

    /// The servers report a word even if `completion_type` was set as a number.
    #[test]
    fn completion_types_other_than_no_chain_are_refused() {
        let mut facts = facts("9.7.4");
        let mut found = |value: &str| {
            facts
                .session
                .insert("completion_type".into(), value.to_owned());
            facts.completion_type()
        };
        assert_eq!(found("NO_CHAIN"), None);
        for value in ["CHAIN", "RELEASE"] {
            let finding = found(value).expect("a finding");
            assert!(finding.is_refusal());
            assert_eq!(
                finding,
                Finding::CompletionType {
                    value: value.to_owned()
                }
            );
        }
    }

    #[test]
    fn lower_case_table_names_1_and_2_are_warnings() {
        let mut facts = facts("9.7.4");
        let mut found = |value: &str| {
            facts
                .global
                .insert("lower_case_table_names".into(), value.to_owned());
            facts.table_names()
        };
        assert_eq!(found("0"), None);
        for value in ["1", "2"] {
            let finding = found(value).expect("a finding");
            assert!(!finding.is_refusal());
            assert!(finding.to_string().contains(&format!("is {value})")));
        }
    }

    /// No server's version is empty.
    #[test]
    fn an_empty_version_is_reported_as_lost_text() {
        assert_eq!(found("").1, [Finding::TextIsLost]);
    }

    #[test]
    fn display_of_a_report_lists_refusals_before_warnings() {
        let mut facts = facts("8.0.11-TiDB-v8.5.1");
        facts.session.insert("autocommit".into(), "OFF".into());
        let report = facts.report(None).to_string();
        let lines: Vec<_> = report.lines().collect();
        assert_eq!(lines[0], "TiDB (8.0.11-TiDB-v8.5.1)");
        assert!(
            lines[1].starts_with("  refused: this session has autocommit off"),
            "{report}"
        );
        assert!(lines[2].starts_with("  warning: TiDB waits"), "{report}");
        assert_eq!(lines.len(), 3);
    }
}
