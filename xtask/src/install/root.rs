//! Running commands as root.

use std::env;
use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::runs;

/// How this process may act as root.
#[derive(Clone, Copy)]
pub(super) enum Root {
    Already,
    Sudo,
}

/// What sudo would drop. Downloads may depend on it.
const PROXIES: [&str; 6] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

impl Root {
    /// `None` where a password would be asked for.
    pub(super) fn obtain() -> Option<Self> {
        if rustix::process::geteuid().is_root() {
            return Some(Self::Already);
        }
        runs("sudo", &["-n", "true"]).then_some(Self::Sudo)
    }

    /// A command with these environment variables in addition.
    pub(super) fn command(self, program: &str, variables: &[(&str, &str)]) -> Command {
        let mut command = match self {
            Self::Already => Command::new("env"),
            Self::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "env"]);
                sudo
            }
        };
        for name in PROXIES {
            if let Ok(value) = env::var(name) {
                command.arg(format!("{name}={value}"));
            }
        }
        for (name, value) in variables {
            command.arg(format!("{name}={value}"));
        }
        command.arg(program).stdin(Stdio::null());
        command
    }

    /// Runs a command that takes a moment only, and speaks only when it fails.
    pub(super) fn run<S: AsRef<OsStr>>(self, program: &str, arguments: &[S]) -> Result<()> {
        let output = self
            .command(program, &[])
            .args(arguments)
            .output()
            .with_context(|| format!("cannot run {program}"))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("{program} failed ({}): {}", output.status, message.trim());
        }
        Ok(())
    }
}
