//! Every kind of server under test is started, stopped, frozen, killed and abandoned, for real.

mod lifetime;
mod owner;
mod proxied;
mod start;

use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use test_server::{Kind, Server, kinds_under_test};

fn main() {
    if owner::is_this_process() {
        owner::run();
        return;
    }
    let arguments = Arguments::from_args();
    let trials = kinds_under_test().into_iter().flat_map(trials).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

type Test = (&'static str, fn(Kind));

const TESTS: &[Test] = &[
    ("answers", start::answers),
    ("two_in_parallel", start::two_in_parallel),
    ("many_starts_at_once", start::many_starts_at_once),
    ("shared_is_one_server", start::shared_is_one_server),
    (
        "a_failing_start_prints_the_log",
        start::a_failing_start_prints_the_log,
    ),
    (
        "a_taken_port_is_recognised",
        start::a_taken_port_is_recognised,
    ),
    ("stop_and_start_again", lifetime::stop_and_start_again),
    (
        "restart_and_stop_when_paused",
        lifetime::restart_and_stop_when_paused,
    ),
    ("kill_and_start_again", lifetime::kill_and_start_again),
    ("pause_and_resume", lifetime::pause_and_resume),
    ("drop_leaves_nothing", lifetime::drop_leaves_nothing),
    ("greets_through_a_proxy", proxied::greets_through_a_proxy),
    (
        "a_proxy_outlives_the_server",
        proxied::a_proxy_outlives_the_server,
    ),
    (
        "the_url_leads_through_the_proxy",
        proxied::the_url_leads_through_the_proxy,
    ),
    ("ends_with_a_killed_owner", owner::ends_with_a_killed_owner),
    (
        "ends_with_an_owner_that_returns",
        owner::ends_with_an_owner_that_returns,
    ),
];

fn trials(kind: Kind) -> impl Iterator<Item = Trial> {
    TESTS.iter().map(move |(name, test)| {
        Trial::test(format!("{kind}::{name}"), move || {
            test(kind);
            Ok(())
        })
    })
}

fn start(kind: Kind) -> Server {
    Server::start(kind).unwrap_or_else(|error| panic!("{error}"))
}

/// The server answers over TCP, and it is of this kind.
#[track_caller]
fn assert_answers(server: &Server) {
    let version = server
        .greeting(Duration::from_secs(10))
        .unwrap_or_else(|error| panic!("no greeting: {error}\n{}", server.log()));
    match server.kind() {
        Kind::Mariadb => assert!(version.contains("MariaDB"), "{version}"),
        Kind::Mysql => {
            let major = version
                .split('.')
                .next()
                .and_then(|major| major.parse().ok());
            assert!(major.is_some_and(|major: u32| major >= 8), "{version}");
            assert!(!version.contains("MariaDB"), "{version}");
        }
    }
}

#[track_caller]
fn assert_silent(server: &Server) {
    let greeting = server.greeting(Duration::from_millis(300));
    assert!(greeting.is_err(), "answered {greeting:?}");
}
