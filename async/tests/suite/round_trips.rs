//! How many round trips a client waits for: as many as with the blocking crate.

use diesel_advisory_lock_async::prelude::*;
use diesel_async::AsyncConnection;
use server_test::server_test;
use test_server::Proxy;

use super::support::Db;
use crate::server::{Conn, ROUND_TRIPS_OF_TRANSACTION};

/// Asserts the round trips of one run of `work`, whose statements have been prepared.
async fn assert_costs(proxy: &Proxy, what: &str, expected: u64, mut work: impl AsyncFnMut()) {
    work().await;
    let before = proxy.round_trips();
    for _ in 0..10 {
        work().await;
    }
    let counted = (proxy.round_trips() - before) as f64 / 10.0;
    assert_eq!(counted, expected as f64, "round trips of {what}");
}

#[server_test]
fn lock_takes_the_round_trips_of_the_blocking_crate(db: &Db) {
    // On one thread, statements that are sent at once are sent together.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let (proxy, url) = db.proxy();
        let mut conn = Conn::establish(&url).await.unwrap();
        let mut counter = db.counter(1).await;
        let name = LockName::named("job");
        assert_costs(&proxy, "run", 2, async || {
            let request = name.lock();
            let done = request.run(&mut conn, async |_, _| Ok::<_, LockError>(()));
            done.await.unwrap();
        })
        .await;
        assert_costs(&proxy, "acquire and release", 2, async || {
            let guard = name.lock().acquire(&mut conn).await.unwrap();
            guard.release().await.unwrap();
        })
        .await;
        assert_costs(&proxy, "with_lock", 3, async || {
            let done = counter.with_lock(&mut conn, async |_, _| Ok::<_, LockError>(()));
            done.await.unwrap();
        })
        .await;
        let expected = ROUND_TRIPS_OF_TRANSACTION;
        assert_costs(&proxy, ".transaction", expected, async || {
            let request = counter.lock();
            let done = request.transaction(&mut conn, async |_, _| Ok::<_, LockError>(()));
            done.await.unwrap();
        })
        .await;
    });
}
