//! Processes race to send the same mails, and each mail is sent exactly once.
//!
//! ```sh
//! cargo run --package notification                       # each mail once
//! cargo run --package notification -- --without-lock     # the same race without locks
//! ```
//!
//! Start with `notification.rs`: it has the model and its `send`. `race.rs` runs the processes and
//! counts the mails. `cli.rs` has the options.

mod cli;
#[path = "../../shared/database.rs"]
mod database;
mod notification;
mod race;
mod schema;

use std::process::ExitCode;

use clap::Parser;

fn main() -> anyhow::Result<ExitCode> {
    let cli = cli::Cli::parse();
    match cli.work_from {
        Some(first_id) => race::work(&cli.race, first_id),
        None => race::run(&cli.race),
    }
}
