//! Exact names: sent unchanged, or refused.

use diesel_advisory_lock::{LockError, LockName};

pub(crate) fn check(text: &str) {
    match LockName::exact(text) {
        Ok(name) => {
            assert!(is_valid(text), "accepted: {text:?}");
            assert_eq!(name.to_string(), text);
            assert_eq!(name.full_name("app"), text);
            assert_eq!(name.full_name(""), text);
            assert_eq!(format!("{name:?}"), format!("LockName({text:?})"));
            // Acquiring the lock refuses the option; the text of the name does not change.
            assert_eq!(name.clone().scope("a").full_name("app"), text);
            assert_eq!(name.clone().namespace("a").full_name("app"), text);
            assert_ne!(name, LockName::named(text));
        }
        Err(LockError::InvalidName { name, .. }) => {
            assert!(!is_valid(text), "refused: {text:?}");
            assert_eq!(name.to_string(), text);
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Whether the five rules of `docs/lock-names.md` accept the text.
fn is_valid(text: &str) -> bool {
    let length = text.chars().count();
    (1..=64).contains(&length)
        && text.chars().all(|char| match char {
            '\0' | '\u{10000}'.. => false,
            '\u{1}'..='\u{7f}' => true,
            // Letters in title case have a lower-case form too.
            _ => char.to_lowercase().eq(std::iter::once(char)),
        })
}
