//! The project's programs, which start a server themselves: install what they need, build, run.

use std::env;

use anyhow::{Result, bail};
use test_server::Kind;

use crate::cargo::cargo;
use crate::install::{self, Need};
use crate::step;

pub(crate) struct Program {
    name: &'static str,
    /// What cargo builds.
    target: &'static [&'static str],
    /// It takes the server of DATABASE_URL if that is set.
    takes_url: bool,
}

pub(crate) const DEMO: Program = Program {
    name: "the example",
    target: &["--example", "notification"],
    takes_url: true,
};

pub(crate) const BENCH: Program = Program {
    name: "the benchmarks",
    target: &["--release", "--package", "benches"],
    takes_url: false,
};

pub(crate) const TORTURE: Program = Program {
    name: "the torture",
    target: &["--release", "--package", "torture"],
    takes_url: false,
};

pub(crate) fn run(program: &Program, arguments: &[String]) -> Result<()> {
    let mut needs = vec![Need::ClientLibrary];
    if !program.takes_url || env::var_os("DATABASE_URL").is_none() {
        needs.push(Need::Server(server(arguments)?));
    }
    install::ensure(&needs)?;
    let mut build = cargo("build");
    step::run(
        &format!("build {}", program.name),
        build.args(program.target),
    )?;
    let status = cargo("run")
        .arg("--quiet")
        .args(program.target)
        .arg("--")
        .args(arguments)
        .status()?;
    if !status.success() {
        bail!("{} failed ({status})", program.name);
    }
    Ok(())
}

/// Which server the program is going to start, by its own option.
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
    fn the_programs_own_option_tells_the_server() {
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
