//! Real servers of every kind, which are started, stopped, paused, killed and left behind.

/// Defines a test of a case for each kind of server: see `#[server_test]`.
macro_rules! server_tests {
    ($($case:tt)*) => {
        server_test::tests! {
            crate::ServerTest; mariadb, mysql, postgres, postgres18; $($case)*
        }
    };
}

mod lifetime;
mod owner;
mod pgbouncer;
mod proxied;
mod query;
mod start;

use std::time::Duration;

use test_server::{Server, ServerKind};

/// One test of a case, which `#[server_test]` writes.
struct ServerTest {
    kind: &'static str,
    serial: bool,
    own_server: bool,
}

impl ServerTest {
    fn run(self, case: fn(ServerKind)) {
        assert!(self.own_server, "each case here starts its servers");
        assert!(!self.serial, "no case here has to run alone");
        case(self.kind.parse().expect("a kind"));
    }
}

fn start(kind: ServerKind) -> Server {
    Server::start(kind).unwrap_or_else(|error| panic!("{error}"))
}

/// The first part of the server's URL.
fn scheme(kind: ServerKind) -> &'static str {
    match kind.is_postgres() {
        true => "postgres",
        false => "mysql",
    }
}

/// The server answers over TCP, and it is of this kind.
#[track_caller]
fn assert_answers(server: &Server) {
    let version = server
        .handshake(Duration::from_secs(10))
        .unwrap_or_else(|error| panic!("no handshake: {error}\n{}", server.log()));
    let major = version.split('.').next();
    let major: u32 = major.and_then(|it| it.parse().ok()).expect(&version);
    let is_expected = match server.kind() {
        ServerKind::Mariadb => version.contains("MariaDB"),
        ServerKind::Mysql => major >= 8 && !version.contains("MariaDB"),
        ServerKind::Postgres => major >= 14,
        ServerKind::Postgres18 => major >= 18,
    };
    assert!(is_expected, "{version}");
}

#[track_caller]
fn assert_silent(server: &Server) {
    let handshake = server.handshake(Duration::from_millis(300));
    assert!(handshake.is_err(), "answered {handshake:?}");
}
