//! [`Causes`]: an error with all that caused it. The library's errors keep their source and do not repeat it.

use std::error::Error as StdError;
use std::fmt;

/// Shows an error with all that caused it.
pub(crate) struct Causes<'a>(pub(crate) &'a dyn StdError);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.to_string();
        f.write_str(&shown)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Some errors repeat their source in their own text.
            if !shown.contains(&text) {
                write!(f, "\n  because: {text}")?;
            }
            shown = text;
            next = cause.source();
        }
        Ok(())
    }
}
