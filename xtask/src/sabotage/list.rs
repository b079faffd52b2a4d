//! What can be taken out, and what must notice it: a rule of the stress test's checker, or a case of `tests/mysql`.

use test_server::ServerKind;

/// A protection that is removed.
pub(crate) struct Sabotage {
    pub(super) name: &'static str,
    /// What the library does not do any more.
    pub(super) removed: &'static str,
    pub(super) edits: &'static [Edit],
    pub(super) noticed_by: Detector,
}

/// What must notice that a protection is gone.
pub(super) enum Detector {
    /// A run with these options must break one of these rules, as `stress-check --expect` takes them.
    StressTest {
        options: &'static [&'static str],
        rules: &'static str,
    },
    /// A case of `tests/mysql` must fail: for what the stress test cannot show.
    Case {
        filter: &'static str,
        /// The only server on which there is anything to notice.
        only: Option<ServerKind>,
    },
}

pub(crate) struct Edit {
    pub(super) file: &'static str,
    /// Occurs once.
    pub(super) find: &'static str,
    pub(super) replace: &'static str,
}

pub(super) const ALL: &[Sabotage] = &[
    Sabotage {
        name: "no-lock",
        removed: "it does not look at what GET_LOCK says",
        edits: &[Edit {
            file: "src/backend/mysql/acquire.rs",
            find: "got: number & 1 == 1,",
            replace: "got: true,",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=6", "--faults=none"],
            rules: "exclusive",
        },
    },
    Sabotage {
        name: "private-names",
        removed: "each session has names of its own for the same locks",
        edits: &[Edit {
            file: "src/backend/mysql/namespace.rs",
            find: "\"CONVERT(LEFT(SHA2(CONVERT(COALESCE(DATABASE(), LEFT('-', 0)) USING utf8mb4), 256), 8) USING utf8mb4)\"",
            replace: "\"LEFT(SHA2(CONNECTION_ID(), 256), 8)\"",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=6", "--faults=none"],
            rules: "exclusive",
        },
    },
    Sabotage {
        name: "release-before-commit",
        removed: "the lock is released before COMMIT",
        edits: &[Edit {
            file: "src/session_lock/commit.rs",
            find: "    match C::Server::commit(conn).await {\n",
            replace: "    for lock in locks.iter() {\n        drop(C::Server::release(conn, &lock.key, TransactionContext::Transaction).await);\n    }\n    match C::Server::commit(conn).await {\n",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=8", "--faults=none"],
            rules: "accounted",
        },
    },
    Sabotage {
        name: "no-proof-before-commit",
        removed: "COMMIT without the proof that the session holds the lock",
        edits: &[Edit {
            file: "src/session_lock/commit.rs",
            find: "let condition = prove(conn, locks, TransactionContext::Transaction, outcome).await?;",
            replace: "let condition = Condition::Clean;",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=12", "--faults=theft,swap"],
            rules: "reported",
        },
    },
    Sabotage {
        name: "wrong-outcome",
        removed: "a loss before COMMIT is reported as one after it",
        edits: &[Edit {
            file: "src/session_lock/commit.rs",
            find: "        _ => Outcome::RolledBack,",
            replace: "        _ => Outcome::Committed,",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=12", "--faults=theft,swap"],
            rules: "reported",
        },
    },
    Sabotage {
        name: "commit-failure-rolled-back",
        removed: "a COMMIT whose connection failed is reported as rolled back",
        edits: &[Edit {
            file: "src/session_lock/commit.rs",
            find: "let error = LockError::CommitUnknown {\n                name: label.clone(),\n                source,\n            };",
            replace: "let error = failed(source, Outcome::RolledBack);",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=12", "--faults=cut-after-commit"],
            rules: "accounted",
        },
    },
    Sabotage {
        name: "no-reload",
        removed: "the closure gets the copy that the caller had",
        edits: &[Edit {
            file: "src/reload.rs",
            find: "lock.reentrant && in_use::contains(model, conn, lock.key.as_ref())",
            replace: "lock.reentrant || !lock.reentrant || in_use::contains(model, conn, lock.key.as_ref())",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=6", "--faults=none"],
            rules: "accounted",
        },
    },
    Sabotage {
        name: "reload-when-nested",
        removed: "a nested call reloads the model that its closure works on, over what was not saved yet",
        edits: &[Edit {
            file: "src/reload.rs",
            find: "lock.reentrant && in_use::contains(model, conn, lock.key.as_ref())",
            replace: "lock.reentrant && !lock.reentrant && in_use::contains(model, conn, lock.key.as_ref())",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=6", "--faults=none"],
            rules: "accounted",
        },
    },
    Sabotage {
        name: "nested-copy-not-reloaded",
        removed: "a nested call does not reload a copy of the model either",
        edits: &[Edit {
            file: "src/reload.rs",
            find: "lock.reentrant && in_use::contains(model, conn, lock.key.as_ref())",
            replace: "lock.reentrant || in_use::contains(model, conn, lock.key.as_ref())",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=8", "--faults=none"],
            rules: "accounted",
        },
    },
    Sabotage {
        name: "no-key-check",
        removed: "a row with another lock name than the model is worked on all the same",
        edits: &[Edit {
            file: "src/reload.rs",
            find: "if name != *requested {",
            replace: "if name != *requested && name == *requested {",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=8", "--faults=misspelled"],
            rules: "reported",
        },
    },
    Sabotage {
        name: "open-transaction",
        removed: "a lock inside of an open transaction of Diesel's is granted",
        edits: &[Edit {
            file: "src/session_lock/acquire.rs",
            find: "            context: before.context(),",
            replace: "            context: crate::transaction::TransactionContext::TestTransaction,",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=6", "--faults=none"],
            rules: "reported",
        },
    },
    Sabotage {
        name: "session-settings",
        removed: "it does not look at `autocommit` and `completion_type`",
        edits: &[Edit {
            file: "src/backend/mysql/session_checks.rs",
            find: "\"WHEN @@autocommit <> 1 THEN -3 WHEN @@completion_type <> 'NO_CHAIN' THEN -4 \"",
            replace: "\"WHEN FALSE THEN 0 \"",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=8", "--faults=settings"],
            rules: "reported",
        },
    },
    Sabotage {
        name: "open-transaction-at-release",
        removed: "a release does not look for a transaction that Diesel does not see",
        edits: &[Edit {
            file: "src/backend/mysql/release.rs",
            find: "for_context!(context, Context => {\n        driver.load_one(LockQuery::<Release, Context>",
            replace: "for_context!(TransactionContext::Transaction, Context => {\n        driver.load_one(LockQuery::<Release, Context>",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=12", "--faults=settings"],
            rules: "reported",
        },
    },
    Sabotage {
        name: "raw-begin",
        removed: "it does not look for a transaction that raw SQL has begun, where the server tells",
        edits: &[Edit {
            file: "src/backend/mysql/session_checks.rs",
            find: "\"/*M! WHEN @@in_transaction THEN -5 */ \"",
            replace: "\"/*M! WHEN FALSE THEN -5 */ \"",
        }],
        noticed_by: Detector::Case {
            filter: "session_state::transaction_by_raw_sql_is_refused",
            only: Some(ServerKind::Mariadb),
        },
    },
    Sabotage {
        name: "no-roll-back",
        removed: "what a body leaves open is not rolled back, neither before the release nor where the release finds it",
        edits: &[
            Edit {
                file: "src/session_lock/end.rs",
                find: "Ok(_) => match transaction::roll_back_to(conn, before).await {",
                replace: "Ok(_) => match Ok(before.since(before) > 0) {",
            },
            Edit {
                file: "src/backend/mysql/release.rs",
                find: "for_context!(context, Context => {\n        driver.load_one(LockQuery::<Release, Context>",
                replace: "for_context!(TransactionContext::Transaction, Context => {\n        driver.load_one(LockQuery::<Release, Context>",
            },
        ],
        noticed_by: Detector::StressTest {
            options: &["--seconds=6", "--faults=none"],
            rules: "reported",
        },
    },
    Sabotage {
        name: "no-confirmation",
        removed: "it does not look at what RELEASE_LOCK says",
        edits: &[Edit {
            file: "src/session_lock/end.rs",
            find: "ReleaseAnswer::NotHeld => Err(None),",
            replace: "ReleaseAnswer::NotHeld => Ok(LockState::Free),",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=12", "--faults=theft"],
            rules: "reported",
        },
    },
    Sabotage {
        name: "swallowed-loss",
        removed: "a release that fails is not reported",
        edits: &[Edit {
            file: "src/session_lock/end.rs",
            find: "ReleaseAnswer::Failed(error) => Err(Some(error)),",
            replace: "ReleaseAnswer::Failed(error) => {\n                drop(error);\n                Ok(LockState::Free)\n            }",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=15", "--faults=kill-holder,cut-all"],
            rules: "reported",
        },
    },
    Sabotage {
        name: "kept-after-loss",
        removed: "a connection whose lock was lost is not marked as broken",
        edits: &[Edit {
            file: "src/session_lock/end.rs",
            find: "            Err(source) => {\n                discard = true;\n                Some(LockError::Lost {",
            replace: "            Err(source) => {\n                Some(LockError::Lost {",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=8", "--faults=theft"],
            rules: "nothing-left",
        },
    },
    Sabotage {
        name: "session-not-ended",
        removed: "a session whose release is not confirmed is not ended",
        edits: &[Edit {
            file: "src/session_lock/end.rs",
            find: "        C::Server::end_session(conn).await;\n",
            replace: "        C::Server::discard(conn).await;\n",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=25", "--faults=leak,storm"],
            rules: "prompt",
        },
    },
    Sabotage {
        name: "still-held",
        removed: "it does not notice that a lock is still held after its release",
        edits: &[Edit {
            file: "src/session_lock/end.rs",
            find: "                telemetry::still_held(&lock.name);\n                discard = true;\n",
            replace: "                telemetry::still_held(&lock.name);\n",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=8", "--faults=leak"],
            rules: "nothing-left,prompt",
        },
    },
    Sabotage {
        name: "unguarded-acquire",
        removed: "a panic while a lock is acquired leaves it behind",
        edits: &[
            Edit {
                file: "src/held_locks.rs",
                find: "        let mut armed = Armed::new(conn);\n        let conn = armed.conn();\n        let acquired =",
                replace: "        let acquired =",
            },
            Edit {
                file: "src/held_locks.rs",
                find: "        armed.disarm();\n        acquired\n",
                replace: "        acquired\n",
            },
        ],
        noticed_by: Detector::StressTest {
            options: &["--seconds=15", "--faults=panic"],
            rules: "nothing-left",
        },
    },
    Sabotage {
        name: "forgetful-guard",
        removed: "a guard that is dropped does not release, as in a panic",
        edits: &[
            Edit {
                file: "src/guard/borrowed.rs",
                find: "if !self.ended {",
                replace: "if !self.ended && self.ended {",
            },
            Edit {
                file: "src/pool/guard.rs",
                find: "        drop(without_second_panic(|| self.end_once()));\n",
                replace: "",
            },
            Edit {
                file: "src/pool/handoff.rs",
                find: "if !self.ended {",
                replace: "if !self.ended && self.ended {",
            },
        ],
        noticed_by: Detector::StressTest {
            options: &["--seconds=8", "--faults=panic"],
            rules: "nothing-left",
        },
    },
    Sabotage {
        name: "endless-wait",
        removed: "the server is told to wait for a minute longer than asked",
        edits: &[Edit {
            file: "src/deadline.rs",
            find: "Wait::For(wait) => Wait::For(wait.saturating_sub(self.requested.elapsed())),",
            replace: "Wait::For(wait) => Wait::For(Duration::from_secs(60) + wait),",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=20", "--faults=worker-stop"],
            rules: "prompt",
        },
    },
    Sabotage {
        name: "impatience",
        removed: "the server is told to wait for half as long as asked",
        edits: &[Edit {
            file: "src/deadline.rs",
            find: "Wait::For(wait) => Wait::For(wait.saturating_sub(self.requested.elapsed())),",
            replace: "Wait::For(wait) => Wait::For(wait / 2),",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=8", "--faults=worker-stop"],
            rules: "prompt",
        },
    },
    Sabotage {
        name: "any-order",
        removed: "several locks are taken in the order they are given in",
        edits: &[Edit {
            file: "src/held_locks.rs",
            find: "        let mut order: Vec<usize> = (0..names.len()).collect();\n        order.sort_by(|&one, &other| keys[one].cmp(&keys[other]));\n",
            replace: "        let order: Vec<usize> = (0..names.len()).collect();\n",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=8", "--faults=none"],
            rules: "reported",
        },
    },
    Sabotage {
        name: "unasked-handoff",
        removed: "a lock is handed off in the process without asking which session holds it",
        edits: &[Edit {
            file: "src/pool/handoff.rs",
            find: "Progress::Plain | Progress::Begun => SessionLock::are_fit_for_next(locks, conn).await,",
            replace: "Progress::Plain | Progress::Begun => true,",
        }],
        noticed_by: Detector::StressTest {
            options: &[
                "--seconds=30",
                "--faults=theft",
                "--processes=1",
                "--threads=30",
            ],
            rules: "reported",
        },
    },
    Sabotage {
        name: "handoff-of-another-set",
        removed: "a set of locks is handed off to a request for a set that only begins with the same lock",
        edits: &[Edit {
            file: "src/pool/wait_queue.rs",
            find: "Accepts::HandoffOfSet(accepted) => set == &**accepted,",
            replace: "Accepts::HandoffOfSet(accepted) => set.first() == accepted.first(),",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=8", "--faults=none"],
            rules: "reported",
        },
    },
    Sabotage {
        name: "schema-change",
        removed: "a session whose schema has changed is handed off with its lock",
        edits: &[Edit {
            file: "src/backend/mysql/release.rs",
            find: "            \" IS NULL OR \",\n            namespace::is_known!(),\n",
            replace: "            \" IS NULL OR TRUE OR \",\n            namespace::is_known!(),\n",
        }],
        noticed_by: Detector::Case {
            filter: "session_state::session_in_another_schema_is_not_handed_off",
            only: None,
        },
    },
    Sabotage {
        name: "stale-namespace",
        removed: "a session's namespace is not computed anew when its schema changes",
        edits: &[Edit {
            file: "src/backend/mysql/namespace.rs",
            find: "IS NOT NULL AND @diesel_advisory_lock_schema <=> DATABASE())\"",
            replace: "IS NOT NULL)\"",
        }],
        noticed_by: Detector::Case {
            filter: "session_state::changed_schema_changes_the_lock",
            only: None,
        },
    },
    Sabotage {
        name: "lost-wake-up",
        removed: "a request that gets the permit in the process is not woken",
        edits: &[Edit {
            file: "src/pool/wait_queue.rs",
            find: "        drop(lists);\n        wake(first);\n",
            replace: "        drop(lists);\n        drop(first);\n",
        }],
        noticed_by: Detector::StressTest {
            options: &["--seconds=15", "--faults=none", "--processes=1"],
            rules: "prompt",
        },
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::ALL;
    use crate::cargo::workspace;

    /// What a sabotage removes is there, so that nobody has to build it all to see it move.
    #[test]
    fn every_protection_is_where_the_list_says() {
        for sabotage in ALL {
            for edit in sabotage.edits {
                let text = fs::read_to_string(workspace().join(edit.file)).expect(edit.file);
                let spoilt = edit.applied(&text).expect(sabotage.name);
                assert_ne!(spoilt, text, "{}", sabotage.name);
            }
        }
    }

    #[test]
    fn every_sabotage_has_a_name_of_its_own() {
        let names: HashSet<_> = ALL.iter().map(|sabotage| sabotage.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
