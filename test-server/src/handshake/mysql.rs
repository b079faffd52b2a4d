//! The first packet of the MySQL protocol. A server sends it first, which shows that it is ready.

use std::io::{self, Read};

/// Reads the packet and returns the server's version, such as `10.11.6-MariaDB` or `9.7.0`.
pub(crate) fn read(mut stream: impl Read) -> io::Result<String> {
    // Three bytes of length and one of sequence number.
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let mut packet = Vec::new();
    stream.take(length.into()).read_to_end(&mut packet)?;

    match packet.split_first() {
        Some((10, rest)) => {
            let version = rest.split(|&byte| byte == 0).next().unwrap_or_default();
            let version = String::from_utf8_lossy(version);
            // For old replicas, MariaDB 10 and older report 5.5.5 first.
            Ok(version
                .strip_prefix("5.5.5-")
                .unwrap_or(&version)
                .to_owned())
        }
        Some((0xff, rest)) => Err(io::Error::other(format!(
            "the server refuses connections: {}",
            String::from_utf8_lossy(rest.get(2..).unwrap_or_default())
        ))),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not the handshake of a MySQL server",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("a short packet");
        [&[length, 0, 0, 0], payload].concat()
    }

    #[test]
    fn version_is_read() {
        let mysql = packet(b"\x0a9.7.0\0and more");
        assert_eq!(read(&mysql[..]).expect("a handshake"), "9.7.0");
        let mariadb = packet(b"\x0a5.5.5-10.11.6-MariaDB\0and more");
        assert_eq!(read(&mariadb[..]).expect("a handshake"), "10.11.6-MariaDB");
    }

    #[test]
    fn refusal_is_an_error_with_its_text() {
        let refusal = packet(b"\xff\x10\x04Too many connections");
        let error = read(&refusal[..]).expect_err("a refusal");
        assert!(
            error.to_string().contains("Too many connections"),
            "{error}"
        );
    }

    #[test]
    fn other_protocol_is_an_error() {
        assert!(read(&b"SSH-2.0-OpenSSH_9.2\r\n"[..]).is_err());
        assert!(read(&b""[..]).is_err());
    }
}
