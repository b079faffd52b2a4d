//! One direction of a connection: the bytes that have been read and not yet written.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// The maximum of bytes under way, so that a long delay does not take all memory.
const CAPACITY: usize = 64 * 1024 * 1024;

#[derive(Default)]
pub(crate) struct Pipe {
    under_way: VecDeque<(Instant, Item)>,
    /// The number of bytes under way.
    size: usize,
    /// The destination has no room for what is due. Then the pipe reads no more, as a real network.
    blocked: bool,
    /// The source has closed or reset the connection.
    source_ended: bool,
    /// The destination has received the end.
    ended: bool,
}

enum Item {
    Bytes { bytes: Vec<u8>, written: usize },
    End,
    Reset,
}

/// The state of a pipe after a delivery.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// More may follow.
    Open,
    /// The destination has received the end.
    Ended,
    /// The reset by the source is due at the destination.
    Reset,
    /// The destination has reset the connection.
    Refused,
}

impl Pipe {
    pub(crate) fn takes_more(&self) -> bool {
        !self.source_ended && !self.blocked && self.size < CAPACITY
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// When the next item is due. The delay is added here, so that a new delay applies to what is
    /// under way.
    pub(crate) fn due(&self, delay: Duration) -> Option<Instant> {
        let (sent, _) = self.under_way.front().filter(|_| !self.blocked)?;
        sent.checked_add(delay)
    }

    /// Reads and returns what the source has sent, if anything.
    pub(crate) fn take<'b>(&mut self, mut source: &TcpStream, buffer: &'b mut [u8]) -> &'b [u8] {
        if !self.takes_more() {
            return &[];
        }
        match source.read(buffer) {
            Ok(0) => self.end_with(Item::End),
            Ok(length) => {
                self.size += length;
                self.push(Item::Bytes {
                    bytes: buffer[..length].to_vec(),
                    written: 0,
                });
                return &buffer[..length];
            }
            Err(error) if is_temporary(&error) => {}
            Err(_) => self.end_with(Item::Reset),
        }
        &[]
    }

    /// Resets the destination after all that was sent before.
    pub(crate) fn reset(&mut self) {
        self.end_with(Item::Reset);
    }

    /// Writes what is due, as far as the destination has room for it.
    pub(crate) fn deliver(&mut self, destination: &TcpStream, delay: Duration) -> Delivery {
        self.blocked = false;
        let now = Instant::now();
        while self.due(delay).is_some_and(|due| due <= now) {
            match self.deliver_first(destination) {
                Ok(Delivery::Reset) => return Delivery::Reset,
                Ok(_) => {}
                Err(error) if is_temporary(&error) => self.blocked = true,
                Err(_) => {
                    self.under_way.clear();
                    self.size = 0;
                    self.source_ended = true;
                    return Delivery::Refused;
                }
            }
        }
        if self.ended {
            Delivery::Ended
        } else {
            Delivery::Open
        }
    }

    fn deliver_first(&mut self, mut destination: &TcpStream) -> io::Result<Delivery> {
        let delivery = match self.under_way.front_mut() {
            None => return Ok(Delivery::Open),
            Some((_, Item::Bytes { bytes, written })) => {
                let length = destination.write(&bytes[*written..])?;
                *written += length;
                self.size -= length;
                if *written < bytes.len() {
                    return Ok(Delivery::Open);
                }
                Delivery::Open
            }
            Some((_, Item::End)) => {
                destination.shutdown(Shutdown::Write)?;
                self.ended = true;
                Delivery::Ended
            }
            Some((_, Item::Reset)) => Delivery::Reset,
        };
        self.under_way.pop_front();
        Ok(delivery)
    }

    fn end_with(&mut self, item: Item) {
        self.source_ended = true;
        self.push(item);
    }

    fn push(&mut self, item: Item) {
        self.under_way.push_back((Instant::now(), item));
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
