//! MySQL and MariaDB: all the SQL, with what the servers answer.
//!
//! Sources: the MySQL manual on [locking functions][my], MariaDB's pages on [`GET_LOCK`][maria]
//! and [`RELEASE_LOCK`][release], and, wherever these are silent or differ from what is seen, the
//! tests in `tests/servers/`, which run every statement here on both.
//!
//! | | answers |
//! |---|---|
//! | `GET_LOCK` | 1 acquired, 0 timed out, NULL interrupted (MariaDB) |
//! | `RELEASE_LOCK` | 1 released, 0 another session's, NULL nobody's |
//! | `IS_USED_LOCK` | the holder's connection id, NULL nobody's |
//!
//! `GET_LOCK` stands in the select list, to the right of whatever is to be known from before: there it is evaluated once,
//! and the other has been already. (Under `FROM`, `WHERE` or `HAVING` it would be evaluated any number of times.)
//!
//! [my]: https://dev.mysql.com/doc/refman/9.7/en/locking-functions.html
//! [maria]: https://mariadb.com/kb/en/get_lock/
//! [release]: https://mariadb.com/kb/en/release_lock/

use std::time::Duration;

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::mysql::MysqlConnection;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Nullable};

mod acquire;
mod code;
mod idle;
mod inspect;
mod namespace;
mod server;
mod statement;
mod wait;

use super::sealed::Session;
use super::{Acquired, LockConnection, Refusal, Request, Wanted};
use crate::locks::{HeldLock, InspectError, LockStatus, Session as Holder};
use crate::server::{ServerCheck, ServerReport};
use statement::{About, Statement};

impl LockConnection for MysqlConnection {}

impl Session for MysqlConnection {
    fn acquire(&mut self, request: Request<'_>) -> Result<Acquired, Refusal> {
        acquire::acquire(self, &request)
    }

    fn release(&mut self, server_name: &str) -> QueryResult<bool> {
        let answer = About::<Release>::new(server_name).get_result::<Option<i64>>(self)?;
        Ok(answer == Some(1))
    }

    fn holds(&mut self, server_name: &str) -> QueryResult<bool> {
        About::<Holds>::new(server_name).get_result(self)
    }

    fn give_way(&mut self, server_name: &str) -> QueryResult<(bool, bool)> {
        let (released, again) =
            About::<GiveWay>::new(server_name).get_result::<(Option<i64>, Option<i64>)>(self)?;
        Ok((released == Some(1), again == Some(1)))
    }

    fn holder(&mut self, server_name: &str) -> Option<Holder> {
        inspect::holder(self, server_name)
    }

    fn status(&mut self, name: Wanted<'_>) -> QueryResult<LockStatus> {
        inspect::status(self, &name)
    }

    fn held_locks(&mut self) -> Result<Vec<HeldLock>, InspectError> {
        inspect::held_locks(self)
    }

    fn check_server(&mut self, check: ServerCheck) -> QueryResult<ServerReport> {
        server::check(self, check)
    }

    fn raise_idle_limit(&mut self, at_least: Duration) -> QueryResult<Option<Duration>> {
        idle::raise_limit(self, at_least)
    }

    fn set_idle_limit(&mut self, limit: Duration) -> QueryResult<()> {
        idle::set_limit(self, limit)
    }

    fn namespace(&mut self) -> QueryResult<String> {
        namespace::get(self)
    }

    fn roll_back_everything(&mut self) -> QueryResult<()> {
        self.batch_execute("ROLLBACK")
    }
}

struct Release;

impl Statement for Release {
    const SQL: &'static [&'static str] = &["SELECT RELEASE_LOCK(", ")"];
    type Answer = Nullable<BigInt>;
}

struct Holds;

impl Statement for Holds {
    const SQL: &'static [&'static str] = &["SELECT IS_USED_LOCK(", ") <=> CONNECTION_ID()"];
    type Answer = Bool;
}

/// `RELEASE_LOCK` grants the lock to the session that has waited longest, if there is one, and then
/// `GET_LOCK` gets 0.
struct GiveWay;

impl Statement for GiveWay {
    const SQL: &'static [&'static str] = &["SELECT RELEASE_LOCK(", "), GET_LOCK(", ", 0)"];
    type Answer = (Nullable<BigInt>, Nullable<BigInt>);
}
