//! What passes, how fast and in which order.

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use super::*;

#[test]
fn much_passes_unchanged_both_ways() {
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

/// Thousands of pieces, from a byte to more than the proxy reads at a time.
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

fn assert_receives_all(mut stream: &TcpStream, data: &[u8]) {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("to receive");
    assert!(received == data, "other bytes arrived");
}

#[test]
fn a_round_trip_takes_twice_the_delay() {
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

/// As Nagle's algorithm would hold them back, at either socket of the proxy.
#[test]
fn small_pieces_do_not_wait_for_each_other() {
    const COUNT: usize = 21;
    let pause = Duration::from_millis(2);
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    for (from, to) in [(&client, &server), (&server, &client)] {
        let mut times = [(); COUNT].map(|()| {
            let since = Instant::now();
            send(from, b"one, ");
            sleep(pause);
            send(from, b"two");
            assert_receives(to, b"one, two");
            // The kernel confirms at once what comes in without an answer going out.
            send(to, b"three");
            assert_receives(from, b"three");
            since.elapsed()
        });
        times.sort();
        assert!(times[COUNT / 2] < Duration::from_millis(20), "{times:?}");
    }
}

#[test]
fn what_is_under_way_keeps_its_spacing() {
    const COUNT: u8 = 10;
    let delay = Duration::from_millis(300);
    let spacing = Duration::from_millis(20);
    let (proxy, listener) = network();
    let (client, mut server) = open(&proxy, &listener);
    proxy.set_delay(delay);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..COUNT {
                send(&client, &[number]);
                sleep(spacing);
            }
        });
        let mut received = [0];
        for number in 0..COUNT {
            server.read_exact(&mut received).expect("a byte");
            assert_eq!(received, [number]);
            assert!(start.elapsed() >= delay + spacing * number.into());
        }
    });
    // One after the other they would take ten delays.
    assert!(start.elapsed() < 4 * delay, "{:?}", start.elapsed());
}

#[test]
fn what_is_sent_later_holds_up_nothing() {
    let pause = Duration::from_millis(300);
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    let (other, _other_server) = open(&proxy, &listener);
    proxy.set_delay(3 * pause);
    let start = Instant::now();
    send(&client, b"request");
    sleep(pause);
    send(&server, b"answer");
    sleep(pause);
    send(&other, b"request");
    assert_receives(&server, b"request");
    // Before the answer is due.
    assert!(start.elapsed() < 4 * pause, "{:?}", start.elapsed());
    assert_receives(&client, b"answer");
    // Before the other connection's request is due.
    assert!(start.elapsed() < 5 * pause, "{:?}", start.elapsed());
}

#[test]
fn a_delay_does_not_limit_the_rate() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    proxy.set_delay(Duration::from_millis(100));
    let data = noise(16 << 20);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| send(&client, &data));
        assert_receives(&server, &data);
    });
    // 256 of the proxy's reads: one at a time they would take 25 seconds.
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_new_delay_holds_for_what_is_under_way() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    for longest in [Duration::from_secs(3600), Duration::MAX] {
        proxy.set_delay(longest);
        send(&client, b"first, ");
        assert_silent(&server);
        proxy.set_delay(Duration::ZERO);
        send(&client, b"second");
        assert_receives(&server, b"first, second");
    }
}

#[test]
fn an_end_is_as_late_as_what_came_before_it() {
    let delay = Duration::from_millis(100);
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    proxy.set_delay(delay);
    let start = Instant::now();
    send(&client, b"last words");
    drop(client);
    assert_receives(&server, b"last words");
    assert_closed(&server);
    assert!(start.elapsed() >= delay);
}
