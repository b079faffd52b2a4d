//! Blocking connections in an async program: deadpool-diesel's `interact`, and `spawn_blocking`.
//!
//! The async parts are functions of their own: `#[server_test]` takes `async` out of a case.

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use deadpool_diesel::{Manager, Pool, Runtime};
use diesel::prelude::*;
use diesel_advisory_lock::prelude::*;
use server_test::server_test;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::support::{Counter, Db, Locks, wait_until};
use crate::server::{Conn, session_id};

fn block_on<R>(case: impl Future<Output = R>) -> R {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(case)
}

/// A pool, which must be used and dropped within a runtime.
fn deadpool(db: &Db, size: usize) -> Pool<Manager<Conn>> {
    let manager = Manager::<Conn>::new(db.url(), Runtime::Tokio1);
    Pool::builder(manager).max_size(size).build().unwrap()
}

fn stale() -> Counter {
    Counter { id: 1, value: -1 }
}

/// Runs ten increments in each of ten tasks.
async fn hundred_times<F: Future<Output = ()> + Send>(
    increment: impl Fn() -> F + Clone + Send + 'static,
) {
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let increment = increment.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                increment().await;
            }
        });
    }
    tasks.join_all().await;
}

async fn increment_by_interact(pool: Pool<Manager<Conn>>) {
    let conn = pool.get().await.unwrap();
    let added = conn.interact(|conn| stale().with_lock(conn, Counter::add_one));
    added.await.unwrap().unwrap();
}

#[server_test]
fn interact_excludes_other_closures(db: &Db) {
    db.counter(1);
    block_on(hundred_times_by_interact(db));
    assert_eq!(db.value(1), 100);
}

async fn hundred_times_by_interact(db: &Db) {
    let pool = deadpool(db, 4);
    hundred_times(move || increment_by_interact(pool.clone())).await;
}

async fn increment_by_spawn_blocking(locks: Locks) {
    let add = move || locks.run(stale().lock(), Counter::add_one);
    spawn_blocking(add).await.unwrap().unwrap();
}

#[server_test]
fn spawn_blocking_excludes_other_closures(db: &Db) {
    db.counter(1);
    let locks = db.locks(4);
    let shared = locks.clone();
    block_on(hundred_times(move || {
        increment_by_spawn_blocking(shared.clone())
    }));
    assert_eq!(db.value(1), 100);
    db.assert_idle(&locks);
}

#[server_test]
fn dropped_interact_does_not_stop_the_wait(db: &Db) {
    let name = db.counter(1).lock_name();
    let mut other = db.conn();
    let held = name.lock().acquire(&mut other).unwrap();
    let release = || {
        db.wait_until_sessions_wait(1);
        held.release().unwrap();
    };
    block_on(assert_wait_goes_on(db, &name, release));
}

/// Drops the future of a closure that waits for the lock, and then lets it have the lock.
async fn assert_wait_goes_on(db: &Db, name: &LockName, release: impl FnOnce()) {
    let pool = deadpool(db, 1);
    let conn = pool.get().await.unwrap();
    let session = conn.interact(session_id).await.unwrap();
    let wait = conn.interact(|conn| stale().with_lock(conn, Counter::add_one));
    timeout(Duration::from_millis(100), wait).await.unwrap_err();
    drop(conn);
    release();
    // The pool hands out the connection after the closure has ended.
    let conn = pool.get().await.unwrap();
    db.assert_free(name);
    assert_eq!(db.value(1), 1, "the closure has not done its work");
    let again = conn.interact(session_id).await.unwrap();
    assert_eq!(again, session);
}

type Work = Box<dyn FnOnce(&mut Conn) -> QueryResult<usize> + Send>;

/// Starts a closure that holds the lock until it receives a message, drops its future, and asserts
/// that the closure holds the lock until it ends.
async fn assert_closure_ends<F: Future>(db: &Db, run: impl FnOnce(Work) -> F) {
    let name = db.counter(1).lock_name();
    let (end, ended) = mpsc::channel();
    let (begin, begun) = oneshot::channel();
    let work = Box::new(move |conn: &mut Conn| {
        stale().with_lock(conn, |counter, conn| {
            begin.send(()).unwrap();
            ended.recv().unwrap();
            counter.add_one(conn)
        })
    });
    tokio::select! {
        _ = run(work) => panic!("the closure has ended"),
        begun = begun => begun.unwrap(),
    }
    assert!(db.holder(&name).is_some(), "the closure was stopped");
    end.send(()).unwrap();
    db.wait_until_free(&name);
    wait_until("the closure has done its work", || db.value(1) == 1);
}

async fn interact(pool: Pool<Manager<Conn>>, work: Work) {
    let conn = pool.get().await.unwrap();
    conn.interact(work).await.unwrap().unwrap();
}

#[server_test]
fn dropped_interact_holds_the_lock_until_its_closure_ends(db: &Db) {
    let run = |work| interact(deadpool(db, 1), work);
    block_on(assert_closure_ends(db, run));
}

#[server_test]
fn dropped_spawn_blocking_holds_the_lock_until_its_closure_ends(db: &Db) {
    let mut conn = db.conn();
    let run = |work: Work| spawn_blocking(move || work(&mut conn));
    block_on(assert_closure_ends(db, run));
}
