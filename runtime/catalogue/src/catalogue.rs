use crate::{
    CommandEntry, ConnectorEntry, ConnectorRoutes, LaneEntry, Order, Origin, Start, WantedLane,
    command::partition,
    entry::{Counters, Object, Sources, decode, decode_text, unreadable},
    history::History,
};
use outflow_api::{ConfigRevision, Fault, FeedId, LaneId, Offset, Revision, TopicId, TopicPartition};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

/// Everything that was published and that rows may still be routed or shaped by.
#[derive(Default)]
pub struct Catalogue {
    revision: Revision,
    pub(crate) connectors: BTreeMap<Arc<str>, ConnectorRoutes>,
    pub(crate) lanes: HashMap<LaneId, History<LaneEntry>>,
    /// By id, with all lanes that they ever had.
    merchants: BTreeMap<Box<str>, Vec<LaneId>>,
    feeds: BTreeMap<FeedId, FeedEntry>,
    pub(crate) changes: BTreeMap<Revision, Change>,
    /// Revisions that route or shape rows in another way than the one before.
    pub(crate) defining: BTreeSet<Revision>,
    /// As the log says it.
    pub(crate) forgotten: Revision,
    /// Up to here it is forgotten here as well.
    pub(crate) dropped: Revision,
    commands: BTreeSet<String>,
    /// By name, as people put them over REST.
    pub(crate) documents: BTreeMap<String, History<Box<str>>>,
    counters: Counters,
    sources: Sources,
    /// When these two were said; what they said before is of no interest.
    pub(crate) counters_said: History<()>,
    pub(crate) sources_said: History<()>,
}

/// A feed, for as long as its connector names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedEntry {
    pub connector: Arc<str>,
    /// Seconds; 0 is live.
    pub schedule: u32,
    /// The revision that it began with.
    pub since: Revision,
    /// It is as old as its connector, and begins where the topics do; else where the revision does.
    pub is_first: bool,
    /// Since this revision nobody publishes it.
    pub retired: Option<Revision>,
}

/// What a revision brought.
#[derive(Clone, Default, Debug)]
pub struct Change {
    /// It routes or shapes rows in another way than the one before.
    pub defines: bool,
    /// New lanes that begin in the past.
    pub histories: Vec<(LaneId, BTreeMap<TopicPartition, Offset>)>,
    /// Lanes and connectors of which anything changed.
    pub lanes: BTreeSet<LaneId>,
    pub connectors: BTreeSet<String>,
    pub orders: Vec<Order>,
}

/// All that a lane of this version is made of.
#[derive(Clone, Debug)]
pub struct Definition {
    /// As pinned by the version, but for `settings`, which are today's.
    pub lane: LaneEntry,
    pub connector_name: Arc<str>,
    /// As pinned by the version, but for limits and dead letters, which are today's.
    pub connector: ConnectorEntry,
}

impl Catalogue {
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// # Errors
    /// If this build cannot read it, or it is not the next one.
    pub fn apply(&mut self, published: &ConfigRevision) -> Result<(), Fault> {
        let ConfigRevision { revision, entries } = published;
        if revision.0 != self.revision.0 + 1 {
            let hint = format!("revision {} of the config log follows revision {}", revision.0, self.revision.0);
            return Err(Fault::halt("config-gap", hint));
        }
        let mut change = Change::default();
        // Lanes are noted at their connectors.
        let (connectors, others): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.object.starts_with("connector/"));
        for entry in connectors.into_iter().chain(others) {
            let object = Object::parse(&entry.object).ok_or_else(|| unreadable(&entry.object))?;
            let content = entry.content.as_deref();
            match (object, content) {
                (Object::Connector(name), content) => {
                    let entry = content.map(|content| decode(&entry.object, content)).transpose()?;
                    change.defines |= self.set_connector(*revision, &name, entry);
                    change.connectors.insert(name);
                }
                (Object::Lane(id), Some(content)) => {
                    self.set_lane(*revision, id, decode(&entry.object, content)?, &mut change)?;
                }
                (Object::Lane(id), None) => {
                    change.defines |= self.remove_lane(*revision, id);
                }
                (Object::Counters, Some(content)) => {
                    self.counters = decode(&entry.object, content)?;
                    self.counters_said.set(*revision, Some(()));
                }
                (Object::Sources, Some(content)) => {
                    self.sources = decode(&entry.object, content)?;
                    self.sources_said.set(*revision, Some(()));
                }
                (Object::Command(_), Some(content)) => {
                    let command: CommandEntry = decode(&entry.object, content)?;
                    self.commands.insert(command.id);
                    change.orders.extend(command.orders);
                }
                (Object::Document(name), content) => {
                    let text = content.map(|content| decode_text(&entry.object, content)).transpose()?;
                    self.documents.entry(name).or_default().set(*revision, text);
                }
                (Object::Counters | Object::Sources | Object::Command(_), None) => {}
            }
        }
        if change.defines {
            self.defining.insert(*revision);
        }
        self.changes.insert(*revision, change);
        self.revision = *revision;
        Ok(())
    }

    fn set_connector(&mut self, revision: Revision, name: &str, entry: Option<ConnectorEntry>) -> bool {
        let routes = self.connectors.entry(name.into()).or_insert_with(|| ConnectorRoutes::new(name));
        let before = routes.newest();
        let feeds = entry.as_ref().map(|entry| entry.feeds.clone()).unwrap_or_default();
        let defines = !same_rows(before, entry.as_ref());
        let is_first = before.is_none();
        let connector = Arc::clone(&routes.name);
        routes.entries.set(revision, entry);
        for feed in self.feeds.values_mut().filter(|feed| feed.connector == connector) {
            feed.retired.get_or_insert(revision);
        }
        for (schedule, id) in feeds {
            let connector = Arc::clone(&connector);
            let new = FeedEntry { connector, schedule, since: revision, is_first, retired: None };
            self.feeds.entry(FeedId(id)).or_insert(new).retired = None;
        }
        defines
    }

    fn set_lane(&mut self, revision: Revision, id: LaneId, entry: LaneEntry, change: &mut Change) -> Result<(), Fault> {
        let history = self.lanes.entry(id).or_default();
        // Of new ones nobody waits: the first publication has them all.
        if history.newest().is_some() {
            change.lanes.insert(id);
        }
        // By its own word, for the one before may be forgotten; and the one that its version names.
        change.defines |= entry.version == revision.0;
        self.defining.insert(Revision(entry.version));
        if let (None, Start::From(from)) = (history.first_revision(), &entry.start) {
            let from = from.iter().filter_map(|(key, offset)| Some((partition(key)?, Offset(*offset))));
            change.histories.push((id, from.collect()));
        }
        if let (None, Some(merchant)) = (history.first_revision(), &entry.merchant) {
            let own = self.merchants.entry(merchant.as_str().into()).or_default();
            // In the order in which they came, which that of what is left of the log need not be.
            own.insert(own.partition_point(|known| *known < id), id);
        }
        let name: Arc<str> = entry.connector.as_str().into();
        let routes = self.connectors.entry(name).or_insert_with(|| ConnectorRoutes::new(&entry.connector));
        routes.set(revision, &entry)?;
        history.set(revision, Some(entry));
        Ok(())
    }

    fn remove_lane(&mut self, revision: Revision, id: LaneId) -> bool {
        let Some(history) = self.lanes.get_mut(&id) else { return false };
        let Some(last) = history.newest() else { return false };
        if let Some(routes) = self.connectors.get_mut(last.connector.as_str()) {
            routes.remove(revision, last);
        }
        history.set(revision, None);
        true
    }

    /// Connectors that read this topic at this revision.
    pub fn readers(
        &self,
        topic: TopicId,
        revision: Revision,
    ) -> impl Iterator<Item = (&ConnectorRoutes, &ConnectorEntry)> {
        self.connectors.values().filter_map(move |routes| {
            let entry = routes.entry(revision)?;
            entry.topics.iter().any(|known| known.id() == topic).then_some((routes, entry))
        })
    }

    /// Which feeds read which topics, as of this revision.
    pub fn reads(&self, revision: Revision) -> impl Iterator<Item = (FeedId, TopicId)> {
        let entries = self.connectors.values().filter_map(move |routes| routes.entry(revision));
        entries.flat_map(|entry| {
            let topics = move |feed| entry.topics.iter().map(move |topic| (feed, topic.id()));
            entry.feeds.values().copied().map(FeedId).flat_map(topics)
        })
    }

    /// The last revision that routes and shapes rows as this one does: what it says of them may be all that is left.
    pub fn routing(&self, revision: Revision) -> Revision {
        let next = self.defining.range((Bound::Excluded(revision), Bound::Unbounded)).next();
        next.map_or(self.revision.max(revision), |next| Revision(next.0 - 1))
    }

    pub fn routes(&self, connector: &str) -> Option<&ConnectorRoutes> {
        self.connectors.get(connector)
    }

    pub fn change(&self, revision: Revision) -> Option<&Change> {
        self.changes.get(&revision)
    }

    pub fn feeds(&self) -> impl Iterator<Item = (FeedId, &FeedEntry)> {
        self.feeds.iter().map(|(id, feed)| (*id, feed))
    }

    pub fn feed(&self, id: FeedId) -> Option<&FeedEntry> {
        self.feeds.get(&id)
    }

    /// Of today.
    pub fn connector(&self, name: &str) -> Option<&ConnectorEntry> {
        self.connectors.get(name)?.newest()
    }

    pub fn connector_names(&self) -> impl Iterator<Item = &str> {
        self.connectors.values().filter(|routes| routes.newest().is_some()).map(|routes| &*routes.name)
    }

    /// Of today.
    pub fn lanes(&self) -> impl Iterator<Item = &LaneEntry> {
        self.lanes.values().filter_map(History::newest)
    }

    /// Merchants from here on, in the order of their ids, each with all lanes that he ever had.
    pub fn merchants(&self, from: Bound<&str>) -> impl Iterator<Item = (&str, &[LaneId])> {
        let merchants = self.merchants.range::<str, _>((from, Bound::Unbounded));
        merchants.map(|(merchant, lanes)| (&**merchant, lanes.as_slice()))
    }

    /// All lanes that he ever had; none if nobody ever heard of him.
    pub fn merchant(&self, id: &str) -> &[LaneId] {
        self.merchants.get(id).map_or(&[], Vec::as_slice)
    }

    /// All that ever were, as they were last.
    pub(crate) fn lanes_ever(&self) -> impl Iterator<Item = &LaneEntry> {
        self.lanes.values().filter_map(History::last_known)
    }

    /// Of the files that are in force.
    pub fn digest(&self) -> &str {
        &self.sources.digest
    }

    /// Today's entry, or the last one of a lane that is gone.
    pub fn lane(&self, id: LaneId) -> Option<&LaneEntry> {
        self.lanes.get(&id)?.last_known()
    }

    pub fn is_gone(&self, id: LaneId) -> bool {
        self.lanes.get(&id).is_some_and(|history| history.newest().is_none())
    }

    /// The lane as rows of this version need it: pinned where it says what and where, today's where it says how. A
    /// version may be the connector's own, of a time when the lane was gone.
    pub fn definition(&self, id: LaneId, version: Revision) -> Option<Definition> {
        let history = self.lanes.get(&id)?;
        let (pinned, last) = (history.pinned(version, |lane| lane.version)?, history.last_known()?);
        let routes = self.connectors.get(pinned.connector.as_str())?;
        let shape = routes.entries.pinned(version, |connector| connector.version)?;
        let today = routes.entries.last_known()?;
        let lane = LaneEntry { settings: last.settings.clone(), flush: last.flush, ..pinned.clone() };
        let connector = ConnectorEntry {
            dead_letters: today.dead_letters.clone(),
            reject_percent_max: today.reject_percent_max,
            ..shape.clone()
        };
        Some(Definition { lane, connector_name: Arc::clone(&routes.name), connector })
    }

    /// Of these lanes, those that are not in force as they are wanted.
    pub fn new_among<'w>(&self, wanted: impl Iterator<Item = (usize, &'w WantedLane)>) -> BTreeSet<usize> {
        let known: BTreeSet<_> = self.lanes().map(LaneEntry::key).collect();
        wanted.filter(|(_, lane)| !known.contains(&lane.key())).map(|(at, _)| at).collect()
    }

    /// A call that is repeated is recognised by its caller's id.
    pub fn knows_command(&self, id: &str) -> bool {
        self.commands.contains(id)
    }

    /// What was put over REST under this name, and the revision that says so.
    pub fn document(&self, name: &str) -> Option<(Revision, &str)> {
        let history = self.documents.get(name)?;
        Some((history.last_revision()?, history.newest()?))
    }

    /// Where a connector of this name was left when it was removed, as [`Wanted::left`](crate::Wanted) said.
    pub fn left(&self, connector: &str) -> Option<BTreeMap<String, i64>> {
        let (_, text) = self.document(&format!("left/connector/{connector}"))?;
        serde_json::from_str(text).ok()
    }

    /// Names that begin so, and what was put under them.
    pub fn documents(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let from = self.documents.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let own = from.take_while(move |(name, _)| name.starts_with(prefix));
        own.filter_map(|(name, history)| Some((name.as_str(), &**history.newest()?)))
    }

    /// Whose word a connector is.
    pub fn origin(&self, connector: &str) -> Origin {
        let name = format!("connector/{connector}");
        if self.document(&name).is_some() { Origin::Document(name) } else { Origin::Files }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }
}

/// Whose rows are which, which of them are read, and what they become.
pub(crate) fn same_rows(before: Option<&ConnectorEntry>, entry: Option<&ConnectorEntry>) -> bool {
    let rows = |entry: &ConnectorEntry| (entry.version, entry.merchant.clone(), entry.unknown, entry.feeds.clone());
    before.map(rows) == entry.map(rows)
}
