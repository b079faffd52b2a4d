//! The load generator: it sends requests at the same time, and checks the balances at its end.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cli::LoadOptions;

/// Each account begins with this.
const BALANCE: i64 = 10_000;

/// An account of this run, and what its balance must be.
struct Account {
    id: i64,
    expected: AtomicI64,
}

#[derive(Deserialize)]
struct Shown {
    balance: i64,
}

/// A run, which its tasks share.
struct Run {
    client: Client,
    url: String,
    accounts: Vec<Account>,
    /// How many requests are still to be sent.
    left: AtomicU32,
    progress: ProgressBar,
    /// How long the requests with this status took.
    latencies: Mutex<BTreeMap<(&'static str, StatusCode), Vec<Duration>>>,
}

impl LoadOptions {
    /// Sends the requests to the service, and prints the result. The exit code is 0 if each balance
    /// is right.
    pub(crate) async fn run(&self, url: &str) -> Result<ExitCode> {
        // Other runs have other accounts.
        let first = fastrand::i64(1..1 << 40) << 20;
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} requests")?;
        let run = Arc::new(Run {
            client: Client::new(),
            url: url.trim_end_matches('/').to_owned(),
            accounts: (first..first + i64::from(self.accounts))
                .map(|id| Account {
                    id,
                    expected: AtomicI64::new(BALANCE),
                })
                .collect(),
            left: AtomicU32::new(self.requests),
            progress: ProgressBar::new(self.requests.into()).with_style(style),
            latencies: Mutex::default(),
        });
        run.create_accounts().await?;

        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..self.parallel {
            let run = run.clone();
            tasks.spawn(async move { run.send_requests().await });
        }
        while let Some(sent) = tasks.join_next().await {
            sent??;
        }
        run.progress.finish();
        println!("{} requests in {:.1?}:", self.requests, start.elapsed());
        run.print_latencies()?;
        run.check_balances().await
    }
}

impl Run {
    async fn post(&self, path: &str, body: Value) -> Result<StatusCode> {
        let request = self.client.post(format!("{}{path}", self.url)).json(&body);
        let response = request.send().await?;
        let status = response.status();
        // The connection can be used again when the whole answer has arrived.
        response.bytes().await?;
        Ok(status)
    }

    async fn create_accounts(&self) -> Result<()> {
        for Account { id, .. } in &self.accounts {
            let account = json!({ "id": id, "balance": BALANCE });
            let status = self.post("/accounts", account).await?;
            ensure!(status == StatusCode::CREATED, "no account: {status}");
        }
        Ok(())
    }

    async fn send_requests(&self) -> Result<()> {
        let take_one = |left: u32| left.checked_sub(1);
        while let Ok(number) =
            self.left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one)
        {
            let (from, to) = self.two_accounts();
            let amount = fastrand::i64(1..=100);
            let start = Instant::now();
            let (request, status) = if number % 10 == 0 {
                let path = format!("/accounts/{}/withdrawals", from.id);
                let status = self.post(&path, json!({ "amount": amount })).await?;
                ("withdraw", status)
            } else {
                let transfer = json!({ "from": from.id, "to": to.id, "amount": amount });
                ("transfer", self.post("/transfers", transfer).await?)
            };
            let latency = start.elapsed();
            if status.is_success() {
                from.expected.fetch_sub(amount, Ordering::Relaxed);
                if request == "transfer" {
                    to.expected.fetch_add(amount, Ordering::Relaxed);
                }
            }
            let mut latencies = self.latencies.lock().expect("no task has panicked");
            latencies
                .entry((request, status))
                .or_default()
                .push(latency);
            self.progress.inc(1);
        }
        Ok(())
    }

    fn two_accounts(&self) -> (&Account, &Account) {
        let accounts = &self.accounts;
        let from = fastrand::usize(..accounts.len());
        let distance = fastrand::usize(1..accounts.len());
        (
            &accounts[from],
            &accounts[(from + distance) % accounts.len()],
        )
    }

    fn print_latencies(&self) -> Result<()> {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["request", "status", "number", "median", "99 %", "longest"]);
        let mut latencies = self.latencies.lock().expect("no task has panicked");
        for ((request, status), latencies) in latencies.iter_mut() {
            latencies.sort();
            let last = latencies.len() - 1;
            let rank = |percent: usize| format!("{:.1?}", latencies[last * percent / 100]);
            table.add_row([
                (*request).to_owned(),
                status.to_string(),
                latencies.len().to_string(),
                rank(50),
                rank(99),
                rank(100),
            ]);
        }
        for numbers in table.column_iter_mut().skip(2) {
            numbers.set_cell_alignment(CellAlignment::Right);
        }
        println!("{table}");
        Ok(())
    }

    /// Compares each balance with what the successful requests have made of it.
    async fn check_balances(&self) -> Result<ExitCode> {
        let (mut sum, mut expected_sum, mut wrong) = (0, 0, 0);
        for Account { id, expected } in &self.accounts {
            let account = self.client.get(format!("{}/accounts/{id}", self.url));
            let response = account.send().await?.error_for_status()?;
            let Shown { balance } = response.json().await.context("not an account")?;
            let expected = expected.load(Ordering::Relaxed);
            sum += balance;
            expected_sum += expected;
            wrong += u32::from(balance != expected);
        }
        let unknown = self.latencies.lock().expect("no task has panicked");
        let unknown = unknown
            .iter()
            .filter(|((_, status), _)| *status == StatusCode::INTERNAL_SERVER_ERROR)
            .map(|(_, latencies)| latencies.len())
            .sum::<usize>();
        println!(
            "The sum of the balances is {sum}, and {expected_sum} is right. {wrong} of {} balances \
             are wrong.",
            self.accounts.len()
        );
        if unknown > 0 {
            println!("{unknown} requests may be done or not.");
        }
        match wrong {
            0 => Ok(ExitCode::SUCCESS),
            _ => Ok(ExitCode::FAILURE),
        }
    }
}
