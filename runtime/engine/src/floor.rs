use crate::Engine;
use outflow_api::{LaneId, Offset, Track};
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
            let mut unwritten = self.agenda.unwritten.get(track).into_iter().flatten();
            let unwritten = unwritten.find(|(_, id)| !included.contains(id)).map(|(offset, _)| *offset);
            *floor = held.into_iter().chain(unwritten).fold(*floor, Offset::min);
            *floor = self.tracks[track].floor.max(*floor);
        }
        floors
    }
}
