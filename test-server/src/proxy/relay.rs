//! The proxy's thread, which waits for sockets, for bytes that fall due and for requests.
//!
//! There is one thread: each further thread would cost a wake-up, and benchmarks would measure
//! that.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::set_current_timer_slack;

use super::connection::{Connection, CutAt};

pub(crate) type Request = Box<dyn FnOnce(&mut Relay) + Send>;

/// The maximum of bytes that are read from a socket at a time.
const BUFFER: usize = 64 * 1024;

pub(crate) struct Relay {
    listener: TcpListener,
    upstream: SocketAddr,
    wakes: UnixStream,
    requests: Receiver<Request>,
    connections: Vec<Connection>,
    delay: Duration,
    stalled: bool,
    round_trips: u64,
    cut_at: Option<CutAt>,
    buffer: Vec<u8>,
}

impl Relay {
    pub(crate) fn new(
        listener: TcpListener,
        upstream: SocketAddr,
        wakes: UnixStream,
        requests: Receiver<Request>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        wakes.set_nonblocking(true)?;
        Ok(Self {
            listener,
            upstream,
            wakes,
            requests,
            connections: Vec::new(),
            delay: Duration::ZERO,
            stalled: false,
            round_trips: 0,
            cut_at: None,
            buffer: vec![0; BUFFER],
        })
    }

    /// Runs until the other end of `wakes` is closed.
    pub(crate) fn run(mut self) {
        // By default, Linux may wake a thread 50 µs late.
        set_current_timer_slack(Some(NonZeroU64::MIN)).expect("to set the timer slack");
        loop {
            let ready = self.wait();
            if ready.contains(&self.listener.as_raw_fd()) {
                self.accept();
            }
            if ready.contains(&self.wakes.as_raw_fd()) && !self.serve() {
                self.cut();
                return;
            }
            if !self.stalled {
                self.pass(&ready);
            }
        }
    }

    pub(crate) fn set_delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    pub(crate) fn set_stalled(&mut self, stalled: bool) {
        self.stalled = stalled;
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn round_trips(&self) -> u64 {
        self.round_trips
    }

    pub(crate) fn cut(&mut self) -> usize {
        let count = self.connections.len();
        self.connections.drain(..).for_each(Connection::reset);
        count
    }

    pub(crate) fn cut_one(&mut self, nth: usize) -> bool {
        let Some(index) = nth.checked_rem(self.connections.len()) else {
            return false;
        };
        self.connections.remove(index).reset();
        true
    }

    pub(crate) fn cut_at(&mut self, cut: CutAt) {
        self.cut_at = Some(cut);
    }

    pub(crate) fn cut_no_more(&mut self) -> bool {
        self.cut_at.take().is_none()
    }

    pub(crate) fn is_to_cut(&self) -> bool {
        self.cut_at.is_some()
    }

    /// Waits until a socket is ready or bytes are due. Returns the ready sockets.
    fn wait(&self) -> Vec<RawFd> {
        let mut watched = vec![
            PollFd::new(&self.wakes, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        let mut due = None;
        if !self.stalled {
            for connection in &self.connections {
                connection.watch(&mut watched);
            }
            let dues = self
                .connections
                .iter()
                .filter_map(|open| open.due(self.delay));
            due = dues.min();
        }
        let timeout = due
            .map(|due| due.saturating_duration_since(Instant::now()))
            .and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) => watched
                .iter()
                .filter(|watched| !watched.revents().is_empty())
                .map(|watched| watched.as_fd().as_raw_fd())
                .collect(),
            Err(Errno::INTR) => Vec::new(),
            Err(error) => panic!("the proxy cannot wait: {error}"),
        }
    }

    fn accept(&mut self) {
        loop {
            let opened = match self.listener.accept() {
                Ok((client, _)) => Connection::new(client, self.upstream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The client has closed it already.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => Err(error),
            };
            match opened {
                Ok(connection) => self.connections.push(connection),
                Err(error) => panic!("the proxy cannot take a connection: {error}"),
            }
        }
    }

    /// Executes the requests. Returns `false` if the proxy was dropped.
    fn serve(&mut self) -> bool {
        let ended = loop {
            match self.wakes.read(&mut self.buffer) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => break error.kind() != ErrorKind::WouldBlock,
            }
        };
        while let Ok(request) = self.requests.try_recv() {
            request(self);
        }
        !ended
    }

    fn pass(&mut self, ready: &[RawFd]) {
        let (delay, cut_at, buffer) = (self.delay, &mut self.cut_at, &mut self.buffer);
        self.connections.retain_mut(|connection| {
            let open = connection.pass(ready, delay, cut_at, buffer);
            self.round_trips += u64::from(connection.take_round_trip());
            open
        });
    }
}
