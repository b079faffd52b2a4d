//! What the selected tests need on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::selection::Selection;
use crate::cargo::{LIBRARY, workspace};
use crate::install::Need;

/// Targets of `tests/` that need no server.
const WITHOUT_SERVER: [&str; 5] = ["help", "lock_names", "packages", "queue", "wait_queue"];

/// Packages that need no server.
const PACKAGES_WITHOUT_SERVER: [&str; 3] = ["server-test", "stress-check", "xtask"];

/// Tests that need more than a server: those whose code mentions it.
struct Special {
    need: Need,
    package: &'static str,
    target: &'static str,
    /// A file, or a directory whose files are modules.
    sources: &'static str,
    /// What the names of the tests have before their modules.
    prefix: &'static str,
    /// What they may have after the function's name.
    suffixes: &'static [&'static str],
    mention: &'static str,
}

/// These cases change their server, or start one.
const MARIADB: &[&str] = &["::mariadb_own_server"];

const SPECIAL: [Special; 6] = [
    Special {
        need: Need::Galera,
        package: LIBRARY,
        target: "mysql",
        sources: "tests/mysql",
        prefix: "",
        suffixes: MARIADB,
        mention: "Galera::start",
    },
    Special {
        need: Need::Plugin,
        package: LIBRARY,
        target: "mysql",
        sources: "tests/suite",
        prefix: "suite::",
        suffixes: MARIADB,
        mention: "make_locks_visible(",
    },
    Special {
        need: Need::Plugin,
        package: LIBRARY,
        target: "mysql",
        sources: "tests/mysql",
        prefix: "",
        suffixes: MARIADB,
        mention: "make_locks_visible(",
    },
    Special {
        need: Need::Plugin,
        package: LIBRARY,
        target: "mysql",
        sources: "tests/mysql",
        prefix: "",
        suffixes: MARIADB,
        mention: "'metadata_lock_info'",
    },
    Special {
        need: Need::Plugin,
        package: "locks",
        target: "output",
        sources: "examples/locks/tests/output.rs",
        prefix: "",
        suffixes: &[""],
        mention: "'metadata_lock_info'",
    },
    Special {
        need: Need::Valgrind,
        package: "instructions",
        target: "guard",
        sources: "benches/instructions/tests/guard.rs",
        prefix: "",
        suffixes: &[""],
        mention: "Counter::build",
    },
];

/// Those of `all` that the tests need. Without a selection, its arguments were not understood, and
/// any test may run.
pub(super) fn of_tests(all: Vec<Need>, selection: Option<&Selection>) -> Vec<Need> {
    let Some(selection) = selection else {
        return all;
    };
    let is_needed = |need: &Need| match need {
        // The tests are linked to it, and so are the examples.
        Need::ClientLibrary => true,
        Need::Server(_) => selection.runs_tests() && may_need_server(selection),
        Need::Plugin | Need::Galera | Need::Valgrind => any_needs(*need, selection),
    };
    all.into_iter().filter(is_needed).collect()
}

fn any_needs(need: Need, selection: &Selection) -> bool {
    let mut special = SPECIAL.iter().filter(|special| special.need == need);
    selection.runs_tests() && special.any(|special| special.is_selected(selection))
}

fn may_need_server(selection: &Selection) -> bool {
    let packages = selection.packages();
    let are_all_without = |names: &[String], without: &[&str]| {
        !names.is_empty() && names.iter().all(|name| without.contains(&name.as_str()))
    };
    !are_all_without(packages, &PACKAGES_WITHOUT_SERVER)
        && !selection
            .only_targets()
            .is_some_and(|targets| are_all_without(targets, &WITHOUT_SERVER))
}

impl Special {
    fn is_selected(&self, selection: &Selection) -> bool {
        if !selection.includes_target(self.package, self.target) {
            return false;
        }
        let tests = self.tests();
        // The sources are not as they were: any test may be the one.
        tests.is_empty() || tests.iter().any(|name| selection.matches_name(name))
    }

    /// The full names of the tests, and of functions that they call.
    fn tests(&self) -> Vec<String> {
        let sources = workspace().join(self.sources);
        let mut names = Vec::new();
        for file in rust_files(&sources) {
            let modules = modules(file.strip_prefix(&sources).unwrap_or(&file));
            let text = fs::read_to_string(&file).unwrap_or_default();
            let functions = functions_that_mention(&text, self.mention);
            for function in functions {
                let name = format!("{}{modules}{function}", self.prefix);
                names.extend(self.suffixes.iter().map(|suffix| format!("{name}{suffix}")));
            }
        }
        names
    }
}

/// The file itself, or those below the directory.
fn rust_files(path: &Path) -> Vec<PathBuf> {
    if let Ok(directory) = path.read_dir() {
        let mut entries: Vec<_> = directory.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        return entries.iter().flat_map(|entry| rust_files(entry)).collect();
    }
    let is_rust = path.extension().is_some_and(|extension| extension == "rs");
    Vec::from_iter(is_rust.then(|| path.to_owned()))
}

/// The path of a file as a path of modules: `locked/pooled.rs` is `locked::pooled::`.
fn modules(file: &Path) -> String {
    let modules = file.with_extension("");
    let modules = modules.iter().map(|module| module.to_string_lossy() + "::");
    modules.collect()
}

/// The functions of a file whose code contains the text, and those that call them.
fn functions_that_mention(text: &str, mention: &str) -> BTreeSet<String> {
    let text = text.replace("\npub(crate) fn ", "\nfn ");
    let mut functions: Vec<_> = text
        .split("\nfn ")
        .skip(1)
        .filter_map(|function| function.split_once(['(', '<']))
        .collect();
    let mut found = BTreeSet::new();
    loop {
        let before = functions.len();
        functions.retain(|(name, code)| {
            let calls = |called: &String| code.contains(&format!("{called}("));
            let mentions = code.contains(mention) || found.iter().any(calls);
            if mentions {
                found.insert((*name).to_owned());
            }
            !mentions
        });
        if functions.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_server::ServerKind;

    fn needs(line: &str) -> Vec<Need> {
        let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let all = Need::all(&[ServerKind::Mariadb]);
        let needs = of_tests(all, Selection::parse(&arguments).as_ref());
        assert!(needs.contains(&Need::ClientLibrary), "{line}");
        needs
    }

    #[track_caller]
    fn assert_needs(need: Need, with: &[&str], without: &[&str]) {
        for line in with {
            assert!(needs(line).contains(&need), "`{line}` needs {need:?}");
        }
        for line in without {
            assert!(!needs(line).contains(&need), "`{line}` needs no {need:?}");
        }
    }

    #[test]
    fn without_arguments_everything_is_needed() {
        for line in ["", "--workspace", "--newly-invented stale"] {
            assert_eq!(needs(line), Need::all(&[ServerKind::Mariadb]), "{line}");
        }
    }

    #[test]
    fn a_filter_that_matches_no_special_test_needs_the_server_alone() {
        let server = [Need::ClientLibrary, Need::Server(ServerKind::Mariadb)];
        assert_eq!(needs("--test mysql stale"), server);
        assert_eq!(needs("stale"), server);
    }

    #[test]
    fn galera_is_needed_by_the_cases_that_start_a_cluster() {
        assert_needs(
            Need::Galera,
            &["--test mysql", "clusters", "galera", "-- --skip stale"],
            &[
                "clusters::replica",
                "clusters::galera::mysql",
                "-- --skip clusters",
                "clusters -- --exact",
                "--test allocations",
                "--lib",
                "-p stress",
                "--no-run",
            ],
        );
    }

    #[test]
    fn the_plugin_is_needed_by_the_cases_that_look_at_locks() {
        assert_needs(
            Need::Plugin,
            &["inspect", "-p locks", "held_without_the_plugin"],
            &["clusters", "--test queue", "::mysql_own_server", "--lib"],
        );
    }

    #[test]
    fn valgrind_is_needed_by_the_tests_that_count_instructions() {
        assert_needs(
            Need::Valgrind,
            &["instructions", "--test guard", "-p instructions"],
            &["--test mysql", "-p diesel-advisory-lock", "stale"],
        );
    }

    #[test]
    fn a_server_is_needed_unless_every_target_does_without() {
        let server = Need::Server(ServerKind::Mariadb);
        assert_needs(
            server,
            &[
                "--lib",
                "--doc",
                "--test queue --test mysql",
                "-p xtask -p stress",
            ],
            &["--test lock_names", "-p xtask", "--no-run", "-- --list"],
        );
    }

    #[test]
    fn a_target_without_server_does_not_use_the_test_server() {
        for target in WITHOUT_SERVER {
            let directories = ["tests", "xtask/tests"].map(|path| workspace().join(path));
            let files = directories.map(|path| path.join(format!("{target}.rs")));
            let file = files.iter().find(|file| file.exists());
            let file = file.unwrap_or_else(|| panic!("no target {target}"));
            let text = fs::read_to_string(file).expect("its source");
            assert!(!text.contains("test_server"), "{target}");
        }
    }

    #[test]
    fn the_special_tests_are_found_in_the_sources() {
        for special in &SPECIAL {
            let tests = special.tests();
            assert!(!tests.is_empty(), "none mentions {}", special.mention);
        }
        let galera = SPECIAL[0].tests();
        assert_eq!(
            galera,
            ["clusters::galera_is_refused_because_each_node_grants_the_lock::mariadb_own_server"]
        );
    }

    #[test]
    fn a_function_that_calls_one_with_the_mention_is_found() {
        let text = "use a;\nfn one() { two(); }\npub(crate) fn two() { Galera::start(); }\nfn three() {}\n";
        let found = functions_that_mention(text, "Galera::start");
        assert_eq!(Vec::from_iter(found), ["one", "two"]);
    }
}
