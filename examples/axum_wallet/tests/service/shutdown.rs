//! SIGTERM: no waiting lock delays it, and work that has begun is completed.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::support::on_each_server;

/// Longer than a test may take.
const LONG_TIMEOUT: &str = "--lock-timeout=60000";

#[test]
fn shutdown_answers_waiting_requests_with_503_at_once() {
    on_each_server("shutdown", &[LONG_TIMEOUT], async |mut service| {
        let held = service.hold(1).await;
        // Of each kind, one waits on the server and the others in the process.
        let mut requests = Vec::new();
        for _ in 0..10 {
            requests.push(tokio::spawn(service.withdraw(1, 10)));
            requests.push(tokio::spawn(service.transfer(2, 1, 10)));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let since = Instant::now();
        service.terminate();
        for request in requests {
            let response = request.await.expect("an answer");
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()["retry-after"], "1");
        }
        let status = service.wait().await;
        let time = since.elapsed();
        assert!(status.success(), "{status}");
        assert!(time < Duration::from_secs(3), "it took {time:?}");
        // No wait of the service is left on the server.
        drop(held);
        service.assert_free(1).await;
    });
}

#[test]
fn shutdown_completes_a_withdrawal_that_has_begun() {
    let options = [LONG_TIMEOUT, "--cash-time=1000"];
    on_each_server("shutdown_at_work", &options, async |mut service| {
        let withdrawal = tokio::spawn(service.withdraw(1, 10));
        service.wait_for_balance(1, 90).await;
        service.terminate();
        let response = withdrawal.await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert!(service.wait().await.success());
    });
}

#[test]
fn shutdown_completes_a_withdrawal_whose_client_is_gone() {
    let options = [LONG_TIMEOUT, "--cash-time=1000"];
    on_each_server("shutdown_without_client", &options, async |mut service| {
        let withdrawal = tokio::spawn(service.withdraw(1, 10));
        service.wait_for_balance(1, 90).await;
        let since = Instant::now();
        withdrawal.abort();
        tokio::time::sleep(Duration::from_millis(100)).await;
        service.terminate();
        assert!(service.wait().await.success());
        // The balance was seen up to one poll after the cash machine had begun.
        let time = since.elapsed();
        assert!(time > Duration::from_millis(600), "it took only {time:?}");
    });
}
