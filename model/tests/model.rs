//! Explores the standard scenarios, and finds a counter-example for each mutant.

use std::fs;

use model::checker::{counter_example, explore};
use model::config::{Config, Server};
use model::mutant::Mutant;
use model::rules::Rule;
use model::scenario::{self, Scenario};
use model::trace;
use stateright::Checker;

/// Explores all states. `least` is a floor: with far fewer states, the model no longer does what it
/// is meant to.
#[track_caller]
fn assert_sound(server: Server, least: usize) {
    let mut states = 0;
    for Scenario {
        name,
        config,
        situations,
    } in scenario::standard(server, 0)
    {
        let checker = explore(&config, situations, |_, _| {});
        for rule in Rule::ALL {
            if let Some(run) = checker.discovery(rule.text()) {
                let run = trace::readable(&config, &run);
                panic!("{name}: broken: {}\n{run}", rule.text());
            }
        }
        for situation in situations {
            let is_reached = checker.discovery(situation.text()).is_some();
            assert!(is_reached, "{name}: never: {}", situation.text());
        }
        states += checker.unique_state_count();
    }
    assert!(states > least, "only {states} states");
}

#[test]
fn no_run_on_mysql_breaks_a_rule() {
    assert_sound(Server::Mysql, 4_500_000);
}

#[test]
fn no_run_on_postgres_breaks_a_rule() {
    assert_sound(Server::Postgres, 5_000_000);
}

/// The mutants on the servers that have their protection.
fn mutants() -> impl Iterator<Item = (Mutant, &'static [Rule], Config)> {
    Mutant::ALL.iter().flat_map(|&mutant| {
        let servers = [Server::Mysql, Server::Postgres];
        let found = servers.map(|server| scenario::of_mutant(mutant, server));
        assert!(found.iter().any(Option::is_some), "{mutant:?}");
        let found = found.into_iter().flatten();
        found.map(move |(rules, config)| (mutant, rules, config))
    })
}

#[test]
fn each_mutant_breaks_its_rules() {
    for (mutant, rules, config) in mutants() {
        assert!(!rules.is_empty(), "{mutant:?}");
        for &rule in rules {
            let is_found = counter_example(&config, rule).is_some();
            let (server, rule) = (config.server, rule.text());
            assert!(is_found, "{mutant:?} on {server:?} does not break: {rule}");
        }
    }
}

#[test]
fn scenario_of_a_mutant_without_it_breaks_no_rule() {
    for (mutant, _, config) in mutants() {
        let config = Config {
            mutant: None,
            ..config
        };
        let checker = explore(&config, &[], |_, _| {});
        if let Some((rule, run)) = checker.discoveries().into_iter().next() {
            let (server, run) = (config.server, trace::readable(&config, &run));
            panic!("without {mutant:?} on {server:?}: broken: {rule}\n{run}");
        }
    }
}

#[test]
fn each_rule_is_broken_by_a_mutant() {
    let broken: Vec<Rule> = mutants().flat_map(|(_, rules, _)| rules.to_vec()).collect();
    for rule in Rule::ALL {
        assert!(broken.contains(rule), "{}", rule.text());
    }
}

#[test]
fn each_protection_is_in_the_library() {
    for mutant in Mutant::ALL {
        assert!(!mutant.protection().is_empty(), "{mutant:?}");
        for (file, word) in mutant.protection() {
            let path = format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"));
            let text = fs::read_to_string(path).expect(file);
            assert!(text.contains(word), "{mutant:?}: no {word:?} in {file}");
        }
    }
}

#[test]
fn counter_example_is_readable() {
    let found = scenario::of_mutant(Mutant::FailedWaitKeepsLock, Server::Postgres);
    let (rules, config) = found.expect("a scenario");
    let run = counter_example(&config, rules[0]).expect("a run");
    let expected = include_str!("counter_example.txt").trim_end();
    assert_eq!(trace::readable(&config, &run), expected);
}
