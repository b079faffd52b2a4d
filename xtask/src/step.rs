//! One step of a command: prints what it does, and how long it took, to standard error. Standard
//! output belongs to the programs that are run.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// How many lines of a log are printed if its step fails.
const TAIL: usize = 40;

/// Runs a command whose output the user sees.
pub(crate) fn run(name: &str, command: &mut Command) -> Result<()> {
    let since = Instant::now();
    eprintln!("==> {name}");
    let status = command.status().with_context(|| cannot_run(command))?;
    finish(name, status, since)
}

/// Runs a command whose output goes to a log. The terminal shows its last line while it runs; on
/// failure, the log's end is printed.
pub(crate) fn run_quietly(name: &str, command: &mut Command, log: &Path) -> Result<()> {
    let since = Instant::now();
    eprintln!("==> {name}");
    let (status, tail) = logged(command, log)?;
    if !status.success() {
        for line in tail {
            eprintln!("    {line}");
        }
        eprintln!("    (the whole log: {})", log.display());
    }
    finish(name, status, since)
}

/// `12.3 s`, `4 min 5 s`.
pub(crate) fn readable(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

fn finish(name: &str, status: ExitStatus, since: Instant) -> Result<()> {
    let time = readable(since.elapsed());
    if !status.success() {
        bail!("==> {name}: failed after {time} ({status})");
    }
    eprintln!("==> {name}: done in {time}");
    Ok(())
}

fn logged(command: &mut Command, log: &Path) -> Result<(ExitStatus, VecDeque<String>)> {
    if let Some(directory) = log.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let mut log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write to {}", log.display()))?;
    let (output, writer) = io::pipe()?;
    let mut child = command
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| cannot_run(command))?;
    // The command holds the pipe's writing end, and reading ends when that is closed.
    command.stdout(io::stderr()).stderr(io::stderr());

    let spinner = spinner();
    let mut tail = VecDeque::with_capacity(TAIL);
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
        writeln!(log, "{line}")?;
        spinner.set_message(line.clone());
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    let status = child.wait()?;
    spinner.finish_and_clear();
    Ok((status, tail))
}

/// Is not drawn if standard error is not a terminal.
fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner().with_style(style);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn cannot_run(command: &Command) -> String {
    format!("cannot run {}", command.get_program().display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        assert_eq!(readable(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(readable(Duration::from_millis(59_900)), "59.9 s");
        assert_eq!(readable(Duration::from_secs(245)), "4 min 5 s");
    }

    #[test]
    fn output_of_a_quiet_command_is_logged_and_its_end_kept() {
        let log = test_server::cache_dir().join(format!("step-test-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo $i; done; echo end >&2; exit 3",
        ]);
        let (status, tail) = logged(&mut command, &log).expect("sh to run");
        assert_eq!(status.code(), Some(3));
        assert_eq!(
            (tail.len(), tail[0].as_str(), tail[39].as_str()),
            (40, "12", "end")
        );
        assert_eq!(fs::read_to_string(&log).expect("a log").lines().count(), 51);
        fs::remove_file(&log).expect("to remove the log");
    }
}
