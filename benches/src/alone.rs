//! One session, a lock that nobody else wants: what locking costs by itself, beside the floor and what people do instead.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel_advisory_lock::prelude::*;
use mysql::prelude::Queryable as _;
use raw_client::Session;

use crate::database::{Account, Database, Transport, accounts, claims};
use crate::finding::{Column, Finding, Picture, Row};
use crate::report::Report;
use crate::rounds::{Contender, Plan, in_loop, medians};

pub(crate) fn run(database: &Database, plan: Plan, report: &mut Report) -> Result<()> {
    report.add(on(database, plan, Transport::Tcp)?);
    report.add(on(database, plan, Transport::Socket)?);
    Ok(())
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Nullable<BigInt>)]
    answer: Option<i64>,
}

fn on(database: &Database, plan: Plan, transport: Transport) -> Result<Finding> {
    let account = Account { id: 1, balance: 0 };
    let name = account.lock_name();
    let written = name.written("bench");

    let session = Session::connect(database.raw_address(transport)?, "bench")?;
    let mut get = session.prepare("SELECT GET_LOCK(?, 45)")?;
    let mut release = session.prepare("SELECT RELEASE_LOCK(?)")?;
    let mut pure = mysql::Conn::new(database.pure_options(transport)?)?;
    let get_pure = pure.prep("SELECT GET_LOCK(?, 45)")?;
    let release_pure = pure.prep("SELECT RELEASE_LOCK(?)")?;
    let connect = || database.connect_by(transport);
    let [
        mut hold,
        mut by_hand,
        mut with_lock,
        mut for_update,
        mut transaction,
        mut table,
    ] = [
        connect()?,
        connect()?,
        connect()?,
        connect()?,
        connect()?,
        connect()?,
    ];
    let mut contenders = [
        Contender::new("C client, prepared", |time: Duration| {
            in_loop(time, || {
                ensure!(get.ask(&written)? == Some(1), "not locked");
                ensure!(release.ask(&written)? == Some(1), "not released");
                Ok(())
            })
        }),
        Contender::new("mysql crate, prepared", |time| {
            in_loop(time, || {
                let got: Option<Option<i64>> = pure.exec_first(&get_pure, (&written,))?;
                ensure!(got == Some(Some(1)), "not locked");
                let gone: Option<Option<i64>> = pure.exec_first(&release_pure, (&written,))?;
                ensure!(gone == Some(Some(1)), "not released");
                Ok(())
            })
        }),
        Contender::ours("hold", |time| {
            in_loop(time, || {
                let conn = &mut hold;
                Ok(name.lock().hold(conn, |_| Ok::<_, LockError>(()))?)
            })
        }),
        Contender::new("sql_query by hand", |time| {
            in_loop(time, || {
                let conn = &mut by_hand;
                let got: Answer = diesel::sql_query("SELECT GET_LOCK(?, ?) AS answer")
                    .bind::<Text, _>(&written)
                    .bind::<Integer, _>(45)
                    .get_result(conn)?;
                ensure!(got.answer == Some(1), "not locked");
                let gone: Answer = diesel::sql_query("SELECT RELEASE_LOCK(?) AS answer")
                    .bind::<Text, _>(&written)
                    .get_result(conn)?;
                ensure!(gone.answer == Some(1), "not released");
                Ok(())
            })
        }),
        Contender::ours("with_lock, re-read", |time| {
            in_loop(time, || {
                let conn = &mut with_lock;
                Ok(account
                    .clone()
                    .with_lock(conn, |_, _| Ok::<_, LockError>(()))?)
            })
        }),
        Contender::new("BEGIN, FOR UPDATE, COMMIT", |time| {
            in_loop(time, || {
                let conn = &mut for_update;
                conn.transaction(|conn| {
                    let row = accounts::table
                        .find(account.id)
                        .select(Account::as_select());
                    row.for_update().first(conn).map(drop)
                })
                .context("FOR UPDATE")
            })
        }),
        Contender::ours(".transaction, re-read", |time| {
            in_loop(time, || {
                let conn = &mut transaction;
                let mut account = account.clone();
                Ok(account
                    .lock()
                    .transaction(conn, |_, _| Ok::<_, LockError>(()))?)
            })
        }),
        Contender::new("a row of a lock table", |time| {
            in_loop(time, || {
                let conn = &mut table;
                diesel::insert_into(claims::table)
                    .values(claims::name.eq(&written))
                    .execute(conn)?;
                diesel::delete(claims::table.find(&written)).execute(conn)?;
                Ok(())
            })
        }),
    ];
    let (id, way) = match transport {
        Transport::Tcp => ("alone-tcp", "over TCP on loopback"),
        Transport::Socket => ("alone-socket", "over a Unix socket"),
    };
    let title = format!("Lock and release, uncontended, {way}");
    let medians = medians(&title, plan, &mut contenders)?;
    let rows = medians
        .iter()
        .zip(&contenders)
        .map(|(per_second, contender)| Row {
            name: contender.name.to_owned(),
            ours: contender.ours,
            cells: vec![Some(1e6 / per_second), Some(medians[0] / per_second)],
        });
    Ok(Finding {
        id: id.to_owned(),
        title,
        text: "One session, and a lock that nobody else wants.".to_owned(),
        columns: vec![
            Column::new("time", "µs", 1),
            Column::new("x the C client", "", 2),
        ],
        rows: rows.collect(),
        picture: Picture::Bars { column: 0 },
    })
}
