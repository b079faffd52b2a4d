//! Acquisitions that are undone: the server grants the lock, and then the statement fails, or the
//! library refuses the transaction that it finds. If the lock cannot be released, the session is
//! ended.

use diesel_advisory_lock::prelude::*;
use server_test::{both, server_test};

use crate::api::{Connection, SimpleConnection};
use crate::server::{Conn, session_id};
use crate::suite::support::Db;

/// The functions of the server that a case replaces in its own database.
const RENAME: &str = "
    ALTER FUNCTION pg_catalog.pg_try_advisory_lock(bigint) RENAME TO genuine_try_lock;
    ALTER FUNCTION pg_catalog.pg_advisory_lock(bigint) RENAME TO genuine_lock;
    ALTER FUNCTION pg_catalog.pg_advisory_unlock(bigint) RENAME TO genuine_unlock;";

/// What the functions do instead.
#[derive(Clone, Copy)]
struct Functions {
    try_lock: &'static str,
    lock: &'static str,
    unlock: &'static str,
}

const GENUINE: Functions = Functions {
    try_lock: "RETURN pg_catalog.genuine_try_lock($1);",
    lock: "PERFORM pg_catalog.genuine_lock($1);",
    unlock: "RETURN pg_catalog.genuine_unlock($1);",
};

#[both]
impl Functions {
    async fn replace(self, db: &Db) {
        for (declaration, body) in [
            ("pg_try_advisory_lock(bigint) RETURNS bool", self.try_lock),
            ("pg_advisory_lock(bigint) RETURNS void", self.lock),
            ("pg_advisory_unlock(bigint) RETURNS bool", self.unlock),
        ] {
            db.execute(&format!(
                "CREATE OR REPLACE FUNCTION pg_catalog.{declaration} LANGUAGE plpgsql AS \
                 $$BEGIN {body} END$$"
            ))
            .await;
        }
    }
}

/// Why an acquisition is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The statement fails just after the lock was granted.
    FailedAttempt,
    FailedWait,
    /// Diesel's test transaction, in which the lock is the session's, too.
    FailedAttemptInTestTransaction,
    FailedWaitInTestTransaction,
    /// A transaction that Diesel does not know of.
    FailedAttemptInRawTransaction,
    RefusedInRawTransaction,
}

impl Cause {
    const ALL: [Self; 6] = [
        Self::FailedAttempt,
        Self::FailedWait,
        Self::FailedAttemptInTestTransaction,
        Self::FailedWaitInTestTransaction,
        Self::FailedAttemptInRawTransaction,
        Self::RefusedInRawTransaction,
    ];

    fn functions(self) -> Functions {
        match self {
            Self::FailedAttempt
            | Self::FailedAttemptInTestTransaction
            | Self::FailedAttemptInRawTransaction => Functions {
                try_lock: "PERFORM pg_catalog.genuine_try_lock($1); RAISE 'on purpose';",
                ..GENUINE
            },
            Self::FailedWait | Self::FailedWaitInTestTransaction => Functions {
                try_lock: "RETURN false;",
                lock: "PERFORM pg_catalog.genuine_lock($1); RAISE 'on purpose';",
                ..GENUINE
            },
            Self::RefusedInRawTransaction => GENUINE,
        }
    }

    /// Whether the error aborts an open transaction, in which nothing can be released.
    fn aborts_transaction(self) -> bool {
        matches!(
            self,
            Self::FailedAttemptInTestTransaction | Self::FailedAttemptInRawTransaction
        )
    }
}

#[both]
impl Cause {
    async fn begin(self, conn: &mut Conn) {
        match self {
            Self::FailedAttempt | Self::FailedWait => {}
            Self::FailedAttemptInTestTransaction | Self::FailedWaitInTestTransaction => {
                conn.begin_test_transaction().await.unwrap();
            }
            Self::FailedAttemptInRawTransaction | Self::RefusedInRawTransaction => {
                conn.batch_execute("BEGIN").await.unwrap();
            }
        }
    }
}

#[server_test]
async fn undone_acquisition_that_cannot_be_released_ends_the_session(db: &Db) {
    let names = [LockName::named("job"), db.counter(1).await.lock_name()];
    db.execute(RENAME).await;
    for cause in Cause::ALL {
        for unlock in [GENUINE.unlock, "RAISE 'on purpose';", "RETURN false;"] {
            let functions = Functions {
                unlock,
                ..cause.functions()
            };
            functions.replace(db).await;
            for name in &names {
                let conn = &mut db.conn().await;
                let session = session_id(conn).await;
                cause.begin(conn).await;
                let of = format!("{cause:?}, {unlock}, {name}");
                let acquired = name.lock().acquire(conn).await.map(drop);
                assert!(acquired.is_err(), "{of}: {acquired:?}");
                // While the client is connected.
                db.wait_until_free(name).await;
                if unlock == GENUINE.unlock && !cause.aborts_transaction() {
                    assert!(db.has_session(session).await, "{of}");
                    assert_eq!(session_id(conn).await, session, "{of}");
                }
            }
        }
    }
}

/// It is then unknown whether the session holds the lock once or twice.
#[server_test]
async fn nested_attempt_that_fails_ends_the_session(db: &Db) {
    let name = LockName::named("job");
    db.execute(RENAME).await;
    let fails = Functions {
        try_lock: "RAISE 'on purpose';",
        ..GENUINE
    };
    GENUINE.replace(db).await;
    let run = name
        .lock()
        .run(&mut db.conn().await, async |_, conn| {
            fails.replace(db).await;
            let nested = name.lock().acquire(conn).await.map(drop);
            assert!(
                matches!(nested, Err(LockError::Database { .. })),
                "{nested:?}"
            );
            // The closure does not go on without its lock.
            let next = conn.batch_execute("SELECT").await;
            assert!(next.is_err());
            Ok::<_, LockError>(())
        })
        .await;
    assert!(matches!(run, Err(LockError::Lost { .. })), "{run:?}");
    db.assert_free(&name).await;
}
