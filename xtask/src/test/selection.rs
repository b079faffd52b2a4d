//! Which tests the arguments of `cargo test` select. When in doubt, a test is selected.

use clap::{Arg, ArgAction, ArgMatches, Command};

/// Flags of cargo that change nothing here.
const IRRELEVANT_FLAGS: [&str; 9] = [
    "all-features",
    "frozen",
    "ignore-rust-version",
    "keep-going",
    "locked",
    "no-default-features",
    "no-fail-fast",
    "offline",
    "unit-graph",
];

/// Options of cargo that change nothing here. Their values must not be taken for names of tests.
const IRRELEVANT_VALUES: [&str; 6] = [
    "color",
    "config",
    "message-format",
    "profile",
    "target",
    "target-dir",
];

/// Flags that select kinds of targets, without those of `tests/`.
const OTHER_TARGETS: [&str; 5] = ["benches", "bins", "doc", "examples", "lib"];

/// Options that select one target, none of `tests/`.
const OTHER_TARGET: [&str; 3] = ["bench", "bin", "example"];

/// The tests that a command line of `cargo test` runs.
#[derive(Debug)]
pub(super) struct Selection {
    /// Not so with `--no-run`, `--list` and `--help`.
    runs_tests: bool,
    /// All packages if empty.
    packages: Vec<String>,
    excluded_packages: Vec<String>,
    /// The names given to `--test`; `None` if every target of `tests/` is selected.
    targets: Option<Vec<String>>,
    /// Only `--test` selects targets.
    only_test_targets: bool,
    /// A test has to match one of them, unless there are none.
    filters: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
}

impl Selection {
    /// `None` if one of the arguments is unknown here.
    pub(super) fn parse(arguments: &[String]) -> Option<Self> {
        let cargo = cargo_test().try_get_matches_from(arguments).ok()?;
        let harness = values(&cargo, "harness");
        let harness = test_harness().try_get_matches_from(harness).ok()?;

        let any = |flags: &[&str]| flags.iter().any(|flag| cargo.get_flag(flag));
        let targets = values(&cargo, "test");
        let selects_others = any(&OTHER_TARGETS)
            || OTHER_TARGET
                .iter()
                .any(|option| !values(&cargo, option).is_empty());
        let selects_all = any(&["all-targets", "tests"]) || (targets.is_empty() && !selects_others);
        let mut filters = values(&cargo, "filter");
        filters.extend(values(&harness, "filter"));
        Some(Self {
            runs_tests: !any(&["help", "no-run"])
                && !harness.get_flag("help")
                && !harness.get_flag("list"),
            packages: values(&cargo, "package"),
            excluded_packages: values(&cargo, "exclude"),
            targets: (!selects_all).then_some(targets),
            only_test_targets: !selects_all && !selects_others,
            filters,
            skipped: values(&harness, "skip"),
            exact: harness.get_flag("exact"),
        })
    }

    pub(super) fn runs_tests(&self) -> bool {
        self.runs_tests
    }

    /// The names given to `--package`. None stand for the whole workspace.
    pub(super) fn packages(&self) -> &[String] {
        &self.packages
    }

    /// The names given to `--test`, if nothing else selects targets.
    pub(super) fn only_targets(&self) -> Option<&[String]> {
        self.targets.as_deref().filter(|_| self.only_test_targets)
    }

    /// Whether a target of `tests/` is selected.
    pub(super) fn includes_target(&self, package: &str, target: &str) -> bool {
        let is_excluded = self.excluded_packages.iter().any(|name| name == package);
        let is_among = |names: &[String], name| names.iter().any(|one| may_mean(one, name));
        !is_excluded
            && (self.packages.is_empty() || is_among(&self.packages, package))
            && self
                .targets
                .as_ref()
                .is_none_or(|targets| is_among(targets, target))
    }

    /// Whether the filters, by the rules of Rust's test harness, let a test of this full name run.
    pub(super) fn matches_name(&self, name: &str) -> bool {
        let matches = |filter: &String| {
            if self.exact {
                filter == name
            } else {
                name.contains(filter)
            }
        };
        (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skipped.iter().any(matches)
    }
}

/// Whether cargo may understand `given` as `name`: patterns and package specifications may.
fn may_mean(given: &str, name: &str) -> bool {
    given == name || given.contains(['*', '?', '[', '@', ':', '/', '#'])
}

fn values(matches: &ArgMatches, name: &str) -> Vec<String> {
    let values = matches.get_many::<String>(name);
    values
        .map(|values| values.cloned().collect())
        .unwrap_or_default()
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn value(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::Append)
}

fn command(name: &'static str) -> Command {
    Command::new(name)
        .no_binary_name(true)
        .disable_help_flag(true)
        .arg(flag("help").short('h'))
        .arg(flag("quiet").short('q'))
}

fn cargo_test() -> Command {
    command("cargo test")
        .args(IRRELEVANT_FLAGS.map(flag))
        .args(OTHER_TARGETS.map(flag))
        .args(["all-targets", "no-run", "tests"].map(flag))
        .arg(flag("release").short('r'))
        .arg(flag("verbose").short('v').action(ArgAction::Count))
        .args(IRRELEVANT_VALUES.map(value))
        .args(OTHER_TARGET.map(value))
        .args(["exclude", "test"].map(value))
        .arg(value("features").short('F'))
        .arg(value("jobs").short('j'))
        .arg(value("package").short('p'))
        .arg(Arg::new("filter"))
        .arg(Arg::new("harness").last(true).num_args(..))
}

fn test_harness() -> Command {
    command("test harness")
        .args(["exact", "ignored", "include-ignored", "list"].map(flag))
        .args(["nocapture", "no-capture", "show-output", "test"].map(flag))
        .args(["color", "format", "logfile", "skip", "test-threads"].map(value))
        .arg(Arg::new("filter").num_args(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Selection> {
        let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Selection::parse(&arguments)
    }

    #[track_caller]
    fn selection(line: &str) -> Selection {
        parse(line).unwrap_or_else(|| panic!("`{line}` is not understood"))
    }

    #[track_caller]
    fn matches(line: &str) -> bool {
        selection(line).matches_name("suite::stale::row_is_reloaded::mariadb_server")
    }

    #[track_caller]
    fn includes(line: &str) -> bool {
        selection(line).includes_target("library", "mysql")
    }

    #[test]
    fn without_arguments_every_test_is_selected() {
        assert!(matches("") && includes(""));
        assert!(selection("").runs_tests());
        assert_eq!(selection("").only_targets(), None);
    }

    #[test]
    fn a_filter_matches_a_part_of_the_name() {
        assert!(matches("stale") && matches("::mariadb") && matches("e::sta"));
        assert!(!matches("clusters") && !matches("::mysql"));
    }

    #[test]
    fn one_of_several_filters_suffices() {
        assert!(matches("clusters -- stale") && matches("-- clusters stale"));
        assert!(!matches("clusters -- waits"));
    }

    #[test]
    fn exact_filters_match_the_whole_name() {
        assert!(!matches("stale -- --exact"));
        assert!(matches(
            "suite::stale::row_is_reloaded::mariadb_server -- --exact"
        ));
        assert!(matches("-- --exact --skip stale"));
    }

    #[test]
    fn skipped_names_are_not_selected() {
        assert!(!matches("-- --skip stale") && !matches("mariadb -- --skip=reloaded"));
        assert!(matches("-- --skip clusters"));
        assert!(!matches(
            "-- --exact --skip suite::stale::row_is_reloaded::mariadb_server"
        ));
    }

    #[test]
    fn values_of_options_are_no_filters() {
        for line in [
            "-j 2 --features uuid --profile dev",
            "--package library --test mysql",
            "-- --test-threads 1 --format pretty --nocapture",
            "-qv --release --no-fail-fast -- -q",
        ] {
            assert!(matches(line) && includes(line), "{line}");
            assert!(!matches(&format!("waits {line}")), "{line}");
        }
    }

    #[test]
    fn test_selects_a_target_by_name() {
        assert!(includes("--test mysql") && includes("--test=queue --test mysql"));
        assert!(!includes("--test queue"));
        assert_eq!(
            selection("--test queue").only_targets(),
            Some(&["queue".to_owned()][..])
        );
    }

    #[test]
    fn a_pattern_may_mean_any_target_or_package() {
        assert!(includes("--test my*") && includes("--test q?eue"));
        assert!(includes("--package lib*") && includes("-p library@0.1.0"));
    }

    #[test]
    fn other_targets_exclude_those_of_the_tests_directory() {
        for other in ["--lib", "--bins", "--doc", "--example locks", "--bench one"] {
            assert!(!includes(other), "{other}");
            assert!(includes(&format!("{other} --test mysql")), "{other}");
            assert_eq!(selection(other).only_targets(), None, "{other}");
        }
        assert!(includes("--lib --tests") && includes("--all-targets"));
        assert_eq!(selection("--tests --test queue").only_targets(), None);
    }

    #[test]
    fn packages_are_selected_and_excluded_by_name() {
        assert!(includes("-p library") && includes("--package=other -p library"));
        assert!(!includes("-p other") && !includes("--exclude library"));
        assert!(includes("--exclude other"));
        assert_eq!(selection("-p one -p two").packages(), ["one", "two"]);
    }

    #[test]
    fn listing_and_building_run_no_test() {
        for line in ["--no-run", "--help", "-- --list", "stale -- --help"] {
            assert!(!selection(line).runs_tests(), "{line}");
        }
    }

    #[test]
    fn unknown_arguments_are_not_understood() {
        for line in ["--newly-invented stale", "one two", "-- --shuffled"] {
            assert!(parse(line).is_none(), "{line}");
        }
    }
}
