use crate::{
    ConnectorEntry, LaneEntry,
    entry::{Revision64, unreadable},
    history::History,
};
use outflow_api::{Fault, FeedId, LaneId, Pin, Revision};
use serde::Deserialize;
use std::{collections::HashMap, sync::Arc};

/// Whose a connector's rows are, at every revision.
#[derive(Debug)]
pub struct ConnectorRoutes {
    pub name: Arc<str>,
    pub(crate) entries: History<ConnectorEntry>,
    merchants: HashMap<Box<[u8]>, Vec<Assigned>>,
    own: Vec<Assigned>,
}

/// A lane, as long as it was there.
#[derive(Clone, Debug)]
pub struct Assigned {
    pub lane: LaneId,
    pub feed: FeedId,
    versions: History<Version>,
}

#[derive(Clone, Debug)]
struct Version {
    number: Revision64,
    only: Option<Arc<Only>>,
}

/// Only rows with one of these values at this path are the lane's.
#[derive(PartialEq, Eq, Debug, Deserialize)]
pub struct Only {
    /// Names of fields, from the top level down.
    pub path: Vec<String>,
    #[serde(rename = "in")]
    pub values: Vec<String>,
}

impl Only {
    /// One that cannot be read must not pass for none: the merchant would get rows that he did not ask for.
    fn read(entry: &LaneEntry) -> Result<Option<Arc<Only>>, Fault> {
        #[derive(Deserialize)]
        struct Place {
            only: Option<Only>,
        }
        // Few have it; the text is looked at before it is parsed.
        if !entry.place.contains("\"only\"") {
            return Ok(None);
        }
        let place: Place = serde_json::from_str(&entry.place)
            .map_err(|error| unreadable(&format!("lane/{}", entry.lane)).because(error))?;
        Ok(place.only.map(Arc::new))
    }
}

impl Assigned {
    /// If the lane was there: its own version in this shape, and which rows it takes. Of a lane that is gone by then
    /// the shape that it had last: what it owes must not get lost.
    pub fn at(&self, pin: Pin) -> Option<(Revision, Option<&Only>)> {
        let own = self.versions.at(pin.whose)?;
        let version = self.versions.last_at(pin.shape).unwrap_or(own);
        Some((Revision(version.number), version.only.as_deref()))
    }
}

impl ConnectorRoutes {
    pub(crate) fn new(name: &str) -> ConnectorRoutes {
        let (entries, merchants, own) = (History::default(), HashMap::new(), Vec::new());
        ConnectorRoutes { name: name.into(), entries, merchants, own }
    }

    pub fn entry(&self, revision: Revision) -> Option<&ConnectorEntry> {
        self.entries.at(revision)
    }

    /// The connector's own version in this shape, or in its last one if it is gone by then.
    pub fn version(&self, pin: Pin) -> Option<Revision> {
        let own = self.entries.at(pin.whose)?;
        Some(Revision(self.entries.last_at(pin.shape).unwrap_or(own).version))
    }

    pub fn newest(&self) -> Option<&ConnectorEntry> {
        self.entries.newest()
    }

    pub fn merchant(&self, key: &[u8]) -> &[Assigned] {
        self.merchants.get(key).map_or(&[], Vec::as_slice)
    }

    /// The connector's own lanes: for everything, or for what no merchant claims.
    pub fn own(&self) -> &[Assigned] {
        &self.own
    }

    pub(crate) fn set(&mut self, revision: Revision, entry: &LaneEntry) -> Result<(), Fault> {
        let version = Version { number: entry.version, only: Only::read(entry)? };
        self.note(revision, entry, Some(version));
        Ok(())
    }

    pub(crate) fn remove(&mut self, revision: Revision, last: &LaneEntry) {
        self.note(revision, last, None);
    }

    pub(crate) fn forget(&mut self, revision: Revision, entry: &LaneEntry) {
        let all = match &entry.merchant {
            Some(merchant) => self.merchants.get_mut(merchant.as_bytes()),
            None => Some(&mut self.own),
        };
        if let Some(assigned) = all.into_iter().flatten().find(|assigned| assigned.lane == entry.id()) {
            assigned.versions.forget(revision);
        }
    }

    fn note(&mut self, revision: Revision, entry: &LaneEntry, version: Option<Version>) {
        let all = match &entry.merchant {
            Some(merchant) => self.merchants.entry(merchant.as_bytes().into()).or_default(),
            None => &mut self.own,
        };
        let at = all.iter().position(|assigned| assigned.lane == entry.id()).unwrap_or_else(|| {
            all.push(Assigned { lane: entry.id(), feed: entry.feed(), versions: History::default() });
            all.len() - 1
        });
        all[at].versions.set(revision, version);
    }
}
