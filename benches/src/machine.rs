//! [`Machine`]: describes the machine of the measurement.

use std::fmt;
use std::fs;
use std::process::Command;
use std::thread;

#[derive(Default)]
pub(crate) struct Machine {
    processor: Option<String>,
    threads: Option<usize>,
    memory_gib: Option<u64>,
    system: Option<String>,
    kernel: Option<String>,
    compiler: Option<String>,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let memory = value("/proc/meminfo", "MemTotal", ':');
        let kib = memory.and_then(|memory| memory.trim_end_matches(" kB").parse::<u64>().ok());
        Self {
            processor: value("/proc/cpuinfo", "model name", ':'),
            threads: thread::available_parallelism().ok().map(Into::into),
            memory_gib: kib.map(|kib| kib.div_ceil(1024 * 1024)),
            system: value("/etc/os-release", "PRETTY_NAME", '='),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok(),
            compiler: version("rustc"),
        }
    }
}

/// Returns the value of the first line with this key.
fn value(file: &str, key: &str, separator: char) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(separator));
    let (_, value) = lines.find(|(found, _)| found.trim() == key)?;
    Some(value.trim().trim_matches('"').to_owned())
}

fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = [
            self.processor.clone(),
            self.threads.map(|threads| format!("{threads} threads")),
            self.memory_gib.map(|gib| format!("{gib} GiB")),
            self.system.clone(),
            self.kernel
                .as_ref()
                .map(|kernel| format!("kernel {}", kernel.trim())),
            self.compiler
                .as_ref()
                .map(|compiler| compiler.trim().to_owned()),
        ];
        let known: Vec<_> = known.into_iter().flatten().collect();
        if known.is_empty() {
            return f.write_str("an unknown machine");
        }
        f.write_str(&known.join(", "))
    }
}
