//! The HTTP status of each error, and what a client that disconnects leaves.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use test_server::{Proxy, is_postgres_url};

use crate::support::{Service, on_each_server};

async fn error(response: Response) -> String {
    let body: Value = response.json().await.expect("a body");
    body["error"].as_str().expect("an error").to_owned()
}

#[test]
fn held_lock_is_423_after_the_timeout() {
    on_each_server("locked", &["--lock-timeout=300"], async |service| {
        let held = service.hold(1).await;
        for request in [
            tokio::spawn(service.withdraw(1, 10)),
            tokio::spawn(service.transfer(2, 1, 10)),
        ] {
            let response = request.await.expect("an answer");
            assert_eq!(response.status(), StatusCode::LOCKED);
            assert_eq!(response.headers()["retry-after"], "1");
            assert_eq!(error(response).await, "nothing has changed");
        }
        assert_eq!(service.balance(1).await, 100);
        drop(held);
        assert_eq!(service.withdraw(1, 10).await.status(), StatusCode::OK);
        assert_eq!(service.balance(1).await, 90);
    });
}

#[test]
fn impossible_requests_are_4xx_and_change_nothing() {
    on_each_server("impossible", &[], async |service| {
        let account = json!({ "id": 1, "balance": 1 });
        for (response, status) in [
            (service.withdraw(1, 101).await, StatusCode::CONFLICT),
            (service.transfer(1, 2, 101).await, StatusCode::CONFLICT),
            (
                service.post("/accounts", account).await,
                StatusCode::CONFLICT,
            ),
            (service.withdraw(3, 10).await, StatusCode::NOT_FOUND),
            (service.transfer(1, 3, 10).await, StatusCode::NOT_FOUND),
            (service.get("/accounts/3").await, StatusCode::NOT_FOUND),
            (
                service.transfer(1, 1, 10).await,
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
            (
                service.withdraw(1, -10).await,
                StatusCode::UNPROCESSABLE_ENTITY,
            ),
        ] {
            assert_eq!(response.status(), status, "{}", response.url());
        }
        assert_eq!(service.balance(1).await, 100);
        assert_eq!(service.balance(2).await, 100);
    });
}

#[test]
fn pool_without_a_free_connection_is_503() {
    let options = ["--connections=1", "--lock-timeout=300", "--cash-time=2000"];
    on_each_server("no_connection", &options, async |service| {
        let withdrawal = tokio::spawn(service.withdraw(1, 10));
        // The withdrawal has the only connection, so the balance cannot be asked.
        let since = Instant::now();
        while service.get("/accounts/1").await.status() != StatusCode::SERVICE_UNAVAILABLE {
            assert!(since.elapsed() < Duration::from_secs(10), "it is free");
        }
        let response = service.withdraw(2, 10).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(error(response).await, "nothing has changed");
        let withdrawal = withdrawal.await.expect("an answer");
        assert_eq!(withdrawal.status(), StatusCode::OK);
        assert_eq!(service.balance(2).await, 100);
    });
}

/// Another process of the service, whose connections to the database can be cut.
fn behind_a_proxy(service: &Service, options: &[&str]) -> (Service, Proxy) {
    let url = service.database_url();
    let (account, place) = url.split_once('@').expect("a URL with an account");
    let (address, database) = place.split_once('/').expect("a URL with a database");
    let address: SocketAddr = address.parse().expect("an address");
    let proxy = Proxy::start(address).expect("a proxy");
    // mysql_async would find the server's socket, and go around the proxy.
    let option = match is_postgres_url(url) {
        true => "",
        false => "?prefer_socket=false",
    };
    let port = proxy.port();
    let url = format!("{account}@127.0.0.1:{port}/{database}{option}");
    (Service::start(&url, options), proxy)
}

#[test]
fn lock_lost_in_a_withdrawal_is_500() {
    on_each_server("lost", &[], async |service| {
        let (cut, proxy) = behind_a_proxy(&service, &["--cash-time=1000"]);
        let withdrawal = tokio::spawn(cut.withdraw(1, 10));
        service.wait_for_balance(1, 90).await;
        proxy.cut();
        let response = withdrawal.await.expect("an answer");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!response.headers().contains_key("retry-after"));
        let error = error(response).await;
        assert!(error.contains("read the balance"), "{error}");
        assert_eq!(service.balance(1).await, 90);
    });
}

#[test]
fn transfer_whose_commit_has_no_answer_is_500() {
    on_each_server("commit_unknown", &[], async |service| {
        let (cut, proxy) = behind_a_proxy(&service, &[]);
        proxy.cut_after("COMMIT");
        let response = cut.transfer(1, 2, 10).await;
        assert!(proxy.cut_no_more(), "there was no COMMIT");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!response.headers().contains_key("retry-after"));
        let error = error(response).await;
        assert!(error.contains("read the balance"), "{error}");
        // It was done: a repetition would have done it twice.
        service.wait_for_balance(1, 90).await;
    });
}

#[test]
fn client_that_disconnects_ends_a_wait_and_no_work() {
    let options = ["--cash-time=1000", "--lock-timeout=60000"];
    on_each_server("disconnect", &options, async |service| {
        let held = service.hold(1).await;
        let waiting = tokio::spawn(service.withdraw(1, 10));
        tokio::time::sleep(Duration::from_millis(300)).await;
        waiting.abort();
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(held);
        service.assert_free(1).await;
        assert_eq!(service.balance(1).await, 100, "the wait went on");

        let withdrawal = tokio::spawn(service.withdraw(1, 10));
        service.wait_for_balance(1, 90).await;
        withdrawal.abort();
        let since = Instant::now();
        while service.metric("wallet_dispensed_total").await != 10 {
            assert!(since.elapsed() < Duration::from_secs(10), "no cash");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn metrics_count_the_locks() {
    on_each_server("metrics", &[], async |service| {
        for _ in 0..3 {
            assert_eq!(service.transfer(1, 2, 10).await.status(), StatusCode::OK);
        }
        let metrics = service.get("/metrics").await.text().await.expect("text");
        assert!(metrics.contains("diesel_advisory_lock"), "{metrics}");
        assert!(
            metrics.contains("axum_wallet_example_accounts"),
            "{metrics}"
        );
    });
}
