//! The project's commands. `cargo xtask --help` lists them.

mod cargo;
mod ci;
mod copy;
mod cycles;
mod install;
mod options;
mod program;
mod publish;
mod sabotage;
mod step;
mod test;
mod tools;

use std::process::ExitCode;

use clap::Parser;
use test_server::ServerKind;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The project's commands")]
enum Task {
    /// Let many processes race to send the same mails: each goes out exactly once
    Demo(options::demo::Cli),

    /// Measure the library on this machine
    Bench(options::bench::Options),

    /// Run the stress test: lock from many processes, inject faults, and check the history
    Stress(options::stress::Cli),

    /// Take each protection out of a copy of the library, and see that the stress test or a test notices
    Sabotage {
        /// The server: mariadb or mysql
        #[arg(long, value_name = "KIND", default_value = "mariadb")]
        server: ServerKind,

        /// Only this one. May be given more than once
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },

    /// Install what the tests need, build them, and run them
    #[command(after_help = TEST_EXAMPLES)]
    Test {
        /// The private server to start: mariadb or mysql. May be given twice [default: mariadb, or
        /// none if DATABASE_URL is set: then the tests run on that server]
        #[arg(long = "server", value_name = "KIND")]
        servers: Vec<ServerKind>,

        /// Passed on to `cargo test`: the names of tests, or parts of them, and its options [default:
        /// all tests]
        #[arg(last = true)]
        arguments: Vec<String>,
    },

    /// Install what the other commands need, and do nothing else
    Setup {
        /// The server to install: mariadb or mysql. May be given twice [default: mariadb]
        #[arg(long = "server", value_name = "KIND")]
        servers: Vec<ServerKind>,
    },

    /// Run every check of a release: the next seven commands
    Release,

    /// Build both crates from what would be uploaded, and from nothing else
    Package,

    /// Compile the library with every set of its features
    Features,

    /// Compile the library with the oldest versions that it allows
    Minimal,

    /// Look at the licences and sources of what a user compiles, and for packages in two versions
    Deny {
        /// For known vulnerabilities, too, whose list is fetched from elsewhere than the registry
        #[arg(long)]
        advisories: bool,
    },

    /// Look for misspelt words
    Typos,

    /// Compare the public interface with docs/public-api.txt, and look for items without an example
    Api {
        /// Write what is there now
        #[arg(long)]
        bless: bool,
    },

    /// Compare the public interface with the last release's, by the rules of semantic versioning
    Semver,

    /// Look for import cycles between the modules of the library
    Cycles,

    /// Run every check that a change has to pass
    Ci,
}

/// A case of `tests/suite/` or `tests/mysql/` is a test for each kind of server, whose name ends with
/// the kind's.
const TEST_EXAMPLES: &str = "\
Examples:
  cargo xtask test                                              All tests, on MariaDB
  cargo xtask test --server mysql -- --test mysql               All cases on MySQL
  cargo xtask test -- --test mysql killing_the_holder           The cases with this in their names
  cargo xtask test --server mariadb --server mysql -- --test mysql killing_the_holder
                                                                The same on both servers

Once the servers are installed, cargo does as well:
  cargo test --test mysql killing_the_holder_returns_lost       One case, on both servers
  cargo test --test mysql -- ::mariadb                          All cases on MariaDB";

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Demo(options) => program::run(&program::DEMO, options.race.server),
        Task::Bench(options) => program::run(&program::BENCH, options.server),
        Task::Stress(options) => program::run(&program::STRESS, options.run.server),
        Task::Sabotage { server, only } => sabotage::run(server, &only),
        Task::Test { servers, arguments } => test::run(&servers, &arguments),
        Task::Setup { servers } => install::setup(&servers),
        Task::Release => publish::release(),
        Task::Package => publish::package(),
        Task::Features => publish::features(publish::Sets::All),
        Task::Minimal => publish::minimal(),
        Task::Deny { advisories } => publish::deny(advisories),
        Task::Typos => publish::typos(),
        Task::Api { bless } => publish::api(bless),
        Task::Semver => publish::semver(),
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
