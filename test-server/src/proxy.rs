//! A proxy that delays, stalls and cuts connections between a client and a server on loopback.

mod connection;
mod pipe;
mod relay;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use connection::CutAt;
use relay::{Relay, Request};

/// A TCP proxy. On drop it stops listening and resets all connections through it.
///
/// All methods take `&self`, so that threads can share it, and have taken effect when they return.
/// Bytes arrive unchanged and in order. A half-closed or reset connection is passed on as such.
pub struct Proxy {
    port: u16,
    upstream: SocketAddr,
    requests: Sender<Request>,
    /// A byte wakes the thread. The end of the stream ends the thread.
    waker: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free loopback port. Opens a connection to `upstream` for each connection there.
    ///
    /// # Errors
    ///
    /// If no port, thread or file descriptor is left.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (waker, wakes) = UnixStream::pair()?;
        let (requests, received) = mpsc::channel();
        let relay = Relay::new(listener, upstream, wakes, received)?;
        let thread = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || relay.run())?;
        Ok(Self {
            port,
            upstream,
            requests,
            waker,
            thread: Some(thread),
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn upstream(&self) -> SocketAddr {
        self.upstream
    }

    /// Delays all bytes in both directions by this time, counted from when they were sent. Bytes
    /// that were sent before are included.
    ///
    /// The rate is not limited: up to 64 MiB may be under way in a direction. Opening a connection
    /// is not delayed, and the server's handshake is.
    pub fn set_delay(&self, one_way: Duration) {
        self.ask(move |relay| relay.set_delay(one_way));
    }

    /// Holds back all bytes in both directions, and the end of connections.
    ///
    /// Connections stay open. New connections are accepted, and wait before they reach the server.
    pub fn stall(&self) {
        self.ask(|relay| relay.set_stalled(true));
    }

    /// Ends [`stall`](Self::stall). Bytes that were sent meanwhile arrive now.
    pub fn resume(&self) {
        self.ask(|relay| relay.set_stalled(false));
    }

    /// Resets all connections at both ends, and returns their number. Bytes under way are lost.
    pub fn cut(&self) -> usize {
        self.ask(Relay::cut)
    }

    /// Resets a single connection: the `nth` in the order of their opening, modulo their number.
    /// Returns `false` if there is none.
    pub fn cut_one(&self, nth: usize) -> bool {
        self.ask(move |relay| relay.cut_one(nth))
    }

    /// Resets, once, the first connection whose client sends a request that contains `text`. The
    /// server does not receive the request.
    pub fn cut_before(&self, text: &str) {
        self.cut_at(text, false);
    }

    /// Like [`cut_before`](Self::cut_before), except that the server receives the request. The
    /// client does not receive the answer. If the request prepares a statement of MySQL, this is the
    /// answer to the execution.
    pub fn cut_after(&self, text: &str) {
        self.cut_at(text, true);
    }

    fn cut_at(&self, text: &str, after: bool) {
        let text = text.to_owned();
        self.ask(move |relay| relay.cut_at(CutAt { text, after }));
    }

    /// Ends [`cut_before`](Self::cut_before) and [`cut_after`](Self::cut_after). Returns whether
    /// the request has come.
    pub fn cut_no_more(&self) -> bool {
        self.ask(|relay| relay.cut_no_more())
    }

    /// Whether [`cut_before`](Self::cut_before) or [`cut_after`](Self::cut_after) still waits for
    /// the request.
    pub fn is_to_cut(&self) -> bool {
        self.ask(|relay| relay.is_to_cut())
    }

    /// The number of open connections. A new connection counts, here and for [`cut`](Self::cut),
    /// from a moment after the client's `connect` has returned, and at the latest from its first
    /// byte.
    pub fn connections(&self) -> usize {
        self.ask(|relay| relay.connections())
    }

    /// The number of round trips of all connections so far: a client has sent bytes and then
    /// received an answer. Several requests before one answer, as when a statement is closed, count
    /// once.
    pub fn round_trips(&self) -> u64 {
        self.ask(|relay| relay.round_trips())
    }

    /// Lets the proxy's thread execute a request, and waits for the result.
    fn ask<T: Send + 'static>(&self, request: impl FnOnce(&mut Relay) -> T + Send + 'static) -> T {
        let (reply, result) = mpsc::channel();
        let request = Box::new(move |relay: &mut Relay| {
            // This cannot fail: the caller waits below.
            let _ = reply.send(request(relay));
        });
        // If the thread has panicked, these fail, and there is no result.
        let _ = self.requests.send(request);
        let _ = (&self.waker).write_all(&[0]);
        result.recv().expect("the proxy's thread runs")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.waker.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
