//! Who may ask what.

use crate::{Running, entry, start_with, working};
use outflow_control::{Access, Control, Role, Token, token_hash};

const RATE: u32 = 1_000;

fn token(name: &str, role: Role) -> Token {
    let digits = token_hash(&secret(name));
    let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hex digits");
    Token { name: name.to_owned(), role, sha256: std::array::from_fn(byte) }
}

fn secret(name: &str) -> String {
    format!("secret-of-{name}")
}

fn people(rate: u32) -> Access {
    Access::new(people_of(), rate)
}

fn people_of() -> Vec<Token> {
    let roles = [
        token("admin", Role::Admin),
        token("operator", Role::Operator),
        token("viewer", Role::Viewer),
        token("merchant", Role::Merchant("10/01".to_owned())),
    ];
    roles.into()
}

async fn asks(running: &Running, who: &str, method: &str, path: &str) -> u16 {
    tells(running, who, method, path).await.0
}

async fn tells(running: &Running, who: &str, method: &str, path: &str) -> (u16, String) {
    let line = format!("Authorization: Bearer {}", secret(who));
    let headers: &[&str] = if who.is_empty() { &[] } else { &[&line, "Content-Type: application/json"] };
    running.ask(method, path, headers, "{}").await
}

/// Each route, and who of admin, operator, viewer, the merchant himself and a stranger may ask it.
pub const ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/", "aov"),
    ("GET", "/health", "aovms"),
    ("GET", "/health/live", "aovms"),
    ("GET", "/health/ready", "aovms"),
    ("GET", "/metrics", "aov"),
    ("GET", "/openapi.json", "aov"),
    ("GET", "/v1/status", "aov"),
    ("GET", "/v1/lag", "aov"),
    ("GET", "/v1/workers", "aov"),
    ("POST", "/v1/dry-run", "ao"),
    ("GET", "/v1/events", "aov"),
    ("GET", "/v1/export", "aov"),
    ("POST", "/v1/import", "a"),
    ("GET", "/v1/lanes/7", "aov"),
    ("GET", "/v1/merchants", "aov"),
    ("POST", "/v1/merchants", "a"),
    ("GET", "/v1/merchants/10%2F01", "aovm"),
    ("PUT", "/v1/merchants/10%2F01", "a"),
    ("DELETE", "/v1/merchants/10%2F01", "a"),
    ("GET", "/v1/merchants/10%2F01/config", "aovm"),
    ("GET", "/v1/merchants/10%2F01/events", "aovm"),
    ("POST", "/v1/merchants/10%2F01/test", "aom"),
    ("POST", "/v1/merchants/10%2F01/dry-run", "aom"),
    ("POST", "/v1/merchants/10%2F01/pause", "aom"),
    ("POST", "/v1/merchants/10%2F01/replay", "aom"),
    ("GET", "/v1/merchants/1002", "aov"),
    ("POST", "/v1/merchants/1002/pause", "ao"),
    ("POST", "/v1/merchants/1002/test", "ao"),
    ("POST", "/v1/merchants/1002/dry-run", "ao"),
    ("GET", "/v1/merchants/1002/config", "aov"),
    ("GET", "/v1/dead-letters", "aov"),
    ("POST", "/v1/dead-letters/send-again", "ao"),
    ("GET", "/v1/merchants/10%2F01/dead-letters", "aovm"),
    ("POST", "/v1/merchants/10%2F01/send-again", "aom"),
    ("GET", "/v1/merchants/1002/dead-letters", "aov"),
    ("GET", "/v1/merchants/1002/events", "aov"),
    ("GET", "/connectors", "aov"),
    ("POST", "/connectors", "a"),
    ("GET", "/connectors/orders", "aov"),
    ("DELETE", "/connectors/orders", "a"),
    ("GET", "/connectors/orders/config", "aov"),
    ("PUT", "/connectors/orders/config", "a"),
    ("PATCH", "/connectors/orders/config", "a"),
    ("GET", "/connectors/orders/status", "aov"),
    ("PUT", "/connectors/orders/pause", "ao"),
    ("PUT", "/connectors/orders/resume", "ao"),
    ("PUT", "/connectors/orders/stop", "ao"),
    ("POST", "/connectors/orders/restart", "ao"),
    ("GET", "/connectors/orders/tasks", "aov"),
    ("GET", "/connectors/orders/tasks/0/status", "aov"),
    ("POST", "/connectors/orders/tasks/0/restart", "ao"),
    ("GET", "/connectors/orders/topics", "aov"),
    ("PUT", "/connectors/orders/topics/reset", "ao"),
    ("GET", "/connectors/orders/offsets", "aov"),
    ("PATCH", "/connectors/orders/offsets", "ao"),
    ("DELETE", "/connectors/orders/offsets", "ao"),
    ("GET", "/connector-plugins", "aov"),
    ("GET", "/connector-plugins/Lake/config", "aov"),
    ("PUT", "/connector-plugins/Lake/config/validate", "ao"),
    ("GET", "/admin/loggers", "aov"),
    ("GET", "/admin/loggers/root", "aov"),
    ("PUT", "/admin/loggers/root", "a"),
    ("PUT", "/connectors/orders/pause/", "ao"),
    ("GET", "/nowhere", "aov"),
];

#[tokio::test]
async fn every_route_is_open_to_its_roles_and_to_no_other() {
    let running = start_with(people(RATE)).await;
    running.board.publish(working());
    let names = [("a", "admin"), ("o", "operator"), ("v", "viewer"), ("m", "merchant")];
    for (method, path, may) in ROUTES.iter().copied() {
        for (letter, name) in names {
            let (status, answer) = tells(&running, name, method, path).await;
            let is_let_in = status != 401 && status != 429 && !answer.contains("may not do this");
            assert_eq!(is_let_in, may.contains(letter), "{name} {method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn a_stranger_sees_probes_alone() {
    let running = start_with(people(RATE)).await;
    running.board.publish(working());
    for (path, status) in [("/health", 200), ("/health/live", 200), ("/v1/status", 401), ("/connectors", 401)] {
        assert_eq!(asks(&running, "", "GET", path).await, status, "{path}");
    }
    assert_eq!(asks(&running, "nobody", "GET", "/connectors").await, 401);
    let basic = "Authorization: Basic YW55Ym9keTpzZWNyZXQtb2Ytdmlld2Vy"; // anybody:secret-of-viewer
    assert_eq!(running.ask("GET", "/connectors", &[basic], "").await.0, 200);
}

/// Whoever adds a path adds it to the table above.
#[test]
fn the_table_has_every_path_of_the_sources() {
    let sources = [
        include_str!("../../src/router.rs"),
        include_str!("../../src/merchants.rs"),
        include_str!("../../src/dry_run.rs"),
        include_str!("../../src/connect.rs"),
        include_str!("../../src/plugins.rs"),
        include_str!("../../src/loggers.rs"),
        include_str!("../../src/documents.rs"),
    ];
    let mut paths = 0;
    for line in sources.iter().flat_map(|source| source.lines()) {
        let is_route =
            line.contains(".route(\"/") || line.contains("at(router, \"/") || line.contains("at(Router::new(), \"/");
        let Some(path) = line.split('"').nth(1).filter(|_| is_route) else { continue };
        paths += 1;
        let fits = |known: &str| {
            let (known, wanted): (Vec<&str>, Vec<&str>) = (known.split('/').collect(), path.split('/').collect());
            known.len() == wanted.len() && known.iter().zip(wanted).all(|(k, w)| *k == w || w.starts_with('{'))
        };
        assert!(ROUTES.iter().any(|(_, known, _)| fits(known)), "{path} is not in the table");
    }
    assert!(paths >= 30, "{paths}");
}

#[tokio::test]
async fn who_asks_too_much_is_told_to_wait_and_others_are_not() {
    let running = start_with(people(5)).await;
    running.board.publish(working());
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.push(asks(&running, "viewer", "GET", "/connectors").await);
    }
    assert!(answers.starts_with(&[200; 5]) && answers.contains(&429), "{answers:?}");
    assert_eq!(asks(&running, "admin", "GET", "/connectors").await, 200);
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_both_tokens_and_tls() {
    let without_tls = Control::bind(entry("0.0.0.0:0", people(RATE))).await.err().expect("refused");
    assert_eq!(without_tls.code, "not-loopback");
}

#[tokio::test]
async fn people_change_while_it_runs() {
    let access = people(RATE);
    let running = start_with(access.clone()).await;
    running.board.publish(working());
    assert!(!access.replace(people_of(), RATE), "the same people");
    assert_eq!(asks(&running, "admin", "GET", "/connectors").await, 200);
    assert!(access.replace(vec![token("viewer", Role::Viewer), token("new", Role::Admin)], RATE));
    for (who, status) in [("admin", 401), ("viewer", 200), ("new", 200)] {
        assert_eq!(asks(&running, who, "GET", "/connectors").await, status, "{who}");
    }
}
