//! `model`: explores the protocol, and prints counter-examples.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use comfy_table::{Table, presets};
use model::checker;
use model::config::{Config, Faults, Server};
use model::mutant::Mutant;
use model::rules::Rule;
use model::scenario;
use model::trace;
use stateright::Checker;

/// Explores every run of the protocol of diesel-advisory-lock
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Explore the standard scenarios
    Check {
        /// Only this server
        #[arg(long)]
        server: Option<Server>,
        /// Only scenarios with this in their name
        #[arg(long, default_value = "")]
        scenario: String,
        /// How many callers to add to the standard size
        #[arg(long, default_value_t = 0)]
        more_callers: usize,
        /// How many faults to add, of each kind that a scenario has
        #[arg(long, default_value_t = 0)]
        more_faults: u8,
        /// How many calls each caller makes after its last one, which is repeated
        #[arg(long, default_value_t = 0)]
        more_calls: usize,
    },
    /// Print the shortest run in which a mutant breaks its rule
    CounterExample {
        mutant: Mutant,
        #[arg(long)]
        server: Option<Server>,
    },
    /// List the mutants, the protections that they take out, and the rules that they break
    Mutants,
}

fn main() -> std::process::ExitCode {
    let is_sound = match Cli::parse().command {
        Command::Check {
            server,
            scenario,
            more_callers,
            more_faults,
            more_calls,
        } => check(
            &servers(server),
            &scenario,
            |config| more(config, more_faults, more_calls),
            more_callers,
        ),
        Command::CounterExample { mutant, server } => counter_example(mutant, &servers(server)),
        Command::Mutants => {
            mutants();
            true
        }
    };
    match is_sound {
        true => std::process::ExitCode::SUCCESS,
        false => std::process::ExitCode::FAILURE,
    }
}

fn servers(server: Option<Server>) -> Vec<Server> {
    server.map_or_else(|| Server::value_variants().to_vec(), |server| vec![server])
}

fn more(config: &mut Config, faults: u8, calls: usize) {
    let Faults {
        kills,
        interrupts,
        cuts,
        timeouts,
        drops,
    } = &mut config.faults;
    for budget in [kills, interrupts, cuts, timeouts, drops] {
        if *budget > 0 {
            *budget += faults;
        }
    }
    for caller in &mut config.callers {
        if let Some(&last) = caller.calls.last() {
            caller.calls.extend(vec![last; calls]);
        }
    }
}

/// Explores scenarios, and prints a table. Returns whether no rule is broken.
fn check(
    servers: &[Server],
    name: &str,
    change: impl Fn(&mut Config),
    more_callers: usize,
) -> bool {
    let mut table = new_table(&[
        "SERVER", "SCENARIO", "CALLERS", "CALLS", "STATES", "STEPS", "DEPTH", "SECONDS",
    ]);
    let mut is_sound = true;
    for &server in servers {
        for scenario in scenario::standard(server, more_callers) {
            if !scenario.name.contains(name) {
                continue;
            }
            let mut config = scenario.config;
            change(&mut config);
            let (callers, calls) = (config.callers.len(), config.callers.iter());
            let calls: usize = calls.map(|caller| caller.calls.len()).sum();
            let since = Instant::now();
            let last = std::cell::Cell::new(since);
            let checker = checker::explore(&config, scenario.situations, |steps, states| {
                if stderr().is_terminal() || last.get().elapsed() > Duration::from_secs(10) {
                    let at = since.elapsed().as_secs();
                    eprintln!(
                        "{server:?} {}: {states} states, {steps} steps, {at} s",
                        scenario.name
                    );
                    last.set(Instant::now());
                }
            });
            table.add_row([
                format!("{server:?}"),
                scenario.name.to_owned(),
                callers.to_string(),
                calls.to_string(),
                checker.unique_state_count().to_string(),
                checker.state_count().to_string(),
                checker.max_depth().to_string(),
                format!("{:.1}", since.elapsed().as_secs_f64()),
            ]);
            for rule in Rule::ALL {
                if let Some(run) = checker.discovery(rule.text()) {
                    is_sound = false;
                    println!("{server:?}, {}: broken: {}", scenario.name, rule.text());
                    println!("{}", trace::readable(&config, &run));
                }
            }
        }
    }
    println!("{}", table.trim_fmt());
    is_sound
}

fn counter_example(mutant: Mutant, servers: &[Server]) -> bool {
    let mut is_found = true;
    for &server in servers {
        let Some((rules, config)) = scenario::of_mutant(mutant, server) else {
            continue;
        };
        for &rule in rules {
            println!("{server:?}, {mutant:?}: broken: {}", rule.text());
            match checker::counter_example(&config, rule) {
                Some(run) => println!("{}\n", trace::readable(&config, &run)),
                None => {
                    println!("no counter-example\n");
                    is_found = false;
                }
            }
        }
    }
    is_found
}

fn mutants() {
    let mut table = new_table(&["MUTANT", "BREAKS", "PROTECTION"]);
    for &mutant in Mutant::ALL {
        let name = mutant.to_possible_value();
        let name = name.map_or_else(String::new, |name| name.get_name().to_owned());
        let found = Server::value_variants().iter();
        let mut found = found.filter_map(|&server| scenario::of_mutant(mutant, server));
        let (rules, _) = found
            .next()
            .unwrap_or_else(|| unreachable!("it is on a server"));
        let rules: Vec<_> = rules.iter().map(|rule| rule.text()).collect();
        let files: Vec<_> = mutant.protection().iter().map(|(file, _)| *file).collect();
        table.add_row([name, rules.join("\n"), files.join("\n")]);
    }
    println!("{}", table.trim_fmt());
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}
