//! A lock that the session holds: whether it still does, and releasing it.
//!
//! Each falls back to a text where the server prepares no more statements (error 1461), or the session returns no rows.

use std::marker::PhantomData;

use diesel::RunQueryDsl;
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::BigInt;

use super::code::Failure;
use super::namespace;
use super::statement::{confirms, literal, push_text};
use super::surroundings::{self, Checks, for_surroundings};
use crate::backend::sealed::Session as _;
use crate::backend::{Condition, Holding, Passed, ReleaseAnswer};
use crate::transaction::Surroundings;

pub(super) fn release(
    conn: &mut MysqlConnection,
    server_name: &str,
    surroundings: Surroundings,
) -> ReleaseAnswer {
    let answer = for_surroundings!(surroundings, In => Ask::<Release, In>::new(server_name).get_result::<i64>(conn));
    match answer {
        Ok(number) if surroundings::reason(number).is_some() => ReleaseAnswer::TransactionOpen,
        Ok(0) => ReleaseAnswer::NotHeld,
        Ok(number) => ReleaseAnswer::Released {
            still_held: number & STILL_HELD != 0,
        },
        Err(error) => {
            let failure = Failure::of(conn, error);
            let name = literal(server_name);
            if !failure.may_have_run()
                && confirms(conn, surroundings::condition(surroundings))
                && confirms(conn, &format!("RELEASE_LOCK({name}) <=> 1"))
            {
                return ReleaseAnswer::Released {
                    still_held: !confirms(
                        conn,
                        &format!("NOT (IS_USED_LOCK({name}) <=> CONNECTION_ID())"),
                    ),
                };
            }
            ReleaseAnswer::Failed(failure.error)
        }
    }
}

pub(super) fn holds(
    conn: &mut MysqlConnection,
    server_names: &[&str],
    surroundings: Surroundings,
) -> QueryResult<Holding> {
    let surroundings = match surroundings {
        Surroundings::NoTransaction => Surroundings::NoTransaction,
        // Within a transaction of ours, the server's word that one is open says nothing.
        Surroundings::TestTransaction | Surroundings::Transaction => Surroundings::TestTransaction,
    };
    let mut condition = Condition::Clean;
    for (chunk, names) in server_names.chunks(HoldsAll::MOST).enumerate() {
        match holds_chunk(conn, names, surroundings)? {
            Holding::All(Condition::Clean) => {}
            Holding::All(other) => condition = other,
            Holding::Not(index) => return Ok(Holding::Not(chunk * HoldsAll::MOST + index)),
        }
    }
    Ok(Holding::All(condition))
}

fn holds_chunk(
    conn: &mut MysqlConnection,
    names: &[&str],
    surroundings: Surroundings,
) -> QueryResult<Holding> {
    let answer = match names {
        [name] => {
            for_surroundings!(surroundings, In => Ask::<Holds, In>::new(name).get_result::<i64>(conn))
        }
        names => HoldsAll(names).get_result(conn),
    };
    match answer {
        Ok(number) if number >= NOT_HELD => Ok(Holding::Not((number - NOT_HELD) as usize)),
        Ok(number) => Ok(Holding::All(match number {
            HELD => Condition::Clean,
            OTHER_SCHEMA => Condition::OtherSchema,
            _ => Condition::TransactionOpen,
        })),
        Err(error) => {
            let failure = Failure::of(conn, error);
            if failure.may_have_run() {
                conn.end_session();
                return Err(failure.error);
            }
            let not_held = names.iter().position(|name| {
                let name = literal(name);
                !confirms(conn, &format!("IS_USED_LOCK({name}) <=> CONNECTION_ID()"))
            });
            Ok(match not_held {
                Some(index) => Holding::Not(index),
                // A session in this state is not for a new caller, whatever its state is.
                None => Holding::All(Condition::OtherSchema),
            })
        }
    }
}

pub(super) fn give_way(conn: &mut MysqlConnection, server_name: &str) -> QueryResult<Passed> {
    let answer = Ask::<GiveWay, surroundings::Outside>::new(server_name).get_result::<i64>(conn);
    match answer {
        Ok(number) if surroundings::reason(number).is_some() => Ok(Passed::TransactionOpen),
        Ok(number) if number & 1 == 0 => Ok(Passed::NotHeld),
        Ok(number) if number & STILL_HELD != 0 => Ok(Passed::StillHeld),
        Ok(number) if number & ACQUIRED != 0 => Ok(Passed::Kept),
        Ok(_) => Ok(Passed::Released),
        Err(error) => Err(error),
    }
}

/// A session whose locks have namespaces of their own knows of none.
macro_rules! same_schema {
    () => {
        concat!(
            "(",
            namespace::variable!(number),
            " IS NULL OR ",
            namespace::is_known!(),
            ")"
        )
    };
}

const STILL_HELD: i64 = 2;
const ACQUIRED: i64 = 4;

const HELD: i64 = 1;
const OTHER_SCHEMA: i64 = 0;
/// And the index of the lock.
const NOT_HELD: i64 = 2;

/// What is asked of one lock, after the checks of the surroundings have passed.
trait Question: 'static {
    /// Around the name.
    const SQL: &'static [&'static str];
    /// Before the checks.
    const FIRST: &'static [&'static str] = &[];
}

struct Release;

/// 0 if it was another session's or free (NULL); else 1, and 2 more if the session still has it.
impl Question for Release {
    const SQL: &'static [&'static str] = &[
        "COALESCE(RELEASE_LOCK(",
        ") + 2 * (IS_USED_LOCK(",
        ") <=> CONNECTION_ID()), 0)",
    ];
}

struct Holds;

impl Question for Holds {
    const FIRST: &'static [&'static str] =
        &["WHEN NOT (IS_USED_LOCK(", ") <=> CONNECTION_ID()) THEN 2 "];
    const SQL: &'static [&'static str] = &[same_schema!()];
}

/// `RELEASE_LOCK` grants the lock to the session that has waited longest, if there is one, and then
/// `GET_LOCK` gets 0. A session in another schema is not for a new caller, and does not ask again.
struct GiveWay;

impl Question for GiveWay {
    const SQL: &'static [&'static str] = &[
        "COALESCE(RELEASE_LOCK(",
        "), 0) + CASE WHEN IS_USED_LOCK(",
        concat!(
            ") <=> CONNECTION_ID() THEN 2 WHEN NOT ",
            same_schema!(),
            " THEN 0 ELSE 4 * COALESCE(GET_LOCK("
        ),
        ", 0), 0) END",
    ];
}

struct Ask<'n, Q, In> {
    server_name: &'n str,
    question: PhantomData<(Q, In)>,
}

impl<'n, Q, In> Ask<'n, Q, In> {
    fn new(server_name: &'n str) -> Self {
        Ask {
            server_name,
            question: PhantomData,
        }
    }

    fn push<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Mysql>,
        pieces: &[&'static str],
    ) -> QueryResult<()> {
        for (gap, piece) in pieces.iter().enumerate() {
            if gap > 0 {
                push_text(out, &self.server_name)?;
            }
            out.push_sql(piece);
        }
        Ok(())
    }
}

impl<Q: Question, In: Checks> QueryFragment<Mysql> for Ask<'_, Q, In> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT CAST(CASE ");
        self.push(&mut out, Q::FIRST)?;
        out.push_sql(In::SQL);
        out.push_sql("ELSE ");
        self.push(&mut out, Q::SQL)?;
        out.push_sql(" END AS SIGNED)");
        Ok(())
    }
}

impl<Q: Question, In: Checks> QueryId for Ask<'_, Q, In> {
    type QueryId = Ask<'static, Q, In>;
}

impl<Q, In> Query for Ask<'_, Q, In> {
    type SqlType = BigInt;
}

impl<Q, In> RunQueryDsl<MysqlConnection> for Ask<'_, Q, In> {}

/// The same as [`Holds`] for several. There is a statement for each power of two, so that sets of many sizes do not fill
/// the connection's cache; the last name fills up the rest.
struct HoldsAll<'n>(&'n [&'n str]);

impl HoldsAll<'_> {
    const MOST: usize = 64;
}

impl QueryFragment<Mysql> for HoldsAll<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT CAST(CASE ");
        let last = self.0.len().saturating_sub(1);
        for item in 0..self.0.len().next_power_of_two() {
            let Some(name) = self.0.get(item.min(last)) else {
                break;
            };
            out.push_sql("WHEN NOT (IS_USED_LOCK(");
            push_text(&mut out, name)?;
            out.push_sql(&format!(
                ") <=> CONNECTION_ID()) THEN {} ",
                NOT_HELD as usize + item
            ));
        }
        out.push_sql(surroundings::InTest::SQL);
        out.push_sql("ELSE ");
        out.push_sql(same_schema!());
        out.push_sql(" END AS SIGNED)");
        Ok(())
    }
}

impl QueryId for HoldsAll<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for HoldsAll<'_> {
    type SqlType = BigInt;
}

impl RunQueryDsl<MysqlConnection> for HoldsAll<'_> {}
