use crate::{
    Catalogue, ConnectorEntry, LaneEntry, Start, Wanted, WantedConnector, WantedLane,
    entry::{Counters, Object, Sources, encode},
    wanted::LaneKey,
};
use outflow_api::{ConfigEntry, ConfigRevision, LaneId, Revision};
use std::collections::{BTreeMap, BTreeSet};

/// Sets of files are remembered so long.
const SUPERSEDED_MAX: usize = 100;

pub enum Draft {
    /// Everything that is wanted is published.
    Nothing,
    Publish(ConfigRevision),
    /// These files were published once and others since: this worker is behind, or somebody went back on purpose.
    Superseded,
}

/// What has to be published so that what is wanted is what is in force. `forced`: also by files that were superseded.
pub fn draft<'c>(catalogue: &'c Catalogue, wanted: &'c Wanted, forced: bool) -> Draft {
    let sources = catalogue.sources();
    let is_newest = forced || wanted.follows.as_ref() == Some(&sources.digest);
    if !is_newest && sources.superseded.contains(&wanted.digest) {
        return Draft::Superseded;
    }
    let revision = Revision(catalogue.revision().0 + 1);
    let (connectors, entries) = (BTreeMap::new(), Vec::new());
    let mut drafting = Drafting { catalogue, revision, counters: catalogue.counters(), connectors, entries };
    drafting.connectors(&wanted.connectors);
    drafting.lanes(&wanted.lanes, &wanted.unread);
    drafting.say_connectors();
    if drafting.entries.is_empty() {
        return Draft::Nothing;
    }
    let counters = drafting.counters;
    drafting.say(&Object::Counters, Some(encode(&counters)));
    if sources.digest != wanted.digest {
        let before = Some(sources.digest.clone()).filter(|digest| !digest.is_empty());
        let mut superseded: Vec<String> = sources.superseded.iter().cloned().chain(before).collect();
        superseded.retain(|digest| *digest != wanted.digest);
        let old = superseded.len().saturating_sub(SUPERSEDED_MAX);
        let now = Sources { digest: wanted.digest.clone(), superseded: superseded.split_off(old) };
        drafting.say(&Object::Sources, Some(encode(&now)));
    }
    Draft::Publish(ConfigRevision { revision, entries: drafting.entries })
}

struct Drafting<'c> {
    catalogue: &'c Catalogue,
    revision: Revision,
    counters: Counters,
    connectors: BTreeMap<&'c str, ConnectorEntry>,
    entries: Vec<ConfigEntry>,
}

impl<'c> Drafting<'c> {
    fn say(&mut self, object: &Object, content: Option<bytes::Bytes>) {
        self.entries.push(ConfigEntry { object: object.name(), content });
    }

    fn connectors(&mut self, wanted: &'c [WantedConnector]) {
        for WantedConnector { name, entry } in wanted {
            let old = self.catalogue.connector(name);
            let mut new = entry.clone();
            // A feed lives as long as its connector: its floors are what a restart begins at.
            new.feeds = old.map(|old| old.feeds.clone()).unwrap_or_default();
            new.paused = old.is_some_and(|old| old.paused);
            new.version = old.filter(|old| same_rows(old, &new)).map_or(self.revision.0, |old| old.version);
            self.connectors.insert(name, new);
            self.feed(name, 0);
        }
    }

    fn lanes(&mut self, wanted: &'c [WantedLane], unread: &BTreeSet<String>) {
        let known: BTreeMap<LaneKey<'_>, &LaneEntry> =
            self.catalogue.lanes().map(|entry| (entry.key(), entry)).collect();
        // Rows that a place has had before, under another schedule or before it went, must not come again.
        let places: BTreeSet<LaneKey<'_>> = self.catalogue.lanes_ever().map(|entry| entry.key().place()).collect();
        let mut kept: BTreeSet<LaneId> = BTreeSet::new();
        for lane in wanted {
            let old = known.get(&lane.key()).copied();
            kept.extend(old.map(LaneEntry::id));
            let start = if places.contains(&lane.key().place()) { &Start::Latest } else { &lane.start };
            let same_place = |old: &&LaneEntry| old.place == lane.place && old.rejects == lane.rejects;
            let new = LaneEntry {
                lane: old.map_or_else(|| self.next_lane(), |old| old.lane),
                feed: old.map_or_else(|| self.feed(&lane.connector, lane.schedule), |old| old.feed),
                version: old.filter(same_place).map_or(self.revision.0, |old| old.version),
                connector: lane.connector.clone(),
                merchant: lane.merchant.clone(),
                rejects: lane.rejects,
                identity: lane.identity.clone(),
                place: lane.place.clone(),
                settings: lane.settings.clone(),
                flush: lane.flush,
                // Where a lane began is history.
                start: old.map_or(start, |old| &old.start).clone(),
                schedule: lane.schedule,
                source: lane.source.clone(),
            };
            if old != Some(&new) {
                self.say(&Object::Lane(new.id()), Some(encode(&new)));
            }
        }
        for gone in known.values().filter(|old| !kept.contains(&old.id()) && !unread.contains(&old.source)) {
            self.say(&Object::Lane(gone.id()), None);
        }
    }

    fn next_lane(&mut self) -> u32 {
        self.counters.lanes += 1;
        self.counters.lanes
    }

    /// The connector's feed for this schedule, made if it is the first to follow it.
    fn feed(&mut self, connector: &str, schedule: u32) -> u32 {
        let next = self.counters.feeds + 1;
        let Some(entry) = self.connectors.get_mut(connector) else { return 0 };
        let feed = *entry.feeds.entry(schedule).or_insert(next);
        self.counters.feeds = self.counters.feeds.max(feed);
        feed
    }

    /// Behind the lanes, which may have made feeds.
    fn say_connectors(&mut self) {
        let gone = self.catalogue.connector_names().filter(|name| !self.connectors.contains_key(name));
        let gone = gone.map(|name| (name.to_owned(), None));
        let changed = self.connectors.iter().filter(|(name, new)| self.catalogue.connector(name) != Some(*new));
        let changed = changed.map(|(name, new)| ((*name).to_owned(), Some(encode(new))));
        for (name, content) in gone.chain(changed).collect::<Vec<_>>() {
            self.say(&Object::Connector(name), content);
        }
    }
}

/// What a row becomes, and which rows are read.
fn same_rows(old: &ConnectorEntry, new: &ConnectorEntry) -> bool {
    old.topics == new.topics && old.shape == new.shape
}
