//! The session's own record of the locks that it holds.
//!
//! It is a setting of the session, with an entry for each hold: `[x42]` for an exclusive lock,
//! `[s42]` for a shared one. Reading it takes a fraction of the time that `pg_locks` takes, which
//! lists the locks of the whole cluster. An entry alone proves nothing, since raw SQL may have
//! released the lock: it is confirmed in `pg_locks`.
//!
//! An entry that was made in a transaction vanishes with it, as does the lock.

use crate::mode::LockMode;

/// The setting's name as an SQL literal.
macro_rules! setting {
    () => {
        "'diesel_advisory_lock.held'"
    };
}

/// The entries, as an expression, or NULL.
macro_rules! recorded {
    () => {
        concat!(
            "pg_catalog.current_setting(",
            $crate::backend::postgres::held::setting!(),
            ", true)"
        )
    };
}

/// The entries, as an expression.
macro_rules! entries {
    () => {
        concat!(
            "coalesce(",
            $crate::backend::postgres::held::recorded!(),
            ", '')"
        )
    };
}

pub(super) use {entries, recorded, setting};

/// The start of an entry, as an SQL literal.
pub(super) const fn start(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Exclusive => "'[x'",
        LockMode::Shared => "'[s'",
    }
}

/// The entry of a key, as an expression.
pub(super) fn entry(mode: LockMode, key_as_text: &str) -> String {
    format!("({} || {key_as_text} || ']')", start(mode))
}

/// An expression that adds an entry.
pub(super) fn add(mode: LockMode, key_as_text: &str, is_local: bool) -> String {
    format!(
        concat!(
            "pg_catalog.set_config(",
            setting!(),
            ", ",
            entries!(),
            " || {}, {})"
        ),
        entry(mode, key_as_text),
        is_local
    )
}
