use crate::{agenda::Agenda, lane::Lane};
use outflow_api::LaneId;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// All lanes about which there is something to say. Whoever changes one leaves its name behind.
#[derive(Default)]
pub(crate) struct Lanes {
    lanes: BTreeMap<LaneId, Lane>,
    touched: BTreeSet<LaneId>,
    /// Touched since the event began.
    recent: BTreeSet<LaneId>,
}

impl Lanes {
    pub fn recovered(lanes: BTreeMap<LaneId, Lane>) -> Lanes {
        let touched = lanes.keys().copied().collect();
        Lanes { lanes, touched, recent: BTreeSet::new() }
    }

    pub fn get(&self, id: LaneId) -> Option<&Lane> {
        self.lanes.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (LaneId, &Lane)> {
        self.lanes.iter().map(|(id, lane)| (*id, lane))
    }

    pub fn behind(&self, last: Option<LaneId>) -> impl Iterator<Item = (LaneId, &Lane)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.lanes.range((from, Bound::Unbounded)).map(|(id, lane)| (*id, lane))
    }

    pub fn get_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        let lane = self.lanes.get_mut(&id)?;
        self.touched.insert(id);
        Some(lane)
    }

    pub fn or_new(&mut self, id: LaneId, new: impl FnOnce() -> Lane) -> &mut Lane {
        self.touched.insert(id);
        self.lanes.entry(id).or_insert_with(new)
    }

    /// For the change that comes with every block of rows and mostly concerns nobody but the lane itself: `change`
    /// says whether it does.
    pub fn amend(&mut self, id: LaneId, new: impl FnOnce() -> Lane, change: impl FnOnce(&mut Lane) -> bool) {
        if change(self.lanes.entry(id).or_insert_with(new)) {
            self.touched.insert(id);
        }
    }

    pub fn remove(&mut self, id: LaneId) {
        self.lanes.remove(&id);
        self.touched.insert(id);
    }

    pub fn begin_event(&mut self) {
        self.recent.clear();
    }

    pub fn recent(&self) -> &BTreeSet<LaneId> {
        &self.recent
    }

    pub fn note_changes(&mut self, agenda: &mut Agenda) {
        for id in std::mem::take(&mut self.touched) {
            agenda.note(id, self.lanes.get(&id));
            self.recent.insert(id);
        }
    }
}
