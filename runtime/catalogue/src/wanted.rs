use crate::{ConnectorEntry, LaneEntry, Start};
use std::collections::BTreeSet;

/// What the configuration asks for, all of it.
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
    /// Of one whose place is new to the merchant; else it begins where its connector stands.
    pub start: Start,
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
