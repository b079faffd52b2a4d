//! Taking a lock that is free, or held already: one statement, prepared once a connection.

use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use diesel::RunQueryDsl;
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::{code, namespace, wait};
use crate::backend::{Acquired, Refusal, Request, Wait, Wanted};
use crate::transaction;

/// Takes the lock, or waits for it.
pub(super) fn acquire(
    conn: &mut MysqlConnection,
    request: &Request<'_>,
) -> Result<Acquired, Refusal> {
    let start = Instant::now();
    let acquired = match &request.name {
        Wanted::InSession(text) => try_in_session(conn, text, request.only_again)?,
        Wanted::Whole(name) => try_whole(conn, name, request.only_again)?,
    };
    match acquired {
        Tried::Acquired(acquired) => Ok(acquired),
        Tried::Taken { server_name } => {
            let wait = match request.wait {
                Wait::For(wait) => wait.saturating_sub(start.elapsed()),
                Wait::Forever => Duration::MAX,
            };
            wait::wait_for(conn, &server_name, wait)?;
            Ok(Acquired {
                server_name,
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
    },
}

/// Takes a lock in the session's namespace, which is hashed only when the connection takes its first.
fn try_in_session(
    conn: &mut MysqlConnection,
    text: &str,
    only_again: bool,
) -> Result<Tried, Refusal> {
    let mut answer = try_acquire(conn, InSession(text), only_again)?;
    if answer == Answer::NoNamespace {
        namespace::set(conn).map_err(|error| code::refusal(code::of_last_error(conn), error))?;
        answer = try_acquire(conn, InSession(text), only_again)?;
    }
    answer.about(|namespace| {
        let mut prefix = [0; 8];
        let prefix = HEXLOWER.encode_mut_str(&namespace.to_be_bytes(), &mut prefix);
        [prefix, "/", text].concat()
    })
}

fn try_whole(conn: &mut MysqlConnection, name: &str, only_again: bool) -> Result<Tried, Refusal> {
    try_acquire(conn, Whole(name), only_again)?.about(|_| name.to_owned())
}

/// What a session says that is asked for a lock without waiting: one number, since each column of a row takes Diesel
/// as long as half of the lock takes the C client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// From the lowest bit on: what `GET_LOCK` says, whether this session held the lock before, and the namespace.
    Said {
        got: bool,
        held_before: bool,
        namespace: u32,
    },
    /// -1: the name needs a namespace, and the session has none yet. Nothing was locked.
    NoNamespace,
    /// -2: this session does not hold the lock that it should hold. Nothing was locked.
    NotHeld,
    /// NULL: `GET_LOCK` was interrupted.
    Interrupted,
}

impl Answer {
    fn read(number: Option<i64>) -> Self {
        match number {
            None => Answer::Interrupted,
            Some(-1) => Answer::NoNamespace,
            Some(-2) => Answer::NotHeld,
            Some(number) => Answer::Said {
                got: number & 1 == 1,
                held_before: number & 2 == 2,
                namespace: (number >> 2) as u32,
            },
        }
    }

    fn about(self, server_name: impl FnOnce(u32) -> String) -> Result<Tried, Refusal> {
        match self {
            Answer::Said {
                got,
                held_before,
                namespace,
            } => {
                let server_name = server_name(namespace);
                Ok(match got {
                    true => Tried::Acquired(Acquired {
                        server_name,
                        nested: held_before,
                        waited: false,
                    }),
                    false => Tried::Taken { server_name },
                })
            }
            Answer::NotHeld => Err(Refusal::NotHeld),
            Answer::Interrupted => Err(Refusal::Interrupted(None)),
            Answer::NoNamespace => Err(Refusal::Database(namespace::forgotten())),
        }
    }
}

/// An error while a result is read leaves libmariadb unable to run the same prepared statement again: it
/// waits for the rest of the result for ever. Nor does the error tell whether the lock was
/// granted. So the connection ends here; waiting, which is what fails in practice, has a statement of
/// its own.
fn try_acquire<N: NameSql>(
    conn: &mut MysqlConnection,
    name: N,
    only_again: bool,
) -> Result<Answer, Refusal> {
    let answer = if only_again {
        TryAcquire::<N, true>(name).get_result(conn)
    } else {
        TryAcquire::<N, false>(name).get_result(conn)
    };
    answer.map(Answer::read).map_err(|error| {
        let refusal = code::refusal(code::of_last_error(conn), error);
        transaction::mark_broken(conn);
        refusal
    })
}

/// The SQL of a lock's whole name.
trait NameSql: QueryFragment<Mysql> + QueryId + Copy {
    /// The namespace's number, and a condition that there is one, if the server has to put the namespace in front.
    const NUMBER: &'static str;
    const IS_WHOLE: &'static str;
}

/// The text after the slash; the session knows the namespace.
#[derive(Clone, Copy)]
struct InSession<'n>(&'n str);

#[derive(Clone, Copy)]
struct Whole<'n>(&'n str);

impl NameSql for InSession<'_> {
    const NUMBER: &'static str = namespace::variable!(as number);
    const IS_WHOLE: &'static str = concat!(namespace::variable!(as number), " IS NOT NULL");
}

impl NameSql for Whole<'_> {
    const NUMBER: &'static str = "0";
    const IS_WHOLE: &'static str = "TRUE";
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
        out.push_sql(concat!("CONCAT(", namespace::variable!(), ", '/', "));
        out.push_bind_param::<Text, _>(self.0)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryFragment<Mysql> for Whole<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_bind_param::<Text, _>(self.0)
    }
}

/// See [`Answer`]. Whether the lock is held is asked to the left of `GET_LOCK`, and so before it.
#[derive(QueryId)]
struct TryAcquire<N, const ONLY_AGAIN: bool>(N);

impl<N: NameSql, const ONLY_AGAIN: bool> QueryFragment<Mysql> for TryAcquire<N, ONLY_AGAIN> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let Self(name) = self;
        out.push_sql("SELECT CAST(IF(");
        out.push_sql(N::IS_WHOLE);
        out.push_sql(if ONLY_AGAIN { ", IF((" } else { ", (" });
        // 0 or 1, never NULL.
        out.push_sql("IS_USED_LOCK(");
        name.walk_ast(out.reborrow())?;
        out.push_sql(") <=> CONNECTION_ID())");
        out.push_sql(if ONLY_AGAIN { ", 2 + " } else { " * 2 + " });
        out.push_sql(N::NUMBER);
        out.push_sql(" + GET_LOCK(");
        name.walk_ast(out.reborrow())?;
        out.push_sql(", 0)");
        out.push_sql(if ONLY_AGAIN { ", -2), -1" } else { ", -1" });
        out.push_sql(") AS SIGNED)");
        Ok(())
    }
}

impl<N, const ONLY_AGAIN: bool> Query for TryAcquire<N, ONLY_AGAIN> {
    type SqlType = Nullable<BigInt>;
}

impl<N, const ONLY_AGAIN: bool> RunQueryDsl<MysqlConnection> for TryAcquire<N, ONLY_AGAIN> {}
