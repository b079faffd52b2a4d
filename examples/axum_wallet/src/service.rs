//! The service: what its requests share, its routes, and its shutdown.

use std::future::Future;
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::routing::{get, post};
use diesel::connection::SimpleConnection;
use diesel_advisory_lock_async::{LockPool, check_server, describe_metrics};
use diesel_async::AsyncConnection;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal;
use tokio::signal::unix::SignalKind;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::trace::TraceLayer;
use tracing_subscriber::EnvFilter;

use super::database::Database;
use super::errors::WalletError;
use super::{Connection, wallet, without_lock};
use crate::cli::{Command, ServiceOptions};

/// What the requests share.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) locks: LockPool<Pool<Connection>>,
    pub(super) lock_timeout: Duration,
    pub(super) cash_time: Duration,
    /// Is canceled when the service shuts down.
    pub(super) shutdown: CancellationToken,
    /// Work that goes on if its client disconnects, and for which a shutdown waits.
    pub(super) tasks: TaskTracker,
}

impl Service {
    /// A connection for statements that need no lock.
    pub(super) async fn connection(&self) -> Result<Object<Connection>, WalletError> {
        let connection = timeout(self.lock_timeout, self.locks.pool().get()).await;
        connection
            .ok()
            .and_then(Result::ok)
            .ok_or(WalletError::NoConnection)
    }
}

/// Whether the closure of a call has begun, that is, whether the call has its locks.
#[derive(Default)]
pub(super) struct Begun(AtomicBool);

impl Begun {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Completes the call, unless it still waits for its locks when `stop` is canceled. Then drops
    /// it, which ends the wait at once, also on the database server.
    pub(super) async fn or_stop<R>(
        &self,
        stop: &CancellationToken,
        call: impl Future<Output = Result<R, WalletError>>,
    ) -> Result<R, WalletError> {
        let mut call = pin!(call);
        tokio::select! {
            biased;
            result = &mut call => return result,
            () = stop.cancelled() => {}
        }
        if self.0.load(Ordering::Relaxed) {
            // Dropped now, in its COMMIT, a transfer might be done or not.
            call.await
        } else {
            Err(WalletError::ShuttingDown)
        }
    }
}

/// Opens the database, and runs what the command line asks for.
pub(crate) fn main(command: &Command, options: &ServiceOptions) -> Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    log.with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let metrics = PrometheusBuilder::new().install_recorder()?;
    describe_metrics();

    // Blocks, so it comes before the runtime.
    let mut database = Database::open(options.server)?;
    database.conn.batch_execute(
        "CREATE TABLE IF NOT EXISTS axum_wallet_example_accounts (
             id BIGINT PRIMARY KEY,
             balance BIGINT NOT NULL
         )",
    )?;
    Runtime::new()?.block_on(async {
        // On a server where locks have no effect, updates would be lost.
        check_server(&mut Connection::establish(&database.url).await?).await?;
        let manager = AsyncDieselConnectionManager::<Connection>::new(&database.url);
        let pool = Pool::builder(manager).max_size(options.connections.into());
        let service = Service {
            locks: LockPool::new(pool.build()?),
            lock_timeout: options.lock_timeout,
            cash_time: options.cash_time,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let router = router(service.clone(), metrics, options.without_lock);
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        match command {
            Command::Serve { listen, .. } => {
                let listener = TcpListener::bind(listen).await.context("cannot listen")?;
                println!("Listening on http://{}", listener.local_addr()?);
                let signal = shutdown_signal(service.shutdown.clone())?;
                tokio::spawn(signal);
                serve(service, router, listener).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Load { demo, .. } => {
                let listener = TcpListener::bind(local).await?;
                let url = format!("http://{}", listener.local_addr()?);
                let shutdown = service.shutdown.clone();
                let serve = tokio::spawn(serve(service, router, listener));
                let exit_code = demo.load.run(&url).await;
                shutdown.cancel();
                serve.await??;
                exit_code
            }
        }
    })
}

fn router(service: Service, metrics: PrometheusHandle, without_lock: bool) -> Router {
    let (transfer, withdraw) = match without_lock {
        false => (post(wallet::transfer), post(wallet::withdraw)),
        true => (post(without_lock::transfer), post(without_lock::withdraw)),
    };
    let render_metrics = async move || {
        metrics.run_upkeep();
        metrics.render()
    };
    Router::new()
        .route("/accounts", post(wallet::create))
        .route("/accounts/{id}", get(wallet::show))
        .route("/accounts/{id}/withdrawals", withdraw)
        .route("/transfers", transfer)
        .route("/metrics", get(render_metrics))
        // Failures are logged with their errors, by `errors.rs`.
        .layer(TraceLayer::new_for_http().on_failure(()))
        .with_state(service)
}

/// Runs the service until its shutdown. Requests that wait for a lock then return 503 at once, and
/// work that has begun is completed.
async fn serve(service: Service, router: Router, listener: TcpListener) -> Result<()> {
    let shutdown = service.shutdown.cancelled_owned();
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await?;
    service.tasks.close();
    service.tasks.wait().await;
    Ok(())
}

/// Cancels the token at SIGTERM or Ctrl-C. The signals are caught from now on.
fn shutdown_signal(shutdown: CancellationToken) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal::unix::signal(SignalKind::terminate())?;
    let mut interrupt = signal::unix::signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        shutdown.cancel();
    })
}
