//! PgBouncer in front of a server.

use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use server_test::server_test;
use test_server::{PgBouncer, PoolMode, Server, ServerKind};

use super::query::Session;

#[server_test(own_server, postgres, postgres18)]
fn sessions_are_shared_between_transactions(kind: ServerKind) {
    let server = Server::shared(kind);
    let pid = "SELECT pg_backend_pid()";
    let pool = PgBouncer::start(server, PoolMode::Transaction, 1).expect("PgBouncer");
    let (mut one, mut other) = (session(&pool), session(&pool));
    assert_eq!(one.query(pid), other.query(pid));

    let pool = PgBouncer::start(server, PoolMode::Session, 2).expect("PgBouncer");
    let (mut one, mut other) = (session(&pool), session(&pool));
    assert_ne!(one.query(pid), other.query(pid));
}

#[server_test(own_server, postgres, postgres18)]
fn url_leads_to_pgbouncer(kind: ServerKind) {
    let pool = PgBouncer::start(Server::shared(kind), PoolMode::Statement, 1).expect("PgBouncer");
    let expected = format!("postgres://root@127.0.0.1:{}/app", pool.port());
    assert_eq!(pool.url("app"), expected);
    assert!(ServerKind::at_url(&pool.url("")).is_ok_and(ServerKind::is_postgres));
}

fn session(pool: &PgBouncer) -> Session {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, pool.port())).expect("to connect");
    let timeout = Some(Duration::from_secs(10));
    stream.set_read_timeout(timeout).expect("a timeout");
    Session::begin(stream)
}
