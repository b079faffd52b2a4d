//! What the tests of the library rely on. A test holds both ends of a connection itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_linger;

use super::Proxy;

/// How long a test waits for an expected event.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long a test watches that nothing happens.
const MOMENT: Duration = Duration::from_millis(150);

#[test]
fn bytes_pass_unchanged_in_both_directions() {
    for delay in [0, 2] {
        let (proxy, listener) = network();
        proxy.set_delay(Duration::from_millis(delay));
        let (client, server) = open(&proxy, &listener);
        let data = noise(8 << 20);
        thread::scope(|scope| {
            for (from, to) in [(&client, &server), (&server, &client)] {
                scope.spawn(|| send_in_pieces(from, &data));
                scope.spawn(|| assert_receives_all(to, &data));
            }
        });
    }
}

#[test]
fn round_trip_takes_twice_the_delay() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    for delay in [0, 500, 5_000].map(Duration::from_micros) {
        proxy.set_delay(delay);
        let round_trips = (0..60).map(|_| {
            let since = Instant::now();
            assert_open(&client, &server);
            since.elapsed()
        });
        let fastest = round_trips.min().expect("some");
        assert!(fastest >= 2 * delay, "{fastest:?}");
        // The fastest, since the machine may be busy. Timers of whole milliseconds need more.
        let limit = 2 * delay + Duration::from_micros(500);
        assert!(fastest < limit, "{fastest:?}");
    }
}

#[test]
fn request_and_answer_are_one_round_trip() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    send(&server, b"handshake");
    assert_receives(&client, b"handshake");
    assert_eq!(proxy.round_trips(), 0);

    send(&client, b"close ");
    assert_receives(&server, b"close ");
    send(&client, b"ask");
    assert_receives(&server, b"ask");
    send(&server, b"ans");
    assert_receives(&client, b"ans");
    send(&server, b"wer");
    assert_receives(&client, b"wer");
    assert_eq!(proxy.round_trips(), 1);

    assert_open(&client, &server);
    let (other, its_server) = open(&proxy, &listener);
    assert_open(&other, &its_server);
    assert_eq!(proxy.round_trips(), 3);
    drop((other, its_server));
    assert_eq!(proxy.round_trips(), 3);
}

#[test]
fn stall_holds_back_bytes_ends_and_new_connections() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    let (ended, its_server) = open(&proxy, &listener);
    proxy.stall();
    send(&client, b"request");
    send(&server, b"answer");
    drop(ended);
    let new = dial(&proxy);
    send(&new, b"hello");
    assert_becomes(|| proxy.connections() == 3);
    for stream in [&client, &server, &its_server, &new] {
        assert_silent(stream);
    }
    assert!(!is_called(&listener, MOMENT));

    proxy.resume();
    assert_receives(&server, b"request");
    assert_receives(&client, b"answer");
    assert_closed(&its_server);
    assert_receives(&answer(&listener), b"hello");
}

#[test]
fn cut_resets_every_connection_at_both_ends() {
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
fn cut_one_resets_a_single_connection() {
    let (proxy, listener) = network();
    assert!(!proxy.cut_one(0));
    let [first, second, third] = [(); 3].map(|()| open(&proxy, &listener));
    // Counted around: 4 is the second of three.
    assert!(proxy.cut_one(4));
    assert_reset(&second.0);
    assert_reset(&second.1);
    assert_eq!(proxy.connections(), 2);
    assert_open(&first.0, &first.1);
    assert_open(&third.0, &third.1);
}

#[test]
fn cut_before_a_text_withholds_the_request() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    proxy.cut_before("COMMIT");
    assert_open(&client, &server);
    assert!(proxy.is_to_cut());
    send(&client, b"\x03COMMIT");
    assert_reset(&client);
    assert_reset(&server);
    assert!(!proxy.is_to_cut());
}

#[test]
fn cut_after_a_text_withholds_the_answer() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    proxy.cut_after("COMMIT");
    send(&client, b"\x03COMMIT");
    assert_receives(&server, b"\x03COMMIT");
    send(&server, b"OK");
    assert_reset(&client);
    let (client, server) = open(&proxy, &listener);
    assert_open(&client, &server);
}

#[test]
fn closed_end_closes_the_other() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    send(&server, b"goodbye");
    drop(server);
    assert_receives(&client, b"goodbye");
    assert_closed(&client);
    assert_becomes(|| (&client).write(b"hello?").is_err());

    let (client, server) = open(&proxy, &listener);
    drop(client);
    assert_closed(&server);
    assert_becomes(|| (&server).write(b"hello?").is_err());
    assert_becomes(|| proxy.connections() == 0);
}

#[test]
fn reset_end_resets_the_other() {
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
fn client_is_reset_if_no_server_listens() {
    let (proxy, listener) = network();
    drop(listener);
    assert_reset(&dial(&proxy));
    assert_becomes(|| proxy.connections() == 0);
}

#[test]
fn dropped_proxy_resets_its_connections_and_stops_listening() {
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
        let error = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
}

/// A proxy, and the listener that it connects to.
fn network() -> (Proxy, TcpListener) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("to listen");
    let address = listener.local_addr().expect("an address");
    (Proxy::start(address).expect("a proxy"), listener)
}

/// A connection through the proxy: the client's end and the server's.
#[track_caller]
fn open(proxy: &Proxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
    (dial(proxy), answer(listener))
}

#[track_caller]
fn dial(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).expect("to connect");
    prepared(client)
}

#[track_caller]
fn answer(listener: &TcpListener) -> TcpStream {
    assert!(is_called(listener, TIMEOUT), "no client connects");
    prepared(listener.accept().expect("a connection").0)
}

/// Whether a connection waits to be accepted.
fn is_called(listener: &TcpListener, timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).expect("a moderate time");
    let mut watched = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut watched, Some(&timeout)).expect("to wait") == 1
}

fn prepared(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    stream.set_write_timeout(Some(TIMEOUT)).expect("a timeout");
    stream
}

#[track_caller]
fn send(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("to send");
}

/// Sends thousands of pieces, from a byte to more than the proxy reads at a time.
fn send_in_pieces(stream: &TcpStream, mut data: &[u8]) {
    for size in [1, 2, 700, 1461, 9, 3000, 200_000].into_iter().cycle() {
        let (piece, rest) = data.split_at(data.len().min(size));
        if piece.is_empty() {
            break;
        }
        send(stream, piece);
        data = rest;
    }
    stream.shutdown(Shutdown::Write).expect("to end");
}

#[track_caller]
fn assert_receives(mut stream: &TcpStream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    stream.read_exact(&mut received).expect("to receive");
    assert!(received == expected, "other bytes arrived");
}

fn assert_receives_all(mut stream: &TcpStream, data: &[u8]) {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("to receive");
    assert!(received == data, "other bytes arrived");
}

/// Bytes pass in both directions.
#[track_caller]
fn assert_open(client: &TcpStream, server: &TcpStream) {
    send(client, b"request");
    assert_receives(server, b"request");
    send(server, b"answer");
    assert_receives(client, b"answer");
}

/// The connection is open, and nothing arrives.
#[track_caller]
fn assert_silent(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(MOMENT)).expect("a timeout");
    let error = stream.read(&mut [0]).expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
}

#[track_caller]
fn assert_closed(mut stream: &TcpStream) {
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
}

#[track_caller]
fn assert_reset(mut stream: &TcpStream) {
    let error = stream.read(&mut [0]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

/// Closes one end abruptly, as a cut does.
fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).expect("to prepare a reset");
}

#[track_caller]
fn assert_becomes(condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < TIMEOUT, "the condition is not met");
        sleep(Duration::from_millis(1));
    }
}

/// The same bytes each time, without a pattern that a shift or a swap would leave unchanged.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}
