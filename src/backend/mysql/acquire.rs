//! Acquiring a lock that is free, or held already: one statement, prepared once a connection.

use std::marker::PhantomData;
use std::time::Instant;

use data_encoding::HEXLOWER;
use diesel::RunQueryDsl;
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable};

use super::code::Failure;
use super::statement::{Uncached, push_text};
use super::surroundings::{self, Checks, for_surroundings};
use super::{namespace, wait};
use crate::backend::sealed::Session as _;
use crate::backend::{Acquired, Refusal, Request, Wait, Wanted};
use crate::error::OpenTransactionReason;
use crate::transaction::Surroundings;

/// The session, as far as an answer has room for it.
macro_rules! session {
    () => {
        "CAST(CONNECTION_ID() % 268435456 AS SIGNED)"
    };
}

/// To compare with [`Acquired::session`].
pub(super) fn session(conn: &mut MysqlConnection) -> QueryResult<u32> {
    const SESSION: Uncached<BigInt> = Uncached::new(&[concat!("SELECT ", session!())]);
    SESSION
        .get_result::<i64>(conn)
        .map(|session| session as u32)
}

/// Acquires the lock, or waits for it.
pub(super) fn acquire(
    conn: &mut MysqlConnection,
    request: &Request<'_>,
) -> Result<Acquired, Refusal> {
    let start = Instant::now();
    let acquired = match &request.name {
        Wanted::InSession(text) => try_in_session(conn, text, request.surroundings)?,
        Wanted::Whole(name) => try_whole(conn, name, request.surroundings)?,
    };
    match acquired {
        Tried::Acquired(acquired) => Ok(acquired),
        Tried::Taken {
            server_name,
            session,
        } => {
            let deadline = match request.wait {
                // `None` is beyond what the clock can tell.
                Wait::For(wait) => start.checked_add(wait),
                Wait::Forever => None,
            };
            wait::wait_until(conn, &server_name, deadline)?;
            Ok(Acquired {
                server_name,
                session,
                nested: false,
                waited: true,
            })
        }
    }
}

enum Tried {
    Acquired(Acquired),
    /// Another session has it. The name is the server's, so waiting for it means the same schema.
    Taken {
        server_name: String,
        session: u32,
    },
}

/// Acquires a lock in the session's namespace, which is hashed only for the connection's first.
fn try_in_session(
    conn: &mut MysqlConnection,
    text: &str,
    surroundings: Surroundings,
) -> Result<Tried, Refusal> {
    let mut answer = try_acquire(conn, InSession(text), surroundings)?;
    if answer == Answer::NoNamespace {
        namespace::set(conn).map_err(Failure::refusal)?;
        answer = try_acquire(conn, InSession(text), surroundings)?;
    }
    if answer == Answer::NoNamespace {
        // This statement was prepared in another schema than the one that the session's namespace goes by.
        let namespace = namespace::compute(conn).map_err(Refusal::Database)?;
        return try_whole(conn, &[&namespace, "/", text].concat(), surroundings);
    }
    answer.about(|namespace| {
        let mut prefix = [0; 8];
        let prefix = HEXLOWER.encode_mut_str(&namespace.to_be_bytes(), &mut prefix);
        [prefix, "/", text].concat()
    })
}

fn try_whole(
    conn: &mut MysqlConnection,
    name: &str,
    surroundings: Surroundings,
) -> Result<Tried, Refusal> {
    try_acquire(conn, Whole(name), surroundings)?.about(|_| name.to_owned())
}

/// What a session answers that is asked for a lock without waiting: one number, since each column of a row takes Diesel
/// as long as half of the lock takes the C client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// From the lowest bit on: what `GET_LOCK` says, whether this session held the lock before, the namespace, and the
    /// session as [`session!`] has it.
    Said {
        got: bool,
        held_before: bool,
        namespace: u32,
        session: u32,
    },
    /// -1: the name needs a namespace, and the session has none for its schema yet. Nothing was locked.
    NoNamespace,
    /// A transaction is open. Nothing was locked.
    OpenTransaction(OpenTransactionReason),
    /// NULL: `GET_LOCK` was interrupted.
    Interrupted,
}

impl Answer {
    fn read(number: Option<i64>) -> Self {
        match number {
            None => Answer::Interrupted,
            Some(-1) => Answer::NoNamespace,
            // This session does not hold the lock that it should hold.
            Some(-2) => Answer::OpenTransaction(OpenTransactionReason::Diesel),
            Some(number) => match surroundings::reason(number) {
                Some(reason) => Answer::OpenTransaction(reason),
                None => Answer::Said {
                    got: number & 1 == 1,
                    held_before: number & 2 == 2,
                    namespace: (number >> 2) as u32,
                    session: (number >> 34) as u32,
                },
            },
        }
    }

    fn about(self, server_name: impl FnOnce(u32) -> String) -> Result<Tried, Refusal> {
        match self {
            Answer::Said {
                got,
                held_before,
                namespace,
                session,
            } => {
                let server_name = server_name(namespace);
                Ok(match got {
                    true => Tried::Acquired(Acquired {
                        server_name,
                        session,
                        nested: held_before,
                        waited: false,
                    }),
                    false => Tried::Taken {
                        server_name,
                        session,
                    },
                })
            }
            Answer::OpenTransaction(reason) => Err(Refusal::OpenTransaction(reason)),
            Answer::Interrupted | Answer::NoNamespace => Err(Refusal::Interrupted(None)),
        }
    }
}

/// An error does not tell whether the lock was granted, unless the statement never ran. So the session ends here;
/// waiting, which is what fails in practice, has a statement of its own.
fn try_acquire<N: NameSql>(
    conn: &mut MysqlConnection,
    name: N,
    surroundings: Surroundings,
) -> Result<Answer, Refusal> {
    let answer =
        for_surroundings!(surroundings, In => TryAcquire::<N, In>::new(name).get_result(conn));
    answer.map(Answer::read).map_err(|error| {
        let failure = Failure::of(conn, error);
        if failure.may_have_run() {
            conn.end_session();
        }
        failure.refusal()
    })
}

/// The SQL of a lock's whole name.
trait NameSql: QueryFragment<Mysql> + QueryId + Copy {
    /// The namespace's number, and a branch for when there is none, if the server has to put the namespace in front.
    const NUMBER: &'static str;
    const MISSING: &'static str;
}

/// The text after the slash; the session knows the namespace.
#[derive(Clone, Copy)]
struct InSession<'n>(&'n str);

#[derive(Clone, Copy)]
struct Whole<'n>(&'n str);

impl NameSql for InSession<'_> {
    const NUMBER: &'static str = namespace::variable!(number);
    const MISSING: &'static str = concat!("WHEN NOT ", namespace::is_known!(), " THEN -1 ");
}

impl NameSql for Whole<'_> {
    const NUMBER: &'static str = "0";
    const MISSING: &'static str = "";
}

// A static id has Diesel prepare a statement once a connection; the derive does not drop lifetimes.
impl QueryId for InSession<'_> {
    type QueryId = InSession<'static>;
}

impl QueryId for Whole<'_> {
    type QueryId = Whole<'static>;
}

impl QueryFragment<Mysql> for InSession<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(concat!("CONCAT(", namespace::variable!(prefix), ", "));
        push_text(&mut out, &self.0)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryFragment<Mysql> for Whole<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        push_text(&mut out, &self.0)
    }
}

/// See [`Answer`]. Whether the lock is held is asked to the left of `GET_LOCK`, and so before it.
#[derive(QueryId)]
struct TryAcquire<N, In> {
    name: N,
    surroundings: PhantomData<In>,
}

impl<N, In> TryAcquire<N, In> {
    fn new(name: N) -> Self {
        TryAcquire {
            name,
            surroundings: PhantomData,
        }
    }
}

impl<N: NameSql, In: Checks> QueryFragment<Mysql> for TryAcquire<N, In> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT CAST(CASE ");
        out.push_sql(In::SQL);
        out.push_sql(N::MISSING);
        out.push_sql(if In::ONLY_AGAIN {
            "ELSE IF(("
        } else {
            "ELSE ("
        });
        // 0 or 1, never NULL.
        out.push_sql("IS_USED_LOCK(");
        self.name.walk_ast(out.reborrow())?;
        out.push_sql(") <=> CONNECTION_ID())");
        out.push_sql(if In::ONLY_AGAIN { ", 2 + " } else { " * 2 + " });
        out.push_sql(N::NUMBER);
        out.push_sql(concat!(" + ", session!(), " * 17179869184 + GET_LOCK("));
        self.name.walk_ast(out.reborrow())?;
        out.push_sql(", 0)");
        out.push_sql(if In::ONLY_AGAIN { ", -2) END" } else { " END" });
        out.push_sql(" AS SIGNED)");
        Ok(())
    }
}

impl<N, In> Query for TryAcquire<N, In> {
    type SqlType = Nullable<BigInt>;
}

impl<N, In> RunQueryDsl<MysqlConnection> for TryAcquire<N, In> {}
