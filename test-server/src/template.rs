//! New data directories. A server needs seconds to create one, and a copy takes milliseconds.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::cache::cache_dir;
use crate::error::{LogTail, StartError};
use crate::kind::{Engine, ServerKind};

/// Must be raised when the flags change with which a data directory is created.
const REVISION: u32 = 2;

/// Creates a new data directory of this kind at `target`, as a copy of the template.
pub(crate) fn copy(kind: ServerKind, engine: &dyn Engine, target: &Path) -> Result<(), StartError> {
    copy_of(kind, &ensure(kind, engine)?, target)?;
    let Some(user) = engine.user() else {
        return Ok(());
    };
    // Another user may have created the template.
    let mut chown = Command::new("chown");
    chown
        .args(["-R", &format!("{user}:{user}"), "--"])
        .arg(target);
    run(kind, chown)
}

/// Copies a stopped server's data directory to `target`, with its owner.
pub(crate) fn copy_of(kind: ServerKind, data: &Path, target: &Path) -> Result<(), StartError> {
    let mut copy = Command::new("cp");
    // Most of a new data directory is zeros.
    copy.args(["-a", "--reflink=auto", "--sparse=always", "--"])
        .args([data, target]);
    run(kind, copy)
}

/// Creates a new data directory of this kind at `target` with further flags.
pub(crate) fn make(
    kind: ServerKind,
    engine: &dyn Engine,
    target: &Path,
    arguments: &[String],
) -> Result<(), StartError> {
    let doing = || StartError::doing(format!("create {}", target.display()));
    let scratch = tempfile::tempdir().map_err(doing())?;
    chown(scratch.path(), engine.user(), engine.user()).map_err(doing())?;
    let mut command = engine.initialise(target, scratch.path()).map_err(doing())?;
    command.args(arguments);
    run(kind, command)
}

/// Returns the template's path, and creates the template on the first use of a version.
fn ensure(kind: ServerKind, engine: &dyn Engine) -> Result<PathBuf, StartError> {
    let cache = cache_dir();
    let name = format!("{kind}-{}-data{REVISION}", engine.version());
    let template = cache.join(&name);
    if template.exists() {
        return Ok(template);
    }

    let doing = || StartError::doing(format!("create {}", template.display()));
    fs::create_dir_all(&cache).map_err(doing())?;
    // One thread of one process creates it. The lock ends with the process.
    let lock = File::create(cache.join(format!("{name}.lock"))).map_err(doing())?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| doing()(error.into()))?;
    if template.exists() {
        return Ok(template);
    }

    // Another user may not reach the cache, only the directory for temporary files.
    let scratch = tempfile::tempdir().map_err(doing())?;
    chown(scratch.path(), engine.user(), engine.user()).map_err(doing())?;
    let data = scratch.path().join("data");
    run(
        kind,
        engine.initialise(&data, scratch.path()).map_err(doing())?,
    )?;
    // MySQL's identity: each copy must create another one, since servers with the same identity do
    // not replicate.
    match fs::remove_file(data.join("auto.cnf")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(doing()(error)),
        _ => {}
    }
    // It is renamed when complete.
    let partial = tempfile::Builder::new()
        .prefix(&format!("{name}.partial-"))
        .tempdir_in(&cache)
        .map_err(doing())?;
    let complete = partial.path().join("data");
    copy_of(kind, &data, &complete)?;
    fs::rename(&complete, &template).map_err(doing())?;
    Ok(template)
}

fn run(kind: ServerKind, mut command: Command) -> Result<(), StartError> {
    let output = command.output().map_err(StartError::doing(format!(
        "run {}",
        command.get_program().display()
    )))?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    Err(StartError::Template {
        server: kind.to_string(),
        status: output.status,
        output: LogTail::of_text(&text),
    })
}
