//! `cargo xtask cycles`: import cycles between the modules of the library.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo::workspace;
use crate::step;
use crate::tools::{self, Tool};

/// Returns an error if two modules import from each other, directly or through further modules.
///
/// The rule is in `arc-rules.toml`. It applies to a parent and its child as well, where a `mod`
/// declaration alone is not an import.
pub(crate) fn check() -> Result<()> {
    refuse_root_imports()?;
    let mut check = tools::cargo(&Tool::ARC)?;
    // By default, `pub use` does not count. It does here: a parent must not re-export from a child
    // that imports from the parent.
    check.args(["arc", "--include-reexports", "check"]);
    step::run("import cycles", &mut check)
}

/// cargo-arc does not follow `crate::LockName` through `lib.rs` to the module that defines it.
fn refuse_root_imports() -> Result<()> {
    let src = workspace().join("src");
    let is_module = |name: &str| src.join(name).with_extension("rs").exists();
    let mut found = Vec::new();
    for file in files(&src)? {
        if file.ends_with("src/lib.rs") {
            continue;
        }
        let text = fs::read_to_string(&file)?;
        for (line, path) in root_imports(&text, is_module) {
            found.push(format!("{}:{line}: {path}", file.display()));
        }
    }
    if !found.is_empty() {
        bail!(
            "{}\nImport from the module that defines the item, not from the crate's root.",
            found.join("\n")
        );
    }
    Ok(())
}

/// Paths to an item of the crate's root, each with its line number. Comments are ignored, and so is
/// `$crate`, which exported macros need.
fn root_imports(text: &str, is_module: impl Fn(&str) -> bool) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let mut parts = code.split("crate::");
        let mut before = parts.next().unwrap_or_default();
        for after in parts {
            let name: String = after.chars().take_while(|c| is_in_a_name(*c)).collect();
            let is_a_word = !before.ends_with(|c| is_in_a_name(c) || c == '$');
            if is_a_word && !is_module(&name) {
                found.push((index + 1, format!("crate::{name}")));
            }
            before = after;
        }
    }
    found
}

fn is_in_a_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_root_imports(text: &str, expected: &[&str]) {
        let found = root_imports(text, |name| ["error", "name"].contains(&name));
        let paths: Vec<_> = found.iter().map(|(_, path)| path.as_str()).collect();
        assert_eq!(paths, expected, "{text}");
    }

    #[test]
    fn path_through_the_root_is_found() {
        assert_root_imports("use crate::LockName;", &["crate::LockName"]);
        assert_root_imports("use crate::{LockName, error};", &["crate::"]);
        assert_root_imports(
            "fn f(a: crate::A) -> crate::b {}",
            &["crate::A", "crate::b"],
        );
    }

    #[test]
    fn path_through_a_module_is_accepted() {
        assert_root_imports("use crate::name::LockName;\nuse crate::error;", &[]);
        assert_root_imports("pub(in crate::name) fn f() {}", &[]);
    }

    #[test]
    fn comments_macros_and_other_crates_are_ignored() {
        assert_root_imports("/// use crate::LockName;\n// crate::A", &[]);
        assert_root_imports("$crate::Reload; my_crate::A", &[]);
    }
}
