//! `cargo xtask demo`: the example, with what it needs.

use std::env;

use anyhow::{Result, bail};
use test_server::Kind;

use crate::cargo::cargo;
use crate::install::{self, Need};
use crate::step;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut needs = vec![Need::ClientLibrary];
    // The example starts the server itself.
    if env::var_os("DATABASE_URL").is_none() {
        needs.push(Need::Server(server(arguments)?));
    }
    install::ensure(&needs)?;
    step::run(
        "build the example",
        cargo("build").args(["--example", "notification"]),
    )?;
    let status = cargo("run")
        .args(["--quiet", "--example", "notification", "--"])
        .args(arguments)
        .status()?;
    if !status.success() {
        bail!("the example failed ({status})");
    }
    Ok(())
}

/// Which server the example is going to start, by its own option.
fn server(arguments: &[String]) -> Result<Kind> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--server" {
            if let Some(value) = arguments.next() {
                return Ok(value.parse()?);
            }
        } else if let Some(value) = argument.strip_prefix("--server=") {
            return Ok(value.parse()?);
        }
    }
    Ok(Kind::Mariadb)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_of(line: &str) -> Result<Kind> {
        let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        server(&arguments)
    }

    #[test]
    fn the_examples_own_option_tells_the_server() {
        assert_eq!(server_of("").ok(), Some(Kind::Mariadb));
        assert_eq!(server_of("--without-lock").ok(), Some(Kind::Mariadb));
        assert_eq!(
            server_of("--without-lock --server mysql").ok(),
            Some(Kind::Mysql)
        );
        assert_eq!(
            server_of("--server=mysql --processes 2").ok(),
            Some(Kind::Mysql)
        );
        assert!(server_of("--server oracle").is_err());
    }
}
