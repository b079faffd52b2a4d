//! Python with the libraries, of pinned versions, made once under `target/`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where the programs lie.
pub(super) const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

const REQUIREMENTS: &str = include_str!("../../../python/requirements.txt");
/// Compiled where it is installed, which needs a C compiler and headers.
const DRIVER: &str = include_str!("../../../python/requirements-c.txt");

pub(crate) struct Environment {
    pub(super) python: PathBuf,
}

impl Environment {
    pub(crate) fn prepare() -> Result<Self> {
        let venv = test_server::cache_dir().with_file_name("bench-venv");
        let python = venv.join("bin/python");
        let stamp = venv.join("installed");
        let wanted = format!("{REQUIREMENTS}{DRIVER}");
        // Written last: what has it is complete.
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(Self { python });
        }
        println!("making {}, once", venv.display());
        let mut create = Command::new("python3");
        run(create.args(["-m", "venv", "--clear"]).arg(&venv))?;
        let install = |file: &str| {
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--no-input"])
                .args(["--disable-pip-version-check", "--retries", "1"])
                .arg("--requirement")
                .arg(format!("{SOURCES}/{file}"));
            run(&mut pip)
        };
        install("requirements.txt")?;
        if let Err(error) = install("requirements-c.txt") {
            println!("PyMySQL in place of mysqlclient: {error:#}");
        }
        fs::write(stamp, wanted)?;
        Ok(Self { python })
    }
}

/// The error is its last line.
fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        // `venv` writes to standard output why it failed.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        bail!(
            "{program} failed: {}",
            last.unwrap_or("it does not say why")
        );
    }
    Ok(())
}
