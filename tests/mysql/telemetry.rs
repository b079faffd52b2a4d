//! Telemetry when MySQL or MariaDB cannot report the holder of a lock.

use diesel_advisory_lock::prelude::*;
use server_test::server_test;
use tracing::Level;

use crate::prepare_disabled::PrepareDisabledServer;
use crate::suite::support::Db;
use crate::suite::telemetry::watch::watched;

#[server_test(own_server)]
fn failed_look_up_of_the_holder_emits_an_event(db: &Db) {
    let server = PrepareDisabledServer::start(db.kind());
    let (holder, waiter) = (&mut server.conn(), &mut server.conn());
    let name = LockName::named("job");
    name.lock().acquire(waiter).unwrap().release().unwrap();
    let _held = name.lock().acquire(holder).unwrap();
    server.disable_prepare();
    let (watch, _) = watched(|| {
        name.lock().no_wait().acquire(waiter).unwrap_err();
    });
    let (level, fields) = watch.event();
    assert_eq!(level, Level::WARN);
    assert!(fields["message"].contains("could not be looked up"));
    server.enable_prepare();
}
