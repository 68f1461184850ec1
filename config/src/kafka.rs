use crate::{
    nearest::nearest,
    problem::{Problem, names_a_secret},
    reference::{Environment, resolve_text},
    section::Section,
    yaml::Tree,
};
use std::collections::BTreeMap;

/// How to reach the brokers. Secrets are references still.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaConfig {
    /// `host:port,host:port`
    pub bootstrap: String,
    pub security: Security,
    /// Passed through to librdkafka.
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Security {
    pub protocol: Protocol,
    pub mechanism: Option<Mechanism>,
    pub username: Option<String>,
    pub password: Option<String>,
    /// Path of the authority's certificates; the system's own by default.
    pub ca: Option<String>,
    /// Path of our certificate, and of its key.
    pub certificate: Option<String>,
    pub key: Option<String>,
    pub key_password: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
    OAuthBearer,
}

const PROTOCOLS: [(&str, Protocol); 4] = [
    ("PLAINTEXT", Protocol::Plaintext),
    ("SSL", Protocol::Ssl),
    ("SASL_PLAINTEXT", Protocol::SaslPlaintext),
    ("SASL_SSL", Protocol::SaslSsl),
];
const MECHANISMS: [(&str, Mechanism); 4] = [
    ("PLAIN", Mechanism::Plain),
    ("SCRAM-SHA-256", Mechanism::ScramSha256),
    ("SCRAM-SHA-512", Mechanism::ScramSha512),
    ("OAUTHBEARER", Mechanism::OAuthBearer),
];
const SECURITY_KEYS: [&str; 8] =
    ["protocol", "mechanism", "username", "password", "ca", "certificate", "key", "key_password"];

/// Properties that have a key of their own here, and which.
const SPELLED_OTHERWISE: [(&str, &str); 14] = [
    ("bootstrap.servers", "kafka.bootstrap"),
    ("metadata.broker.list", "kafka.bootstrap"),
    ("security.protocol", "kafka.security.protocol"),
    ("sasl.mechanism", "kafka.security.mechanism"),
    ("sasl.mechanisms", "kafka.security.mechanism"),
    ("sasl.username", "kafka.security.username"),
    ("sasl.password", "kafka.security.password"),
    ("ssl.ca.location", "kafka.security.ca"),
    ("ssl.certificate.location", "kafka.security.certificate"),
    ("ssl.key.location", "kafka.security.key"),
    ("ssl.key.password", "kafka.security.key_password"),
    ("group.id", "group"),
    ("group.instance.id", "instance_id"),
    ("session.timeout.ms", "session_timeout"),
];
/// Properties that exactly once rests on.
const OURS: [&str; 11] = [
    "acks",
    "auto.offset.reset",
    "check.crcs",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "isolation.level",
    "partition.assignment.strategy",
    "request.required.acks",
    "transactional.id",
];

impl KafkaConfig {
    /// As librdkafka names them, with secrets filled in: for the client, never for a log.
    pub fn resolve(&self, environment: &dyn Environment) -> Result<BTreeMap<String, String>, Problem> {
        let Security { protocol, mechanism, username, password, ca, certificate, key, key_password } = &self.security;
        let word = |words: &[(&str, Protocol)]| words.iter().find(|(_, p)| p == protocol).map(|(w, _)| (*w).to_owned());
        let mechanism = MECHANISMS.iter().find(|(_, m)| Some(*m) == *mechanism).map(|(word, _)| (*word).to_owned());
        let named = [
            ("bootstrap.servers", &Some(self.bootstrap.clone())),
            ("security.protocol", &word(&PROTOCOLS)),
            ("sasl.mechanism", &mechanism),
            ("sasl.username", username),
            ("sasl.password", password),
            ("ssl.ca.location", ca),
            ("ssl.certificate.location", certificate),
            ("ssl.key.location", key),
            ("ssl.key.password", key_password),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let passed = self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let resolved = passed.chain(named).map(|(name, text)| Ok((name.to_owned(), resolve_text(text, environment)?)));
        resolved.collect()
    }
}

pub fn kafka(worker: &Section<'_>) -> Option<KafkaConfig> {
    let section = worker.section("kafka", &["bootstrap", "security", "properties"])?;
    section.require("bootstrap", "name a broker: `bootstrap: \"broker:9092\"`");
    let bootstrap = section.reference("bootstrap");
    let node = section.get("bootstrap");
    let wrong = bootstrap.as_deref().filter(|text| !text.contains("${") && !text.split(',').all(is_address));
    if let (Some(text), Some(node)) = (wrong, node) {
        let problem = Problem::new(format!("`kafka.bootstrap` can't be `{text}`"));
        section.report.note(node.at, problem.allowed("host:port, more of them behind commas"));
    }
    let (security, properties) = (security(&section), properties(&section));
    Some(KafkaConfig { bootstrap: bootstrap?, security, properties })
}

fn is_address(text: &str) -> bool {
    let address = text.trim().rsplit_once(':');
    address.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn security(kafka: &Section<'_>) -> Security {
    let Some(section) = kafka.section("security", &SECURITY_KEYS) else { return Security::default() };
    let security = Security {
        protocol: section.choice("protocol", &PROTOCOLS).unwrap_or_default(),
        mechanism: section.choice("mechanism", &MECHANISMS),
        username: section.reference("username"),
        password: section.reference("password"),
        ca: section.reference("ca"),
        certificate: section.reference("certificate"),
        key: section.reference("key"),
        key_password: section.reference("key_password"),
    };
    let sasl = matches!(security.protocol, Protocol::SaslPlaintext | Protocol::SaslSsl);
    let encrypted = matches!(security.protocol, Protocol::Ssl | Protocol::SaslSsl);
    if sasl && section.require("mechanism", "with SASL, say which: PLAIN, SCRAM-SHA-512, …").is_some() {
        let named = matches!(security.mechanism, Some(Mechanism::OAuthBearer) | None);
        for key in ["username", "password"].iter().filter(|_| !named) {
            section.require(key, "the mechanism needs user name and password: `\"${env:NAME}\"`");
        }
    }
    let useless = |keys: &[&str], protocols: &str| {
        for node in keys.iter().filter_map(|key| section.get(key)) {
            let problem = Problem::new("this says nothing under the chosen protocol").allowed(protocols.to_owned());
            section.report.note(node.at, problem.hint("set `protocol`, or leave this out"));
        }
    };
    if !sasl {
        useless(&["mechanism", "username", "password"], "protocol SASL_SSL or SASL_PLAINTEXT");
    }
    if !encrypted {
        useless(&["ca", "certificate", "key", "key_password"], "protocol SSL or SASL_SSL");
    }
    security
}

fn properties(kafka: &Section<'_>) -> BTreeMap<String, String> {
    let Some(node) = kafka.get("properties") else { return BTreeMap::new() };
    let Some(section) = Section::open(kafka.report, "kafka.properties", node) else { return BTreeMap::new() };
    let mut properties = BTreeMap::new();
    for (key, node) in section.entries() {
        let name = key.name.as_str();
        let elsewhere = SPELLED_OTHERWISE.iter().find(|(property, _)| *property == name);
        if let Some((_, spelled)) = elsewhere {
            let problem = Problem::new(format!("`{name}` has a key of its own"));
            section.report.note(key.at, problem.hint(format!("set `{spelled}` instead")));
        } else if OURS.contains(&name) {
            let problem = Problem::new(format!("`{name}` is set by Outflow: exactly once rests on it"));
            section.report.note(key.at, problem.hint("leave it out"));
        }
        let value = match &node.tree {
            Tree::Scalar(value) if (value.is_number() || value.is_boolean()) && !names_a_secret(name) => {
                Some(value.to_string())
            }
            _ => section.reference(name),
        };
        if let Some(value) = value {
            properties.insert(name.to_owned(), value);
        }
    }
    let misspelt = properties.keys().filter(|name| !name.contains('.') && nearest(name, SECURITY_KEYS).is_some());
    for (key, _) in misspelt.filter_map(|name| section.entries().iter().find(|(key, _)| key.name == *name)) {
        let problem = Problem::new(format!("`{}` is no property of librdkafka", key.name));
        section.report.note(key.at, problem.hint(format!("did you mean `kafka.security.{}`?", key.name)));
    }
    properties
}
