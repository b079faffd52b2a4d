//! What a time-out tells, and who holds which lock.

use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_advisory_lock::locks::{self, HeldFor, HeldLock, InspectError, Subject};
use diesel_advisory_lock::{LockStatus, prelude::*};
use test_server::{Kind, Server};

use crate::support::{Account, Case, Db, Stingy, counters, session_id};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_time_out_tells_who_holds_the_lock),
        case!(a_time_out_tells_what_the_holder_is_running),
        case!(a_time_out_tells_a_weak_account_the_connection_alone),
        case!(a_time_out_of_several_locks_tells_who_holds_the_one),
        case!(a_deadlock_tells_who_closed_the_circle),
        case!(a_time_out_stays_one_when_the_holder_cannot_be_looked_up).private(),
        case!(a_look_up_is_limited_on_either_server),
        case!(a_status_is_of_the_lock_that_would_be_taken),
        case!(a_status_leaves_the_namespace_open),
        case!(held_locks_are_told_with_their_holders_and_waiters).private(),
        case!(names_are_read_back).private(),
        case!(what_is_missing_is_said).private(),
        case!(debug_output_of_errors_and_locks_hides_the_holders_statement).private(),
        case!(held_with_metadata_locks_lost_returns_incomplete).only(Kind::Mysql),
        case!(held_without_room_for_any_metadata_lock_returns_incomplete).only(Kind::Mysql),
        case!(held_under_max_join_size_1_returns_the_locks).private(),
    ]
}

const SHORT: Duration = Duration::from_millis(300);

fn id(conn: &mut MysqlConnection) -> u64 {
    session_id(conn).try_into().unwrap()
}

#[track_caller]
fn refused(conn: &mut MysqlConnection, name: &LockName) -> LockError {
    let refused = name.lock().timeout(SHORT).acquire(conn);
    refused.map(drop).unwrap_err()
}

fn a_time_out_tells_who_holds_the_lock(db: &Db) {
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let name = LockName::named("job");
    let holders_id = id(holder);
    let held = name.lock().acquire(holder).unwrap();
    let error = refused(waiter, &name);
    let LockError::Timeout { waited, .. } = error else {
        panic!("{error:?}");
    };
    assert!(waited >= SHORT && waited < 2 * SHORT, "{waited:?}");
    let session = error.holder().expect("a holder");
    assert_eq!(session.connection_id, holders_id);
    let activity = session.activity.as_ref().expect("an activity");
    assert_eq!(activity.statement, None);
    assert!(activity.elapsed <= Duration::from_secs(2), "{activity:?}");
    assert!(!activity.user.is_empty() && !activity.host.is_empty());
    let told = error.to_string();
    assert!(
        told.contains(&format!("connection {holders_id} ({}@", activity.user)),
        "{told}"
    );
    held.release().unwrap();
    // The waiter's connection is none the worse.
    name.lock().acquire(waiter).unwrap().release().unwrap();
}

fn a_time_out_tells_what_the_holder_is_running(db: &Db) {
    let name = LockName::named("job");
    let conn = &mut db.conn();
    let mut held = name.lock().acquire(conn).unwrap();
    thread::scope(|scope| {
        let holder = scope.spawn(move || {
            held.batch_execute("DO SLEEP(1.5)").unwrap();
            held.release().unwrap();
        });
        let error = refused(&mut db.conn(), &name);
        let activity = error.holder().unwrap().activity.clone();
        assert_eq!(activity.unwrap().statement.unwrap(), "DO SLEEP(1.5)");
        assert!(!error.to_string().contains("SLEEP"), "{error}");
        holder.join().unwrap();
    });
}

fn a_time_out_tells_a_weak_account_the_connection_alone(db: &Db) {
    let account = Account::create(db);
    let (holder, waiter) = (&mut db.conn(), &mut account.conn());
    let name = LockName::named("job");
    let holders_id = id(holder);
    let _held = name.lock().acquire(holder).unwrap();
    let error = refused(waiter, &name);
    let session = error.holder().expect("a holder");
    assert_eq!(session.connection_id, holders_id);
    assert_eq!(session.activity, None);
}

fn a_time_out_of_several_locks_tells_who_holds_the_one(db: &Db) {
    let (holder, waiter) = (&mut db.conn(), &mut db.conn());
    let holders_id = id(holder);
    let (free, taken) = (LockName::named("free"), LockName::named("taken"));
    let _held = taken.lock().acquire(holder).unwrap();
    let refused = LockAll::of((&free, &taken))
        .timeout(SHORT)
        .run(waiter, |_, _| Ok::<_, LockError>(()));
    let error = refused.unwrap_err();
    assert_eq!(error.name(), &taken);
    assert_eq!(error.holder().unwrap().connection_id, holders_id);
}

fn a_deadlock_tells_who_closed_the_circle(db: &Db) {
    let (one, other) = (&mut db.conn(), &mut db.conn());
    let (ones_id, others_id) = (id(one), id(other));
    let (a, b) = (LockName::named("a"), LockName::named("b"));
    let mut one = a.lock().acquire(one).unwrap();
    let mut other = b.lock().acquire(other).unwrap();
    let told = thread::scope(|scope| {
        let waiter = scope.spawn(|| match b.lock().acquire(&mut one) {
            Ok(_) => None,
            Err(error) => Some((error, others_id)),
        });
        db.until_waiting(ones_id.try_into().unwrap());
        let closing = a.lock().acquire(&mut other).map(drop).err();
        let told = closing.map(|error| (error, ones_id));
        drop(other);
        // Either of them is refused.
        let waiters = waiter.join().unwrap();
        told.or(waiters)
    });
    let (error, holder) = told.expect("a deadlock");
    assert!(matches!(error, LockError::Deadlock { .. }), "{error:?}");
    assert_eq!(error.holder().expect("a holder").connection_id, holder);
}

/// On a server of its own, where no statement can be prepared any more.
fn a_time_out_stays_one_when_the_holder_cannot_be_looked_up(db: &Db) {
    let server = Stingy::start(db);
    let (holder, waiter) = (&mut server.conn(), &mut server.conn());
    let name = LockName::named("job");
    name.lock().acquire(waiter).unwrap().release().unwrap();
    let held = name.lock().acquire(holder).unwrap();
    server.forbid();
    let error = name.lock().no_wait().acquire(waiter).unwrap_err();
    assert!(matches!(error, LockError::Timeout { .. }), "{error:?}");
    assert_eq!(error.holder(), None);
    assert!(error.to_string().contains("another session holds it"));
    server.permit();
    held.release().unwrap();
    name.lock().acquire(waiter).unwrap().release().unwrap();
}

/// By the words that a look-up begins with; a list of processes that takes long is not to be had.
fn a_look_up_is_limited_on_either_server(db: &Db) {
    const LIMITED: &str = "/*M!100100 SET STATEMENT max_statement_time = 1 FOR */ SELECT /*+ MAX_EXECUTION_TIME(1000) */ ";
    let library = include_str!("../../src/backend/mysql/inspect.rs");
    assert!(library.contains(&format!("\"{LIMITED}\"")), "other words");
    let conn = &mut db.conn();
    let begun = Instant::now();
    let slow = diesel::sql_query(format!("{LIMITED}SLEEP(20)")).execute(conn);
    // MySQL's SLEEP answers that it was cut short, MariaDB's statement fails.
    assert_eq!(slow.is_err(), db.is_mariadb(), "{slow:?}");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

fn a_status_is_of_the_lock_that_would_be_taken(db: &Db) {
    let (holder, other) = (&mut db.conn(), &mut db.conn());
    let connection_id = id(holder);
    let names = [
        LockName::named("job"),
        LockName::row(counters::table, 1).scope("send"),
        LockName::named("job").namespace("elsewhere"),
        LockName::exact(format!("{} by hand", db.schema)).unwrap(),
    ];
    for name in &names {
        assert_eq!(name.status(other).unwrap(), LockStatus::Free, "{name}");
        let mut held = name.lock().acquire(holder).unwrap();
        assert_eq!(name.status(&mut held).unwrap(), LockStatus::HeldHere);
        assert_eq!(
            name.status(other).unwrap(),
            LockStatus::HeldBy { connection_id },
            "{name}"
        );
        held.release().unwrap();
        assert_eq!(name.status(other).unwrap(), LockStatus::Free, "{name}");
    }
    let refused = LockName::exact("a").unwrap().scope("b").status(other);
    assert!(matches!(refused, Err(LockError::InvalidName { .. })));
}

/// The namespace is the schema in which a connection first takes a lock, not that in which it first looks.
fn a_status_leaves_the_namespace_open(db: &Db) {
    let conn = &mut MysqlConnection::establish(&db.url_of_no_schema()).unwrap();
    let name = LockName::named(format!("{} job", db.schema));
    assert_eq!(name.status(conn).unwrap(), LockStatus::Free);
    conn.batch_execute(&format!("USE {}", db.schema)).unwrap();
    let held = name.lock().acquire(conn).unwrap();
    assert_eq!(
        name.status(&mut db.conn()).unwrap(),
        LockStatus::HeldBy {
            connection_id: db.holder(&name).unwrap().try_into().unwrap()
        }
    );
    held.release().unwrap();
}

fn held_locks_are_told_with_their_holders_and_waiters(db: &Db) {
    db.let_locks_be_seen();
    let (holder, other) = (&mut db.conn(), &mut db.conn());
    let holders_id = id(holder);
    let row = LockName::row(counters::table, 1);
    let job = LockName::named("job");
    let _foreign = diesel::select(
        diesel::dsl::sql::<diesel::sql_types::BigInt>("GET_LOCK(")
            .bind::<Text, _>(&db.schema)
            .sql(", 0)"),
    )
    .get_result::<i64>(other)
    .unwrap();
    thread::scope(|scope| {
        let mut outer = row.lock().acquire(holder).unwrap();
        // Once in the list, though the server counts it twice.
        let mut inner = row.lock().acquire(&mut outer).unwrap();
        let held_job = job.lock().acquire(&mut inner).unwrap();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let mut conn = db.conn();
                let id = session_id(&mut conn);
                scope.spawn({
                    let row = &row;
                    move || row.lock().acquire(&mut conn).unwrap().release().unwrap()
                });
                db.until_waiting(id);
                u64::try_from(id).unwrap()
            })
            .collect();
        thread::sleep(Duration::from_millis(1_100));
        let held: Vec<_> = locks::held(other)
            .unwrap()
            .into_iter()
            .filter(|lock| lock.name.is_in(&db.schema))
            .collect();
        let [job_lock, row_lock] = &held[..] else {
            panic!("{held:?}");
        };
        assert_eq!(job_lock.name.as_str(), job.written(&db.schema));
        assert_eq!(row_lock.name.as_str(), row.written(&db.schema));
        for lock in &held {
            assert_eq!(lock.holder.connection_id, holders_id);
            let activity = lock.holder.activity.as_ref().unwrap();
            assert_eq!(activity.statement, None);
            assert!(activity.elapsed >= Duration::from_secs(1));
            let (shortest, is_exact) = match lock.held_for {
                HeldFor::Exactly(age) => (age, true),
                HeldFor::AtLeast(age) => (age, false),
            };
            assert_eq!(is_exact, db.is_mariadb());
            let seconds = shortest.as_secs_f64();
            assert!((1.0..10.0).contains(&seconds), "{seconds}");
        }
        assert_eq!(job_lock.waiters, []);
        let found = row_lock.waiters.iter().map(|waiter| waiter.connection_id);
        let mut found: Vec<_> = found.collect();
        found.sort_unstable();
        assert_eq!(found, waiters);
        let waiter = row_lock.waiters[0].activity.as_ref().unwrap();
        assert!(waiter.statement.as_ref().unwrap().contains("GET_LOCK"));
        held_job.release().unwrap();
        inner.release().unwrap();
        outer.release().unwrap();
    });
    let after = locks::held(other).unwrap();
    assert!(!after.iter().any(|lock| lock.name.is_in(&db.schema)));
}

fn names_are_read_back(db: &Db) {
    db.let_locks_be_seen();
    let conn = &mut db.conn();
    let long = "x".repeat(60);
    let held = LockName::row(counters::table, 7)
        .scope("send")
        .lock()
        .acquire(conn)
        .unwrap();
    let hashed = LockName::named(&long).lock();
    let other = &mut db.conn();
    let _hashed = hashed.acquire(other).unwrap();
    let found = locks::held(&mut db.conn()).unwrap();
    let mut found = found.iter().filter(|lock| lock.name.is_in(&db.schema));
    let hashed = found.next().unwrap();
    let Subject::Hashed { resembles } = hashed.name.subject() else {
        panic!("{hashed:?}");
    };
    assert_eq!(*resembles, format!("-{}", &long[..27]));
    let row = found.next().unwrap();
    assert_eq!(row.name.scope(), Some("send"));
    assert_eq!(
        row.name.subject(),
        &Subject::Row {
            table: "counters".into(),
            key: vec!["7".into()]
        }
    );
    held.release().unwrap();
}

/// On servers of its own, since what is missing must be missing.
fn what_is_missing_is_said(db: &Db) {
    let kind = db.kind();
    let server = Server::start(kind).unwrap();
    let conn = &mut MysqlConnection::establish(&server.url("")).unwrap();
    if db.is_mariadb() {
        let error = locks::held(conn).unwrap_err();
        assert!(
            matches!(error, InspectError::MissingPlugin { .. }),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .contains("INSTALL SONAME 'metadata_lock_info'")
        );
        conn.batch_execute("INSTALL SONAME 'metadata_lock_info'")
            .unwrap();
        assert_eq!(locks::held(conn).unwrap(), []);
        return;
    }
    assert_eq!(locks::held(conn).unwrap(), []);
    let account = Account::create(db);
    let weak = &mut account.conn();
    let denied = |weak: &mut MysqlConnection| {
        let error = locks::held(weak).unwrap_err();
        assert!(
            matches!(error, InspectError::MissingGrant { .. }),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .contains("GRANT SELECT ON performance_schema.threads")
        );
    };
    denied(weak);
    for table in ["metadata_locks", "threads"] {
        denied(weak);
        account.grant(&format!("SELECT ON performance_schema.{table}"));
    }
    locks::held(weak).unwrap();

    conn.batch_execute(
        "UPDATE performance_schema.setup_instruments SET ENABLED = 'NO' WHERE NAME = 'wait/lock/metadata/sql/mdl'",
    )
    .unwrap();
    let error = locks::held(conn).unwrap_err();
    assert!(
        matches!(error, InspectError::NotRecorded { .. }),
        "{error:?}"
    );
    let off = Server::start_with(kind, &["--performance-schema=OFF"]).unwrap();
    let error = locks::held(&mut MysqlConnection::establish(&off.url("")).unwrap()).unwrap_err();
    assert!(
        matches!(error, InspectError::NotRecorded { .. }),
        "{error:?}"
    );
}

/// `unwrap` and `?` in `main` print `Debug`, and so may a logger: no place for another session's
/// SQL.
fn debug_output_of_errors_and_locks_hides_the_holders_statement(db: &Db) {
    const STATEMENT: &str = "SELECT SLEEP(2), '4111-1111-1111-1111' AS pan";
    db.let_locks_be_seen();
    let name = LockName::named("cards");
    let conn = &mut db.conn();
    let holders_id = id(conn);
    let mut held = name.lock().acquire(conn).unwrap();
    thread::scope(|scope| {
        let holder = scope.spawn(move || {
            diesel::sql_query(STATEMENT).execute(&mut *held).unwrap();
            held.release().unwrap();
        });
        let waiter = &mut db.conn();
        let error = refused(waiter, &name);
        let activity = error.holder().unwrap().activity.as_ref().unwrap();
        assert_eq!(activity.statement.as_deref(), Some(STATEMENT));
        let locks = locks::held(waiter).unwrap();
        let lock = locks.into_iter().find(|lock| lock.name.is_in(&db.schema));
        let lock: HeldLock = lock.expect("the lock");
        let seen = lock.holder.activity.as_ref().unwrap();
        assert_eq!(seen.statement.as_deref(), Some(STATEMENT));
        for text in [
            format!("{error:?}"),
            format!("{error:#?}"),
            format!("{lock:?}"),
        ] {
            assert!(!text.contains("4111") && !text.contains("SLEEP"), "{text}");
            assert!(text.contains("<45 characters, not shown>"), "{text}");
            assert!(text.contains(&holders_id.to_string()), "{text}");
        }
        holder.join().unwrap();
    });
}

/// Sessions that hold a lock each, from `job-00` on.
fn hold_many(server: &Server, many: usize) -> Vec<MysqlConnection> {
    let hold = |number| {
        let mut conn = MysqlConnection::establish(&server.url("")).unwrap();
        let written = LockName::named(format!("job-{number:02}")).written("");
        conn.batch_execute(&format!("DO GET_LOCK('{written}', 0)"))
            .unwrap();
        conn
    };
    (0..many).map(hold).collect()
}

fn held_with_metadata_locks_lost_returns_incomplete(db: &Db) {
    const LIMIT: &str = "--performance-schema-max-metadata-locks=25";
    let server = Server::start_with(db.kind(), &[LIMIT]).unwrap();
    let holders = hold_many(&server, 64);
    let watching = &mut MysqlConnection::establish(&server.url("")).unwrap();
    let error = locks::held(watching).unwrap_err();
    let text = error.to_string();
    let InspectError::Incomplete {
        held, lost, remedy, ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert!((1..=25).contains(&held.len()), "{}", held.len());
    assert!(lost >= 64 - 25, "{lost}");
    assert!(held.is_sorted_by_key(|lock| lock.name.as_str().to_owned()));
    assert!(remedy.contains("performance_schema_max_metadata_locks"));
    for part in [&lost.to_string(), &held.len().to_string(), remedy] {
        assert!(text.contains(part), "{text}");
    }
    let again = |conn: &mut MysqlConnection| {
        let error = locks::held(conn).unwrap_err();
        assert!(
            matches!(error, InspectError::Incomplete { .. }),
            "{error:?}"
        );
    };
    // The table is still full, so the query itself is a loss.
    watching.batch_execute("FLUSH STATUS").unwrap();
    again(watching);
    // The counter does not fall when locks are released.
    drop(holders);
    again(watching);
}

/// Not `NotRecorded`, whose remedy would not help.
fn held_without_room_for_any_metadata_lock_returns_incomplete(db: &Db) {
    const LIMIT: &str = "--performance-schema-max-metadata-locks=0";
    let server = Server::start_with(db.kind(), &[LIMIT]).unwrap();
    let _holders = hold_many(&server, 1);
    let watching = &mut MysqlConnection::establish(&server.url("")).unwrap();
    let error = locks::held(watching).unwrap_err();
    let InspectError::Incomplete { held, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(held, []);
}

fn held_under_max_join_size_1_returns_the_locks(db: &Db) {
    db.let_locks_be_seen();
    let (holder, watching) = (&mut db.conn(), &mut db.conn());
    let held = LockName::named("job").lock().acquire(holder).unwrap();
    watching
        .batch_execute("SET max_join_size = 1, sql_big_selects = 0")
        .unwrap();
    let found = locks::held(watching).unwrap();
    assert!(found.iter().any(|lock| lock.name.is_in(&db.schema)));
    held.release().unwrap();
}
