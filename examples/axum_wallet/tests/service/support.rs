//! A process of the service, requests to it, and another session that holds a lock.

use std::future::{Future, pending};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use diesel_advisory_lock_async::LockConnection;
use diesel_advisory_lock_async::prelude::*;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use test_server::is_postgres_url;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::test_database::TestDatabase;

diesel::table! {
    #[sql_name = "axum_wallet_example_accounts"]
    accounts (id) {
        id -> BigInt,
        balance -> BigInt,
    }
}

/// Runs the test on each server, with the accounts 1 and 2, which have 100 each.
pub(crate) fn on_each_server<F: Future<Output = ()>>(
    name: &str,
    options: &[&str],
    test: impl Fn(Service) -> F,
) {
    TestDatabase::on_each_server(name, |database| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let service = Service::start(&database.url(), options);
            service.create_accounts().await;
            test(service).await;
        });
    });
}

/// A process of the service. Killed on drop.
pub(crate) struct Service {
    process: Child,
    database_url: String,
    url: String,
    client: Client,
}

impl Service {
    pub(crate) fn start(database_url: &str, options: &[&str]) -> Service {
        let mut process = Command::new(env!("CARGO_BIN_EXE_axum_wallet"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(options)
            .env("DATABASE_URL", database_url)
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let stdout = process.stdout.take().expect("its output");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        read.expect("UTF-8");
        let url = line.trim().strip_prefix("Listening on ");
        Service {
            process,
            database_url: database_url.to_owned(),
            url: url.expect("the first line").to_owned(),
            client: Client::new(),
        }
    }

    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    async fn create_accounts(&self) {
        for id in [1, 2] {
            let created = self.post("/accounts", json!({ "id": id, "balance": 100 }));
            assert_eq!(created.await.status(), StatusCode::CREATED);
        }
    }

    /// Sends a request. The future does not borrow the service, so it can be spawned.
    pub(crate) fn post(
        &self,
        path: &str,
        body: Value,
    ) -> impl Future<Output = Response> + Send + use<> {
        let request = self.client.post(format!("{}{path}", self.url)).json(&body);
        async { request.send().await.expect("an answer") }
    }

    pub(crate) fn withdraw(
        &self,
        id: i64,
        amount: i64,
    ) -> impl Future<Output = Response> + Send + use<> {
        let path = format!("/accounts/{id}/withdrawals");
        self.post(&path, json!({ "amount": amount }))
    }

    pub(crate) fn transfer(
        &self,
        from: i64,
        to: i64,
        amount: i64,
    ) -> impl Future<Output = Response> + Send + use<> {
        let transfer = json!({ "from": from, "to": to, "amount": amount });
        self.post("/transfers", transfer)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.url));
        request.send().await.expect("an answer")
    }

    pub(crate) async fn balance(&self, id: i64) -> i64 {
        let account = self.get(&format!("/accounts/{id}")).await;
        let account: Value = account.json().await.expect("an account");
        account["balance"].as_i64().expect("a balance")
    }

    /// Waits until the balance is this, as it is when a withdrawal has begun.
    pub(crate) async fn wait_for_balance(&self, id: i64, balance: i64) {
        let since = Instant::now();
        while self.balance(id).await != balance {
            assert!(since.elapsed() < Duration::from_secs(10), "not {balance}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The value of a metric, or 0 if it is not there.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics").await.text().await.expect("text");
        let mut lines = metrics.lines().filter_map(|line| line.split_once(' '));
        let value = lines.find(|(found, _)| *found == name);
        value.map_or(0, |(_, value)| value.parse().expect("a number"))
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let id = self.process.id().to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status();
        assert!(kill.expect("`kill` runs").success());
    }

    /// Waits until the process ends, and returns how it did.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("its status") {
                return status;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "it goes on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Another session acquires the lock of an account, and holds it until the result is dropped.
    pub(crate) async fn hold(&self, id: i64) -> Holder {
        match is_postgres_url(&self.database_url) {
            #[cfg(feature = "mysql")]
            false => Holder::start::<diesel_async::AsyncMysqlConnection>(self, id).await,
            #[cfg(feature = "postgres")]
            true => Holder::start::<diesel_async::AsyncPgConnection>(self, id).await,
            #[allow(unreachable_patterns, reason = "reached with one of the features")]
            _ => unreachable!("the test has no database on this server"),
        }
    }

    /// Asserts that no session holds the lock of the account or waits for it.
    pub(crate) async fn assert_free(&self, id: i64) {
        // A session that waited longest would be granted the lock before this one.
        drop(timeout_of_a_second(self.hold(id)).await);
    }
}

async fn timeout_of_a_second<F: Future>(future: F) -> F::Output {
    let result = tokio::time::timeout(Duration::from_secs(1), future).await;
    result.expect("within a second")
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A session that holds a lock.
pub(crate) struct Holder(JoinHandle<()>);

impl Holder {
    async fn start<C: LockConnection>(service: &Service, id: i64) -> Holder {
        let url = service.database_url.clone();
        let (acquired, is_acquired) = oneshot::channel();
        let holder = Holder(tokio::spawn(async move {
            let mut conn = C::establish(&url).await.expect("a connection");
            let lock = LockName::row(accounts::table, id).lock();
            let _held = lock.acquire(&mut conn).await.expect("the lock");
            acquired.send(()).expect("the test waits");
            pending().await
        }));
        is_acquired.await.expect("the lock is held");
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Dropping the guard ends the session, and the lock is free.
        self.0.abort();
    }
}
