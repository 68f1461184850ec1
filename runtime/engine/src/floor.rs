use crate::Engine;
use outflow_api::{LaneId, Offset, Ranges, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// P14: every row below the floor is decided, or owed in this or an earlier transaction. `included` are the lanes
    /// whose records this transaction writes; what the others owe counts only as far as the journal has it already.
    /// Floors never fall.
    pub(crate) fn floors_with(&self, included: &BTreeSet<LaneId>) -> BTreeMap<TopicPartition, Offset> {
        let mut floors: BTreeMap<TopicPartition, Offset> =
            self.partitions.iter().map(|(key, partition)| (*key, partition.position)).collect();
        for (id, lane) in &self.lanes {
            let unwritten = self.dirty.contains(id) && !included.contains(id);
            for (key, floor) in &mut floors {
                let owed_in_memory_alone = || {
                    let owed = lane.record.owed.get(key)?;
                    let nothing = Ranges::default();
                    let written = lane.journaled.as_ref().and_then(|record| record.owed.get(key)).unwrap_or(&nothing);
                    owed.minus(written).first().map(|range| range.start)
                };
                let held = lane.first_undecided(*key).into_iter().chain(unwritten.then(owed_in_memory_alone).flatten());
                *floor = held.fold(*floor, Offset::min);
            }
        }
        for (key, floor) in &mut floors {
            *floor = self.partitions[key].floor.max(*floor);
        }
        floors
    }
}
