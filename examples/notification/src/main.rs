//! Many processes race to send the same notifications, and every mail goes out exactly once.
//!
//! ```sh
//! cargo run --package notification                       # each mail once
//! cargo run --package notification -- --without-lock     # the same race, unprotected
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `model.rs` | **start here**: the model and its `send` |
//! | `worker.rs` | one process: the threads that call `send` |
//! | `race.rs` | the coordinator, which starts the processes |
//! | `mail.rs`, `outbox.rs` | sending mails, and counting them afterwards |
//! | `protocol.rs` | what coordinator and workers say to each other |
//! | `database.rs` | the server, the table, the rows |
//! | `report.rs`, `progress.rs` | what you see |
//! | `cli.rs`, `error.rs` | options and errors |

#[path = "../../shared/causes.rs"]
mod causes;
mod cli;
mod database;
mod error;
mod mail;
mod model;
mod outbox;
mod progress;
mod protocol;
mod race;
mod report;
mod schema;
mod worker;

use std::process::ExitCode;

use clap::Parser;
use lettre::message::Mailbox;

use crate::causes::Causes;
use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::Worker(options)) = cli.command {
        return worker::main(&options);
    }
    match race::run(&cli.race) {
        Ok(report) => {
            println!("{report}");
            report.exit_code()
        }
        Err(error) => {
            eprintln!("error: {}", Causes(&error));
            ExitCode::FAILURE
        }
    }
}
