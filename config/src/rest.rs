use crate::{
    limits, names,
    problem::Problem,
    section::Section,
    yaml::{Node, Tree},
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// How people and tools reach this worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rest {
    pub listen: SocketAddr,
    /// Files alone say what is configured; commands are taken.
    pub read_only: bool,
    pub tls: Option<Tls>,
    /// Without any, whoever reaches the address may ask everything.
    pub tokens: Vec<Token>,
    /// Of each token.
    pub requests_per_second: u32,
    /// Host and port by which other workers reach this one; what it listens on, if not said.
    pub advertise: Option<String>,
    pub peers: Peers,
}

/// How other workers are asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Peers {
    /// Ours, where they ask for one: a reference.
    pub token: Option<String>,
    /// The authority of their certificates.
    pub ca: Option<PathBuf>,
}

/// PEM files, relative to the worker's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Somebody who may ask. Only the hash of what he sends is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    pub name: String,
    pub role: Role,
    pub sha256: [u8; 32],
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    Admin,
    Operator,
    Viewer,
    /// This one.
    Merchant(String),
}

impl Default for Rest {
    fn default() -> Rest {
        Rest {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8083),
            read_only: false,
            tls: None,
            tokens: Vec::new(),
            requests_per_second: limits::REQUESTS_PER_SECOND_DEFAULT as u32,
            advertise: None,
            peers: Peers::default(),
        }
    }
}

const KEYS: [&str; 7] = ["listen", "advertise", "read_only", "tls", "tokens", "requests_per_second", "peers"];
const TOKEN: &str =
    "{ name: ci, role: admin | operator | viewer | merchant, sha256: …, merchant: \"1001\" (of that role) }";

pub fn rest(worker: &Section<'_>) -> Rest {
    let default = Rest::default();
    let Some(section) = worker.section("rest", &KEYS) else { return default };
    let rest = Rest {
        listen: listen(&section).unwrap_or(default.listen),
        read_only: section.flag("read_only", false),
        tls: tls(&section),
        tokens: tokens(&section),
        requests_per_second: section.number(
            "requests_per_second",
            limits::REQUESTS_PER_SECOND,
            limits::REQUESTS_PER_SECOND_DEFAULT,
        ) as u32,
        advertise: section.text("advertise", place),
        peers: peers(&section),
    };
    if rest.listen.ip().is_unspecified() && rest.advertise.is_none() && rest.tls.is_some() {
        let problem = Problem::new("`rest.advertise` is missing: by what name do other workers reach this one?");
        let problem =
            problem.hint("`rest.listen` takes every address of this machine; write `advertise: \"host:8083\"`");
        section.report.note(section.at, problem);
    }
    if !rest.listen.ip().is_loopback() {
        let at = section.get("listen").map_or(section.at, |node| node.at);
        let missing: Vec<&str> = [("rest.tls", rest.tls.is_none()), ("rest.tokens", rest.tokens.is_empty())]
            .into_iter()
            .filter_map(|(key, is_missing)| is_missing.then_some(key))
            .collect();
        if !missing.is_empty() {
            let message =
                format!("`rest.listen` is {}, which others can reach: {} is missing", rest.listen, missing.join(", "));
            let problem = Problem::new(message).hint("add TLS and tokens, or listen on 127.0.0.1 or [::1]");
            section.report.note(at, problem);
        }
    }
    rest
}

fn listen(section: &Section<'_>) -> Option<SocketAddr> {
    let node = section.get("listen")?;
    let text = section.text("listen", |_| Ok(()))?;
    let address: Option<SocketAddr> = text.replace("localhost:", "127.0.0.1:").parse().ok();
    if address.is_none() {
        let problem = Problem::new(format!("`rest.listen` can't be `{text}`"));
        section.report.note(node.at, problem.allowed("address:port, such as 127.0.0.1:8083 or [::1]:8083"));
    }
    address
}

/// As a URL would have it.
fn place(text: &str) -> Result<(), String> {
    let port = text.rsplit_once(':').map(|(host, port)| (!host.is_empty()) && port.parse::<u16>().is_ok());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
    if port == Some(true) && text.len() <= limits::HEADER_NAME_MAX && text.chars().all(is_plain) {
        return Ok(());
    }
    Err("host:port, such as worker-3.outflow:8083".to_owned())
}

fn peers(rest: &Section<'_>) -> Peers {
    let Some(section) = rest.section("peers", &["token", "ca"]) else { return Peers::default() };
    Peers { token: section.reference("token"), ca: section.text("ca", names::not_empty).map(PathBuf::from) }
}

fn tls(rest: &Section<'_>) -> Option<Tls> {
    let section = rest.section("tls", &["certificate", "key"])?;
    let hint = "name two PEM files: `tls: { certificate: rest.crt, key: rest.key }`";
    section.require("certificate", hint);
    section.require("key", hint);
    let path = |key: &str| section.text(key, names::not_empty).map(PathBuf::from);
    Some(Tls { certificate: path("certificate")?, key: path("key")? })
}

fn tokens(rest: &Section<'_>) -> Vec<Token> {
    let Some(node) = rest.get("tokens") else { return Vec::new() };
    let Tree::List(items) = &node.tree else {
        rest.wrong(node, "rest.tokens", "a list", TOKEN);
        return Vec::new();
    };
    if items.is_empty() || items.len() > limits::TOKENS_MAX {
        let problem = Problem::new(format!("`rest.tokens` has {} entries", items.len()));
        rest.report.note(node.at, problem.allowed(format!("1 to {}", limits::TOKENS_MAX)));
    }
    let mut tokens: Vec<Token> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(token) = token(rest, index, item) else { continue };
        if tokens.iter().any(|other| other.name == token.name || other.sha256 == token.sha256) {
            let problem = Problem::new(format!("token `{}` is there twice, by its name or its hash", token.name));
            rest.report.note(item.at, problem.hint("the log calls people by these names: give each his own"));
        }
        tokens.push(token);
    }
    tokens
}

fn token(rest: &Section<'_>, index: usize, node: &Node) -> Option<Token> {
    let name = format!("rest.tokens[{index}]");
    let section = Section::new(rest.report, &name, node, &["name", "role", "merchant", "sha256"])?;
    for key in ["name", "role", "sha256"] {
        section.require(key, TOKEN);
    }
    let name = section.text("name", names::name);
    let roles = [("admin", 0), ("operator", 1), ("viewer", 2), ("merchant", 3)];
    let role = section.choice("role", &roles);
    let merchant = section.text("merchant", names::merchant);
    if (role == Some(3)) != merchant.is_some() {
        let problem = Problem::new("`merchant` goes with `role: merchant`, and with no other");
        section.report.note(section.at, problem.allowed(TOKEN));
    }
    let mut sha256 = [0; 32];
    section.text("sha256", |text| {
        let allowed = "64 hex digits: `outflow token` makes a token and its hash";
        let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex { Ok(()) } else { Err(allowed.to_owned()) }
    });
    let digits = section.get("sha256").and_then(Node::text).unwrap_or_default();
    for (at, byte) in sha256.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    let role = match role? {
        0 => Role::Admin,
        1 => Role::Operator,
        2 => Role::Viewer,
        _ => Role::Merchant(merchant?),
    };
    Some(Token { name: name?, role, sha256 })
}
