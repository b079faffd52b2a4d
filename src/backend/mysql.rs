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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use diesel::connection::{Connection, InstrumentationEvent, SimpleConnection};
use diesel::mysql::MysqlConnection;
use diesel::result::{Error as DieselError, QueryResult};

mod acquire;
mod code;
mod held;
mod idle;
mod inspect;
mod namespace;
mod server;
mod statement;
mod surroundings;
mod wait;

use super::sealed::Session;
use super::{Acquired, Holding, LockConnection, Passed, Refusal, ReleaseAnswer, Request, Wanted};
use crate::locks::{HeldLock, InspectError, LockStatus, Session as Holder};
use crate::server::{ServerCheck, ServerReport};
use crate::transaction::{self, Surroundings};
use code::Failure;

impl LockConnection for MysqlConnection {}

impl Session for MysqlConnection {
    fn acquire(&mut self, request: Request<'_>) -> Result<Acquired, Refusal> {
        acquire::acquire(self, &request)
    }

    fn release(&mut self, server_name: &str, surroundings: Surroundings) -> ReleaseAnswer {
        held::release(self, server_name, surroundings)
    }

    fn holds(&mut self, server_names: &[&str], surroundings: Surroundings) -> QueryResult<Holding> {
        held::holds(self, server_names, surroundings)
    }

    fn session(&mut self) -> QueryResult<u32> {
        acquire::session(self)
    }

    fn give_way(&mut self, server_name: &str) -> QueryResult<Passed> {
        held::give_way(self, server_name)
    }

    /// A text, for which the server needs no prepared statement. It is answered with an error, if at all; and if the
    /// connection is gone already, so is the session, or will be as soon as the server notices.
    fn end_session(&mut self) {
        const KILL: &str = "KILL CONNECTION_ID()";
        let killed = catch_unwind(AssertUnwindSafe(|| self.batch_execute(KILL)));
        // Diesel's instrumentation may panic, and a panic of its may be the reason for this. Then it is not asked again.
        if killed.is_err() {
            self.set_instrumentation(|_: InstrumentationEvent<'_>| {});
            drop(self.batch_execute(KILL));
        }
        transaction::mark_broken(self);
    }

    fn may_have_run(&mut self, error: &DieselError) -> bool {
        Failure::may_have_run_on(self, error)
    }

    fn holder(&mut self, server_name: &str) -> Option<Holder> {
        inspect::holder(self, server_name)
    }

    fn status(&mut self, name: Wanted<'_>) -> QueryResult<LockStatus> {
        inspect::status(self, name)
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

    /// With `completion_type = CHAIN`, a plain one would begin the next transaction.
    fn roll_back_everything(&mut self) -> QueryResult<()> {
        self.batch_execute("ROLLBACK AND NO CHAIN NO RELEASE")
    }
}
