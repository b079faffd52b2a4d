//! A loopback port that stays reserved while the server is stopped.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::{SystemTime, UNIX_EPOCH};

/// Below the range from which Linux takes the ports of outgoing connections. Such a connection
/// could otherwise take the port of a stopped server.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port number, reserved on this machine among the processes that use this type.
pub(crate) struct Port {
    number: u16,
    /// A UDP port of the same number, which the server does not use. The kernel gives it to one
    /// process only, and frees it when that process dies.
    _reservation: UdpSocket,
}

impl Port {
    pub(crate) fn reserve() -> io::Result<Self> {
        let start = scattered() % COUNT;
        (0..COUNT)
            .map(|step| FIRST + (start + step) % COUNT)
            .find_map(Self::claim)
            .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no loopback port is free"))
    }

    fn claim(number: u16) -> Option<Self> {
        let reservation = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        // Other programs do not know the reservation.
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self {
            number,
            _reservation: reservation,
        })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

/// A number that differs from call to call and from process to process.
fn scattered() -> u16 {
    let nanoseconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    let mixed = nanoseconds
        .wrapping_add(std::process::id().wrapping_mul(0x9e37_79b1))
        .wrapping_mul(0x85eb_ca6b);
    (mixed >> 16) as u16
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn reserved_port_is_not_given_again() {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                thread::spawn(|| {
                    (0..20)
                        .map(|_| Port::reserve().expect("a port"))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let ports: Vec<Port> = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect();
        let numbers: HashSet<_> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), 160);
    }

    #[test]
    fn port_that_another_program_listens_on_is_not_given() {
        let taken = Port::reserve().expect("a port").number();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).expect("to listen");
        assert!(Port::claim(taken).is_none());
    }

    #[test]
    fn dropped_port_is_free_again() {
        let number = Port::reserve().expect("a port").number();
        assert!(Port::claim(number).is_some());
    }
}
