//! MySQL and MariaDB: all SQL, and the servers' answers.
//!
//! Sources: the MySQL manual on [locking functions][my], MariaDB's pages on [`GET_LOCK`][maria]
//! and [`RELEASE_LOCK`][release]. Where these are silent or wrong: the tests in `tests/suite/` and
//! `tests/mysql/`, which run every statement on both servers.
//!
//! | function | answers |
//! |---|---|
//! | `GET_LOCK` | 1 acquired, 0 timed out, NULL interrupted (MariaDB) |
//! | `RELEASE_LOCK` | 1 released, 0 held by another session, NULL free |
//! | `IS_USED_LOCK` | the holder's connection id, NULL if free |
//!
//! `GET_LOCK` is in the select list, to the right of everything that must be evaluated before it.
//! There it is evaluated once; in `FROM`, `WHERE` or `HAVING` it would be evaluated any number of
//! times.
//!
//! [my]: https://dev.mysql.com/doc/refman/9.7/en/locking-functions.html
//! [maria]: https://mariadb.com/kb/en/get_lock/
//! [release]: https://mariadb.com/kb/en/release_lock/

mod acquire;
mod backend;
mod check_server;
mod end_session;
mod error_code;
mod idle_timeout;
mod inspect;
mod key;
mod namespace;
mod query;
mod release;
mod session_checks;
mod transaction;
mod wait;

pub use backend::MySql;
