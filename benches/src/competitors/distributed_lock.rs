use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use distributed_lock_core::traits::{DistributedLock as _, LockHandle, LockProvider};
use distributed_lock_mysql::MySqlLockProvider;
use distributed_lock_mysql::lock::MySqlDistributedLock;
use sqlx::MySqlPool;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::recorder::{Recorder, RunState};
use super::{Competitor, Load, Outcome, Until};
use crate::database::{Endpoint, id_name};

/// The crate `distributed-lock-mysql`, on a pool with sqlx's defaults, as it documents: ten
/// connections, and a ping on each checkout. It runs tasks where the others run threads.
pub(crate) struct DistributedLock<'a>(pub(crate) Endpoint<'a>);

const TIMEOUT: Duration = Duration::from_secs(45);

impl Competitor for DistributedLock<'_> {
    fn name(&self) -> String {
        "distributed-lock-mysql (sqlx)".to_owned()
    }

    fn run(&mut self, load: &Load) -> Result<Outcome> {
        let url = self.0.sqlx_url()?;
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let pool = MySqlPool::connect(&url).await?;
            let outcome = on(&pool, load).await;
            pool.close().await;
            outcome
        })
    }
}

async fn on(pool: &MySqlPool, load: &Load) -> Result<Outcome> {
    let provider = MySqlLockProvider::builder().pool(pool.clone());
    let provider = provider.build().await?;
    let locks = Arc::new(load.names(|id| provider.create_lock(&id_name(id))));
    let state = Arc::<RunState>::default();

    let mut first = JoinSet::new();
    for number in 0..load.threads {
        let locks = locks.clone();
        let name = load.names + number;
        let mut recorder = Recorder::new(&state, load, number);
        first.spawn(async move {
            iteration(&locks[name], &mut recorder).await?;
            anyhow::Ok(recorder)
        });
    }
    let first = all(first).await?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for mut recorder in first {
        recorder.begin(load);
        let locks = locks.clone();
        let state = state.clone();
        tasks.spawn(async move {
            while let Some(name) = recorder.next() {
                iteration(&locks[name], &mut recorder)
                    .await
                    .inspect_err(|_| {
                        // The run has failed: the results of the other tasks are not used.
                        state.stop();
                    })?;
                recorder.done();
            }
            anyhow::Ok(recorder)
        });
    }
    if let Until::Elapsed(time) = load.until {
        tokio::time::sleep(time).await;
        state.stop();
    }
    let all = all(tasks).await?;
    Ok(state.outcome(start, pool.size() as usize, all))
}

async fn iteration(lock: &MySqlDistributedLock, recorder: &mut Recorder) -> Result<()> {
    recorder.requested();
    let handle = lock.acquire(Some(TIMEOUT)).await.context("acquire")?;
    recorder.acquired();
    handle.release().await.context("release")
}

async fn all(mut tasks: JoinSet<Result<Recorder>>) -> Result<Vec<Recorder>> {
    let mut all = Vec::new();
    while let Some(recorder) = tasks.join_next().await {
        all.push(recorder??);
    }
    Ok(all)
}
