//! P20: what may be forgotten of the config log, and what must stay.

use crate::{Catalogue, Order, catalogue::same_rows, entry::Object};
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
        let until = needs.taken.min(self.routing(needs.routed.min(self.ordered(needs.taken))));
        let mut entries = Vec::new();
        let mut go = |object: Object, revisions: &mut dyn Iterator<Item = Revision>| {
            entries.extend(revisions.map(|revision| (revision, object.name())));
        };
        for (id, lane) in &self.lanes {
            let old = lane.superseded(forgotten, until).filter(|(_, _, value)| value.is_some());
            go(Object::Lane(*id), &mut old.map(|(revision, ..)| revision));
        }
        for routes in self.connectors.values() {
            let old = routes.entries.superseded(forgotten, until);
            let old = old.filter(|(_, before, value)| value.is_some() && same_rows(*before, *value));
            go(Object::Connector(routes.name.to_string()), &mut old.map(|(revision, ..)| revision));
        }
        for (object, said) in [(Object::Counters, &self.counters_said), (Object::Sources, &self.sources_said)] {
            go(object, &mut said.superseded(forgotten, until).map(|(revision, ..)| revision));
        }
        entries.sort();
        Forgotten { until, entries }
    }

    /// Replays and repairs that not every shard has taken name the definitions that route them.
    fn ordered(&self, taken: Revision) -> Revision {
        let untaken = self.changes.range((Bound::Excluded(taken), Bound::Unbounded));
        let orders = untaken.flat_map(|(_, change)| &change.orders);
        let by = orders.filter_map(|order| match order {
            Order::Replay { by, .. } | Order::Repair { by, .. } => Some(Revision(*by)),
            _ => None,
        });
        by.min().unwrap_or(self.revision())
    }
}
