//! What the config log brings, in the engine's terms.

use super::*;
use outflow_catalogue::{Change, Needs, Order};
use outflow_engine::{Act, Command, Publication};

impl ShardTask {
    /// Every revision that the engine was not told yet, in order; and partitions that came with other topics.
    pub(super) fn tell(&mut self) {
        let newest = self.shared.configuration.catalogue().revision();
        while self.told < newest {
            let revision = Revision(self.told.0 + 1);
            let publication = self.publication(revision);
            self.told = revision;
            if let Some(publication) = publication {
                self.handle(Event::Published(publication));
            }
            self.try_mended(revision);
        }
        let added = self.new_tracks();
        if !added.is_empty() {
            self.handle(Event::TracksAdded(added));
        }
        self.look_at_ways();
    }

    /// What it may still ask the catalogue for.
    pub(super) fn needs(&self) -> Needs {
        let taken = Revision(self.engine.applied().revision.0.saturating_sub(1));
        Needs { routed: self.engine.oldest_revision().unwrap_or(taken), taken }
    }

    /// Whatever a parked lane waits for, its own configuration may have brought it.
    fn try_mended(&mut self, revision: Revision) {
        let touched: Vec<LaneId> = {
            let catalogue = self.shared.configuration.catalogue();
            let change = catalogue.change(revision);
            let is_touched = |id: LaneId| {
                let connector = catalogue.lane(id).map(|entry| entry.connector.as_str());
                change.is_some_and(|change| {
                    change.lanes.contains(&id) || connector.is_some_and(|name| change.connectors.contains(name))
                })
            };
            let is_held = |id: LaneId| self.engine.lane_view(id).is_some_and(|view| view.is_held);
            self.engine.parked_lanes().filter(|id| is_touched(*id) && !is_held(*id)).collect()
        };
        touched.into_iter().for_each(|id| self.handle(Event::Resume(id)));
    }

    fn publication(&self, revision: Revision) -> Option<Publication> {
        let catalogue = self.shared.configuration.catalogue();
        let change = catalogue.change(revision)?;
        let before = Revision(revision.0 - 1);
        let mut begins = BTreeMap::new();
        for (id, feed) in catalogue.feeds().filter(|(_, feed)| feed.since <= revision) {
            let Some(routes) = catalogue.routes(&feed.connector) else { continue };
            let topics = |at| routes.entry(at).map_or(&[][..], |entry| &entry.topics);
            let is_new = |topic: &&outflow_catalogue::Topic| feed.since == revision || !topics(before).contains(topic);
            let new = topics(revision).iter().filter(is_new).map(|topic| topic.id());
            for partition in new.flat_map(|topic| self.topology.partitions(topic)).filter(|key| self.is_own(*key)) {
                // Rows that somebody has read belong to the definitions of then: a feed that comes later begins behind
                // them, and what its lanes want of them is history.
                let first = self.log.get(&partition).map_or(Offset::ZERO, |log| log.start);
                let is_read = self.engine.tracks().any(|(track, _)| track.partition == partition);
                let is_later = is_read || self.engine.definitions_begin(partition) > first;
                let start = (!is_later).then_some(first);
                begins.insert(Track { feed: id, partition }, start);
            }
        }
        let commands = self.commands(&catalogue, change);
        Some(Publication { revision, defines: change.defines, feeds: begins, commands })
    }

    fn commands(&self, catalogue: &outflow_catalogue::Catalogue, change: &Change) -> Vec<Command> {
        let feed = |lane| catalogue.lane(lane).map(|entry| entry.feed());
        let histories = change.histories.iter().filter_map(|(lane, from)| {
            let own = from.iter().filter(|(key, _)| self.is_own(**key)).map(|(key, offset)| (*key, *offset));
            Some(Command { lane: *lane, feed: feed(*lane)?, act: Act::History { from: own.collect() } })
        });
        let orders = change.orders.iter().filter_map(|order| {
            let act = match order {
                Order::Pause { .. } => Act::Pause,
                Order::Resume { .. } => Act::Resume,
                Order::Mend { .. } => Act::Mend,
                Order::Skip { .. } => Act::Skip,
                Order::Abandon { .. } => Act::Abandon,
                Order::Replay { .. } | Order::Repair { .. } | Order::Replace { .. } => {
                    let (by, mut ranges) = order.ranges();
                    ranges.retain(|key, _| self.is_own(*key));
                    match order {
                        Order::Repair { letters, .. } => Act::Repair { by, ranges, letters: *letters },
                        Order::Replace { .. } => Act::Replace { by, ranges },
                        _ => Act::Replay { by, ranges },
                    }
                }
            };
            Some(Command { lane: order.lane(), feed: feed(order.lane())?, act })
        });
        histories.chain(orders).collect()
    }

    /// Partitions of topics that a feed reads and the engine does not know: the topic has grown, or was added. A feed
    /// that a later revision ends is told as well: up to there rows are its lanes'.
    fn new_tracks(&self) -> BTreeMap<Track, Offset> {
        let catalogue = self.shared.configuration.catalogue();
        let mut added = BTreeMap::new();
        for (feed, topic) in catalogue.reads(self.engine.applied().revision) {
            for partition in self.topology.partitions(topic).filter(|key| self.is_own(*key)) {
                let track = Track { feed, partition };
                if self.engine.position(track).is_none()
                    && let Some(log) = self.log.get(&partition)
                {
                    added.insert(track, log.start);
                }
            }
        }
        added
    }

    fn is_own(&self, key: TopicPartition) -> bool {
        key.partition % self.shared.shards == self.shard.0
    }
}
