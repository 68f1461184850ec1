use crate::Engine;
use outflow_api::{LaneId, Offset, Ranges, Track};
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// P14: every row below the floor is decided, or owed in this or an earlier transaction. `included` are the lanes
    /// whose records this transaction writes; what the others owe counts only as far as the journal has it already.
    /// Floors never fall.
    pub(crate) fn floors_with(&self, included: &BTreeSet<LaneId>) -> BTreeMap<Track, Offset> {
        let mut floors: BTreeMap<Track, Offset> =
            self.tracks.iter().map(|(track, cursor)| (*track, cursor.position)).collect();
        for (track, floor) in &mut floors {
            let held = self.agenda.holds.get(track).and_then(|holds| holds.first()).map(|(offset, _)| *offset);
            *floor = held.into_iter().fold(*floor, Offset::min);
        }
        for id in self.agenda.waiting.difference(included) {
            for (track, owed) in self.owed_in_memory_alone(*id) {
                floors.entry(track).and_modify(|floor| *floor = owed.min(*floor));
            }
        }
        for (track, floor) in &mut floors {
            *floor = self.tracks[track].floor.max(*floor);
        }
        floors
    }

    fn owed_in_memory_alone(&self, id: LaneId) -> Vec<(Track, Offset)> {
        let lane = self.lanes.get(id).expect("a lane that waits is there");
        let owed = lane.record.owed.iter().filter_map(|(partition, owed)| {
            let nothing = Ranges::default();
            let written = lane.journaled.as_ref().and_then(|record| record.owed.get(partition)).unwrap_or(&nothing);
            let track = Track { feed: lane.record.feed, partition: *partition };
            owed.minus(written).first().map(|range| (track, range.start))
        });
        owed.collect()
    }
}
