//! A task of a worker: one random call after another, some of which are cut.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use diesel_advisory_lock_async::{ConnectionPool, LockPool, LockSource};
use diesel_async::pooled_connection::bb8;
use diesel_async::{AnsiTransactionManager, AsyncConnection, TransactionManager};
use fastrand::Rng;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use stress_check::history::Event;

use super::Worker;
use super::op::Op;
use super::operations::{self, OPERATIONS, Operation};
use super::pools::{Named, Pools, record_held};
use crate::server::asynchronous::{self, Conn};
use crate::work::Call;
use crate::worker::rng::Choices;
use crate::worker::{Done, WorkError, outcome};

pub(super) struct Task {
    worker: Arc<Worker>,
    pools: Arc<Pools>,
    number: u16,
    choices: Choices,
    /// The source of the task's own connection.
    own_source: String,
    own: Option<Conn>,
    /// Each operation as often as its weight.
    operations: Vec<&'static Operation>,
}

/// How the future of a call ends.
enum Cut {
    No,
    After(Duration),
    /// After so many polls.
    Polls(u32),
}

impl Task {
    pub(super) fn new(worker: Arc<Worker>, pools: Arc<Pools>, number: u16, seed: u64) -> Self {
        let operations = OPERATIONS.iter().chain(asynchronous::OPERATIONS);
        let own = match number % 2 {
            0 => "plain-direct",
            _ => "plain",
        };
        Self {
            own_source: format!("{}{own}", worker.prefix),
            choices: Choices::new(&worker.options.faults, Rng::with_seed(seed)),
            operations: operations
                .flat_map(|operation| vec![operation; operation.weight])
                .collect(),
            worker,
            pools,
            number,
            own: None,
        }
    }

    pub(super) async fn run(mut self) {
        let pools = Arc::clone(&self.pools);
        while !self.worker.is_stopping() {
            match self.choices.random_below(20) {
                0..=4 => self.call_on_own().await,
                5..=7 => match get(&pools.bb8.pool).await {
                    Ok(mut conn) => drop(self.call(&pools.bb8.name, &mut conn).await),
                    Err(_) => self.unconnected(&pools.bb8.name).await,
                },
                8 => match get(&pools.undersized_bb8.pool).await {
                    Ok(mut conn) => drop(self.call(&pools.undersized_bb8.name, &mut conn).await),
                    Err(_) => self.unconnected(&pools.undersized_bb8.name).await,
                },
                9..=11 => match pools.deadpool.pool.get().await {
                    Ok(mut conn) => drop(self.call(&pools.deadpool.name, &mut conn).await),
                    Err(_) => self.unconnected(&pools.deadpool.name).await,
                },
                12 => match pools.undersized_deadpool.pool.get().await {
                    Ok(mut conn) => {
                        drop(self.call(&pools.undersized_deadpool.name, &mut conn).await);
                    }
                    Err(_) => self.unconnected(&pools.undersized_deadpool.name).await,
                },
                13 => drop(self.call_in_pool(&pools.fair_lock_pool).await),
                14..=17 => drop(self.call_in_pool(&pools.lock_pool).await),
                _ => drop(self.call_in_pool(&pools.undersized_lock_pool).await),
            }
        }
        if let Some(conn) = &mut self.own {
            record_held(&self.worker, &self.own_source, conn).await;
        }
    }

    /// Makes a call on the task's own connection, which is replaced once it is broken.
    async fn call_on_own(&mut self) {
        let Some(mut conn) = self.own.take() else {
            let url = match self.own_source.ends_with("-direct") {
                true => self.worker.direct.clone(),
                false => self.worker.proxied.clone(),
            };
            let opened = tokio::time::timeout(Duration::from_secs(2), Conn::establish(&url));
            match opened.await {
                Ok(Ok(conn)) => self.own = Some(conn),
                _ => self.unconnected(&self.own_source.clone()).await,
            }
            return;
        };
        let source = self.own_source.clone();
        let done = self.call(&source, &mut conn).await;
        let failed = !matches!(&done, Some(done) if outcome(done) != stress_check::history::Outcome::BodyDatabase);
        if !failed && !AnsiTransactionManager::is_broken_transaction_manager(&mut conn) {
            self.own = Some(conn);
        }
    }

    /// Makes a call. Returns `None` if its future was dropped.
    fn call<'c, S>(&'c mut self, source: &'c str, conn: &'c mut S) -> BoxFuture<'c, Option<Done>>
    where
        S: LockSource<Connection = Conn>,
    {
        self.call_unboxed(source, conn).boxed()
    }

    async fn call_unboxed<S>(&mut self, source: &str, conn: &mut S) -> Option<Done>
    where
        S: LockSource<Connection = Conn>,
    {
        // A pool of deadpool looks at a connection only when it hands it out, so the lock of a
        // transaction that was cut would be held until then.
        let is_deadpool = source.contains("deadpool");
        let op = self.op(source, |name| {
            !is_deadpool || !name.contains("until_commit")
        });
        let cut = self.cut();
        match op.check(conn.connection()).await {
            Ok(session) => {
                let call = cut.of(operations::run(&op, conn));
                let done = op.perform(Some(session), call).await;
                let conn = conn.connection();
                if done.is_none() && !AnsiTransactionManager::is_broken_transaction_manager(conn) {
                    op.kept();
                }
                done
            }
            Err(WorkError::WrongAnswer) => {
                let wrong = async { Some(Err(WorkError::WrongAnswer)) };
                op.perform(None, wrong).await
            }
            Err(_) => {
                self.unconnected(source).await;
                None
            }
        }
    }

    /// Makes a call through a `LockPool`.
    fn call_in_pool<'c, P>(
        &'c mut self,
        locks: &'c Named<LockPool<P>>,
    ) -> BoxFuture<'c, Option<Done>>
    where
        P: ConnectionPool<Connection = Conn>,
    {
        async move {
            let op = self.op(&locks.name, |_| true);
            let cut = self.cut();
            let call = operations::run_in_pool(&op, &locks.pool)?;
            op.perform(None, cut.of(call)).await
        }
        .boxed()
    }

    /// Chooses a call.
    fn op(&self, source: &str, can: impl Fn(&str) -> bool) -> Op {
        let operation = loop {
            let operation = self.choices.pick(&self.operations);
            if can(operation.name) {
                break operation;
            }
        };
        let call = Call {
            operation: operation.name,
            target: self.choices.target(operation.locks),
            wait: operation.wait,
            may_lose_lock: operation.may_lose_lock,
        };
        Op {
            worker: Arc::clone(&self.worker),
            task: self.number,
            id: self.worker.next_op.fetch_add(1, Ordering::Relaxed),
            operation: call.operation,
            target: call.target,
            wait: self.choices.wait(call.wait),
            ending: self.choices.ending(&call),
            dwell: self.choices.dwell(call.target),
            source: source.to_owned(),
        }
    }

    fn cut(&mut self) -> Cut {
        match self.choices.random_below(16) {
            0 if self.worker.cuts() => Cut::After(Duration::from_micros(
                self.choices.random_below(30_000).into(),
            )),
            1 if self.worker.cuts() => Cut::Polls(1 + self.choices.random_below(12)),
            _ => Cut::No,
        }
    }

    fn unconnected(&self, source: &str) -> impl Future<Output = ()> + Send + use<> {
        self.worker.history.write(&Event::Unconnected {
            thread: self.number,
            source,
        });
        tokio::time::sleep(Duration::from_millis(20))
    }
}

impl Cut {
    /// The output of a future, or `None` if it was dropped before.
    async fn of<F: Future>(self, future: F) -> Option<F::Output> {
        match self {
            Cut::No => Some(future.await),
            Cut::After(limit) => tokio::time::timeout(limit, future).await.ok(),
            Cut::Polls(count) => {
                let mut future = Box::pin(future);
                let mut polls = 0;
                poll_fn(move |context| {
                    polls += 1;
                    match future.as_mut().poll(context) {
                        Poll::Ready(output) => Poll::Ready(Some(output)),
                        Poll::Pending if polls >= count => Poll::Ready(None),
                        Poll::Pending => Poll::Pending,
                    }
                })
                .await
            }
        }
    }
}

/// Checks out a connection.
fn get(
    pool: &bb8::Pool<Conn>,
) -> BoxFuture<'_, Result<bb8::PooledConnection<'_, Conn>, bb8::RunError>> {
    pool.get().boxed()
}
