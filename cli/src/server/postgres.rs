//! What the commands ask PostgreSQL beside the library's questions.

use anyhow::{Context, Result, bail};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};

use super::Ending;
use crate::lock::Session;
use crate::name::{Of, Wanted};

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// The schema in which this session finds the table.
pub(super) fn schema_of(conn: &mut PgConnection, of: Of<'_>) -> Result<String> {
    let table = match of {
        Of::Table(table) => table,
        Of::UnknownTable => bail!(
            "the name does not say which table it is of; pass the table's --schema, or the full \
             name, which starts with 8 hex digits and a slash"
        ),
        Of::Nothing => return Ok(String::new()),
    };
    let query = "SELECT n.nspname::text AS name FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.oid = pg_catalog.to_regclass(pg_catalog.quote_ident($1))";
    let query = diesel::sql_query(query).bind::<Text, _>(table);
    match query.get_result::<Name>(conn).optional()? {
        Some(schema) => Ok(schema.name),
        None => bail!("this connection finds no table `{table}`; pass its --schema"),
    }
}

pub(super) fn schemas(conn: &mut PgConnection) -> QueryResult<Vec<String>> {
    let query = "SELECT nspname::text AS name FROM pg_catalog.pg_namespace";
    let names: Vec<Name> = diesel::sql_query(query).load(conn)?;
    Ok(names.into_iter().map(|row| row.name).collect())
}

/// What an administrator must run so that the role sees all sessions.
pub(super) fn remedy_of_hidden(_: &mut PgConnection) -> QueryResult<Option<String>> {
    Ok(Some("`GRANT pg_read_all_stats TO <role>`".to_owned()))
}

/// The list of locks has all that the role may see.
pub(super) fn session(_: &mut PgConnection, id: u64) -> QueryResult<Session> {
    Ok(Session::unknown(id))
}

/// The rows of `pg_locks AS l` of sessions that hold a lock, whose columns are bound as `$1`, `$2`
/// and `$3`.
const HOLDERS: &str = "FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted \
     AND l.database = (SELECT oid FROM pg_catalog.pg_database \
                       WHERE datname = pg_catalog.current_database()) \
     AND l.classid::bigint = $1 AND l.objid::bigint = $2 AND l.objsubid = $3";

macro_rules! bind_columns {
    ($query:expr, $wanted:expr) => {{
        let columns = $wanted.columns();
        $query
            .bind::<BigInt, _>(i64::from(columns.classid))
            .bind::<BigInt, _>(i64::from(columns.objid))
            .bind::<Integer, _>(i32::from(columns.objsubid))
    }};
}

pub(super) fn holders(conn: &mut PgConnection, wanted: &Wanted) -> Result<Vec<u64>> {
    #[derive(QueryableByName)]
    struct Holder {
        /// NULL for a prepared transaction.
        #[diesel(sql_type = Nullable<Integer>)]
        pid: Option<i32>,
    }
    let query = diesel::sql_query(format!("SELECT DISTINCT l.pid {HOLDERS} ORDER BY l.pid"));
    let holders: Vec<Holder> = bind_columns!(query, wanted).load(conn)?;
    let id = |pid: i32| u64::from(pid.unsigned_abs());
    Ok(holders.into_iter().map(|it| it.pid.map_or(0, id)).collect())
}

/// The statement that ends the session also checks that it holds the lock.
pub(super) fn end(conn: &mut PgConnection, wanted: &Wanted, id: u64) -> Result<Ending> {
    #[derive(QueryableByName)]
    struct Ended {
        /// False if the session has ended meanwhile.
        #[diesel(sql_type = Bool)]
        is_ended: bool,
    }
    if id == 0 {
        bail!(
            "a prepared transaction holds the lock, and no session: find it in \
             `pg_prepared_xacts`, and end it by `ROLLBACK PREPARED` or `COMMIT PREPARED`"
        );
    }
    let query = diesel::sql_query(format!(
        "SELECT pg_catalog.pg_terminate_backend(h.pid) AS is_ended \
         FROM (SELECT DISTINCT l.pid {HOLDERS} AND l.pid = $4) h"
    ));
    let query = bind_columns!(query, wanted).bind::<Integer, _>(i32::try_from(id)?);
    let ended: Option<Ended> = query.get_result(conn).optional().with_context(|| {
        format!(
            "cannot end connection {id}: a role may end sessions of the roles that it is a member \
             of; for others, ask an administrator to run `GRANT pg_signal_backend TO <role>`; only \
             superusers may end a superuser's session"
        )
    })?;
    Ok(match ended {
        Some(ended) if ended.is_ended => Ending::Requested,
        _ => Ending::NotHolding,
    })
}
