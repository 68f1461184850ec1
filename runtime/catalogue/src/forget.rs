//! P20: what may be forgotten of the config log, and what must stay.

use crate::{Catalogue, Order, catalogue::same_rows, entry::Object, history::History};
use outflow_api::{Forgotten, Recovered, Revision};
use std::ops::Bound;

/// What a shard's owners, of today and of later, may ask for. Neither ever falls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// The oldest revision that routes rows which may still be read, as the journal says it, or as a run names it:
    /// whose they are, or what they become.
    pub routed: Revision,
    /// The last one that was taken to its end: it is compared with the next.
    pub taken: Revision,
}

impl Needs {
    pub fn of(shard: &Recovered) -> Needs {
        let taken = Revision(shard.applied.revision.0.saturating_sub(1));
        let lanes = shard.lanes.values();
        let runs = lanes.clone().flat_map(|lane| &lane.runs).filter_map(|run| run.by.oldest());
        let decided = lanes.filter_map(|lane| lane.pending.as_ref()?.by.oldest());
        let oldest = shard.revisions.first().map(|record| record.revision);
        Needs { routed: runs.chain(decided).chain(oldest).min().unwrap_or(taken), taken }
    }

    pub fn and(self, other: Needs) -> Needs {
        Needs { routed: self.routed.min(other.routed), taken: self.taken.min(other.taken) }
    }
}

impl Catalogue {
    /// What shards with these needs cannot ask for any more, and was not forgotten before.
    ///
    /// The last word on each object stays, of a lane that is gone as well: who comes back to a place does not get its
    /// rows again. A connector's word stays also where it changed what becomes of rows, and where it brought feeds.
    /// Commands stay: a call that is repeated is recognised.
    pub fn forgettable(&self, needs: Needs, forgotten: Revision) -> Forgotten {
        let until = self.outlived(needs);
        let superseded = self.superseded(forgotten, until);
        let mut entries: Vec<_> = superseded.into_iter().map(|(revision, object)| (revision, object.name())).collect();
        entries.sort();
        Forgotten { until, entries }
    }

    /// Whether all that a shard with these needs may ask for is there. What the log has forgotten is not, though it may
    /// not be dropped here yet: whether a shard runs must not depend on who began to read when.
    pub fn knows(&self, needs: Needs) -> bool {
        // Rows of older revisions were routed in another way.
        let oldest = self.defining.range(..=self.forgotten).next_back().copied().unwrap_or_default();
        needs.taken >= self.forgotten && needs.routed >= oldest
    }

    /// Up to here the log has forgotten contents, and what they said of objects is nobody's to ask for.
    pub fn forgotten(&self) -> Revision {
        self.forgotten
    }

    /// The log has forgotten contents up to `forgotten`: here they go as well, as far as shards that may still need
    /// them let them. Answers how many went.
    pub fn forget(&mut self, forgotten: Revision, needs: Option<Needs>) -> usize {
        self.forgotten = forgotten.max(self.forgotten);
        let until = needs.map_or(self.forgotten, |needs| self.outlived(needs).min(self.forgotten));
        if until <= self.dropped {
            return 0;
        }
        let superseded = self.superseded(self.dropped, until);
        for (revision, object) in &superseded {
            self.drop_word(*revision, object);
        }
        self.changes = self.changes.split_off(&Revision(until.0 + 1));
        self.dropped = until;
        superseded.len()
    }

    /// Whether [`Catalogue::forget`] has nothing left to do.
    pub fn has_dropped(&self, forgotten: Revision) -> bool {
        forgotten <= self.dropped
    }

    /// Contents that are held in memory.
    pub fn contents(&self) -> usize {
        let connectors = self.connectors.values().map(|routes| routes.entries.len());
        self.lanes.values().map(History::len).chain(connectors).sum()
    }

    fn drop_word(&mut self, revision: Revision, object: &Object) {
        match object {
            Object::Lane(id) => {
                let Some(word) = self.lanes.get_mut(id).and_then(|lane| lane.forget(revision)) else { return };
                if let Some(routes) = self.connectors.get_mut(word.connector.as_str()) {
                    routes.forget(revision, &word);
                }
            }
            Object::Connector(name) => {
                if let Some(routes) = self.connectors.get_mut(name.as_str()) {
                    routes.entries.forget(revision);
                }
            }
            Object::Counters => drop(self.counters_said.forget(revision)),
            Object::Sources => drop(self.sources_said.forget(revision)),
            Object::Document(name) => {
                if let Some(document) = self.documents.get_mut(name.as_str()) {
                    document.forget(revision);
                }
            }
            Object::Command(_) => {}
        }
    }

    /// Shards with these needs are past what it says up to here.
    fn outlived(&self, needs: Needs) -> Revision {
        needs.taken.min(self.routing(needs.routed.min(self.ordered(needs.taken))))
    }

    fn superseded(&self, since: Revision, until: Revision) -> Vec<(Revision, Object)> {
        let mut all = Vec::new();
        let mut go = |revision: Revision, object: Object| all.push((revision, object));
        for (id, lane) in &self.lanes {
            let old = lane.superseded(since, until).filter(|(_, _, value)| value.is_some());
            old.for_each(|(revision, ..)| go(revision, Object::Lane(*id)));
        }
        for routes in self.connectors.values() {
            let old = routes.entries.superseded(since, until);
            let old = old.filter(|(_, before, value)| value.is_some() && same_rows(*before, *value));
            old.for_each(|(revision, ..)| go(revision, Object::Connector(routes.name.to_string())));
        }
        self.counters_said.superseded(since, until).for_each(|(revision, ..)| go(revision, Object::Counters));
        self.sources_said.superseded(since, until).for_each(|(revision, ..)| go(revision, Object::Sources));
        for (name, document) in &self.documents {
            let old = document.superseded(since, until).filter(|(_, _, text)| text.is_some());
            old.for_each(|(revision, ..)| go(revision, Object::Document(name.clone())));
        }
        all
    }

    /// Replays of any mode that not every shard has taken name the definitions that route them.
    fn ordered(&self, taken: Revision) -> Revision {
        let untaken = self.changes.range((Bound::Excluded(taken), Bound::Unbounded));
        let orders = untaken.flat_map(|(_, change)| &change.orders);
        let by = orders.filter_map(|order| match order {
            Order::Replay { by, .. } | Order::Repair { by, .. } | Order::Replace { by, .. } => Some(Revision(*by)),
            _ => None,
        });
        by.min().unwrap_or(self.revision())
    }
}
