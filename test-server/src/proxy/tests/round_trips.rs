use super::*;

#[test]
fn a_request_and_its_answer_are_one_however_many_parts_they_have() {
    let (proxy, listener) = network();
    let (client, server) = open(&proxy, &listener);
    send(&server, b"handshake");
    assert_receives(&client, b"handshake");
    assert_eq!(proxy.round_trips(), 0);

    send(&client, b"close ");
    assert_receives(&server, b"close ");
    send(&client, b"ask");
    assert_receives(&server, b"ask");
    send(&server, b"ans");
    assert_receives(&client, b"ans");
    send(&server, b"wer");
    assert_receives(&client, b"wer");
    assert_eq!(proxy.round_trips(), 1);

    assert_open(&client, &server);
    let (other, its_server) = open(&proxy, &listener);
    assert_open(&other, &its_server);
    assert_eq!(proxy.round_trips(), 3);
    drop((other, its_server));
    assert_eq!(proxy.round_trips(), 3);
}
