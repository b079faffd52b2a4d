//! An error before execution does not cost the connection; any other error of a reload does.

use std::iter::repeat;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel_advisory_lock::Outcome;
use diesel_advisory_lock::prelude::*;

use crate::support::{
    Account, Case, Clients, Counter, Db, Form, Stingy, Work, lock_error, session_id, until,
};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_reload_with_a_missing_column_keeps_the_connection),
        case!(a_reload_with_a_missing_table_keeps_the_connection),
        case!(a_reload_without_the_privilege_keeps_the_connection),
        case!(a_reload_of_a_table_outside_lock_tables_keeps_the_connection),
        case!(an_acquire_that_cannot_be_prepared_keeps_the_connection).private(),
        case!(a_cached_reload_of_an_altered_table_does_not_hang),
        case!(a_killed_reload_ends_the_session),
    ]
}

/// Each form fails at its reload under `break_it`, and works on the same connection after `mend`.
fn keeps_the_connection(
    db: &Db,
    calls: impl Iterator<Item = (Form, Work)>,
    clients: impl Fn() -> Clients,
    break_it: impl Fn(&mut Clients),
    mend: impl Fn(&mut Clients),
) {
    for (form, work) in calls {
        let clients = &mut clients();
        break_it(clients);
        let session = clients.session(form);
        for _ in 0..2 {
            let error = lock_error(clients.call((form, work), |_, _| Ok(())));
            assert!(
                matches!(error, LockError::Database { .. }),
                "{form:?} {work:?}: {error:?}"
            );
            assert_eq!(error.outcome(), Outcome::NothingHappened);
            assert_eq!(clients.session(form), session, "{form:?} {work:?}");
        }
        let counter = Counter { id: 1, value: 0 }.lock_name();
        for name in [counter, LockName::named("job")] {
            assert_eq!(db.holder(&name), None, "{form:?} {work:?}");
        }
        mend(clients);
        let result = clients.call((form, work), |_, conn| {
            assert_eq!(session_id(conn), session, "{form:?} {work:?}");
            Ok(())
        });
        assert_eq!(result, Ok(()), "{form:?} {work:?}");
    }
}

fn a_reload_with_a_missing_column_keeps_the_connection(db: &Db) {
    db.counter(1);
    keeps_the_connection(
        db,
        Form::all(),
        || db.clients(),
        |_| db.execute("ALTER TABLE counters DROP COLUMN value"),
        |_| db.execute("ALTER TABLE counters ADD COLUMN value BIGINT NOT NULL DEFAULT 0"),
    );
}

fn a_reload_with_a_missing_table_keeps_the_connection(db: &Db) {
    db.counter(1);
    keeps_the_connection(
        db,
        Form::all(),
        || db.clients(),
        |_| db.execute("RENAME TABLE counters TO elsewhere"),
        |_| db.execute("RENAME TABLE elsewhere TO counters"),
    );
}

fn a_reload_without_the_privilege_keeps_the_connection(db: &Db) {
    db.counter(1);
    let account = Account::create(db);
    account.revoke(&format!("SELECT ON {}.*", db.schema));
    // A session learns of a change at once if it is one of a table's privileges.
    let table = format!("SELECT ON {}.counters", db.schema);
    account.grant(&table);
    keeps_the_connection(
        db,
        Form::all(),
        || Clients::new(&account.url()),
        |_| account.revoke(&table),
        |_| account.grant(&table),
    );
}

fn a_reload_of_a_table_outside_lock_tables_keeps_the_connection(db: &Db) {
    db.counter(1);
    let in_both = |clients: &mut Clients, sql: &str| {
        clients.conn.batch_execute(sql).unwrap();
        let mut pooled = clients.locks.pool().get().unwrap();
        pooled.batch_execute(sql).unwrap();
    };
    keeps_the_connection(
        db,
        // BEGIN would end `LOCK TABLES`.
        Form::of(Work::Run).into_iter().zip(repeat(Work::Run)),
        || db.clients(),
        |clients| in_both(clients, "LOCK TABLES documents READ"),
        |clients| in_both(clients, "UNLOCK TABLES"),
    );
}

/// On a server of its own, which prepares no more statements.
fn an_acquire_that_cannot_be_prepared_keeps_the_connection(db: &Db) {
    let server = Stingy::start(db);
    let url = server.url_with_counter();
    for (form, work) in Form::all() {
        let clients = &mut Clients::new(&url);
        let session = clients.session(form);
        server.forbid();
        let error = lock_error(clients.call((form, work), |_, _| Ok(())));
        server.permit();
        assert!(
            matches!(error, LockError::Database { .. }),
            "{form:?} {work:?}: {error:?}"
        );
        assert_eq!(error.outcome(), Outcome::NothingHappened);
        let result = clients.call((form, work), |_, conn| {
            assert_eq!(session_id(conn), session, "{form:?} {work:?}");
            Ok(())
        });
        assert_eq!(result, Ok(()), "{form:?} {work:?}");
    }
}

/// Diesel keeps the statement, and the server prepares it anew by itself.
fn a_cached_reload_of_an_altered_table_does_not_hang(db: &Db) {
    db.counter(1);
    for (form, work) in Form::all() {
        let mut clients = db.clients();
        let mut other = db.conn();
        let (done, ended) = mpsc::channel();
        // Not scoped: if it hangs, this case fails all the same.
        let worker = thread::spawn(move || {
            let mut call = || clients.call((form, work), |_, _| Ok(()));
            let mut alter = |how: &str| {
                let sql = format!("ALTER TABLE counters {how}");
                other.batch_execute(&sql).unwrap();
            };
            call().unwrap();
            alter("DROP COLUMN value");
            call().unwrap_err();
            alter("ADD COLUMN value BIGINT NOT NULL DEFAULT 0");
            done.send(call()).unwrap();
        });
        let last = ended.recv_timeout(Duration::from_secs(20));
        // A plain connection whose session was ended is of no further use.
        let last = last.unwrap_or_else(|error| panic!("{form:?} {work:?}: {error}"));
        assert!(
            last.is_ok() || !form.is_pooled(),
            "{form:?} {work:?}: {last:?}"
        );
        worker.join().unwrap();
        db.until_free(&format!("{form:?} {work:?}"));
    }
}

/// It may have run, and libmariadb hangs when such a statement runs again.
fn a_killed_reload_ends_the_session(db: &Db) {
    db.counter(1);
    let row = &mut db.conn();
    for (form, work) in Form::all() {
        let clients = &mut db.clients();
        let session = clients.session(form);
        row.batch_execute("LOCK TABLES counters WRITE").unwrap();
        let error = thread::scope(|scope| {
            let waiting = scope.spawn(|| clients.call((form, work), |_, _| Ok(())));
            until("the reload waits for its table", || {
                db.is_in_state(session, "Waiting for table metadata lock")
            });
            db.execute(&format!("KILL QUERY {session}"));
            waiting.join().unwrap().unwrap_err()
        });
        row.batch_execute("UNLOCK TABLES").unwrap();
        let error = LockError::try_from(error).unwrap();
        assert_eq!(error.outcome(), Outcome::NothingHappened, "{error:?}");
        db.until_free(&format!("{form:?} {work:?}"));
        until("the session has ended", || !db.is_session(session));
    }
}
