//! What one end does to the connection reaches the other.

use std::net::Shutdown;

use super::*;

#[test]
fn a_half_close_is_passed_on() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    send(&client, b"all I have to say");
    client.shutdown(Shutdown::Write).expect("to end");
    assert_receives(&server, b"all I have to say");
    assert_closed(&server);
    send(&server, b"a late answer");
    assert_receives(&client, b"a late answer");
    assert_silent(&client);
    server.shutdown(Shutdown::Write).expect("to end");
    assert_closed(&client);
    assert_becomes(|| proxy.connections() == 0);
}

#[test]
fn a_server_that_closes_closes_the_client() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    send(&server, b"goodbye");
    drop(server);
    assert_receives(&client, b"goodbye");
    assert_closed(&client);
    assert_becomes(|| (&client).write(b"hello?").is_err());
    assert_becomes(|| proxy.connections() == 0);
}

#[test]
fn a_client_that_closes_closes_the_server() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    drop(client);
    assert_closed(&server);
    assert_becomes(|| (&server).write(b"hello?").is_err());
    assert_becomes(|| proxy.connections() == 0);
}

#[test]
fn a_reset_is_passed_on_both_ways() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    reset(server);
    assert_reset(&client);
    let (client, server) = open(&proxy, &listener);
    reset(client);
    assert_reset(&server);
    assert_becomes(|| proxy.connections() == 0);
}

#[test]
fn a_reset_comes_after_what_was_sent_before() {
    let delay = Duration::from_millis(100);
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    proxy.set_delay(delay);
    let start = Instant::now();
    send(&server, b"last words");
    // The proxy must have read them: a reset takes along what is on its way in the kernel.
    sleep(delay / 2);
    reset(server);
    assert_receives(&client, b"last words");
    assert_reset(&client);
    assert!(start.elapsed() >= delay + delay / 2);
}

#[test]
fn a_client_of_a_server_that_is_gone_is_reset() {
    let (proxy, listener) = network();
    drop(listener);
    assert_reset(&dial(&proxy));
    assert_becomes(|| proxy.connections() == 0);
}
