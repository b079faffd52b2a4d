//! What the selected tests need on the machine.

use crate::install::Need;

/// Test programs that need no server.
const WITHOUT_SERVER: [&str; 16] = [
    "diesel_advisory_lock",
    "diesel_advisory_lock_async",
    "diesel_lock",
    "fuzz_checks",
    "generated_inputs",
    "help",
    "histories",
    "lock_names",
    "model",
    "packages",
    "public_api",
    "wait_queue_loom",
    "server_test",
    "stress_check",
    "wait_queue",
    "xtask",
];

/// A test that `cargo test -- --list` reports.
#[derive(Debug, PartialEq)]
pub(super) struct Test {
    program: String,
    name: String,
}

impl Test {
    /// Stands for the examples in the documentation.
    pub(super) fn of_documentation() -> Self {
        let program = "rustdoc".to_owned();
        let name = String::new();
        Self { program, name }
    }
}

/// Reads cargo's messages together with the lists that the test programs print.
pub(super) fn parse_list(output: &str) -> Vec<Test> {
    let mut program = String::new();
    let mut tests = Vec::new();
    for line in output.lines() {
        // `Running tests/mysql/main.rs (target/debug/deps/mysql-0f1e2d3c)`
        if let Some(running) = line.trim_start().strip_prefix("Running ") {
            let file = running.rsplit(['/', '(']).next().unwrap_or_default();
            program = file.split('-').next().unwrap_or_default().to_owned();
        } else if let Some(name) = line.strip_suffix(": test") {
            let (program, name) = (program.clone(), name.to_owned());
            tests.push(Test { program, name });
        }
    }
    tests
}

/// Returns those of `all` that the tests need.
pub(super) fn of_tests(mut all: Vec<Need>, tests: &[Test]) -> Vec<Need> {
    let any = |needs: fn(&Test) -> bool| tests.iter().any(needs);
    all.retain(|need| match need {
        // The tests are linked to them.
        Need::MysqlLibrary | Need::PostgresLibrary => true,
        Need::Server(_) => any(|test| !WITHOUT_SERVER.contains(&&*test.program)),
        Need::Galera => any(|test| {
            test.name.contains("::galera_") && test.name.ends_with("::mariadb_own_server")
        }),
        Need::PgBouncer => any(|test| test.name.contains("pgbouncer::")),
        Need::Valgrind => any(|test| test.program == "guard"),
        Need::Python => any(|test| test.program == "lock_names"),
    });
    all
}

#[cfg(test)]
mod tests {
    use std::fs;

    use test_server::ServerKind;

    use super::*;
    use crate::cargo::workspace;

    const LIST: &str = "    Finished `test` profile [unoptimized] target(s) in 0.31s
     Running unittests src/lib.rs (target/debug/deps/diesel_advisory_lock-0f1e2d3c)
table::tests::name_is_read: test

1 test, 0 benchmarks
     Running tests/mysql/main.rs (/elsewhere/debug/deps/mysql-0f1e2d3c)
clusters::galera_is_refused::mariadb_own_server: test
";

    fn needs(program: &str, name: &str) -> Vec<Need> {
        let (program, name) = (program.to_owned(), name.to_owned());
        of_tests(Need::all(&[ServerKind::Mariadb]), &[Test { program, name }])
    }

    #[test]
    fn list_is_read_with_the_programs() {
        let tests: Vec<_> = parse_list(LIST)
            .into_iter()
            .map(|test| (test.program, test.name))
            .collect();
        let expected = [
            ("diesel_advisory_lock", "table::tests::name_is_read"),
            ("mysql", "clusters::galera_is_refused::mariadb_own_server"),
        ];
        assert_eq!(tests, expected.map(|(p, n)| (p.to_owned(), n.to_owned())));
    }

    #[test]
    fn tests_need_only_what_they_use() {
        let library = Need::MysqlLibrary;
        let server = Need::Server(ServerKind::Mariadb);
        assert_eq!(needs("lock_names", "golden"), [library, Need::Python]);
        assert_eq!(needs("mysql", "reload::mariadb_server"), [library, server]);
        assert_eq!(
            needs("mysql", "clusters::galera_is_refused::mariadb_own_server"),
            [library, server, Need::Galera]
        );
        assert_eq!(
            needs("guard", "names_take"),
            [library, Need::Valgrind, server]
        );
        let name = "pgbouncer::lock_is_lost::postgres_server".to_owned();
        let program = "postgres".to_owned();
        assert_eq!(
            of_tests(
                Need::all(&[ServerKind::Postgres]),
                &[Test { program, name }]
            ),
            [
                library,
                Need::PostgresLibrary,
                Need::Server(ServerKind::Postgres),
                Need::PgBouncer
            ]
        );
        let all = Need::all(&[ServerKind::Mariadb]);
        assert_eq!(of_tests(all.clone(), &[]), [library]);
        assert_eq!(
            of_tests(all, &[Test::of_documentation()]),
            [library, server]
        );
    }

    #[test]
    fn program_without_server_does_not_use_the_test_server() {
        let directories = ["tests", "xtask/tests"].map(|path| workspace().join(path));
        let files = WITHOUT_SERVER.iter().flat_map(|program| {
            directories
                .each_ref()
                .map(|path| path.join(format!("{program}.rs")))
        });
        let texts: Vec<_> = files
            .filter_map(|file| fs::read_to_string(file).ok())
            .collect();
        assert_eq!(texts.len(), 6, "tests have been renamed");
        for text in texts {
            assert!(!text.contains("test_server"), "{text}");
        }
    }

    #[test]
    fn cases_with_pgbouncer_are_in_a_module_of_this_name() {
        let directories = ["tests/suite", "tests/postgres", "test-server/tests/servers"];
        let entries = directories.map(|path| fs::read_dir(workspace().join(path)));
        let files: Vec<_> = entries
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| {
                fs::read_to_string(file).is_ok_and(|text| text.contains("PgBouncer::start("))
            })
            .collect();
        assert!(!files.is_empty(), "PgBouncer::start has been renamed");
        for file in files {
            assert!(file.ends_with("pgbouncer.rs"), "{}", file.display());
        }
    }

    #[test]
    fn the_case_that_starts_a_cluster_is_named_after_it() {
        let file = workspace().join("tests/mysql/clusters.rs");
        let text = fs::read_to_string(file).expect("the cases about clusters");
        let (before, _) = text.split_once("Galera::start").expect("a cluster");
        let (_, case) = before.rsplit_once("\nfn ").expect("a case");
        assert!(case.starts_with("galera_"), "{case}");
    }
}
