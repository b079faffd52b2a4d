//! Finding programs and their versions.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The account `nobody`.
const NOBODY: u32 = 65_534;

/// Directories of servers that an ordinary user's `PATH` leaves out.
const SERVER_DIRECTORIES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec"];

pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SERVER_DIRECTORIES.map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// The user and group of a program that refuses to run as root, if this process does. They must be
/// able to read the program.
pub(crate) fn user_instead_of_root() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(NOBODY)
}

/// The output of `--version` of MariaDB and MySQL.
pub(super) fn version_line(mut program: Command) -> io::Result<String> {
    output(program.args(["--no-defaults", "--version"]))
}

/// The standard output of a program that succeeds.
pub(super) fn output(program: &mut Command) -> io::Result<String> {
    let output = program.output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }
}

/// The version in a line such as `mariadbd  Ver 10.11.6-MariaDB for debian-linux-gnu on x86_64`.
pub(super) fn version(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    words.by_ref().find(|&word| word == "Ver")?;
    words.next()
}

/// The version line of a program.
pub(super) fn installed(path: &Path) -> Option<String> {
    version_line(Command::new(path)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_follows_the_word_ver() {
        let line = "/usr/sbin/mysqld  Ver 9.7.0-1 for Linux on x86_64 ((Debian))\n";
        assert_eq!(version(line), Some("9.7.0-1"));
        assert_eq!(version("no such thing"), None);
    }

    #[test]
    fn program_is_found_on_the_path() {
        assert!(find("sh").is_some());
        assert!(find("surely-no-program-has-this-name").is_none());
    }
}
