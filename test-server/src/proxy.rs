//! A network that a test controls, between a client and a server on loopback.

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

/// A TCP proxy. It ends on drop, and so do all connections through it.
///
/// Everything takes `&self`, so that threads can share it, and has taken effect when it returns.
/// Bytes arrive unchanged and in order. A half-closed and a reset connection are passed on as such.
pub struct Proxy {
    port: u16,
    upstream: SocketAddr,
    requests: Sender<Request>,
    /// A byte wakes the thread, and the end of the stream ends it.
    waker: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free loopback port. Each connection there gets one of its own to `upstream`.
    ///
    /// # Errors
    ///
    /// If there is no port, thread or file descriptor left.
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

    /// From now on whatever is sent, in either direction, arrives this much later. So does what is
    /// under way already, counted from when it was sent.
    ///
    /// The rate is not limited: as much as 64 MiB may be under way in a direction. Opening a
    /// connection is not delayed, but the bytes that the server greets with are.
    pub fn set_delay(&self, one_way: Duration) {
        self.ask(move |relay| relay.set_delay(one_way));
    }

    /// Nothing passes any more, in either direction: no bytes, and no news of a closed connection.
    ///
    /// Connections stay open. New ones are accepted, and wait before they reach the server.
    pub fn stall(&self) {
        self.ask(|relay| relay.set_stalled(true));
    }

    /// Ends [`stall`](Self::stall). What was sent meanwhile arrives now.
    pub fn resume(&self) {
        self.ask(|relay| relay.set_stalled(false));
    }

    /// Resets all connections, at both ends, and returns how many. What was under way is lost.
    pub fn cut(&self) -> usize {
        self.ask(Relay::cut)
    }

    /// Like [`cut`](Self::cut), of a single connection: the `nth` in the order of their opening,
    /// counted around. `false`: there is none.
    pub fn cut_one(&self, nth: usize) -> bool {
        self.ask(move |relay| relay.cut_one(nth))
    }

    /// Resets, once, the first connection whose client sends a request that contains `text`. The server does not
    /// receive the request.
    pub fn cut_before(&self, text: &str) {
        self.cut_at(text, false);
    }

    /// Like [`cut_before`](Self::cut_before), but the server receives the request, and the client receives no answer.
    pub fn cut_after(&self, text: &str) {
        self.cut_at(text, true);
    }

    fn cut_at(&self, text: &str, after: bool) {
        let text = text.to_owned();
        self.ask(move |relay| relay.cut_at(CutAt { text, after }));
    }

    /// Ends [`cut_before`](Self::cut_before) and [`cut_after`](Self::cut_after). Returns whether the cut was made.
    pub fn cut_no_more(&self) -> bool {
        self.ask(|relay| relay.cut_no_more())
    }

    /// Whether the request for [`cut_before`](Self::cut_before) or [`cut_after`](Self::cut_after) is still to come.
    pub fn is_to_cut(&self) -> bool {
        self.ask(|relay| relay.is_to_cut())
    }

    /// How many connections are open. A new one counts, here and for [`cut`](Self::cut), from a
    /// moment after the client's `connect` has returned: surely once it has received a byte.
    pub fn connections(&self) -> usize {
        self.ask(|relay| relay.connections())
    }

    /// How often a client has sent something and then heard from the server, over all connections so far: what a client waits
    /// for. What it sends before the answer, as when it closes a statement, costs no round trip more.
    pub fn round_trips(&self) -> u64 {
        self.ask(|relay| relay.round_trips())
    }

    /// Has the proxy's thread do something, and waits for the result.
    fn ask<T: Send + 'static>(&self, request: impl FnOnce(&mut Relay) -> T + Send + 'static) -> T {
        let (reply, result) = mpsc::channel();
        let request = Box::new(move |relay: &mut Relay| {
            // Nobody has left: the asking thread waits below.
            let _ = reply.send(request(relay));
        });
        // A thread that has panicked takes neither. Then there is no result.
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
