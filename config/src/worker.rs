use crate::{
    kafka::{KafkaConfig, kafka},
    limits, names,
    problem::{Problem, Problems, Report},
    rest::{Rest, rest},
    section::Section,
    yaml::{self, Node},
};
use std::{path::PathBuf, time::Duration};

/// One process of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Worker {
    pub cluster: ClusterConfig,
    /// All workers of one installation share it; names of transactional ids begin with it.
    pub group: String,
    /// Units of ownership: fixed for an installation.
    pub shards: u32,
    /// Bytes, for all lanes together.
    pub memory: u64,
    pub calls: Calls,
    pub rest: Rest,
    /// Patterns of connectors' and merchants' files, relative to this file; none: they come over REST alone.
    pub config: Vec<String>,
    pub journal: JournalConfig,
    pub session_timeout: Duration,
    /// Keeps our shards over a short restart.
    pub instance_id: Option<String>,
    pub log: Log,
    /// How long a stop may take until what is not decided is left to the next owner.
    pub drain_deadline: Duration,
    pub replay_distance_max: ReplayDistance,
    pub alarms: Alarms,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterConfig {
    Kafka(KafkaConfig),
    /// Topics and journal in a folder of this machine.
    Local {
        folder: PathBuf,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalConfig {
    pub topic: String,
    pub ledger: String,
    /// Copies of our own topics if they have to be created; the broker's default if not said.
    pub replication: Option<u16>,
}

/// To destinations, under way at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Calls {
    pub per_host: usize,
    pub per_credential: usize,
}

/// How much a restart may read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayDistance {
    pub age: Duration,
    pub records: u64,
}

/// What people want to be told of in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alarms {
    /// Sooner than this, topics remove what a lane has not delivered.
    pub retention_left: Duration,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// `info`, or by target: `info,outflow_kafka=debug`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    Text,
    Json,
}

const KEYS: [&str; 15] = [
    "kafka",
    "local",
    "group",
    "shards",
    "memory",
    "calls",
    "rest",
    "config",
    "journal",
    "session_timeout",
    "instance_id",
    "log",
    "drain_deadline",
    "replay_distance_max",
    "alarms",
];

/// Checks the worker's file, given as text.
pub fn worker(file: &str, text: &str) -> Result<Worker, Problems> {
    yaml::read(file, text, check)
}

pub fn check(report: &Report<'_>, node: &Node) -> Option<Worker> {
    let section = Section::new(report, "", node, &KEYS)?;
    let cluster = cluster(&section);
    let group = section.text("group", names::name).unwrap_or_else(|| "outflow".to_owned());
    // Without it, all configuration comes over REST.
    let config = section.get("config");
    let patterns = config.and_then(|_| section.texts("config", names::not_empty)).unwrap_or_default();
    if let (Some(node), true) = (config, patterns.is_empty()) {
        report.note(node.at, Problem::new("`config` names no file").hint("write `config: [ connectors/*.yaml ]`"));
    }
    Some(Worker {
        shards: section.number("shards", limits::SHARDS, limits::SHARDS_DEFAULT) as u32,
        memory: section.size("memory", limits::MEMORY, limits::MEMORY_DEFAULT),
        calls: calls(&section),
        rest: rest(&section),
        config: patterns.into_iter().map(|(_, pattern)| pattern).collect(),
        journal: journal(&section, &group),
        session_timeout: section.duration("session_timeout", limits::SESSION_TIMEOUT, limits::SESSION_TIMEOUT_DEFAULT),
        instance_id: section.text("instance_id", names::name),
        log: log(&section),
        drain_deadline: section.duration("drain_deadline", limits::DRAIN_DEADLINE, limits::DRAIN_DEADLINE_DEFAULT),
        replay_distance_max: replay_distance(&section),
        alarms: alarms(&section),
        cluster: cluster?,
        group,
    })
}

fn cluster(worker: &Section<'_>) -> Option<ClusterConfig> {
    match (worker.get("kafka"), worker.get("local")) {
        (Some(_), None) => kafka(worker).map(ClusterConfig::Kafka),
        (None, Some(_)) => {
            let section = worker.section("local", &["folder"])?;
            section.require("folder", "say where topics and journal live: `local: { folder: data }`")?;
            let folder = section.text("folder", names::not_empty)?.into();
            Some(ClusterConfig::Local { folder })
        }
        (both, _) => {
            let message = if both.is_some() { "both `kafka` and `local` are there" } else { "`kafka` is missing" };
            let problem = Problem::new(message).allowed("`kafka: { bootstrap: … }` or `local: { folder: … }`");
            worker.report.note(worker.at, problem.hint("records come from Kafka, or from a folder of this machine"));
            None
        }
    }
}

fn calls(worker: &Section<'_>) -> Calls {
    let default =
        Calls { per_host: limits::CALLS_PER_HOST_DEFAULT, per_credential: limits::CALLS_PER_CREDENTIAL_DEFAULT };
    let Some(section) = worker.section("calls", &["per_host", "per_credential"]) else { return default };
    let per_host = section.number("per_host", limits::CALLS, default.per_host as u64);
    // Fewer for the host are fewer for each credential, whatever their own default.
    let own = (default.per_credential as u64).min(per_host);
    let per_credential = section.number("per_credential", limits::CALLS, own);
    if per_credential > per_host {
        let problem = Problem::new(format!("`calls.per_credential` is {per_credential}, `calls.per_host` {per_host}"));
        let problem = problem.allowed(format!("`calls.per_credential` from 1 to {per_host}"));
        section.report.note(section.at, problem.hint("a host takes the calls of all its credentials together"));
    }
    Calls { per_host: per_host as usize, per_credential: per_credential as usize }
}

fn journal(worker: &Section<'_>, group: &str) -> JournalConfig {
    let (topic, ledger) = (format!("{group}-journal"), format!("{group}-ledger"));
    let Some(section) = worker.section("journal", &["topic", "ledger", "replication"]) else {
        return JournalConfig { topic, ledger, replication: None };
    };
    let replication = section.number("replication", limits::REPLICATION, 1) as u16;
    let journal = JournalConfig {
        topic: section.text("topic", names::topic).unwrap_or(topic),
        ledger: section.text("ledger", names::topic).unwrap_or(ledger),
        replication: section.get("replication").map(|_| replication),
    };
    if journal.topic == journal.ledger {
        let problem = Problem::new("`journal.topic` and `journal.ledger` are the same topic");
        section.report.note(section.at, problem.hint("the journal is compacted, the ledger never: name two topics"));
    }
    journal
}

fn log(worker: &Section<'_>) -> Log {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let default = Log { level: "info".to_owned(), format: LogFormat::Text };
    let Some(section) = worker.section("log", &["level", "format"]) else { return default };
    let level = section.text("level", names::not_empty).unwrap_or(default.level);
    Log { level, format: section.choice("format", &formats).unwrap_or(default.format) }
}

fn replay_distance(worker: &Section<'_>) -> ReplayDistance {
    let default = ReplayDistance { age: limits::REPLAY_AGE_DEFAULT, records: limits::REPLAY_RECORDS_DEFAULT };
    let Some(section) = worker.section("replay_distance_max", &["age", "records"]) else { return default };
    ReplayDistance {
        age: section.duration("age", limits::REPLAY_AGE, default.age),
        records: section.number("records", limits::REPLAY_RECORDS, default.records),
    }
}

fn alarms(worker: &Section<'_>) -> Alarms {
    let default = limits::ALARM_RETENTION_LEFT_DEFAULT;
    let section = worker.section("alarms", &["retention_left"]);
    let retention_left =
        section.map_or(default, |section| section.duration("retention_left", limits::ALARM_RETENTION_LEFT, default));
    Alarms { retention_left }
}
