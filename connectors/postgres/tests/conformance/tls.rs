//! Encrypted, and only with the server that is meant.

use crate::{server, settings, shape::Shape, with};
use outflow_api::Verdict;
use outflow_rig::Certificate;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

const SHAPE: Shape<'_> = Shape(&[("number", "BIGINT")]);
const RECORDS: [&str; 1] = [r#"{"number": 1}"#];

async fn refused(settings: &Value) -> &'static str {
    let fault =
        SHAPE.try_deliver(settings, &SHAPE.sealed(&RECORDS)).await.expect_err("it is not the server that is meant");
    println!("{fault}");
    assert_eq!(fault.verdict, Verdict::Park, "{fault}");
    fault.code
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_to_the_server_of_a_trusted_certificate_and_to_no_other() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let other = Certificate::make(folder.path(), "other");
    let verified = |ca: Value| with(&settings("encrypted"), &json!({ "tls": "verify", "ca": ca }));
    SHAPE.deliver(&verified(json!(server().certificate())), &SHAPE.sealed(&RECORDS)).await;
    assert_eq!(refused(&verified(json!(other.file))).await, "certificate-refused");
    assert_eq!(refused(&verified(Value::Null)).await, "certificate-refused");
    assert_eq!(refused(&verified(json!("/no/such.pem"))).await, "ca-unusable");
    assert_eq!(refused(&verified(json!(other.key))).await, "ca-unusable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_gets_neither_password_nor_rows() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    let heard = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("somebody comes");
        let mut heard = [0; 8];
        client.read_exact(&mut heard).expect("it asks for TLS");
        client.write_all(b"N").expect("it listens");
        let mut more = Vec::new();
        client.read_to_end(&mut more).expect("it goes");
        more
    });
    let settings = with(&settings("in the clear"), &json!({ "tls": "verify", "port": port }));
    assert_eq!(refused(&settings).await, "tls-missing");
    assert_eq!(heard.join().expect("it listened"), b"");
}
