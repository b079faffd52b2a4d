//! Exact names: sent as they are, or an error.

use diesel_advisory_lock::{LockError, LockName};

pub(super) fn check(text: &str) {
    match LockName::exact(text) {
        Ok(name) => {
            assert!(may_be(text), "taken: {text:?}");
            assert_eq!(name.to_string(), text);
            assert_eq!(name.full_name("app"), text);
            assert_eq!(name.full_name(""), text);
            assert_eq!(format!("{name:?}"), format!("LockName({text:?})"));
            // An option is refused when the lock is taken; until then the name stays what it is.
            assert_eq!(name.clone().scope("a").full_name("app"), text);
            assert_eq!(name.clone().namespace("a").full_name("app"), text);
            assert_ne!(name, LockName::named(text));
        }
        Err(LockError::InvalidName { name, .. }) => {
            assert!(!may_be(text), "refused: {text:?}");
            assert_eq!(name.to_string(), text, "not what was given");
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// The page's five reasons.
fn may_be(text: &str) -> bool {
    let length = text.chars().count();
    (1..=64).contains(&length)
        && text.chars().all(|char| match char {
            '\0' | '\u{10000}'.. => false,
            '\u{1}'..='\u{7f}' => true,
            // A capital letter is what has a small one; a title-case letter is one too.
            _ => char.to_lowercase().eq(std::iter::once(char)),
        })
}
