//! Certificates and tokens that change while the worker runs.

use crate::site::{LIMIT, PROGRAM, Site};
use outflow_rig::wait_until;
use std::process::Command;

const OLD: [&str; 2] = [include_str!("tls/certificate.pem"), include_str!("tls/key.pem")];
const NEW: [&str; 2] = [include_str!("tls/new_certificate.pem"), include_str!("tls/new_key.pem")];

/// A token and its hash.
fn token() -> [String; 2] {
    let made = Command::new(PROGRAM).arg("token").output().expect("the program starts");
    let made = String::from_utf8_lossy(&made.stdout).into_owned();
    ["token", "sha256"].map(|line| {
        let word = made.lines().find_map(|one| one.strip_prefix(line)?.split_whitespace().next());
        word.expect("told").to_owned()
    })
}

/// Without a hash, everybody is let in.
fn worker(hash: Option<&str>, memory: &str) -> String {
    let token = |hash| format!(", tokens: [ {{ name: eva, role: viewer, sha256: {hash} }} ]");
    let tokens = hash.map(token).unwrap_or_default();
    let keys = "certificate: keys/certificate.pem, key: keys/key.pem";
    let rest = format!("rest: {{ listen: \"127.0.0.1:0\", tls: {{ {keys} }}{tokens} }}");
    let lines = Site::worker().replace("64MiB", memory);
    let lines: Vec<&str> =
        lines.lines().map(|line| if line.starts_with("rest:") { rest.as_str() } else { line }).collect();
    lines.join("\n")
}

#[test]
fn a_new_certificate_and_new_tokens_take_effect_in_a_running_worker_and_what_cannot_be_used_does_not() {
    let site = Site::new(&["1001"]);
    std::fs::create_dir(site.path().join("keys")).expect("our own folder");
    let write = |[certificate, key]: [&str; 2]| {
        site.write("keys/certificate.pem", certificate);
        site.write("keys/key.pem", key);
    };
    site.write("old.pem", include_str!("tls/ca.pem"));
    site.write("new.pem", include_str!("tls/new_ca.pem"));
    write(OLD);
    let [first, second] = [token(), token()];
    site.write("outflow.yaml", &worker(Some(&first[1]), "64MiB"));
    let daemon = site.launch(&[]);
    wait_until("it to listen", LIMIT, || daemon.url().is_some());
    let url = daemon.url().expect("it listens").replace("http:", "https:");
    let asks = |args: &[&str], ca: &str, token: &str| {
        let ca = site.path().join(ca).display().to_string();
        let mut command = Command::new(PROGRAM);
        command.args(args).args(["--url", &url, "--ca", &ca]).env("OUTFLOW_TOKEN", token);
        command.output().expect("the program starts")
    };
    let is_let_in = |ca: &str, token: &[String; 2]| asks(&["connectors", "list"], ca, &token[0]).status.success();
    wait_until("the first certificate", LIMIT, || is_let_in("old.pem", &first));
    write(NEW);
    wait_until("the second certificate", LIMIT, || is_let_in("new.pem", &first));
    assert!(!is_let_in("old.pem", &first), "the first one is gone");
    // A key that does not fit.
    site.write("keys/key.pem", OLD[1]);
    daemon.wait_log("the certificate before stays in force");
    assert!(is_let_in("new.pem", &first) && !is_let_in("new.pem", &second));
    site.write("outflow.yaml", &worker(Some(&second[1]), "65MiB"));
    wait_until("the second token", LIMIT, || is_let_in("new.pem", &second));
    assert!(!is_let_in("new.pem", &first), "the first one is gone");
    daemon.wait_log("changed keys of the worker's file wait for a restart keys=\"memory\"");
    // Whoever takes them all away may have moved the worker to loopback, in a file that waits for a restart.
    site.write("outflow.yaml", &worker(None, "65MiB"));
    daemon.wait_log("changed keys of the worker's file wait for a restart keys=\"memory, rest.tokens\"");
    let nobody = [String::new(), String::new()];
    assert!(is_let_in("new.pem", &second) && !is_let_in("new.pem", &nobody), "nobody is let in without a token");
    let told = asks(&["events", "--limit", "1000"], "new.pem", &second[0]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    for kind in ["certificate-changed", "certificate-refused", "tokens-changed", "restart-needed"] {
        assert!(told.contains(kind), "{kind}: {told}");
    }
    daemon.drain();
}
