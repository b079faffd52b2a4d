//! One connection through the proxy: a socket on each side.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::pipe::{Delivery, Pipe};

pub(crate) struct Connection {
    client: TcpStream,
    upstream: TcpStream,
    address: SocketAddr,
    connected: bool,
    /// From the client to the server.
    requests: Pipe,
    /// From the server to the client.
    answers: Pipe,
    /// The client has sent bytes since the last answer.
    asked: bool,
    answered: bool,
    /// An answer resets the connection instead of reaching the client.
    swallows: Option<Swallow>,
}

/// Which answer does not reach the client.
#[derive(Clone, Copy, PartialEq)]
enum Swallow {
    /// The next one.
    Next,
    /// The one after it: MySQL prepares a statement in a request of its own.
    Second,
}

/// The request at which to cut a connection: the first that contains a text.
pub(crate) struct CutAt {
    pub(crate) text: String,
    /// Whether the server receives the request.
    pub(crate) after: bool,
}

impl CutAt {
    fn is_in(&self, request: &[u8]) -> bool {
        let text = self.text.as_bytes();
        request.windows(text.len()).any(|part| part == text)
    }
}

/// Whether a request in the protocol of MySQL only prepares a statement: a packet has its length
/// in three bytes, a number, and the command.
fn only_prepares(request: &[u8]) -> bool {
    const COM_STMT_PREPARE: u8 = 0x16;
    match *request {
        [low, middle, high, 0, COM_STMT_PREPARE, ..] => {
            let length = u32::from_le_bytes([low, middle, high, 0]);
            u32::try_from(request.len() - 4) == Ok(length)
        }
        _ => false,
    }
}

impl Connection {
    /// Does not connect yet: [`pass`](Self::pass) does.
    pub(crate) fn new(client: TcpStream, address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        // `TcpStream::connect` may block if the server is paused, and with it all connections.
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let upstream: TcpStream = socket_with(family, SocketType::STREAM, flags, None)?.into();
        client.set_nonblocking(true)?;
        client.set_nodelay(true)?;
        upstream.set_nodelay(true)?;
        Ok(Self {
            client,
            upstream,
            address,
            connected: false,
            requests: Pipe::default(),
            answers: Pipe::default(),
            asked: false,
            answered: false,
            swallows: None,
        })
    }

    /// Adds the sockets that wake the proxy. A socket with no event to wait for is left out: after
    /// its peer has closed it, it would wake the proxy all the time.
    pub(crate) fn watch<'a>(&'a self, watched: &mut Vec<PollFd<'a>>) {
        if !self.connected {
            watched.push(PollFd::new(&self.upstream, PollFlags::OUT));
            return;
        }
        for (socket, from, to) in [
            (&self.client, &self.requests, &self.answers),
            (&self.upstream, &self.answers, &self.requests),
        ] {
            let mut events = PollFlags::empty();
            events.set(PollFlags::IN, from.takes_more());
            events.set(PollFlags::OUT, to.is_blocked());
            if !events.is_empty() {
                watched.push(PollFd::new(socket, events));
            }
        }
    }

    /// When the next bytes are due.
    pub(crate) fn due(&self, delay: Duration) -> Option<Instant> {
        let dues = [&self.requests, &self.answers].map(|pipe| pipe.due(delay));
        dues.into_iter().flatten().min()
    }

    /// Reads what has arrived and delivers what is due. Returns `false` if the connection has
    /// ended.
    pub(crate) fn pass(
        &mut self,
        ready: &[RawFd],
        delay: Duration,
        cut_at: &mut Option<CutAt>,
        buffer: &mut [u8],
    ) -> bool {
        if !self.connected {
            match connect(&self.upstream, &self.address) {
                Ok(()) | Err(Errno::ISCONN) => self.connected = true,
                Err(Errno::INPROGRESS | Errno::ALREADY) => return true,
                Err(_) => {
                    self.reset_on_close();
                    return false;
                }
            }
        }
        if ready.contains(&self.client.as_raw_fd()) {
            let request = self.requests.take(&self.client, buffer);
            self.asked |= !request.is_empty();
            if let Some(cut) = cut_at.take_if(|cut| cut.is_in(request)) {
                if !cut.after {
                    self.reset_on_close();
                    return false;
                }
                self.swallows = Some(match only_prepares(request) {
                    true => Swallow::Second,
                    false => Swallow::Next,
                });
            }
        }
        if ready.contains(&self.upstream.as_raw_fd()) {
            let came = !self.answers.take(&self.upstream, buffer).is_empty();
            match self.swallows {
                Some(Swallow::Next) if came => {
                    self.reset_on_close();
                    return false;
                }
                Some(Swallow::Second) if came => self.swallows = Some(Swallow::Next),
                _ => {}
            }
            if came && std::mem::take(&mut self.asked) {
                self.answered = true;
            }
        }
        let there = self.requests.deliver(&self.upstream, delay);
        if there == Delivery::Refused {
            self.answers.reset();
        }
        let back = self.answers.deliver(&self.client, delay);
        if back == Delivery::Refused {
            self.requests.reset();
        }
        match (there, back) {
            (Delivery::Reset, _) | (_, Delivery::Reset) => {
                self.reset_on_close();
                false
            }
            (Delivery::Ended, Delivery::Ended) => false,
            _ => true,
        }
    }

    /// Whether a round trip has ended since the last call.
    pub(crate) fn take_round_trip(&mut self) -> bool {
        std::mem::take(&mut self.answered)
    }

    /// Closes both sockets abruptly.
    pub(crate) fn reset(self) {
        self.reset_on_close();
    }

    fn reset_on_close(&self) {
        for socket in [&self.client, &self.upstream] {
            // The kernel drops what is in the socket, and resets the peer.
            let _ = set_socket_linger(socket, Some(Duration::ZERO));
        }
    }
}
