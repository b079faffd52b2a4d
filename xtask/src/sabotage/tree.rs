//! A copy of the workspace, to be spoilt.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::list::Edit;
use crate::copy;

pub(super) struct Tree {
    path: PathBuf,
}

/// A copy that is not what it was.
#[must_use]
pub(super) struct Edited {
    before: Vec<(PathBuf, String)>,
}

impl Tree {
    pub(super) fn copy(from: &Path, to: PathBuf) -> Result<Self> {
        copy::fresh(from, &to)?;
        Ok(Self { path: to })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn edit(&self, edits: &[Edit]) -> Result<Edited> {
        let mut edited = Edited { before: Vec::new() };
        for edit in edits {
            let path = self.path.join(edit.file);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let spoilt = edit.applied(&text)?;
            fs::write(&path, spoilt).with_context(|| path.display().to_string())?;
            edited.before.push((path, text));
        }
        Ok(edited)
    }
}

impl Edited {
    pub(super) fn undo(self) -> Result<()> {
        // The other way round: two edits may be of one file.
        for (path, text) in self.before.into_iter().rev() {
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

impl Edit {
    /// # Errors
    ///
    /// If the protection is not where it was.
    pub(super) fn applied(&self, text: &str) -> Result<String> {
        let places = text.matches(self.find).count();
        if places != 1 {
            bail!(
                "{} has this {places} times, not once; the list of sabotages is to follow the code:\n{}",
                self.file,
                self.find
            );
        }
        Ok(text.replacen(self.find, self.replace, 1))
    }
}
