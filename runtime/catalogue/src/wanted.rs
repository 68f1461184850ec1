use crate::{ConnectorEntry, LaneEntry, Start};
use outflow_api::Revision;
use std::collections::{BTreeMap, BTreeSet};

/// Whose word a configuration is. It changes and removes what is its own, and leaves the others' alone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Origin {
    /// All files that a worker reads.
    #[default]
    Files,
    /// What was put over REST under this name: `connector/orders`, `merchant/1001`.
    Document(String),
}

impl Origin {
    /// As lanes name it; files name themselves.
    const PREFIX: &str = "rest:";

    pub fn of(source: &str) -> Origin {
        source.strip_prefix(Origin::PREFIX).map_or(Origin::Files, |name| Origin::Document(name.to_owned()))
    }

    /// For [`WantedLane::source`].
    pub fn source(name: &str) -> String {
        format!("{}{name}", Origin::PREFIX)
    }
}

/// What a document has to be before it is changed: else somebody else was faster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expected {
    #[default]
    Anything,
    /// There is none.
    Nothing,
    /// It is there, whatever it says.
    Something,
    /// As this revision said it.
    Said(Revision),
}

impl Expected {
    /// `said`: the revision of what is there.
    pub fn is_met(self, said: Option<Revision>) -> bool {
        match self {
            Expected::Anything => true,
            Expected::Nothing => said.is_none(),
            Expected::Something => said.is_some(),
            Expected::Said(revision) => said == Some(revision),
        }
    }
}

/// What the configuration asks for: all that is of its origin.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub connectors: Vec<WantedConnector>,
    pub lanes: Vec<WantedLane>,
    /// Files that could not be read as a whole: what they said before stays in force.
    pub unread: BTreeSet<String>,
    /// Of the set of files.
    pub digest: String,
    /// What was in force when the process that read these files last saw its files in force: if it still is, these
    /// came after it, whether they were published before or not.
    pub follows: Option<String>,
    pub origin: Origin,
    /// As it was put; without it, the document goes. Files have none.
    pub document: Option<Box<str>>,
    /// Where a connector that goes is left, for one that is made under its name: topic id in hex and partition → the
    /// first offset that was not decided.
    pub left: BTreeMap<String, i64>,
    pub expected: Expected,
}

#[derive(Clone, Debug)]
pub struct WantedConnector {
    pub name: String,
    /// Version and feeds are filled in by the draft.
    pub entry: ConnectorEntry,
}

#[derive(Clone, Debug)]
pub struct WantedLane {
    pub connector: String,
    pub merchant: Option<String>,
    pub rejects: bool,
    pub identity: String,
    pub place: Box<str>,
    pub settings: Box<str>,
    pub flush: crate::FlushEntry,
    /// Seconds; 0 is live.
    pub schedule: u32,
    /// Of one whose place is new to the merchant, or to a connector that is new; else it begins where its connector
    /// stands.
    pub start: Start,
    /// Its place may have had rows before: `start` is where they end.
    pub resumes: bool,
    pub source: String,
}

impl WantedLane {
    /// A lane that keeps all of this is the same lane (P5).
    pub fn key(&self) -> LaneKey<'_> {
        LaneKey::new(&self.connector, self.merchant.as_deref(), &self.identity, self.schedule)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LaneKey<'a> {
    connector: &'a str,
    merchant: Option<&'a str>,
    identity: &'a str,
    schedule: u32,
}

impl<'a> LaneKey<'a> {
    fn new(connector: &'a str, merchant: Option<&'a str>, identity: &'a str, schedule: u32) -> LaneKey<'a> {
        LaneKey { connector, merchant, identity, schedule }
    }

    /// Whatever the schedule.
    pub fn place(self) -> LaneKey<'a> {
        LaneKey { schedule: 0, ..self }
    }
}

impl LaneEntry {
    pub fn key(&self) -> LaneKey<'_> {
        LaneKey::new(&self.connector, self.merchant.as_deref(), &self.identity, self.schedule)
    }
}
