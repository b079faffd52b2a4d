//! When nothing can pass, the proxy rests: it takes no time of the processor, and neither memory
//! without end nor the other connections' turn.

use std::fs;
use std::net::Shutdown;

use rustix::net::listen;
use rustix::thread::gettid;

use super::*;

#[test]
fn a_stalled_proxy_rests() {
    let (proxy, listener) = network();
    proxy.set_delay(Duration::from_millis(1));
    let (client, server) = open(&proxy, &listener);
    send(&client, b"request");
    assert_receives(&server, b"request");
    proxy.stall();
    send(&client, b"request");
    send(&server, b"answer");
    send(&dial(&proxy), b"hello");
    drop(server);
    assert_rests(&proxy);
}

#[test]
fn a_proxy_with_half_closed_connections_rests() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    client.shutdown(Shutdown::Write).expect("to end");
    assert_closed(&server);
    assert_rests(&proxy);
    // Nobody asks this socket anything until the server answers.
    reset(client);
    assert_rests(&proxy);
}

#[test]
fn a_receiver_that_does_not_read_holds_up_the_sender() {
    let (proxy, listener) = network();
    let (client, mut server) = open(&proxy, &listener);
    let sent = send_until_held_up(&client);
    // What the kernel buffers in four sockets.
    assert!(sent < 32 << 20, "{sent} bytes taken");
    assert_rests(&proxy);
    drop(client);
    let mut received = Vec::new();
    server.read_to_end(&mut received).expect("to receive");
    assert_eq!(received.len(), sent);
}

#[test]
fn what_is_under_way_is_limited() {
    let (proxy, listener) = network();
    let (client, mut server) = open(&proxy, &listener);
    proxy.set_delay(Duration::MAX);
    let sent = send_until_held_up(&client);
    assert!((64 << 20..96 << 20).contains(&sent), "{sent} bytes taken");
    assert_rests(&proxy);
    drop(client);
    proxy.set_delay(Duration::ZERO);
    let mut received = Vec::new();
    server.read_to_end(&mut received).expect("to receive");
    assert_eq!(received.len(), sent);
}

/// Returns how much was taken.
fn send_until_held_up(mut client: &TcpStream) -> usize {
    let (mut sent, data) = (0, vec![7; 1 << 20]);
    // Long enough that a busy machine is not taken for a full buffer.
    let held_up = Duration::from_secs(2);
    client.set_write_timeout(Some(held_up)).expect("a timeout");
    loop {
        match client.write(&data) {
            Ok(length) => sent += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return sent,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_server_that_does_not_accept_holds_up_nobody_else() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    // Linux leaves further ones unanswered, and they try again a second later.
    listen(&listener, 1).expect("a short queue");
    let waiting = [(); 4].map(|()| dial(&proxy));
    let start = Instant::now();
    assert_becomes(|| proxy.connections() == 5);
    assert_open(&client, &server);
    assert!(start.elapsed() < Duration::from_millis(500));
    assert_rests(&proxy);
    // In whatever order they get through.
    let servers = [(); 4].map(|()| answer(&listener));
    servers.iter().for_each(|server| send(server, b"answer"));
    waiting
        .iter()
        .for_each(|client| assert_receives(client, b"answer"));
}

/// Fails if the proxy's thread runs for more than a few milliseconds while nothing happens.
#[track_caller]
fn assert_rests(proxy: &Proxy) {
    let thread = proxy.ask(|_| gettid());
    let file = format!("/proc/self/task/{}/schedstat", thread.as_raw_nonzero());
    let running = || {
        let times = fs::read_to_string(&file).expect("the thread's times");
        let running = times.split(' ').next().expect("the time it ran");
        Duration::from_nanos(running.parse().expect("nanoseconds"))
    };
    let before = running();
    sleep(2 * MOMENT);
    let taken = running() - before;
    assert!(taken < Duration::from_millis(5), "it ran for {taken:?}");
}
