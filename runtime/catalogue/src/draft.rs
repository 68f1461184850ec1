use crate::{
    Catalogue, ConnectorEntry, LaneEntry, Origin, Start, Wanted, WantedConnector,
    entry::{Counters, Object, Sources, encode},
    wanted::LaneKey,
};
use outflow_api::{ConfigEntry, ConfigRevision, LaneId, Revision};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Sets of files are remembered so long.
const SUPERSEDED_MAX: usize = 100;

pub enum Draft {
    /// Everything that is wanted is published.
    Nothing,
    Publish(ConfigRevision),
    /// These files were published once and others since: this worker is behind, or somebody went back on purpose.
    Superseded,
    /// The document is not as it was expected: somebody else was faster.
    Moved,
    /// It contradicts what is somebody else's word, and says how.
    Taken(String),
}

/// What has to be published so that what is wanted is what is in force. `forced`: also by files that were superseded.
pub fn draft<'c>(catalogue: &'c Catalogue, wanted: &'c Wanted, forced: bool) -> Draft {
    let sources = catalogue.sources();
    match &wanted.origin {
        Origin::Files => {
            let is_newest = forced || wanted.follows.as_ref() == Some(&sources.digest);
            if !is_newest && sources.superseded.contains(&wanted.digest) {
                return Draft::Superseded;
            }
        }
        Origin::Document(name) => {
            if !wanted.expected.is_met(catalogue.document(name).map(|(revision, _)| revision)) {
                return Draft::Moved;
            }
        }
    }
    if let Some(why) = taken(catalogue, wanted) {
        return Draft::Taken(why);
    }
    let revision = Revision(catalogue.revision().0 + 1);
    let (connectors, entries) = (BTreeMap::new(), Vec::new());
    let mut drafting = Drafting { catalogue, wanted, revision, counters: catalogue.counters(), connectors, entries };
    drafting.connectors();
    drafting.lanes();
    drafting.say_connectors();
    drafting.say_document();
    if drafting.entries.is_empty() {
        return Draft::Nothing;
    }
    let counters = drafting.counters;
    if counters != catalogue.counters() || wanted.origin == Origin::Files {
        drafting.say(&Object::Counters, Some(encode(&counters)));
    }
    if wanted.origin == Origin::Files && sources.digest != wanted.digest {
        let before = Some(sources.digest.clone()).filter(|digest| !digest.is_empty());
        let mut superseded: Vec<String> = sources.superseded.iter().cloned().chain(before).collect();
        superseded.retain(|digest| *digest != wanted.digest);
        let old = superseded.len().saturating_sub(SUPERSEDED_MAX);
        let now = Sources { digest: wanted.digest.clone(), superseded: superseded.split_off(old) };
        drafting.say(&Object::Sources, Some(encode(&now)));
    }
    Draft::Publish(ConfigRevision { revision, entries: drafting.entries })
}

/// Why others' words do not let this one stand.
fn taken(catalogue: &Catalogue, wanted: &Wanted) -> Option<String> {
    for WantedConnector { name, .. } in &wanted.connectors {
        let owner = catalogue.connector(name).map(|_| catalogue.origin(name));
        if let Some(owner) = owner.filter(|owner| *owner != wanted.origin) {
            let elsewhere = if owner == Origin::Files { "the files have" } else { "somebody has put over REST" };
            return Some(format!("{elsewhere} a connector {name:?} already: take it away there first"));
        }
    }
    let is_there = |name: &str| {
        let own = wanted.connectors.iter().any(|connector| connector.name == name);
        own || catalogue.connector(name).is_some_and(|_| catalogue.origin(name) != wanted.origin)
    };
    // Nobody shares a place or a merchant's connector with somebody else's word, and nobody takes his connector away.
    let mut places: HashMap<&str, &LaneEntry> = HashMap::new();
    let mut merchants: HashMap<(&str, &str), &LaneEntry> = HashMap::new();
    for lane in catalogue.lanes().filter(|lane| Origin::of(&lane.source) != wanted.origin) {
        if !is_there(&lane.connector) {
            let (name, who) = (&lane.connector, who(lane.merchant.as_deref()));
            return Some(format!(
                "connector {name:?} cannot go: {who} receives from it, by {}; take that away first",
                told(&lane.source)
            ));
        }
        places.insert(&lane.identity, lane);
        merchants.extend(lane.merchant.as_deref().map(|merchant| ((&*lane.connector, merchant), lane)));
    }
    for lane in &wanted.lanes {
        let (name, merchant) = (lane.connector.as_str(), lane.merchant.as_deref());
        if !is_there(name) {
            return Some(format!("there is no connector {name:?} any more"));
        }
        if let Some(other) = places.get(lane.identity.as_str()).filter(|other| !other.rejects) {
            let (whose, place) = (who(other.merchant.as_deref()), told(&other.source));
            return Some(format!(
                "{whose} of connector {:?} delivers to the same place ({}), by {place}: readers could not tell whose \
                 a file is",
                other.connector, lane.identity
            ));
        }
        if let Some(other) = merchant.and_then(|merchant| merchants.get(&(name, merchant))) {
            let (whose, place) = (who(merchant), told(&other.source));
            return Some(format!("{whose} receives from connector {name:?} already, by {place}: keep one of them"));
        }
    }
    None
}

fn who(merchant: Option<&str>) -> String {
    merchant.map_or_else(|| "the connector itself".to_owned(), |merchant| format!("merchant {merchant:?}"))
}

fn told(source: &str) -> String {
    match Origin::of(source) {
        Origin::Files => format!("file {source}"),
        Origin::Document(name) => format!("what was put over REST as {name}"),
    }
}

struct Drafting<'c> {
    catalogue: &'c Catalogue,
    wanted: &'c Wanted,
    revision: Revision,
    counters: Counters,
    connectors: BTreeMap<&'c str, ConnectorEntry>,
    entries: Vec<ConfigEntry>,
}

impl<'c> Drafting<'c> {
    fn say(&mut self, object: &Object, content: Option<bytes::Bytes>) {
        self.entries.push(ConfigEntry { object: object.name(), content });
    }

    fn connectors(&mut self) {
        for WantedConnector { name, entry } in &self.wanted.connectors {
            let old = self.catalogue.connector(name);
            let mut new = entry.clone();
            // A feed lives as long as its connector: its floors are what a restart begins at. Who holds it lets it go.
            if let Some(old) = old {
                (new.feeds, new.paused, new.stopped) = (old.feeds.clone(), old.paused, old.stopped);
            }
            new.version = old.filter(|old| same_rows(old, &new)).map_or(self.revision.0, |old| old.version);
            self.connectors.insert(name, new);
            self.feed(name, 0);
        }
    }

    fn lanes(&mut self) {
        let Wanted { lanes, unread, .. } = self.wanted;
        let own = self.catalogue.lanes().filter(|entry| Origin::of(&entry.source) == self.wanted.origin);
        let known: BTreeMap<LaneKey<'_>, &LaneEntry> = own.map(|entry| (entry.key(), entry)).collect();
        // Rows that a place has had before, under another schedule or before it went, must not come again.
        let begins_in_the_past = lanes.iter().any(|lane| lane.start != Start::Latest);
        let ever = self.catalogue.lanes_ever().filter(|_| begins_in_the_past);
        let places: BTreeSet<LaneKey<'_>> = ever.map(|entry| entry.key().place()).collect();
        let mut kept: BTreeSet<LaneId> = BTreeSet::new();
        for lane in lanes {
            let old = known.get(&lane.key()).copied();
            kept.extend(old.map(LaneEntry::id));
            let is_known = lane.merchant.is_none() && self.catalogue.connector(&lane.connector).is_some();
            let has_rows = places.contains(&lane.key().place()) && !lane.resumes;
            let start = if is_known || has_rows { &Start::Latest } else { &lane.start };
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
    fn feed(&mut self, connector: &'c str, schedule: u32) -> u32 {
        let next = self.counters.feeds + 1;
        // A merchant's word may bring the first lane of a schedule to a connector that is somebody else's.
        let theirs = || self.catalogue.connector(connector).cloned();
        if !self.connectors.contains_key(connector) {
            self.connectors.extend(theirs().map(|entry| (connector, entry)));
        }
        let Some(entry) = self.connectors.get_mut(connector) else { return 0 };
        let feed = *entry.feeds.entry(schedule).or_insert(next);
        self.counters.feeds = self.counters.feeds.max(feed);
        feed
    }

    /// Behind the lanes, which may have made feeds.
    fn say_connectors(&mut self) {
        let is_own = |name: &&str| self.catalogue.origin(name) == self.wanted.origin;
        let gone = self.catalogue.connector_names().filter(is_own);
        let gone = gone.filter(|name| !self.connectors.contains_key(name)).map(|name| (name.to_owned(), None));
        let changed = self.connectors.iter().filter(|(name, new)| self.catalogue.connector(name) != Some(*new));
        let changed = changed.map(|(name, new)| ((*name).to_owned(), Some(encode(new))));
        for (name, content) in gone.chain(changed).collect::<Vec<_>>() {
            self.say(&Object::Connector(name), content);
        }
    }

    fn say_document(&mut self) {
        let Origin::Document(name) = &self.wanted.origin else { return };
        if !self.wanted.left.is_empty() {
            self.say(&Object::Document(format!("left/{name}")), Some(encode(&self.wanted.left)));
        }
        let (known, new) = (self.catalogue.document(name).map(|(_, text)| text), self.wanted.document.as_deref());
        if known != new {
            self.say(&Object::Document(name.clone()), new.map(|text| text.to_owned().into()));
        }
    }
}

/// What a row becomes, and which rows are read.
fn same_rows(old: &ConnectorEntry, new: &ConnectorEntry) -> bool {
    old.topics == new.topics && old.shape == new.shape
}
