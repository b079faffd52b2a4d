//! Real sockets. A test holds both ends of a connection itself.

mod close;
mod delay;
mod faults;
mod rest;
mod round_trips;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_linger;

use super::Proxy;

/// For what is to come.
const TIMEOUT: Duration = Duration::from_secs(20);

/// For what is not to come.
const MOMENT: Duration = Duration::from_millis(150);

/// A proxy, and the server end of it.
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
    assert!(is_called(listener, TIMEOUT), "nobody connects");
    prepared(listener.accept().expect("a connection").0)
}

/// Whether a connection waits to be accepted.
fn is_called(listener: &TcpListener, patience: Duration) -> bool {
    let patience = Timespec::try_from(patience).expect("a moderate time");
    let mut watched = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut watched, Some(&patience)).expect("to wait") == 1
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

#[track_caller]
fn assert_receives(mut stream: &TcpStream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    stream.read_exact(&mut received).expect("to receive");
    assert!(received == expected, "other bytes arrived");
}

/// Bytes pass in both directions.
#[track_caller]
fn assert_open(client: &TcpStream, server: &TcpStream) {
    send(client, b"request");
    assert_receives(server, b"request");
    send(server, b"answer");
    assert_receives(client, b"answer");
}

/// The connection is open, and nothing comes.
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
fn assert_becomes(what: impl Fn() -> bool) {
    let since = Instant::now();
    while !what() {
        assert!(since.elapsed() < TIMEOUT, "it does not come about");
        sleep(Duration::from_millis(1));
    }
}

/// The same bytes each time, without a pattern that a shift or a swap would leave as it is.
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
