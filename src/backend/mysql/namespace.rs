//! What stands before the slash. To hash it in each statement took a fifth of the statement's time, so each session does it
//! once and keeps it in two variables, NULL until then: as text, and as the number that an answer has room for.

use diesel::RunQueryDsl;
use diesel::mysql::MysqlConnection;
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{Nullable, Text};

use super::statement::Uncached;

macro_rules! variable {
    () => {
        "@diesel_advisory_lock_namespace"
    };
    (as number) => {
        "@diesel_advisory_lock_namespace_number"
    };
}

pub(super) use variable;

/// The number is shifted by what else is in an answer. It comes last, because whoever has it must have the text.
const SET: Uncached<()> = Uncached::new(&[concat!(
    "SET ",
    variable!(),
    " = LEFT(SHA2(COALESCE(DATABASE(), ''), 256), 8), ",
    variable!(as number),
    " = CAST(CONV(LEFT(SHA2(COALESCE(DATABASE(), ''), 256), 8), 16, 10) AS SIGNED) * 4"
)]);

const GET: Uncached<Nullable<Text>> = Uncached::new(&[concat!("SELECT ", variable!())]);

pub(super) fn get(conn: &mut MysqlConnection) -> QueryResult<String> {
    let mut namespace = GET.get_result::<Option<String>>(conn)?;
    if namespace.is_none() {
        set(conn)?;
        namespace = GET.get_result(conn)?;
    }
    namespace.ok_or_else(forgotten)
}

/// Has the session remember its namespace: that of the schema in which the connection takes its first lock,
/// whatever `USE` says later.
pub(super) fn set(conn: &mut MysqlConnection) -> QueryResult<()> {
    SET.execute(conn).map(drop)
}

/// Locks need one session, too, so this is told before any is taken.
pub(super) fn forgotten() -> DieselError {
    DieselError::QueryBuilderError(
        "the server forgot a variable of the session that had just been set: locks need one session for all \
         statements of a connection, so connect past the proxy that spreads them over several"
            .into(),
    )
}
