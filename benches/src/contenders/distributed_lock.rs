use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use distributed_lock_core::traits::{DistributedLock as _, LockHandle, LockProvider};
use distributed_lock_mysql::MySqlLockProvider;
use distributed_lock_mysql::lock::MySqlDistributedLock;
use sqlx::MySqlPool;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::turns::{Course, Turns};
use super::{Load, Locker, Outcome};
use crate::database::{Endpoint, id_name};

/// The crate `distributed-lock-mysql`, as its documentation says: on a pool with the defaults of sqlx, which are ten
/// connections and a ping whenever one is taken. Where others have threads it has tasks.
pub(crate) struct DistributedLock<'a>(pub(crate) Endpoint<'a>);

const TIMEOUT: Duration = Duration::from_secs(45);

impl Locker for DistributedLock<'_> {
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
    let course = Arc::<Course>::default();

    let mut first = JoinSet::new();
    for number in 0..load.threads {
        let locks = locks.clone();
        let name = load.names + number;
        let mut turns = Turns::new(&course, load, number);
        first.spawn(async move {
            turn(&locks[name], &mut turns).await?;
            anyhow::Ok(turns)
        });
    }
    let mut tasks = JoinSet::new();
    for mut turns in all(first).await? {
        turns.begin(load);
        let locks = locks.clone();
        let course = course.clone();
        tasks.spawn(async move {
            while let Some(name) = turns.next() {
                turn(&locks[name], &mut turns).await.inspect_err(|_| {
                    // What the others would measure is of no use any more.
                    course.stop();
                })?;
                turns.done();
            }
            anyhow::Ok(turns)
        });
    }
    let start = Instant::now();
    tokio::time::sleep(load.time).await;
    course.stop();
    let seconds = start.elapsed().as_secs_f64();
    let all = all(tasks).await?;
    Ok(course.outcome(seconds, pool.size() as usize, all))
}

async fn turn(lock: &MySqlDistributedLock, turns: &mut Turns) -> Result<()> {
    turns.asks();
    let handle = lock.acquire(Some(TIMEOUT)).await.context("acquire")?;
    turns.holds();
    handle.release().await.context("release")
}

async fn all(mut tasks: JoinSet<Result<Turns>>) -> Result<Vec<Turns>> {
    let mut all = Vec::new();
    while let Some(turns) = tasks.join_next().await {
        all.push(turns??);
    }
    Ok(all)
}
