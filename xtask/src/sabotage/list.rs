//! What can be taken out, and which rule must be broken then.

/// A protection that is removed.
pub(crate) struct Sabotage {
    pub(super) name: &'static str,
    /// What the library does not do any more.
    pub(super) removed: &'static str,
    pub(super) edits: &'static [Edit],
    /// For the torture.
    pub(super) options: &'static [&'static str],
    /// Of which one must be broken, as `torture-check --expect` takes them.
    pub(super) rules: &'static str,
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
        options: &["--seconds=6", "--faults=none"],
        rules: "exclusive",
    },
    Sabotage {
        name: "private-names",
        removed: "each session has names of its own for the same locks",
        edits: &[
            Edit {
                file: "src/backend/mysql/namespace.rs",
                find: "= LEFT(SHA2(COALESCE(DATABASE(), ''), 256), 8), \"",
                replace: "= LEFT(SHA2(CONNECTION_ID(), 256), 8), \"",
            },
            Edit {
                file: "src/backend/mysql/namespace.rs",
                find: "CONV(LEFT(SHA2(COALESCE(DATABASE(), ''), 256), 8), 16, 10)",
                replace: "CONV(LEFT(SHA2(CONNECTION_ID(), 256), 8), 16, 10)",
            },
        ],
        options: &["--seconds=6", "--faults=none"],
        rules: "exclusive",
    },
    Sabotage {
        name: "release-before-commit",
        removed: "the lock ends before COMMIT",
        edits: &[Edit {
            file: "src/guard.rs",
            find: "    held.commit()?;\n    held.end(true)?;",
            replace: "    let (name, conn) = held.parts();\n    \
                      drop(crate::backend::sealed::Session::release(conn, &name.written(\"torture\")));\n    \
                      held.commit()?;\n    held.end(true)?;",
        }],
        options: &["--seconds=8", "--faults=none"],
        rules: "accounted",
    },
    Sabotage {
        name: "no-reload",
        removed: "the closure gets the copy that the caller had",
        edits: &[Edit {
            file: "src/held.rs",
            find: "        if self.is_nested() {",
            replace: "        if self.is_nested() || !self.is_nested() {",
        }],
        options: &["--seconds=6", "--faults=none"],
        rules: "accounted",
    },
    Sabotage {
        name: "reload-when-nested",
        removed: "a lock inside of itself reads the row again, over what was not saved yet",
        edits: &[Edit {
            file: "src/hold.rs",
            find: "            nested,\n            depth_before: depth,",
            replace: "            nested: false,\n            depth_before: depth,",
        }],
        options: &["--seconds=6", "--faults=none"],
        rules: "accounted",
    },
    Sabotage {
        name: "open-transaction",
        removed: "a lock inside of an open transaction is granted",
        edits: &[Edit {
            file: "src/hold.rs",
            find: "let only_again = depth > 0 && !transaction::is_test(conn, depth);",
            replace: "let only_again = false;",
        }],
        options: &["--seconds=6", "--faults=none"],
        rules: "reported",
    },
    Sabotage {
        name: "no-roll-back",
        removed: "what a body leaves open is not rolled back",
        edits: &[Edit {
            file: "src/hold.rs",
            find: "Ok(depth) if depth <= depth_before => Ok(Left::Nothing),",
            replace: "Ok(_) if depth_before <= depth_before => Ok(Left::Nothing),",
        }],
        options: &["--seconds=6", "--faults=none"],
        rules: "reported",
    },
    Sabotage {
        name: "no-confirmation",
        removed: "it does not look at what RELEASE_LOCK says",
        edits: &[Edit {
            file: "src/hold.rs",
            find: "Ok(false) => None,",
            replace: "Ok(false) => return Ok(()),",
        }],
        options: &["--seconds=8", "--faults=theft"],
        rules: "reported",
    },
    Sabotage {
        name: "swallowed-loss",
        removed: "a release that fails is not reported",
        edits: &[Edit {
            file: "src/hold.rs",
            find: "Err(error) => Some(error),\n        };\n        Err(lost",
            replace: "Err(_) => return Ok(()),\n        };\n        Err(lost",
        }],
        options: &["--seconds=15", "--faults=kill-holder,cut-all"],
        rules: "reported",
    },
    Sabotage {
        name: "kept-after-loss",
        removed: "a connection whose lock was lost is not marked as broken",
        edits: &[Edit {
            file: "src/hold.rs",
            find: ") -> LockError {\n    transaction::mark_broken(conn);",
            replace: ") -> LockError {\n    let _ = &conn;",
        }],
        options: &["--seconds=8", "--faults=theft"],
        rules: "nothing-left",
    },
    Sabotage {
        name: "forgetful-guard",
        removed: "a guard that is dropped does not release, as in a panic",
        edits: &[
            Edit {
                file: "src/held.rs",
                find: "if !self.ended {",
                replace: "if !self.ended && self.ended {",
            },
            Edit {
                file: "src/pool/held.rs",
                find: "        // Nobody is told but who watches; if it fails, the connection has been marked as broken.\n        \
                       drop(self.end_once(false));",
                replace: "",
            },
        ],
        options: &["--seconds=8", "--faults=panic"],
        rules: "nothing-left",
    },
    Sabotage {
        name: "endless-wait",
        removed: "the server is told to wait for a minute longer than asked",
        edits: &[Edit {
            file: "src/attempt.rs",
            find: "Wait::For(wait) => Wait::For(wait.saturating_sub(self.asked.elapsed())),",
            replace: "Wait::For(wait) => Wait::For(Duration::from_secs(60) + wait),",
        }],
        options: &["--seconds=20", "--faults=worker-stop"],
        rules: "prompt",
    },
    Sabotage {
        name: "impatience",
        removed: "the server is told to wait for half as long as asked",
        edits: &[Edit {
            file: "src/attempt.rs",
            find: "Wait::For(wait) => Wait::For(wait.saturating_sub(self.asked.elapsed())),",
            replace: "Wait::For(wait) => Wait::For(wait / 2),",
        }],
        options: &["--seconds=8", "--faults=worker-stop"],
        rules: "prompt",
    },
    Sabotage {
        name: "any-order",
        removed: "several locks are taken in the order they are given in",
        edits: &[Edit {
            file: "src/all/held.rs",
            find: "    order.sort_by_cached_key(|&item| names[item].written_in(&namespace));\n",
            replace: "",
        }],
        options: &["--seconds=8", "--faults=none"],
        rules: "reported",
    },
    Sabotage {
        name: "unasked-hand-over",
        removed: "a lock is handed on in the process without asking whose it is",
        edits: &[Edit {
            file: "src/pool/held.rs",
            find: "if !committed {",
            replace: "if !committed && committed {",
        }],
        options: &[
            "--seconds=30",
            "--faults=theft",
            "--processes=1",
            // So many that most locks of a pool have somebody waiting behind.
            "--threads=30",
        ],
        rules: "reported",
    },
    Sabotage {
        name: "lost-wake-up",
        removed: "who gets the turn in the process is not woken",
        edits: &[Edit {
            file: "src/pool/queue.rs",
            find: "            && let Some(woken) = self.end()\n        {\n            woken.notify_one();",
            replace: "            && let Some(woken) = self.end()\n        {\n            drop(woken);",
        }],
        options: &["--seconds=15", "--faults=none", "--processes=1"],
        rules: "prompt",
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
