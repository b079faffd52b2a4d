//! [`Session`]: a session of PostgreSQL without a client library.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// The message with which a client begins: user `root`, database `postgres`.
pub(crate) const STARTUP: &[u8] = b"\0\0\0\x25\0\x03\0\0user\0root\0database\0postgres\0\0";

/// A statement that computes for minutes.
pub(crate) const BUSY: &str = "DO $$ BEGIN FOR i IN 1..100000000000 LOOP END LOOP; END $$";

pub(crate) struct Session(TcpStream);

impl Session {
    pub(crate) fn begin(mut stream: TcpStream) -> Self {
        stream.write_all(STARTUP).expect("to write");
        let mut session = Self(stream);
        session.rows().expect("to log in");
        session
    }

    /// Runs a statement and returns the first column of its first row.
    pub(crate) fn query(&mut self, sql: &str) -> String {
        self.send(sql);
        self.rows().expect("an answer").remove(0)
    }

    /// Sends a statement.
    pub(crate) fn send(&mut self, sql: &str) {
        let length = u32::try_from(sql.len() + 5).expect("a short statement");
        let message = [b"Q", &length.to_be_bytes()[..], sql.as_bytes(), b"\0"].concat();
        self.0.write_all(&message).expect("to write");
    }

    /// Reads up to the end of an answer. Returns the first column of its rows.
    pub(crate) fn rows(&mut self) -> io::Result<Vec<String>> {
        let mut rows = Vec::new();
        loop {
            let mut header = [0; 5];
            self.0.read_exact(&mut header)?;
            let [kind, length @ ..] = header;
            let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
            self.0.read_exact(&mut body)?;
            match kind {
                b'Z' => return Ok(rows),
                // The number of columns, the length of the first, and its text.
                b'D' => rows.push(String::from_utf8_lossy(&body[6..]).into_owned()),
                b'E' => return Err(io::Error::other(String::from_utf8_lossy(&body))),
                _ => {}
            }
        }
    }
}
