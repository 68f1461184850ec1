use crate::{
    flush::{Flush, FlushChange, flush_change},
    limits,
    merchant::Checks,
    names,
    only::{Only, only},
    pinned::canonical,
    problem::Problem,
    section::Section,
    sink::destination,
    start::{Start, start},
    units::{duration, show_duration},
};
use outflow_api::Identity;
use std::sync::Arc;

/// One connector's records of one merchant, and where they go. Small: there are tens of thousands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    pub connector: Arc<str>,
    /// The sink's `type`.
    pub kind: &'static str,
    /// All settings of the sink but the type, as compact JSON with keys in order; references as they were written.
    pub settings: Box<str>,
    /// Computed by the sink from settings without references.
    pub identity: Identity,
    change: Option<Box<FlushChange>>,
    /// Seconds between passes, which divide a day; live without it.
    pub schedule: Option<u32>,
    pub start: Start,
    pub only: Option<Box<Only>>,
    /// Columns, or fields of STRUCT columns, that are left out. Sorted, each once.
    pub without: Box<[Box<str>]>,
    /// Columns or fields that are delivered as their SHA-256. Sorted, each once.
    pub hash: Box<[Box<str>]>,
    /// In the merchant's file.
    pub line: u32,
}

impl Delivery {
    /// What seals a batch: the connector's own limits, but for what the delivery says otherwise.
    pub fn flush(&self, connector: &Flush) -> Flush {
        self.change.as_ref().map_or_else(|| connector.clone(), |change| change.over(connector))
    }
}

const KEYS: [&str; 8] = ["connector", "sink", "flush", "schedule", "start", "only", "without", "hash"];
const DAY_MS: u128 = limits::SCHEDULE.end().as_millis();

pub fn delivery(section: &Section<'_>, checks: &Checks<'_>) -> Option<Delivery> {
    section.refuse_unknown(&KEYS);
    section.require("connector", "say which records: `connector: orders`");
    let connector = section.text("connector", names::name);
    let destination = destination(section, checks.sinks);
    let change = flush_change(section);
    let schedule = schedule(section);
    let start = start(section);
    let only = only(section);
    let (without, hash) = (columns(section, "without"), columns(section, "hash"));
    let destination = destination?;
    Some(Delivery {
        connector: checks.names.shared(&connector?),
        kind: destination.kind,
        settings: canonical(&destination.settings).to_string().into(),
        identity: destination.identity,
        change: (change != FlushChange::default()).then(|| Box::new(change)),
        schedule,
        start: start.unwrap_or_default(),
        only: only.map(Box::new),
        without,
        hash,
        line: u32::try_from(section.at.0).unwrap_or(u32::MAX),
    })
}

/// Passes are aligned to midnight UTC, so that their length divides a day.
fn schedule(section: &Section<'_>) -> Option<u32> {
    let node = section.get("schedule")?;
    let length = match node.text() {
        Some("hourly") => duration("1h"),
        Some("daily") => duration("1d"),
        text => text.and_then(duration),
    };
    let length = length.filter(|length| {
        let millis = length.as_millis();
        limits::SCHEDULE.contains(length) && millis.is_multiple_of(1_000) && DAY_MS.is_multiple_of(millis)
    });
    if length.is_none() {
        let (low, high) = (show_duration(*limits::SCHEDULE.start()), show_duration(*limits::SCHEDULE.end()));
        let problem = Problem::new(format!("`{}` can't be {}", section.path("schedule"), node.shown()));
        let allowed = format!("hourly, daily, or {low} to {high} that divide a day: 15m, 6h");
        section.report.note(node.at, problem.allowed(allowed));
    }
    length.map(|length| length.as_secs() as u32)
}

/// Whether the connector has them is seen when all files are there.
fn columns(section: &Section<'_>, key: &str) -> Box<[Box<str>]> {
    let Some(node) = section.get(key) else { return Box::default() };
    let named = section.texts(key, names::not_empty).unwrap_or_default();
    if named.len() > limits::COLUMNS_MAX {
        let problem = Problem::new(format!("`{}` names {} columns", section.path(key), named.len()));
        section.report.note(node.at, problem.allowed(format!("at most {}", limits::COLUMNS_MAX)));
    }
    let mut named: Vec<Box<str>> = named.into_iter().map(|(_, name)| name.into()).collect();
    named.sort();
    named.dedup();
    named.into()
}
