//! The project's commands. `cargo xtask --help` lists them.

mod cargo;
mod check_release;
mod ci;
mod cycles;
mod install;
mod mutants;
mod options;
mod program;
mod step;
mod test;
mod tools;

use std::process::ExitCode;

use clap::Parser;
use test_server::ServerKind;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The project's commands")]
enum Task {
    /// Let many processes race to send the same mails: each mail is sent exactly once
    Demo(options::demo::Cli),

    /// Let web requests race to move money between accounts, with diesel-async: no update is lost
    #[command(after_help = options::demo_async::ENVIRONMENT)]
    DemoAsync(options::demo_async::Demo),

    /// Measure the library on this machine
    Bench(options::bench::Options),

    /// Run the stress test: lock from many processes, inject faults, and check the history
    Stress(Box<options::stress::Cli>),

    /// Run mutation tests: change a copy of the library in one place at a time; a test must fail
    #[command(after_help = MUTANTS_EXAMPLES)]
    Mutants {
        /// The private server to start: mariadb, mysql, postgres or postgres18
        #[arg(long, value_name = "KIND", default_value = "mariadb")]
        server: ServerKind,

        /// Change the crate for diesel-async
        #[arg(long = "async")]
        of_async: bool,

        /// Arguments of `cargo mutants`
        #[arg(last = true)]
        arguments: Vec<String>,
    },

    /// Install what the tests need, build them, and run them
    #[command(after_help = TEST_EXAMPLES)]
    Test {
        /// The private server to start: mariadb, mysql, postgres or postgres18. May be given several
        /// times [default: mariadb, or none if DATABASE_URL is set: then the tests run on that
        /// server]
        #[arg(long = "server", value_name = "KIND")]
        servers: Vec<ServerKind>,

        /// Arguments of `cargo test`: names of tests, or parts of them, and its options [default:
        /// all tests]
        #[arg(last = true)]
        arguments: Vec<String>,
    },

    /// Install what the other commands need, and do nothing else
    Setup {
        /// The server to install: mariadb, mysql, postgres or postgres18. May be given several times
        /// [default: mariadb]
        #[arg(long = "server", value_name = "KIND")]
        servers: Vec<ServerKind>,
    },

    /// Run the checks before a release: packages, oldest versions, sets of features, interface
    CheckRelease,

    /// Compare the public interfaces with docs/public-api.txt and docs/public-api-async.txt
    Api {
        /// Write the current interface to the file
        #[arg(long)]
        bless: bool,
    },

    /// Look for import cycles between the modules of the library
    Cycles,

    /// Run every check that a change has to pass
    Ci,
}

/// A case of `tests/suite/`, `tests/mysql/` or `tests/postgres/` is one test for each kind of server, such as
/// `case::mariadb_server` or `case::mariadb_own_server`.
const TEST_EXAMPLES: &str = "\
Examples:
  cargo xtask test                                              All tests, on MariaDB
  cargo xtask test --server mysql -- --test mysql               All cases on MySQL
  cargo xtask test --server postgres -- --test postgres         All cases on PostgreSQL
  cargo xtask test -- --test mysql killing_the_holder           The cases with this in their names
  cargo xtask test --server mariadb --server mysql -- --test mysql killing_the_holder
                                                                The same cases on both servers

Once the servers are installed, cargo is enough:
  cargo test --test mysql killing_the_holder_returns_lost       One case, on both servers
  cargo test --test mysql -- ::mariadb                          All cases on MariaDB";

const MUTANTS_EXAMPLES: &str = "\
Examples:
  cargo xtask mutants -- --list                                 List all mutants
  cargo xtask mutants -- --re src/reload.rs                     Try the mutants of a file
  cargo xtask mutants -- --re is_in_use                         Try the mutants with this name
  cargo xtask mutants -- --shard 3/32                           Try one of 32 parts
  cargo xtask mutants --server postgres -- --re src/backend/postgres/wait.rs
                                                                Try mutants of that backend
  cargo xtask mutants --async -- --re guard.rs                  Try mutants of the async crate

Which files are changed: .cargo/mutants.toml, .cargo/mutants-async.toml. Results: target/mutants.out";

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Demo(options) => program::run(&program::DEMO, options.race.server),
        Task::DemoAsync(options) => program::run(&program::DEMO_ASYNC, options.service.server),
        Task::Bench(options) => program::run(&program::BENCH, options.server),
        Task::Stress(options) => program::run(&program::STRESS, options.run.server),
        Task::Mutants {
            server,
            of_async,
            arguments,
        } => mutants::run(server, of_async, &arguments),
        Task::Test { servers, arguments } => test::run(&servers, &arguments),
        Task::Setup { servers } => install::setup(&servers),
        Task::CheckRelease => check_release::run(),
        Task::Api { bless } => check_release::api(bless),
        Task::Cycles => cycles::check(),
        Task::Ci => ci::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
