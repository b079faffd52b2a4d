//! What a test does to the network.

use std::thread;

use super::*;

#[test]
fn nothing_passes_a_stall() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    proxy.stall();
    send(&client, b"request");
    send(&server, b"answer");
    let second = dial(&proxy);
    send(&second, b"hello");
    assert_becomes(|| proxy.connections() == 2);
    assert_silent(&client);
    assert_silent(&server);
    assert_silent(&second);
    assert!(!is_called(&listener, MOMENT));

    proxy.resume();
    assert_receives(&server, b"request");
    assert_receives(&client, b"answer");
    assert_receives(&answer(&listener), b"hello");
}

#[test]
fn what_is_under_way_waits_as_well() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    proxy.set_delay(MOMENT / 2);
    send(&client, b"request");
    proxy.stall();
    assert_silent(&server);
    proxy.resume();
    assert_receives(&server, b"request");
}

#[test]
fn an_end_waits_as_well() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    proxy.stall();
    drop(client);
    assert_silent(&server);
    assert_eq!(proxy.connections(), 1);
    proxy.resume();
    assert_closed(&server);
    drop(server);
    assert_becomes(|| proxy.connections() == 0);
}

#[test]
fn a_cut_resets_every_connection_at_both_ends() {
    let (proxy, listener) = network();
    for stalled in [false, true] {
        let connections = [(); 3].map(|()| open(&proxy, &listener));
        if stalled {
            proxy.stall();
        }
        assert_eq!(proxy.connections(), 3);
        assert_eq!(proxy.cut(), 3);
        assert_eq!(proxy.connections(), 0);
        for (client, server) in &connections {
            assert_reset(client);
            assert_reset(server);
        }
        proxy.resume();
        let (client, server) = open(&proxy, &listener);
        assert_open(&client, &server);
        assert_eq!(proxy.cut(), 1);
    }
    assert_eq!(proxy.cut(), 0);
}

#[test]
fn a_single_connection_is_cut() {
    let (proxy, listener) = network();
    assert!(!proxy.cut_one(0));
    let connections = [(); 3].map(|()| open(&proxy, &listener));
    let [
        (first, first_server),
        (second, second_server),
        (third, third_server),
    ] = &connections;
    assert!(proxy.cut_one(4));
    assert_reset(second);
    assert_reset(second_server);
    assert_eq!(proxy.connections(), 2);
    assert_open(first, first_server);
    assert_open(third, third_server);
    assert!(proxy.cut_one(usize::MAX));
    assert_reset(third);
    assert_reset(third_server);
    assert_open(first, first_server);
}

#[test]
fn a_dropped_proxy_leaves_nothing() {
    for stalled in [false, true] {
        let (proxy, listener) = network();
        let (client, server) = open(&proxy, &listener);
        let port = proxy.port();
        if stalled {
            proxy.stall();
        }
        drop(proxy);
        assert_reset(&client);
        assert_reset(&server);
        let error = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect_err("nobody");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
}

#[test]
fn threads_can_share_a_proxy() {
    let (proxy, listener) = network();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    proxy.set_delay(Duration::ZERO);
                    proxy.stall();
                    proxy.resume();
                    proxy.cut();
                }
            });
        }
    });
    let (client, server) = open(&proxy, &listener);
    assert_open(&client, &server);
}

#[test]
fn cut_before_a_text_withholds_the_request() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    proxy.cut_before("COMMIT");
    assert_open(&client, &server);
    assert!(proxy.is_to_cut());
    send(&client, b"..COMMIT");
    assert_reset(&client);
    assert_reset(&server);
    assert!(!proxy.is_to_cut());
}

#[test]
fn cut_after_a_text_withholds_the_answer() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    proxy.cut_after("COMMIT");
    send(&client, b"COMMIT..");
    assert_receives(&server, b"COMMIT..");
    send(&server, b"OK");
    assert_reset(&client);
    let (client, server) = open(&proxy, &listener);
    assert_open(&client, &server);
}
