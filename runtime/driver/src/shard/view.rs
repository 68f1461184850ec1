//! What people see of a shard.

use super::*;
use crate::{
    shard::walk::Seen,
    status::{OwnLane, PartitionStatus},
};
use outflow_engine::LaneView;

/// One lane in this shard, as it stands.
#[derive(Clone, Debug)]
pub struct LaneState {
    pub lane: u32,
    pub shard: u32,
    pub open_rows: u64,
    /// Records that are owed, of the whole partitions: rows of others are among them.
    pub owed: u64,
    pub is_behind: bool,
    pub runs: usize,
    pub has_pending: bool,
    /// Code and hint.
    pub parked: Option<(String, String)>,
    pub is_held: bool,
    pub undelivered: BTreeMap<TopicPartition, Undelivered>,
    /// The last that was asked of it here.
    pub repaired: Option<Repaired>,
    pub replaced: Option<Replacement>,
    /// Old batches that are removed as soon as what takes their place is visible.
    pub removals: usize,
}

#[derive(Clone)]
pub(crate) enum Which {
    /// About which there is something to say.
    All,
    These(Arc<[LaneId]>),
    /// Held by a person as well.
    Parked,
}

impl ShardTask {
    pub(super) fn look(&self, look: Look) {
        let state = |(id, view): (LaneId, LaneView)| LaneState {
            lane: id.0,
            shard: self.shard.0,
            open_rows: view.open_rows,
            owed: view.owed,
            is_behind: view.is_behind,
            runs: view.runs,
            has_pending: view.pending.is_some(),
            parked: view.parked,
            is_held: view.is_held,
            undelivered: self.undelivered_of(id).collect(),
            repaired: self.repairs.of(id).cloned(),
            replaced: self.replacements.of(id).cloned(),
            removals: view.removals,
        };
        let states = match look.which {
            Which::These(lanes) => {
                // Of one that has nothing else to tell there may be this.
                let has_news = |id| self.repairs.of(id).is_some() || self.replacements.of(id).is_some();
                let idle = |id: LaneId| has_news(id).then(LaneView::default);
                let view = |id: LaneId| self.engine.lane_view(id).or_else(|| idle(id));
                let known = lanes.iter().filter_map(|id| Some((*id, view(*id)?)));
                known.map(state).collect()
            }
            Which::Parked => {
                let views = self.engine.parked_lanes().filter_map(|id| Some((id, self.engine.lane_view(id)?)));
                views.map(state).collect()
            }
            Which::All => self.engine.lane_views().map(state).collect(),
        };
        // Nobody is left to hear it if the caller lost patience.
        let _ = look.answer.send(states);
    }

    pub(super) fn show(&self, seen: Seen) {
        let Seen { mut counts, parked, own: of_connectors } = seen;
        let mut own = BTreeMap::<String, OwnLane>::new();
        for (id, connector) in of_connectors {
            let Some(view) = self.engine.lane_view(id) else { continue };
            let (is_held, is_pending) = (view.is_held, view.pending.is_some());
            let lane = OwnLane { is_held, is_pending, undelivered: self.engine.undelivered(id) };
            match own.get_mut(&connector) {
                Some(known) => known.and(lane),
                None => drop(own.insert(connector, lane)),
            }
        }
        for name in self.ages.overdue_connectors() {
            let count = counts.entry(name.clone()).or_default();
            let ages::Overdue { lag_ms, left_ms, alarms } = self.ages.overdue(name);
            (count.lag_ms, count.retention_left_ms, count.retention_alarms) = (lag_ms, left_ms, alarms);
        }
        let mut positions: BTreeMap<TopicPartition, (Offset, Offset)> = BTreeMap::new();
        for (track, floor) in self.engine.floors() {
            let position = self.engine.position(track).unwrap_or(floor);
            let seen = positions.entry(track.partition).or_insert((position, floor));
            *seen = (seen.0.max(position), seen.1.min(floor));
        }
        self.shared.status.shard(self.shard, |shard| {
            shard.generation = self.engine.generation().0;
            (shard.lanes, shard.parked, shard.own) = (counts, parked, own);
            for (key, (position, floor)) in positions {
                let topic = self.topology.name(key.topic).to_string();
                let before = shard.partitions.entry(key).or_default();
                *before = PartitionStatus { topic, position, floor, ..before.clone() };
            }
            for (track, floor) in self.engine.floors() {
                shard.floors.insert(track, floor);
            }
        });
    }
}
