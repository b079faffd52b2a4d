//! The names of this process: what was another thing before may not have the same name now.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use super::subject::{Identity, LockedObject};

/// Runs are long and memory is not; what comes again soon is found all the same.
const ROOM: usize = 1 << 17;

/// With a hasher that is not random, so that the same input always runs the same.
type Names = HashMap<String, Identity, BuildHasherDefault<DefaultHasher>>;

thread_local! {
    static SEEN: RefCell<Names> = RefCell::default();
}

pub(super) fn check(name: &str, subject: &LockedObject) {
    SEEN.with_borrow_mut(|seen| {
        let identity = subject.identity();
        if let Some(before) = seen.get(name) {
            assert_eq!(*before, identity, "both are called {name:?}");
            return;
        }
        if seen.len() == ROOM {
            seen.clear();
        }
        seen.insert(name.to_owned(), identity);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::subject::Of;

    #[test]
    #[should_panic(expected = "both are called \"=a\"")]
    fn one_name_for_two_things_is_found() {
        for text in ["a", "b"] {
            let subject = LockedObject {
                of: Of::Named(text.to_owned()),
                scope: None,
                namespace: None,
            };
            check("=a", &subject);
        }
    }
}
